//! A message, and what names the connection it belongs to.

use std::fmt;

pub use tidegate_codec::Message;

/// One WebSocket after its handshake. Unique while the process lives and never reused; the shard
/// that owns it is `id % shards`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

impl ConnectionId {
    /// The index of the shard this connection lives on, in a process of `shards` shards.
    pub fn shard(self, shards: usize) -> usize {
        (self.0 % shards as u64) as usize
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionId({})", self.0)
    }
}

/// The place of a connection in its shard's table.
pub type Key = u32;

/// A connection's id and its place in its shard's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat {
    /// Never reused.
    pub id: ConnectionId,
    /// Reused after the connection is gone.
    pub key: Key,
}
