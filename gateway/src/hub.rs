//! Who listens to which topic on one shard: a plain data structure, no sockets and no async.
//!
//! Both directions are stored, and every subscription knows its place in both lists, so that
//! subscribing and unsubscribing cost the same however many topics a connection has or
//! subscribers a topic has, and a closing connection pays for its own topics only.

use std::collections::HashMap;

use crate::message::Key;
use crate::topic::{ByTopic, Topic, TopicOwner};

type TopicId = u32;

/// The topics and subscribers of one shard.
#[derive(Debug, Default)]
pub struct Hub {
    ids: ByTopic<TopicId>,
    topics: Vec<Listened>,
    free: Vec<TopicId>,
    subscriptions: HashMap<(Key, TopicId), Place>,
    subscribed: HashMap<Key, Vec<TopicId>>,
}

/// A topic that somebody listens to.
#[derive(Debug, Default)]
struct Listened {
    owner: TopicOwner,
    name: Box<str>,
    subscribers: Vec<Key>,
}

/// Where a subscription stands in its topic's list and in its subscriber's list.
#[derive(Clone, Copy, Debug)]
struct Place {
    in_topic: u32,
    in_subscriber: u32,
}

impl Hub {
    /// Subscribes; returns whether this is new.
    pub fn subscribe(&mut self, key: Key, topic: Topic<'_>) -> bool {
        let id = self
            .ids
            .get(topic)
            .copied()
            .unwrap_or_else(|| self.create(topic));
        let (subscribers, own) = (
            &mut self.topics[id as usize].subscribers,
            self.subscribed.entry(key).or_default(),
        );
        let place = Place {
            in_topic: subscribers.len() as u32,
            in_subscriber: own.len() as u32,
        };
        match self.subscriptions.entry((key, id)) {
            std::collections::hash_map::Entry::Occupied(_) => false,
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(place);
                subscribers.push(key);
                own.push(id);
                true
            }
        }
    }

    /// Unsubscribes; returns whether there was a subscription.
    pub fn unsubscribe(&mut self, key: Key, topic: Topic<'_>) -> bool {
        match self.ids.get(topic) {
            Some(&id) => self.remove(key, id),
            None => false,
        }
    }

    /// Ends all of a subscriber's subscriptions, calling `ended` with each topic.
    pub fn unsubscribe_all(&mut self, key: Key, mut ended: impl FnMut(Topic<'_>)) {
        while let Some(&id) = self.subscribed.get(&key).and_then(|topics| topics.last()) {
            let Listened { owner, name, .. } = &self.topics[id as usize];
            ended(Topic {
                owner: *owner,
                name,
            });
            self.remove(key, id);
        }
    }

    /// The subscribers of a topic, in no particular order.
    pub fn subscribers(&self, topic: Topic<'_>) -> &[Key] {
        match self.ids.get(topic) {
            Some(&id) => &self.topics[id as usize].subscribers,
            None => &[],
        }
    }

    /// Whether `key` is subscribed to `topic`.
    pub fn is_subscribed(&self, key: Key, topic: Topic<'_>) -> bool {
        self.ids
            .get(topic)
            .is_some_and(|&id| self.subscriptions.contains_key(&(key, id)))
    }

    /// How many topics `key` is subscribed to.
    pub fn subscriptions(&self, key: Key) -> usize {
        self.subscribed.get(&key).map_or(0, Vec::len)
    }

    /// How many topics have a subscriber.
    pub fn topics(&self) -> usize {
        self.ids.len()
    }

    fn create(&mut self, topic: Topic<'_>) -> TopicId {
        let listened = Listened {
            owner: topic.owner,
            name: topic.name.into(),
            subscribers: Vec::new(),
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.topics[id as usize] = listened;
                id
            }
            None => {
                self.topics.push(listened);
                (self.topics.len() - 1) as TopicId
            }
        };
        self.ids.insert(topic, id);
        id
    }

    /// Takes a subscription out of both lists; whatever moved into its place learns its new one.
    fn remove(&mut self, key: Key, id: TopicId) -> bool {
        let Some(place) = self.subscriptions.remove(&(key, id)) else {
            return false;
        };
        let subscribers = &mut self.topics[id as usize].subscribers;
        subscribers.swap_remove(place.in_topic as usize);
        if let Some(&moved) = subscribers.get(place.in_topic as usize) {
            let moved = self.subscriptions.get_mut(&(moved, id));
            moved.expect("a listed subscriber has a place").in_topic = place.in_topic;
        }
        if subscribers.is_empty() {
            let Listened { owner, name, .. } = std::mem::take(&mut self.topics[id as usize]);
            self.ids.remove(Topic { owner, name: &name });
            self.free.push(id);
        }
        self.remove_from_subscriber(key, place);
        true
    }

    fn remove_from_subscriber(&mut self, key: Key, place: Place) {
        let own = self
            .subscribed
            .get_mut(&key)
            .expect("a subscriber has a list");
        own.swap_remove(place.in_subscriber as usize);
        if let Some(&moved) = own.get(place.in_subscriber as usize) {
            let moved = self.subscriptions.get_mut(&(key, moved));
            moved.expect("a listed topic has a place").in_subscriber = place.in_subscriber;
        }
        if own.is_empty() {
            self.subscribed.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    /// Six topics: three names, each of two owners.
    fn topic(number: u8) -> Topic<'static> {
        Topic {
            owner: TopicOwner::plugin(usize::from(number % 2)),
            name: ["a", "b", "c"][usize::from(number / 2)],
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Subscribe(Key, u8),
        Unsubscribe(Key, u8),
        Leave(Key),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..8u32, 0..6u8).prop_map(|(key, topic)| Step::Subscribe(key, topic)),
            3 => (0..8u32, 0..6u8).prop_map(|(key, topic)| Step::Unsubscribe(key, topic)),
            1 => (0..8u32).prop_map(Step::Leave),
        ]
    }

    /// The hub as one would first write it.
    type Model = BTreeMap<u8, BTreeSet<Key>>;

    fn apply(hub: &mut Hub, model: &mut Model, step: Step) {
        match step {
            Step::Subscribe(key, number) => {
                let new = model.entry(number).or_default().insert(key);
                assert_eq!(hub.subscribe(key, topic(number)), new);
            }
            Step::Unsubscribe(key, number) => {
                let was = model.get_mut(&number).is_some_and(|keys| keys.remove(&key));
                assert_eq!(hub.unsubscribe(key, topic(number)), was);
            }
            Step::Leave(key) => {
                let mut ended = BTreeSet::new();
                hub.unsubscribe_all(key, |topic| {
                    assert!(
                        ended.insert((topic.owner == self::topic(1).owner, topic.name.to_owned()))
                    );
                });
                for (&number, keys) in model.iter_mut() {
                    let topic = topic(number);
                    let has_ended = ended.contains(&(number % 2 == 1, topic.name.to_owned()));
                    assert_eq!(keys.remove(&key), has_ended);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn behaves_like_a_map_of_sets(steps in prop::collection::vec(step(), 0..200)) {
            let (mut hub, mut model) = (Hub::default(), Model::new());
            for step in steps {
                apply(&mut hub, &mut model, step);
                for (&number, keys) in &model {
                    let listed = hub.subscribers(topic(number));
                    prop_assert_eq!(listed.len(), keys.len());
                    prop_assert_eq!(&listed.iter().copied().collect::<BTreeSet<_>>(), keys);
                }
                prop_assert_eq!(hub.topics(), model.values().filter(|keys| !keys.is_empty()).count());
                for key in 0..8 {
                    let topics = model.iter().filter(|(_, keys)| keys.contains(&key));
                    prop_assert_eq!(hub.subscriptions(key), topics.count());
                }
            }
        }
    }

    #[test]
    fn an_empty_topic_leaves_nothing_behind() {
        let mut hub = Hub::default();
        for round in 0..1000 {
            let name = format!("topic {round}");
            let topic = Topic {
                owner: TopicOwner::SHARED,
                name: &name,
            };
            hub.subscribe(1, topic);
            hub.unsubscribe_all(1, |_| {});
        }
        assert_eq!(
            (hub.topics(), hub.topics.len(), hub.subscriptions.len()),
            (0, 1, 0)
        );
    }
}
