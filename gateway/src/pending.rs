//! The memory of what has come in only in part: one budget for the whole process.
//!
//! A limit for each message does not bound their sum. Whoever holds part of a message or of a body
//! has a [`Share`] for it, and gives up when there is none to be had. Pure, but for the count that
//! all shards share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The budget, in bytes.
#[derive(Debug)]
pub struct Pending {
    limit: usize,
    taken: AtomicUsize,
}

/// What one holder has of the budget. Dropping it gives that back.
#[derive(Debug)]
pub struct Share {
    pending: Arc<Pending>,
    bytes: usize,
}

impl Pending {
    /// A budget of `limit` bytes, none of which is taken.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            taken: AtomicUsize::new(0),
        })
    }

    /// A share of nothing yet.
    pub fn share(self: &Arc<Self>) -> Share {
        Share {
            pending: self.clone(),
            bytes: 0,
        }
    }

    /// Bytes that are taken at present.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        // Taken first and given back if it was too much, so that two at once cannot both get the
        // last of it.
        let before = self.taken.fetch_add(bytes, Ordering::Relaxed);
        let fits = before
            .checked_add(bytes)
            .is_some_and(|sum| sum <= self.limit);
        if !fits {
            self.give(bytes);
        }
        fits
    }

    fn give(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Share {
    /// Makes it a share of so many bytes, more or fewer than before. Returns whether the budget had
    /// room; if not, it stays as it was.
    pub fn resize(&mut self, bytes: usize) -> bool {
        if bytes < self.bytes {
            self.pending.give(self.bytes - bytes);
        } else if bytes > self.bytes && !self.pending.take(bytes - self.bytes) {
            return false;
        }
        self.bytes = bytes;
        true
    }

    /// Bytes of the budget that it stands for.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.pending.give(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_together_never_exceed_the_budget() {
        let pending = Pending::new(100);
        let (mut first, mut second) = (pending.share(), pending.share());
        assert!(first.resize(60));
        assert!(!second.resize(41));
        assert_eq!((second.bytes(), pending.taken()), (0, 60));
        assert!(second.resize(40));
        assert!(!first.resize(usize::MAX), "no sum wraps");
        assert!(first.resize(10));
        assert!(second.resize(90));
        assert_eq!(pending.taken(), 100);
        drop(second);
        assert_eq!(pending.taken(), 10);
        drop(first);
        assert_eq!(pending.taken(), 0);
    }

    #[test]
    fn threads_that_ask_at_once_get_no_more_than_there_is() {
        let pending = Pending::new(1000);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let pending = &pending;
                scope.spawn(move || {
                    let mut share = pending.share();
                    for n in 0..10_000 {
                        share.resize(n % 600);
                        assert!(pending.taken() <= 1000 + 4 * 600);
                    }
                });
            }
        });
        assert_eq!(pending.taken(), 0);
    }
}
