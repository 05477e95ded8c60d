//! What clients can cause at any rate and the log should still tell.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// One line in this time says what is wrong; more would only fill the log.
const PAUSE: Duration = Duration::from_secs(10);

/// Lets one line in [`PAUSE`] through and counts the others.
#[derive(Debug, Default)]
pub(super) struct Seldom {
    last: Cell<Option<Instant>>,
    unsaid: Cell<u64>,
}

impl Seldom {
    /// Whether it may be said now: then how often it was left unsaid since the last time.
    pub(super) fn say(&self) -> Option<u64> {
        self.say_at(Instant::now())
    }

    fn say_at(&self, now: Instant) -> Option<u64> {
        let is_early = self.last.get().is_some_and(|last| now < last + PAUSE);
        if is_early {
            self.unsaid.set(self.unsaid.get() + 1);
            return None;
        }
        self.last.set(Some(now));
        Some(self.unsaid.replace(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_and_what_follows_is_counted() {
        let (seldom, now) = (Seldom::default(), Instant::now());
        assert_eq!(seldom.say_at(now), Some(0));
        assert_eq!(seldom.say_at(now), None);
        assert_eq!(seldom.say_at(now + PAUSE / 2), None);
        assert_eq!(seldom.say_at(now + PAUSE), Some(2));
        assert_eq!(seldom.say_at(now + PAUSE), None);
    }
}
