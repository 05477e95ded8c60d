//! What one connection has sent and what it was answered. Pure: no sockets, no clock.

use std::collections::VecDeque;

/// A message under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// When, in nanoseconds of the run.
    pub(super) at: u64,
    /// The generation in place then: an older one must not answer.
    pub(super) in_place: u64,
}

/// What an answer is, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The one whose turn it is.
    InTurn(Sent),
    /// The message's turn was before an answer that has come already.
    Late(Sent),
    /// The message was answered before.
    Again,
    /// There is no such message.
    NeverSent,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The number whose answer is next in turn.
    expected: u64,
    /// Messages from `expected` on.
    under_way: VecDeque<Sent>,
    /// Messages before `expected` whose answers were passed over.
    passed_over: Vec<(u64, Sent)>,
    /// The newest generation that answered.
    generation: u64,
}

impl Ledger {
    /// The number of the next message.
    pub(super) fn next(&self) -> u64 {
        self.expected + self.under_way.len() as u64
    }

    pub(super) fn send(&mut self, sent: Sent) {
        self.under_way.push_back(sent);
    }

    pub(super) fn answer(&mut self, number: u64) -> Answer {
        if number >= self.next() {
            return Answer::NeverSent;
        }
        if number < self.expected {
            let place = self
                .passed_over
                .iter()
                .position(|(passed, _)| *passed == number);
            return match place {
                Some(place) => Answer::Late(self.passed_over.swap_remove(place).1),
                None => Answer::Again,
            };
        }
        loop {
            let Some(sent) = self.under_way.pop_front() else {
                return Answer::NeverSent;
            };
            let passed = self.expected;
            self.expected += 1;
            if passed == number {
                return Answer::InTurn(sent);
            }
            self.passed_over.push((passed, sent));
        }
    }

    /// Notes which generation answered; whether it is older than the last.
    pub(super) fn is_backwards(&mut self, generation: u64) -> bool {
        let backwards = generation < self.generation;
        self.generation = generation;
        backwards
    }

    /// Messages under way.
    pub(super) fn unanswered(&self) -> usize {
        self.under_way.len() + self.passed_over.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(messages: u64) -> Ledger {
        let mut ledger = Ledger::default();
        for at in 0..messages {
            assert_eq!(ledger.next(), at);
            ledger.send(Sent { at, in_place: 0 });
        }
        ledger
    }

    fn sent(at: u64) -> Sent {
        Sent { at, in_place: 0 }
    }

    #[test]
    fn answers_in_turn_leave_nothing() {
        let mut ledger = ledger(3);
        for number in 0..3 {
            assert_eq!(ledger.answer(number), Answer::InTurn(sent(number)));
        }
        assert_eq!(ledger.unanswered(), 0);
    }

    #[test]
    fn a_swapped_pair_is_one_late_answer_and_no_loss() {
        let mut ledger = ledger(3);
        assert_eq!(ledger.answer(1), Answer::InTurn(sent(1)));
        assert_eq!(ledger.answer(0), Answer::Late(sent(0)));
        assert_eq!(ledger.answer(2), Answer::InTurn(sent(2)));
        assert_eq!(ledger.unanswered(), 0);
    }

    #[test]
    fn a_gap_stays_unanswered() {
        let mut ledger = ledger(3);
        assert_eq!(ledger.answer(2), Answer::InTurn(sent(2)));
        assert_eq!(ledger.unanswered(), 2);
    }

    #[test]
    fn a_second_answer_is_noticed_in_turn_or_late() {
        let mut ledger = ledger(3);
        ledger.answer(1);
        assert_eq!(ledger.answer(1), Answer::Again);
        ledger.answer(0);
        assert_eq!(ledger.answer(0), Answer::Again);
    }

    #[test]
    fn an_answer_to_nothing_is_noticed() {
        assert_eq!(ledger(3).answer(3), Answer::NeverSent);
        assert_eq!(ledger(0).answer(0), Answer::NeverSent);
    }

    #[test]
    fn generations_may_stay_or_grow() {
        let mut ledger = ledger(0);
        let steps = [1, 1, 3, 2, 2, 3].map(|generation| ledger.is_backwards(generation));
        assert_eq!(steps, [false, false, false, true, false, false]);
    }
}
