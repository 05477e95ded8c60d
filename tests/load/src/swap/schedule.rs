//! When swaps happen, on a thread of its own: a trigger may block for as long as a compile takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::trigger::{Order, Outcome, Trigger};
use crate::histogram::Histogram;

/// Failures kept in words.
const FAILURES_KEPT: usize = 20;

/// How many swaps, over which time.
pub(super) struct Plan {
    pub(super) time: Duration,
    pub(super) swaps: u32,
    pub(super) bad: u32,
}

/// What the swapping thread and the clients know of each other.
pub(super) struct Board {
    epoch: Instant,
    window: u64,
    /// Until when messages are inside a swap, in nanoseconds of the run; `u64::MAX` while one is being made.
    inside_until: AtomicU64,
    /// The generation of the last swap that was answered.
    in_place: AtomicU64,
    /// The newest generation a client was answered by.
    newest: Arc<AtomicU64>,
    stopped: AtomicBool,
    done: AtomicBool,
}

/// What became of the swaps.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) swaps: u32,
    pub(super) refused: u32,
    pub(super) in_place: u64,
    pub(super) failures: Vec<String>,
    pub(super) time: Histogram,
}

impl Board {
    pub(super) fn new(window: Duration) -> Self {
        Self {
            epoch: Instant::now(),
            window: u64::try_from(window.as_nanos()).unwrap_or(u64::MAX),
            inside_until: AtomicU64::new(0),
            in_place: AtomicU64::new(0),
            newest: Arc::new(AtomicU64::new(0)),
            stopped: AtomicBool::new(false),
            done: AtomicBool::new(false),
        }
    }

    /// Nanoseconds of the run at `at`.
    pub(super) fn nanos(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.epoch);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whether a message sent at `sent` and answered now was under way during a swap.
    pub(super) fn is_inside(&self, sent: u64) -> bool {
        self.inside_until.load(Ordering::Acquire) >= sent
    }

    /// Whether all swaps are made and the last one's window has passed.
    pub(super) fn is_over(&self) -> bool {
        self.done.load(Ordering::Acquire) && !self.is_inside(self.nanos(Instant::now()))
    }

    pub(super) fn in_place(&self) -> u64 {
        self.in_place.load(Ordering::Acquire)
    }

    pub(super) fn saw(&self, generation: u64) {
        self.newest.fetch_max(generation, Ordering::AcqRel);
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    fn enter(&self) {
        self.inside_until.store(u64::MAX, Ordering::Release);
    }

    fn leave(&self, triggered: Instant) {
        let window_ends = self.nanos(triggered).saturating_add(self.window);
        let until = window_ends.max(self.nanos(Instant::now()));
        // Never MAX again: that would be a swap without end.
        self.inside_until
            .store(until.min(u64::MAX - 1), Ordering::Release);
    }

    /// Sleeps until `at`; false if the run was stopped meanwhile.
    fn wait_until(&self, at: Instant) -> bool {
        while !self.stopped.load(Ordering::Acquire) {
            let Some(left) = at.checked_duration_since(Instant::now()) else {
                return true;
            };
            std::thread::sleep(left.min(Duration::from_millis(20)));
        }
        false
    }
}

impl Plan {
    /// Makes all swaps, each in its time.
    pub(super) fn drive(&self, trigger: &mut Trigger, board: &Board) -> Tally {
        let mut tally = Tally::default();
        let all = self.swaps + self.bad;
        for place in 0..all {
            // In the middle of its share of the time: no swap at the very start or end.
            let at = board.epoch + self.time.mul_f64((f64::from(place) + 0.5) / f64::from(all));
            if !board.wait_until(at) {
                let left = all - place;
                tally.fail(format!("{left} swaps were not made: the time was over"));
                break;
            }
            let order = Order::new(place + 1, self.is_bad(place), &board.newest);
            board.enter();
            let triggered = Instant::now();
            let outcome = trigger(&order);
            board.leave(triggered);
            tally.time.record(triggered.elapsed());
            tally.take(&order, outcome, board);
        }
        board.done.store(true, Ordering::Release);
        tally
    }

    /// Whether the swap at `place` is a bad one: they are spread evenly, and a good one comes last.
    fn is_bad(&self, place: u32) -> bool {
        let (all, bad) = (u64::from(self.swaps + self.bad), u64::from(self.bad));
        let before = |place: u64| (place * bad + all / 2) / all;
        before(u64::from(place) + 1) > before(u64::from(place))
    }
}

impl Tally {
    fn take(&mut self, order: &Order, outcome: anyhow::Result<Outcome>, board: &Board) {
        let number = order.number;
        match outcome {
            Ok(Outcome::Swapped(generation)) if order.bad => {
                self.fail(format!(
                    "bad swap {number} was accepted as generation {generation}"
                ));
            }
            Ok(Outcome::Swapped(generation)) if generation <= self.in_place => {
                let last = self.in_place;
                self.fail(format!(
                    "swap {number} brought generation {generation} after {last}"
                ));
            }
            Ok(Outcome::Swapped(generation)) => {
                self.swaps += 1;
                self.in_place = generation;
                board.in_place.store(generation, Ordering::Release);
            }
            Ok(Outcome::Refused(_)) if order.bad => self.refused += 1,
            Ok(Outcome::Refused(reason)) => {
                self.fail(format!("swap {number} was refused: {reason}"));
            }
            Err(error) => self.fail(format!("swap {number} failed: {error:#}")),
        }
    }

    fn fail(&mut self, reason: String) {
        if self.failures.len() < FAILURES_KEPT {
            self.failures.push(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_swaps_are_spread_and_a_good_one_is_last() {
        for (swaps, bad) in [(10, 3), (3, 3), (200, 20), (5, 0), (1, 1)] {
            let plan = Plan {
                time: Duration::ZERO,
                swaps,
                bad,
            };
            let places: Vec<bool> = (0..swaps + bad).map(|place| plan.is_bad(place)).collect();
            assert_eq!(places.iter().filter(|bad| **bad).count(), bad as usize);
            assert_eq!(places.last(), Some(&false), "{swaps} {bad}");
        }
    }
}
