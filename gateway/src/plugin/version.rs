//! The count of a slot's swaps, by which others see that a new generation serves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that changes with every swap of a slot; clones show the same one.
#[derive(Clone, Default)]
pub(super) struct Version(Arc<AtomicU64>);

impl Version {
    /// The number now. Who sees a new one finds the new generation.
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Counts a swap that has been made.
    pub(super) fn advance(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}
