//! How long a guest may run in one call.

use std::time::Duration;

/// How long one call of a guest may run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// How long a guest may run.
    pub(super) time: Duration,
    /// What else than `time` the limit may grow by, for each KiB of what the guest is given.
    per_kib: Duration,
    /// The key of the plugin's limits that it comes from.
    pub(super) key: &'static str,
}

impl Budget {
    /// That of a limit and its key, whatever the guest is given.
    pub(super) fn of(time: Duration, key: &'static str) -> Self {
        Self::growing(time, Duration::ZERO, key)
    }

    /// That of a limit and its key, with `per_kib` more for each KiB of what the guest is given.
    pub(super) fn growing(time: Duration, per_kib: Duration, key: &'static str) -> Self {
        Self { time, per_kib, key }
    }

    /// The same for an event that brings so many bytes.
    pub(super) fn with(mut self, bytes: usize) -> Self {
        if let Ok(kib @ 1..) = u32::try_from(bytes >> 10) {
            self.time = self.time.saturating_add(self.per_kib.saturating_mul(kib));
        }
        self
    }
}
