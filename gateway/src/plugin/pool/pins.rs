//! Connections that stay with an earlier generation of a plugin, because a later one has refused
//! their state.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use super::Pool;
use crate::plugin::generation::Generation;

/// The earlier generations of a plugin that connections of one shard stay with.
pub(super) struct Pins {
    pools: RefCell<Vec<Pinned>>,
    /// The plugin's pinned connections in the whole process.
    count: Arc<AtomicUsize>,
    max: usize,
}

struct Pinned {
    generation: u64,
    pool: Rc<Pool>,
    /// Whether there are connections left.
    held: Weak<()>,
}

/// Keeps one connection with an earlier generation, until dropped.
pub(in crate::plugin) struct Pin {
    generation: u64,
    count: Arc<AtomicUsize>,
    _hold: Arc<()>,
}

impl Pins {
    /// No pinned generation so far. `count` is the number of the plugin's pinned connections in the
    /// whole process, of which there may be `max`.
    pub(super) fn new(count: Arc<AtomicUsize>, max: usize) -> Self {
        Self {
            pools: RefCell::default(),
            count,
            max,
        }
    }

    /// Keeps a connection with a generation, whose instances come from `pool` if none of them is
    /// kept here yet. None if there are as many as may be.
    pub(super) fn pin(
        &self,
        generation: &Arc<Generation>,
        pool: impl FnOnce(Arc<Generation>) -> Rc<Pool>,
    ) -> Option<Arc<Pin>> {
        let count = self.count.clone();
        if count.fetch_add(1, Ordering::Relaxed) >= self.max {
            count.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let number = generation.number();
        let mut pools = self.pools.borrow_mut();
        let kept = pools.iter().find(|kept| kept.generation == number);
        let hold = kept.and_then(|kept| kept.held.upgrade());
        let hold = hold.unwrap_or_else(|| {
            let hold = Arc::new(());
            pools.push(Pinned {
                generation: number,
                pool: pool(generation.clone()),
                held: Arc::downgrade(&hold),
            });
            hold
        });
        Some(Arc::new(Pin {
            generation: number,
            count,
            _hold: hold,
        }))
    }

    /// The instances of the generation that a connection stays with.
    pub(super) fn pool(&self, pin: &Pin) -> Option<Rc<Pool>> {
        let pools = self.pools.borrow();
        let kept = pools.iter().find(|kept| kept.generation == pin.generation);
        kept.map(|kept| kept.pool.clone())
    }

    /// Frees the generations that no connection stays with any more.
    pub(super) fn tidy(&self) {
        if !self.pools.borrow().is_empty() {
            let is_held = |kept: &Pinned| kept.held.strong_count() > 0;
            self.pools.borrow_mut().retain(is_held);
        }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}
