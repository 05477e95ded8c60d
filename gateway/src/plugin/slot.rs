//! Where a plugin's current generation is found. A connection holds a slot, never a generation:
//! a swap is one pointer written here.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::generation::Generation;
use super::version::Version;

/// The current generation of one plugin; empty until the first load succeeded.
#[derive(Default)]
pub struct Slot {
    current: ArcSwapOption<Generation>,
    /// Counts the swaps, so that a pool sees by one plain read that nothing has changed.
    version: Version,
}

impl Slot {
    /// Puts a generation in place; returns the one before.
    pub fn swap(&self, generation: Arc<Generation>) -> Option<Arc<Generation>> {
        let before = self.current.swap(Some(generation));
        // After the pointer: who sees the new version finds the new generation. Who reads between
        // the two writes gets the new one early and looks once more at its next event.
        self.version.advance();
        before
    }

    /// The current generation.
    pub fn current(&self) -> Option<Arc<Generation>> {
        self.current.load_full()
    }

    /// A number that changes with every swap.
    pub fn version(&self) -> u64 {
        self.version.get()
    }

    /// The version alone, for whoever needs nothing else of the slot.
    pub(super) fn versions(&self) -> &Version {
        &self.version
    }
}
