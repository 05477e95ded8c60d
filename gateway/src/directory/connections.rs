//! Which connections there are in the process, so that every shard can tell whether a message to one
//! of another shard could arrive.

use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;

use crate::message::ConnectionId;

/// The connections of all shards, by the plugins that serve them. Written when one opens or closes,
/// read when a handler sends to a connection of another shard.
///
/// Connections of one shard and plugin that were opened one after another share a word of bits, so that a
/// connection takes a few bits here, not a place in a map.
#[derive(Debug)]
pub struct Connections {
    /// One per shard. A std mutex: it is held for a map access, never across an await.
    shards: Box<[Mutex<Words>]>,
}

/// By plugin and block of ids: a bit for each connection.
type Words = HashMap<(usize, u64), u64>;

impl Connections {
    /// No connections of that many shards.
    pub fn new(shards: usize) -> Self {
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
        }
    }

    /// A connection has opened, which these plugins serve.
    pub fn add(&self, id: ConnectionId, owners: &[usize]) {
        let (mut words, block, bit) = self.place(id);
        for &owner in owners {
            *words.entry((owner, block)).or_default() |= bit;
        }
    }

    /// A connection of these plugins takes nothing more. Without effect if that was said before.
    pub fn remove(&self, id: ConnectionId, owners: &[usize]) {
        let (mut words, block, bit) = self.place(id);
        for &owner in owners {
            if let Some(word) = words.get_mut(&(owner, block)) {
                *word &= !bit;
                if *word == 0 {
                    words.remove(&(owner, block));
                }
            }
        }
    }

    /// Whether a connection is there and that plugin serves it.
    pub fn is_served(&self, id: ConnectionId, owner: usize) -> bool {
        let (words, block, bit) = self.place(id);
        words
            .get(&(owner, block))
            .is_some_and(|word| word & bit != 0)
    }

    /// The words of the connection's shard, and its block and bit there.
    fn place(&self, id: ConnectionId) -> (MutexGuard<'_, Words>, u64, u64) {
        let shards = self.shards.len();
        let serial = id.0 / shards as u64;
        // Nothing panics while it holds the lock, so a poisoned map is still whole.
        let words = self.shards[id.shard(shards)]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let bits = u64::from(u64::BITS);
        (words, serial / bits, 1 << (serial % bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_served_from_its_opening_to_its_end() {
        let connections = Connections::new(3);
        let ids: Vec<_> = (1..=400).map(ConnectionId).collect();
        for &id in &ids {
            connections.add(id, &[0, (id.0 % 2) as usize + 1]);
        }
        for &id in &ids {
            let served = |owner| connections.is_served(id, owner);
            let is_odd = id.0 % 2 == 1;
            assert!(served(0) && served(1) != is_odd && served(2) == is_odd);
        }
        assert!(!connections.is_served(ConnectionId(401), 0));
        assert!(!connections.is_served(ConnectionId(u64::MAX), 0));
        for &id in &ids {
            connections.remove(id, &[0, 1, 2]);
            assert!(!connections.is_served(id, 0));
            connections.remove(id, &[0, 1, 2]);
        }
        assert!(
            connections
                .shards
                .iter()
                .all(|words| words.lock().is_ok_and(|words| words.is_empty()))
        );
    }
}
