//! The time of writes: that of the wall at the start, and from then on one that never goes back.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
pub(super) type UnixMillis = u64;

/// Tells the time, from any thread.
pub(super) struct Clock {
    started: Instant,
    at_start: UnixMillis,
    /// What a test adds.
    #[cfg(test)]
    pub(super) ahead: std::sync::atomic::AtomicU64,
}

impl Clock {
    pub(super) fn new() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            started: Instant::now(),
            // A clock before 1970 is one that was never set.
            at_start: millis(since_1970.unwrap_or(Duration::ZERO)),
            #[cfg(test)]
            ahead: std::sync::atomic::AtomicU64::new(0),
        }
    }

    pub(super) fn now(&self) -> UnixMillis {
        let now = self.at_start + millis(self.started.elapsed());
        #[cfg(test)]
        let now = now + self.ahead.load(std::sync::atomic::Ordering::Relaxed);
        now
    }
}

pub(super) fn millis(duration: Duration) -> UnixMillis {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
