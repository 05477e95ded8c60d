//! The memory of one instance, and of all in the process: linear memories and tables, of all the
//! modules and components that a plugin is made of.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::ResourceLimiter;

/// A table with more elements than this is not a program but an attack.
pub(super) const TABLE_ELEMENTS_MAX: usize = 20_000;
/// An instance that has grown by more than this is replaced after its event: memory that one large
/// message took would stay with it. Making another costs less than handling such a message did.
const KEEP_MAX: usize = 4 << 20;

/// What the instances of a process hold together.
#[derive(Debug)]
pub(super) struct Total {
    bytes: AtomicUsize,
    max: usize,
}

impl Total {
    /// Nothing yet, of at most so many bytes.
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes: AtomicUsize::new(0),
            max,
        })
    }

    /// Takes so many bytes, if there is room for them.
    fn take(&self, bytes: usize) -> bool {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let has_room = before.saturating_add(bytes) <= self.max;
        if !has_room {
            self.give(bytes);
        }
        has_room
    }

    fn give(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What one instance holds. Given back when it is dropped, with its store.
#[derive(Debug)]
pub(super) struct Memory {
    bytes: usize,
    /// `bytes` once the instance had started.
    at_start: usize,
    /// What was last asked for, until it is known whether it was had.
    asked: usize,
    max: usize,
    total: Arc<Total>,
}

impl Memory {
    /// The memory of an instance which may hold so many bytes.
    pub(super) fn new(max: usize, total: Arc<Total>) -> Self {
        Self {
            bytes: 0,
            at_start: 0,
            asked: 0,
            max,
            total,
        }
    }

    /// The instance has started.
    pub(super) fn started(&mut self) {
        self.at_start = self.bytes;
    }

    /// Whether it has grown so much that it is better replaced.
    pub(super) fn is_swollen(&self) -> bool {
        self.bytes - self.at_start > KEEP_MAX
    }

    fn grow(&mut self, bytes: usize) -> Result<(), MemoryExceeded> {
        self.asked = 0;
        let wanted = self.bytes.saturating_add(bytes);
        if wanted > self.max {
            let limit = self.max;
            return Err(MemoryExceeded::Instance { wanted, limit });
        }
        if !self.total.take(bytes) {
            let limit = self.total.max;
            return Err(MemoryExceeded::Process { wanted, limit });
        }
        self.bytes = wanted;
        self.asked = bytes;
        Ok(())
    }

    /// What was last asked for was not had after all.
    fn undo(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        self.bytes -= asked;
        self.total.give(asked);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.total.give(self.bytes);
    }
}

/// Why a guest does not get memory.
#[derive(Debug, thiserror::Error)]
pub(super) enum MemoryExceeded {
    /// The instance has as much memory as it may have.
    #[error(
        "the guest asked for {wanted} bytes, over its limit of {limit}: raise `limits.memory` of the plugin if it needs them"
    )]
    Instance {
        /// Bytes of all its memories and tables.
        wanted: usize,
        /// Bytes it may have.
        limit: usize,
    },
    /// All instances together have.
    #[error(
        "the guest asked for {wanted} bytes, but the instances of all plugins would hold more than {limit}: raise `engine.memory` if the machine has more"
    )]
    Process {
        /// Bytes of all its memories and tables.
        wanted: usize,
        /// Bytes that all instances may have.
        limit: usize,
    },
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        wanted: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // An error traps at once and says why; `false` would leave it to the guest's allocator,
        // which aborts without a word.
        let grown = self.grow(wanted.saturating_sub(current));
        grown.map(|()| true).map_err(wasmtime::Error::new)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.undo();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        wanted: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if wanted > TABLE_ELEMENTS_MAX {
            self.asked = 0;
            return Ok(false);
        }
        let grown = self.grow(wanted.saturating_sub(current) * size_of::<usize>());
        grown.map(|()| true).map_err(wasmtime::Error::new)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.undo();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 64 << 10;

    #[test]
    fn all_memories_and_tables_of_an_instance_count_together() {
        let total = Total::new(100 * PAGE);
        let mut memory = Memory::new(4 * PAGE, total.clone());
        assert!(memory.memory_growing(0, PAGE, None).expect("room"));
        assert!(memory.memory_growing(0, 2 * PAGE, None).expect("room"));
        assert!(memory.table_growing(0, 1000, None).expect("room"));
        let error = memory.memory_growing(PAGE, 2 * PAGE, None);
        let error = error.expect_err("8000 bytes are the table's");
        assert!(error.to_string().contains("`limits.memory`"), "{error}");
        drop(memory);
        assert_eq!(total.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_was_not_had_is_given_back_once() {
        let total = Total::new(100 * PAGE);
        let mut memory = Memory::new(4 * PAGE, total.clone());
        memory.memory_growing(0, 3 * PAGE, None).expect("room");
        for _ in 0..2 {
            memory
                .memory_grow_failed(wasmtime::Error::msg("no"))
                .expect("heard");
        }
        assert_eq!(memory.bytes, 0);
        assert!(
            !memory
                .table_growing(0, TABLE_ELEMENTS_MAX + 1, None)
                .expect("no trap")
        );
        memory
            .table_grow_failed(wasmtime::Error::msg("no"))
            .expect("heard");
        assert_eq!(total.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn all_instances_together_have_a_limit() {
        let total = Total::new(3 * PAGE);
        let mut first = Memory::new(4 * PAGE, total.clone());
        let mut second = Memory::new(4 * PAGE, total.clone());
        first.memory_growing(0, 2 * PAGE, None).expect("room");
        second.memory_growing(0, PAGE, None).expect("room");
        let error = second.memory_growing(PAGE, 2 * PAGE, None);
        let error = error.expect_err("a page too many");
        assert!(error.to_string().contains("`engine.memory`"), "{error}");
        drop(first);
        second.memory_growing(PAGE, 2 * PAGE, None).expect("room");
    }

    #[test]
    fn only_what_an_instance_grew_since_its_start_makes_it_swollen() {
        let mut memory = Memory::new(100 << 20, Total::new(100 << 20));
        memory.memory_growing(0, 40 << 20, None).expect("room");
        memory.started();
        memory
            .memory_growing(40 << 20, 44 << 20, None)
            .expect("room");
        assert!(!memory.is_swollen());
        memory
            .memory_growing(44 << 20, (44 << 20) + PAGE, None)
            .expect("room");
        assert!(memory.is_swollen());
    }
}
