//! Publishing from outside the shards.

use std::sync::Arc;

use crate::directory::Directory;
use crate::effects::{Effects, Options};
use crate::message::Message;
use crate::shard::Link;
use crate::topic::Topic;

/// Publishes to all connections, from any thread.
pub struct Publisher {
    links: Box<[Link]>,
    directory: Arc<Directory>,
}

/// A shard has no room for a message.
#[derive(Debug, thiserror::Error)]
#[error(
    "the queue to shard {shard} is full: try again later, or raise `queue` in [server] if it stays so"
)]
pub struct QueueFull {
    /// Which.
    pub shard: usize,
}

impl Publisher {
    pub(super) fn new(links: Box<[Link]>, directory: Arc<Directory>) -> Self {
        Self { links, directory }
    }

    /// Publishes a message to a topic's subscribers, and returns how many there are at this moment.
    /// The message goes to all shards that have some or, when the queue to one of them has no room for it,
    /// to none.
    ///
    /// # Errors
    /// When a shard's queue is full.
    pub fn publish(&self, topic: Topic<'_>, message: Message<'_>) -> Result<u32, QueueFull> {
        let cost = Effects::cost_of(message.payload().len()) + topic.name.len();
        let mut subscribers = 0;
        let mut receivers = Vec::new();
        for (shard, link) in self.links.iter().enumerate() {
            let there = self.directory.subscribers_on(shard, topic);
            if there == 0 {
                continue;
            }
            if !link.has_room(0, cost) {
                return Err(QueueFull { shard });
            }
            subscribers += there;
            receivers.push(link);
        }
        let mut first = Effects::default();
        first.publish(topic, message, None, Options::default());
        for link in receivers {
            let mut effects = Effects::default();
            for effect in first.list() {
                effects.copy(&first, effect, 0);
            }
            link.send(effects);
        }
        Ok(subscribers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::ConnectionId;
    use crate::shard::{Mail, Mailbox};
    use crate::topic::TopicOwner;

    fn topic(name: &'static str) -> Topic<'static> {
        Topic {
            owner: TopicOwner::plugin(0),
            name,
        }
    }

    fn two_shards(limit: usize) -> (Publisher, Mailbox, Mailbox) {
        let ((first, one), (second, other)) = (Link::new(limit), Link::new(limit));
        let directory = Directory::new(2);
        directory.subscribed(0, topic("both"), ConnectionId(2), None, true);
        directory.subscribed(1, topic("both"), ConnectionId(3), None, true);
        directory.subscribed(1, topic("both"), ConnectionId(5), None, true);
        // Another plugin's of the same name.
        let foreign = Topic {
            owner: TopicOwner::plugin(1),
            name: "second",
        };
        directory.subscribed(0, foreign, ConnectionId(2), None, true);
        directory.subscribed(1, topic("second"), ConnectionId(5), None, true);
        let publisher = Publisher::new([first, second].into(), Arc::new(directory));
        (publisher, one, other)
    }

    async fn next(mailbox: &mut Mailbox) -> Effects {
        match mailbox.receive().await {
            Some(Mail::Effects(effects)) => effects,
            other => panic!("not effects: {other:?}"),
        }
    }

    #[tokio::test]
    async fn a_publish_goes_where_subscribers_are() {
        let (publisher, mut one, mut other) = two_shards(1 << 20);
        let count = |name| publisher.publish(topic(name), Message::Text("hi")).unwrap();
        assert_eq!((count("none"), count("second"), count("both")), (0, 1, 3));
        drop(publisher);
        assert_eq!(next(&mut one).await.list().len(), 1);
        assert!(one.receive().await.is_none());
        for _ in 0..2 {
            assert_eq!(next(&mut other).await.list().len(), 1);
        }
        assert!(other.receive().await.is_none());
    }

    #[tokio::test]
    async fn a_publish_without_room_on_one_shard_goes_to_none() {
        let (publisher, mut one, mut other) = two_shards(1000);
        let large = "x".repeat(800);
        publisher
            .publish(topic("second"), Message::Text(&large))
            .unwrap();
        let full = publisher
            .publish(topic("both"), Message::Text(&large))
            .unwrap_err();
        assert_eq!(full.shard, 1);
        next(&mut other).await;
        assert_eq!(
            publisher
                .publish(topic("both"), Message::Text("x"))
                .unwrap(),
            3
        );
        drop(publisher);
        // Only what was taken is there.
        assert!(next(&mut one).await.cost() < 200);
        assert!(next(&mut other).await.cost() < 200);
    }
}
