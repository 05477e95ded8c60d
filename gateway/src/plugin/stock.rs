//! The engine's places for instances. One place holds one linear memory; a plugin made of several
//! takes as many.
//!
//! Each pool keeps the places of one instance for itself, so that a plugin always gets on, whatever
//! others hold; the rest is for whoever comes first. The engine never has fewer than are given out
//! here: an instance is not started to find out.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Linear memories that one plugin may have: each reserves what an instance of a usual one does.
pub(super) const MEMORIES_MAX: usize = 8;
/// Tables for each place of an instance. A guest in Rust has two, one with an interpreter some more.
pub(super) const TABLES_EACH: usize = 4;

/// The places of the process.
#[derive(Debug)]
pub(super) struct Stock {
    /// How many there are for events.
    places: usize,
    /// How many pools each plugin has: one a shard.
    shards: usize,
    /// A std mutex: it is held for some additions, when an instance starts or ends.
    counts: Mutex<Counts>,
    /// Pools that wait for what others hold.
    wanted: AtomicUsize,
}

#[derive(Debug, Default)]
struct Counts {
    /// Kept by pools for themselves.
    reserved: usize,
    /// Taken of the rest.
    shared: usize,
}

impl Stock {
    /// So many places, for plugins that have a pool on each of so many shards.
    pub(super) fn new(places: usize, shards: usize) -> Arc<Self> {
        Arc::new(Self {
            places,
            shards,
            counts: Mutex::default(),
            wanted: AtomicUsize::new(0),
        })
    }

    /// Takes places that no pool keeps, if there are so many.
    pub(super) fn take(&self, places: usize) -> bool {
        let mut counts = self.counts();
        let fits = counts.reserved + counts.shared + places <= self.places;
        if fits {
            counts.shared += places;
        }
        fits
    }

    /// Gives such places back.
    pub(super) fn give(&self, places: usize) {
        self.counts().shared -= places;
    }

    /// Whether somebody waits for a place that others hold.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) > 0
    }

    /// Says that somebody waits, until dropped.
    pub(super) fn want(self: &Arc<Self>) -> Want {
        self.wanted.fetch_add(1, Ordering::Relaxed);
        Want(self.clone())
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Every statement leaves it whole.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody waits for a place.
pub(super) struct Want(Arc<Stock>);

impl Drop for Want {
    fn drop(&mut self) {
        self.0.wanted.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What each pool of a plugin keeps for itself. It only grows: an earlier generation may come back.
#[derive(Debug)]
pub(super) struct Reserve {
    stock: Arc<Stock>,
    /// The places of one instance.
    each: AtomicUsize,
}

impl Reserve {
    /// Keeps one place in each pool of a plugin. Where there are fewer than pools, which the
    /// configuration's check refuses, what is missing is waited for like any other.
    pub(super) fn new(stock: Arc<Stock>) -> Arc<Self> {
        let reserve = Self {
            stock,
            each: AtomicUsize::new(0),
        };
        let _ = reserve.raise(1);
        Arc::new(reserve)
    }

    /// Keeps the places of an instance that needs so many, from now on. The error is how many there
    /// would have to be.
    pub(super) fn raise(&self, needed: usize) -> Result<(), usize> {
        let mut counts = self.stock.counts();
        let more = needed.saturating_sub(self.each.load(Ordering::Relaxed)) * self.stock.shards;
        let reserved = counts.reserved + more;
        if reserved > self.stock.places {
            return Err(reserved);
        }
        counts.reserved = reserved;
        self.each.fetch_max(needed, Ordering::Relaxed);
        Ok(())
    }

    /// The places that a pool keeps for itself.
    pub(super) fn each(&self) -> usize {
        self.each.load(Ordering::Relaxed)
    }

    /// Where the others are.
    pub(super) fn stock(&self) -> &Arc<Stock> {
        &self.stock
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        let kept = self.each() * self.stock.shards;
        self.stock.counts().reserved -= kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pools_keep_is_not_given_to_others() {
        let stock = Stock::new(10, 2);
        let _one = Reserve::new(stock.clone());
        let other = Reserve::new(stock.clone());
        assert!(stock.take(6));
        assert!(!stock.take(1), "two each are kept on two shards");
        drop(other);
        assert!(stock.take(2));
        assert!(!stock.take(1));
        stock.give(8);
        assert!(stock.take(8));
    }

    #[test]
    fn a_reserve_grows_with_the_largest_generation() {
        let stock = Stock::new(10, 2);
        let reserve = Reserve::new(stock.clone());
        reserve.raise(3).expect("six of ten");
        reserve.raise(2).expect("it has more");
        assert_eq!(reserve.each(), 3);
        assert_eq!(reserve.raise(6), Err(12));
        assert_eq!(reserve.each(), 3);
        assert!(stock.take(4) && !stock.take(1));
        drop(reserve);
        assert!(stock.take(6));
    }
}
