//! How many subscribe to a topic in the whole process, and under which labels; which connections there
//! are, and which timers plugins have.
//!
//! The hub of a shard is its own; what other shards may ask of it stands here. Written when
//! someone subscribes or leaves, read when a handler counts or lists, or a publish looks for
//! listeners on another core: never per message on one core.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use crate::message::ConnectionId;
use crate::topic::{ByTopic, Topic};

mod connections;
mod timers;

pub use connections::Connections;
pub use timers::PluginTimers;

/// Longest topic and label, in bytes: names, not documents; the wire formats of peers such as
/// Centrifugo have the same bound.
pub const NAME_MAX: usize = 255;

/// The topics of all shards.
#[derive(Debug)]
pub struct Directory {
    /// One per shard. A std mutex: it is held for a map access, never across an await.
    shards: Box<[Mutex<Topics>]>,
    connections: Connections,
    timers: PluginTimers,
}

type Topics = ByTopic<Entry>;

#[derive(Debug, Default)]
struct Entry {
    subscribers: u32,
    members: BTreeMap<ConnectionId, Box<str>>,
}

/// A labelled subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who is subscribed.
    pub connection: ConnectionId,
    /// Under which label.
    pub label: Box<str>,
}

impl Directory {
    /// An empty directory for that many shards.
    pub fn new(shards: usize) -> Self {
        Self {
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            connections: Connections::new(shards),
            timers: PluginTimers::default(),
        }
    }

    /// The connections of all shards.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// The timers that plugins have set for themselves.
    pub fn timers(&self) -> &PluginTimers {
        &self.timers
    }

    /// A connection of `shard` has subscribed: for the first time if `new`, else its label changes.
    pub fn subscribed(
        &self,
        shard: usize,
        topic: Topic<'_>,
        connection: ConnectionId,
        label: Option<&str>,
        new: bool,
    ) {
        let mut topics = self.lock(shard);
        if topics.get(topic).is_none() {
            topics.insert(topic, Entry::default());
        }
        let entry = topics.get_mut(topic).expect("was just inserted");
        entry.subscribers += u32::from(new);
        match label {
            Some(label) => entry.members.insert(connection, label.into()),
            None => entry.members.remove(&connection),
        };
    }

    /// A connection of `shard` is no longer subscribed.
    pub fn unsubscribed(&self, shard: usize, topic: Topic<'_>, connection: ConnectionId) {
        let mut topics = self.lock(shard);
        let Some(entry) = topics.get_mut(topic) else {
            return;
        };
        entry.subscribers -= 1;
        entry.members.remove(&connection);
        if entry.subscribers == 0 {
            topics.remove(topic);
        }
    }

    /// How many are subscribed on all shards.
    pub fn subscribers(&self, topic: Topic<'_>) -> u32 {
        (0..self.shards.len())
            .map(|shard| self.subscribers_on(shard, topic))
            .sum()
    }

    /// How many are subscribed on one shard.
    pub fn subscribers_on(&self, shard: usize, topic: Topic<'_>) -> u32 {
        self.lock(shard)
            .get(topic)
            .map_or(0, |entry| entry.subscribers)
    }

    /// Up to `limit` labelled subscriptions of a topic.
    pub fn members(&self, topic: Topic<'_>, limit: usize) -> Vec<Member> {
        let mut members = Vec::new();
        for shard in 0..self.shards.len() {
            let topics = self.lock(shard);
            let Some(entry) = topics.get(topic) else {
                continue;
            };
            let room = limit - members.len();
            members.extend(
                entry
                    .members
                    .iter()
                    .take(room)
                    .map(|(&connection, label)| Member {
                        connection,
                        label: label.clone(),
                    }),
            );
        }
        members
    }

    fn lock(&self, shard: usize) -> MutexGuard<'_, Topics> {
        // Nothing in here panics while it holds the lock, so a poisoned map is still whole.
        self.shards[shard]
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::TopicOwner;

    #[test]
    fn counts_and_lists_over_all_shards() {
        let directory = Directory::new(2);
        let [room, other] = [0, 1].map(|plugin| Topic {
            owner: TopicOwner::plugin(plugin),
            name: "room",
        });
        directory.subscribed(1, other, ConnectionId(9), Some("eve"), true);
        directory.subscribed(0, room, ConnectionId(2), Some("ann"), true);
        directory.subscribed(1, room, ConnectionId(3), Some("bob"), true);
        directory.subscribed(1, room, ConnectionId(5), None, true);
        assert_eq!(directory.subscribers(room), 3);
        assert_eq!(directory.subscribers_on(1, room), 2);
        let labels = |limit| directory.members(room, limit).into_iter().map(|m| m.label);
        assert_eq!(labels(10).collect::<Vec<_>>(), ["ann".into(), "bob".into()]);
        assert_eq!(labels(1).count(), 1);

        directory.subscribed(1, room, ConnectionId(3), None, false);
        assert_eq!((directory.subscribers(room), labels(10).count()), (3, 1));
        directory.unsubscribed(0, room, ConnectionId(2));
        directory.unsubscribed(1, room, ConnectionId(3));
        directory.unsubscribed(1, room, ConnectionId(5));
        assert_eq!(directory.subscribers(room), 0);
        assert_eq!(directory.subscribers(other), 1);
        directory.unsubscribed(1, other, ConnectionId(9));
        assert!(directory.lock(1).is_empty());
    }
}
