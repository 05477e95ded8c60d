//! The time that a guest may run in one call.

use std::time::Duration;

/// The running time of one call of a guest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// The time that the guest may run.
    pub(super) time: Duration,
    /// The time that each KiB of what the guest is given adds.
    per_kib: Duration,
    /// The key of the plugin's limits that it comes from.
    pub(super) key: &'static str,
}

impl Budget {
    /// The budget of a limit and its key, whatever the guest is given.
    pub(super) fn of(time: Duration, key: &'static str) -> Self {
        Self::growing(time, Duration::ZERO, key)
    }

    /// The budget of a limit and its key, with `per_kib` more for each KiB of what the guest is
    /// given.
    pub(super) fn growing(time: Duration, per_kib: Duration, key: &'static str) -> Self {
        Self { time, per_kib, key }
    }

    /// Adds what an event gets that brings so many bytes.
    pub(super) fn with(mut self, bytes: usize) -> Self {
        if let Ok(kib @ 1..) = u32::try_from(bytes >> 10) {
            self.time = self.time.saturating_add(self.per_kib.saturating_mul(kib));
        }
        self
    }
}
