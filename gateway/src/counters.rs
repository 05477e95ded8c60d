//! What a shard counts. Each shard has its own set and is the only one to write it, so counting is
//! a plain load and store; whoever reads adds up the shards.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::labels::{
    CloseKind, ClosingEnd, DropReason, EventKind, Excess, FailureKind, Label, RefusalReason,
    RequestResult,
};

/// A number that only grows, written by one thread.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the owning shard may call this: a second writer would lose counts.
    pub fn add(&self, n: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(n),
            Ordering::Relaxed,
        );
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of one family, one for each of its labels.
pub struct Family<L: Label> {
    counters: L::Row<Counter>,
}

impl<L: Label> Family<L> {
    /// Adds one to the label's counter.
    pub fn count(&self, label: L) {
        self.add(label, 1);
    }

    /// Adds `n` to the label's counter.
    pub fn add(&self, label: L, n: u64) {
        self.counters.as_ref()[label.index()].add(n);
    }

    /// The label's count.
    pub fn get(&self, label: L) -> u64 {
        self.counters.as_ref()[label.index()].get()
    }

    /// Names and counts.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        L::ALL.iter().map(|&label| (label.name(), self.get(label)))
    }
}

impl<L: Label> Default for Family<L> {
    fn default() -> Self {
        Self {
            counters: L::row(|_| Counter::default()),
        }
    }
}

impl<L: Label> fmt::Debug for Family<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The counters of one shard.
#[derive(Debug, Default)]
pub struct Counters {
    /// Events handed to a handler, by event.
    pub events: Family<EventKind>,
    /// Events whose handler did not return `ok`, by [`Failure::kind`](crate::handler::Failure::kind).
    pub failures: Family<FailureKind>,
    /// Connections ended, by [`CloseCause::kind`](crate::close::CloseCause::kind).
    pub closes: Family<CloseKind>,
    /// Closing handshakes, by how they ended. A lost connection has none.
    pub closings: Family<ClosingEnd>,
    /// Limits on what clients send that were met.
    pub excesses: Family<Excess>,
    /// Failed messages that the gateway answered itself.
    pub failure_replies: Counter,
    /// Requests and sockets that became neither a connection nor an answer of a plugin, by reason.
    pub refusals: Family<RefusalReason>,
    /// Messages not delivered, by reason; and timers of plugins' own that were not set.
    pub drops: Family<DropReason>,
    /// HTTP requests that plugins sent, by result.
    pub outgoing: Family<RequestResult>,
    /// Messages put into outboxes: sends, and one for each subscriber of a publish.
    pub deliveries: Counter,
    /// Publishes that took effect.
    pub publishes: Counter,
    /// Messages that were compressed, each once, however many got it.
    pub compressions: Counter,
    /// Their bytes before.
    pub compression_in: Counter,
    /// Their bytes after.
    pub compression_out: Counter,
    /// Connections that asked for compression contexts of their own when there was no room for
    /// more.
    pub contexts_refused: Counter,
    /// Messages received.
    pub messages: Counter,
    /// Bytes read from sockets.
    pub bytes_in: Counter,
    /// Bytes written to sockets.
    pub bytes_out: Counter,
    /// Connections that were opened.
    pub opened: Counter,
    /// Connections that are gone.
    pub closed: Counter,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_counts_by_label() {
        let counters = Counters::default();
        counters.drops.count(DropReason::Closing);
        counters.drops.add(DropReason::Closing, 2);
        counters.drops.count(DropReason::DropNewest);
        assert_eq!(counters.drops.get(DropReason::Closing), 3);
        let counted: Vec<_> = counters.drops.iter().filter(|(_, n)| *n > 0).collect();
        assert_eq!(counted, [("drop-newest", 1), ("closing", 3)]);
    }
}
