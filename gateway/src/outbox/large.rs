//! Messages that are too large to be copied for each connection that has to wait for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// Messages of this length, encoded, lie by themselves and are written at once if nothing waits in
/// front of them: the system call's cost is small beside that of another copy.
pub const LARGE_MIN: usize = 8 << 10;

/// An encoded message that lies by itself. It is written from there; the first connection that has
/// to wait for it makes one copy, if it is only lent, which all others share.
#[derive(Debug)]
pub struct Large<'a> {
    lies: LargeBytes<'a>,
    /// What those that wait share, and whether it counts as oversize.
    kept: Option<(Bytes, bool)>,
}

#[derive(Debug)]
enum LargeBytes<'a> {
    Lent(&'a [u8]),
    Shared(Bytes),
}

impl<'a> Large<'a> {
    /// A message in memory that will be used for something else.
    pub fn lent(bytes: &'a [u8]) -> Self {
        Self {
            lies: LargeBytes::Lent(bytes),
            kept: None,
        }
    }

    /// A message in memory of its own.
    pub fn shared(bytes: Bytes) -> Self {
        Self {
            lies: LargeBytes::Shared(bytes),
            kept: None,
        }
    }

    /// The encoded message.
    pub fn bytes(&self) -> &[u8] {
        match &self.lies {
            LargeBytes::Lent(bytes) => bytes,
            LargeBytes::Shared(bytes) => bytes,
        }
    }

    /// Whether it counts as oversize already: one more that waits for it costs nothing.
    pub fn is_held(&self) -> bool {
        self.kept.as_ref().is_some_and(|&(_, is_held)| is_held)
    }

    /// What a connection that has to wait for it keeps. With `oversize` the message is longer than
    /// that connection's outbox and counts there until nobody waits for it any more.
    pub(super) fn keep(&mut self, oversize: Option<&Arc<Oversize>>) -> Bytes {
        let (kept, is_held) = self.kept.get_or_insert_with(|| match &self.lies {
            LargeBytes::Lent(bytes) => (Bytes::copy_from_slice(bytes), false),
            LargeBytes::Shared(bytes) => (bytes.clone(), false),
        });
        if let Some(oversize) = oversize.filter(|_| !*is_held) {
            *kept = CountedBytes::new(kept.clone(), oversize);
            *is_held = true;
        }
        kept.clone()
    }
}

/// The process's budget for waiting messages that are longer than their outbox. An empty outbox takes
/// one message of any length, else that could never be sent; together those are bounded here.
#[derive(Debug)]
pub struct Oversize {
    used: AtomicUsize,
    max: usize,
}

impl Oversize {
    /// A budget of `max` bytes.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicUsize::new(0),
            max,
        })
    }

    /// Whether a message of `len` bytes may wait too. Shards that ask at the same moment may each be
    /// told yes, and exceed the budget by a message each.
    pub fn has_room(&self, len: usize) -> bool {
        self.used.load(Ordering::Relaxed).saturating_add(len) <= self.max
    }

    /// The bytes that wait.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// Bytes that count in the budget for as long as someone has them.
struct CountedBytes {
    bytes: Bytes,
    oversize: Arc<Oversize>,
}

impl CountedBytes {
    #[expect(
        clippy::new_ret_no_self,
        reason = "who holds it need not know that it is counted"
    )]
    fn new(bytes: Bytes, oversize: &Arc<Oversize>) -> Bytes {
        oversize.used.fetch_add(bytes.len(), Ordering::Relaxed);
        Bytes::from_owner(Self {
            bytes,
            oversize: oversize.clone(),
        })
    }
}

impl AsRef<[u8]> for CountedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for CountedBytes {
    fn drop(&mut self) {
        self.oversize
            .used
            .fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_wait_share_one_copy_which_counts_once() {
        let oversize = Oversize::new(100);
        let bytes = [7; 60];
        let mut large = Large::lent(&bytes);
        let within = large.keep(None);
        assert_eq!(oversize.used(), 0, "it is within that outbox");
        let held: Vec<_> = (0..3).map(|_| large.keep(Some(&oversize))).collect();
        assert!(large.is_held());
        assert_eq!(oversize.used(), 60);
        assert!(held.iter().all(|held| held.as_ptr() == within.as_ptr()));
        assert!(oversize.has_room(40) && !oversize.has_room(41));
        let rest = held[0].slice(59..);
        drop((large, held));
        assert_eq!(oversize.used(), 60, "the last byte keeps all of it");
        drop(rest);
        assert_eq!(oversize.used(), 0);
    }
}
