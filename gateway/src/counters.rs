//! What a shard counts. Each shard has its own set and is the only one to write it, so counting is
//! a plain load and store; whoever reads adds up the shards.

use std::sync::atomic::{AtomicU64, Ordering};

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

/// Counters of one family, told apart by one label.
#[derive(Debug)]
pub struct Family<const N: usize> {
    names: [&'static str; N],
    counters: [Counter; N],
}

impl<const N: usize> Family<N> {
    /// Counters of these names, all nought.
    pub(crate) const fn new(names: [&'static str; N]) -> Self {
        Self {
            names,
            counters: [const { Counter(AtomicU64::new(0)) }; N],
        }
    }

    /// Adds one to the counter of that name.
    ///
    /// # Panics
    /// If the family has no such name: names are literals of this crate.
    pub fn count(&self, name: &'static str) {
        self.add(name, 1);
    }

    /// Adds `n` to the counter of that name.
    ///
    /// # Panics
    /// If the family has no such name.
    pub fn add(&self, name: &'static str, n: u64) {
        let index = self
            .names
            .iter()
            .position(|&known| std::ptr::eq(known, name) || known == name);
        self.counters[index.expect("a counter's name is one of its family's")].add(n);
    }

    /// Names and counts.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.names
            .iter()
            .copied()
            .zip(self.counters.iter().map(Counter::get))
    }

    /// The count of one name; nought for a name it does not have.
    pub fn get(&self, name: &str) -> u64 {
        self.iter()
            .find(|(known, _)| *known == name)
            .map_or(0, |(_, count)| count)
    }
}

/// The counters of one shard.
#[derive(Debug)]
pub struct Counters {
    /// Events handed to a handler, by event.
    pub events: Family<8>,
    /// Events whose handler did not return `ok`, by [`Failure::name`](crate::handler::Failure::name).
    pub failures: Family<6>,
    /// Connections ended, by [`CloseCause::name`](crate::close::CloseCause::name).
    pub closes: Family<8>,
    /// Requests and sockets that became neither a connection nor an answer of a plugin, by reason.
    pub refusals: Family<10>,
    /// Messages not delivered, by reason.
    pub drops: Family<5>,
    /// HTTP requests that plugins sent, by result.
    pub outgoing: Family<7>,
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

impl Default for Counters {
    fn default() -> Self {
        Self {
            events: Family::new([
                "message", "open", "close", "drain", "upgrade", "request", "timer", "change",
            ]),
            failures: Family::new([
                "error",
                "trap",
                "deadline",
                "memory",
                "unavailable",
                "refused",
            ]),
            closes: Family::new([
                "peer",
                "lost",
                "idle",
                "slow-consumer",
                "protocol-error",
                "failed",
                "kicked",
                "drained",
            ]),
            refusals: Family::new([
                "limit",
                "draining",
                "route",
                "origin",
                "malformed",
                "too-large",
                "handler",
                "failed",
                "handshake",
                "stalled",
            ]),
            drops: Family::new([
                "drop-newest",
                "drop-oldest",
                "slow-consumer",
                "shard-queue",
                "closing",
            ]),
            outgoing: Family::new([
                "ok",
                "denied",
                "limit",
                "timeout",
                "too-large",
                "failed",
                "cancelled",
            ]),
            deliveries: Counter::default(),
            publishes: Counter::default(),
            compressions: Counter::default(),
            contexts_refused: Counter::default(),
            compression_in: Counter::default(),
            compression_out: Counter::default(),
            messages: Counter::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            opened: Counter::default(),
            closed: Counter::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_counts_by_name() {
        let counters = Counters::default();
        counters.drops.count("closing");
        counters.drops.add("closing", 2);
        assert_eq!(counters.drops.get("closing"), 3);
        assert_eq!(
            counters.drops.iter().map(|(_, count)| count).sum::<u64>(),
            3
        );
    }
}
