//! The places of one plugin's instances on one shard: the pool of its current generation and those
//! of the generations that connections stay with have them together.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use super::Pool;
use crate::plugin::stock::{Reserve, Want};

/// The places of one plugin's instances on one shard.
pub(super) struct Places {
    reserve: Arc<Reserve>,
    /// Whether what is kept for this shard is in use.
    is_reserve_used: Cell<bool>,
    pools: RefCell<Vec<Weak<Pool>>>,
}

/// The places of one instance. Given back when dropped.
pub(super) struct Place {
    places: Rc<Places>,
    /// How many of those that no pool keeps; none if it is the reserve.
    shared: Option<usize>,
}

impl Places {
    /// The places of a plugin that keeps so many.
    pub(super) fn new(reserve: Arc<Reserve>) -> Rc<Self> {
        Rc::new(Self {
            reserve,
            is_reserve_used: Cell::new(false),
            pools: RefCell::default(),
        })
    }

    /// One more pool has its instances here.
    pub(super) fn join(&self, pool: &Rc<Pool>) {
        let mut pools = self.pools.borrow_mut();
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Rc::downgrade(pool));
    }

    /// Places for an instance of that pool, if there are any: what is kept, or what nobody has. An
    /// idle instance of another generation gives way.
    pub(super) fn take(self: &Rc<Self>, needed: usize, pool: &Rc<Pool>) -> Option<Place> {
        let taken = self.take_free(needed);
        if taken.is_some() {
            return taken;
        }
        let idle = self.others(pool, |other| other.idle.borrow_mut().pop());
        // Dropped here, with nothing borrowed.
        drop(idle?);
        self.take_free(needed)
    }

    fn take_free(self: &Rc<Self>, needed: usize) -> Option<Place> {
        let is_enough = needed <= self.reserve.each();
        let shared = match is_enough && !self.is_reserve_used.replace(true) {
            true => None,
            false if self.reserve.stock().take(needed) => Some(needed),
            false => return None,
        };
        Some(Place {
            places: self.clone(),
            shared,
        })
    }

    /// Says that an event here waits for what other plugins hold, until dropped.
    pub(super) fn want(&self) -> Want {
        self.reserve.stock().want()
    }

    /// Whether somebody has more need of a place than that pool, which has an instance there that
    /// nobody uses.
    pub(super) fn is_wanted(&self, place: &Place, pool: &Rc<Pool>) -> bool {
        let waits = |other: &Pool| (other.waiting.get() > 0).then_some(());
        let by_others = place.shared.is_some() && self.reserve.stock().is_wanted();
        by_others && pool.waiting.get() == 0 || self.others(pool, waits).is_some()
    }

    /// The first answer of the plugin's other pools here.
    fn others<R>(&self, pool: &Rc<Pool>, ask: impl Fn(&Pool) -> Option<R>) -> Option<R> {
        let pools = self.pools.borrow();
        if pools.len() < 2 {
            return None;
        }
        let others = pools.iter().filter_map(Weak::upgrade);
        let mut others = others.filter(|other| !Rc::ptr_eq(other, pool));
        others.find_map(|other| ask(&other))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        match self.shared {
            Some(places) => self.places.reserve.stock().give(places),
            None => self.places.is_reserve_used.set(false),
        }
        for pool in self.places.pools.borrow().iter().filter_map(Weak::upgrade) {
            pool.ring();
        }
    }
}
