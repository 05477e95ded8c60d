//! When an open-loop run sends: at a fixed rate, whatever the answers do.

use std::time::{Duration, Instant};

/// A schedule of evenly spread events.
#[derive(Clone, Debug)]
pub struct Pace {
    start: Instant,
    interval: Duration,
    done: u64,
}

impl Pace {
    /// `rate` events a second from `start` on.
    #[must_use]
    pub fn new(rate: f64, start: Instant) -> Self {
        Self {
            start,
            interval: Duration::from_secs_f64(1.0 / rate.clamp(1e-3, 1e8)),
            done: 0,
        }
    }

    /// When the next event was due, if that is not after `now`; it counts as done then.
    pub fn due(&mut self, now: Instant) -> Option<Instant> {
        let next = self.next();
        if next > now {
            return None;
        }
        self.done += 1;
        Some(next)
    }

    /// How long to wait for other events meanwhile. Epoll waits for whole milliseconds, and would sleep through what is due
    /// within one: nearer than that the answer is not to wait at all.
    #[must_use]
    pub fn wait(&self) -> Duration {
        let left = self.next().saturating_duration_since(Instant::now());
        if left < Duration::from_millis(1) {
            return Duration::ZERO;
        }
        Duration::from_millis(left.as_millis().min(50) as u64)
    }

    /// When the next event is due.
    #[must_use]
    pub fn next(&self) -> Instant {
        // From the start each time, so that rounding does not add up.
        let nanos = self.interval.as_nanos() * u128::from(self.done);
        self.start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_caller_catches_up_and_no_more() {
        let start = Instant::now();
        let mut pace = Pace::new(1000.0, start);
        assert_eq!(pace.due(start), Some(start));
        assert_eq!(pace.due(start), None);
        let late = start + Duration::from_millis(10);
        let caught_up = std::iter::from_fn(|| pace.due(late)).count();
        assert_eq!(caught_up, 10);
        assert_eq!(pace.next(), start + Duration::from_millis(11));
    }
}
