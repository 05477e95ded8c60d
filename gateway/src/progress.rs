//! Whether a peer that owes an answer is slow or gone. Pure: it compares what the peer has taken at
//! two looks.
//!
//! An answer can only come when what lies in front of the question has been read. On a thin line
//! that takes minutes, and all the while the peer's system acknowledges bytes: it is there.

/// How far a peer has come with what was sent to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Intake {
    /// Bytes that it has acknowledged so far. It wraps; only whether it has changed means anything.
    pub taken: u32,
    /// Whether there are bytes that it has not acknowledged.
    pub waiting: bool,
}

/// What was seen of a peer's intake at the last look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    taken: u32,
    behind: bool,
}

impl Progress {
    /// Begins to watch a peer from which an answer is due behind all that it has not taken.
    pub fn new(intake: Intake) -> Self {
        Self {
            taken: intake.taken,
            behind: intake.waiting,
        }
    }

    /// Begins to watch a peer whose time for the answer begins now, whatever it has not taken.
    pub fn from_now(intake: Intake) -> Self {
        Self {
            taken: intake.taken,
            behind: false,
        }
    }

    /// Whether the peer has taken anything since the last look.
    pub fn has_moved(&self, intake: Intake) -> bool {
        intake.taken != self.taken
    }

    /// Whether the peer may have one more period for its answer: it has taken something of what lies
    /// in front of the question, or has only just come to it. To be asked once a period.
    pub fn goes_on(&mut self, intake: Intake) -> bool {
        let goes_on = match intake.waiting {
            true => self.has_moved(intake),
            false => self.behind,
        };
        *self = Self::new(intake);
        goes_on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(taken: u32, waiting: bool) -> Intake {
        Intake { taken, waiting }
    }

    #[test]
    fn a_peer_with_nothing_in_front_has_one_period() {
        let mut progress = Progress::new(at(100, false));
        assert!(!progress.goes_on(at(102, false)), "the question itself");
    }

    #[test]
    fn one_that_goes_on_taking_has_as_many_as_it_needs_and_one_for_the_answer() {
        let mut progress = Progress::new(at(100, true));
        for taken in 101..200 {
            assert!(progress.goes_on(at(taken, true)));
        }
        assert!(progress.goes_on(at(200, false)), "it has only just read it");
        assert!(!progress.goes_on(at(200, false)));
    }

    #[test]
    fn one_that_stops_is_given_up() {
        let mut progress = Progress::new(at(100, true));
        assert!(progress.goes_on(at(101, true)));
        assert!(!progress.goes_on(at(101, true)));
    }

    #[test]
    fn what_was_in_front_does_not_count_from_now() {
        let mut progress = Progress::from_now(at(100, true));
        assert!(!progress.goes_on(at(110, false)));
        let mut progress = Progress::from_now(at(100, true));
        assert!(progress.goes_on(at(110, true)));
    }

    #[test]
    fn the_count_may_wrap() {
        let mut progress = Progress::new(at(u32::MAX, true));
        assert!(progress.goes_on(at(5, true)));
    }
}
