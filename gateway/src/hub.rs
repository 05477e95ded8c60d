//! Who listens to which topic on one shard: a plain data structure, no sockets and no async.
//!
//! Both directions are stored, and every subscription knows its place in both lists, so that
//! subscribing and unsubscribing cost the same however many topics a connection has or
//! subscribers a topic has, and a closing connection pays for its own topics only.

use std::collections::HashMap;

/// A subscriber's place in its shard's table of outboxes.
pub type Key = u32;
type TopicId = u32;

/// The topics and subscribers of one shard.
#[derive(Debug, Default)]
pub struct Hub {
    names: HashMap<Box<str>, TopicId>,
    topics: Vec<Topic>,
    free: Vec<TopicId>,
    subscriptions: HashMap<(Key, TopicId), Place>,
    subscribed: HashMap<Key, Vec<TopicId>>,
}

#[derive(Debug, Default)]
struct Topic {
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
    pub fn subscribe(&mut self, key: Key, topic: &str) -> bool {
        let id = self
            .names
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
    pub fn unsubscribe(&mut self, key: Key, topic: &str) -> bool {
        match self.names.get(topic) {
            Some(&id) => self.remove(key, id),
            None => false,
        }
    }

    /// Ends all of a subscriber's subscriptions, calling `ended` with each topic.
    pub fn unsubscribe_all(&mut self, key: Key, mut ended: impl FnMut(&str)) {
        while let Some(&id) = self.subscribed.get(&key).and_then(|topics| topics.last()) {
            ended(&self.topics[id as usize].name);
            self.remove(key, id);
        }
    }

    /// The subscribers of a topic, in no particular order.
    pub fn subscribers(&self, topic: &str) -> &[Key] {
        match self.names.get(topic) {
            Some(&id) => &self.topics[id as usize].subscribers,
            None => &[],
        }
    }

    /// Whether `key` is subscribed to `topic`.
    pub fn is_subscribed(&self, key: Key, topic: &str) -> bool {
        self.names
            .get(topic)
            .is_some_and(|&id| self.subscriptions.contains_key(&(key, id)))
    }

    /// How many topics `key` is subscribed to.
    pub fn subscriptions(&self, key: Key) -> usize {
        self.subscribed.get(&key).map_or(0, Vec::len)
    }

    /// How many topics have a subscriber.
    pub fn topics(&self) -> usize {
        self.names.len()
    }

    fn create(&mut self, name: &str) -> TopicId {
        let topic = Topic {
            name: name.into(),
            subscribers: Vec::new(),
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.topics[id as usize] = topic;
                id
            }
            None => {
                self.topics.push(topic);
                (self.topics.len() - 1) as TopicId
            }
        };
        self.names.insert(name.into(), id);
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
            let topic = std::mem::take(&mut self.topics[id as usize]);
            self.names.remove(&topic.name);
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
    type Model = BTreeMap<String, BTreeSet<Key>>;

    fn apply(hub: &mut Hub, model: &mut Model, step: Step) {
        match step {
            Step::Subscribe(key, topic) => {
                let topic = topic.to_string();
                let new = model.entry(topic.clone()).or_default().insert(key);
                assert_eq!(hub.subscribe(key, &topic), new);
            }
            Step::Unsubscribe(key, topic) => {
                let topic = topic.to_string();
                let was = model.get_mut(&topic).is_some_and(|keys| keys.remove(&key));
                assert_eq!(hub.unsubscribe(key, &topic), was);
            }
            Step::Leave(key) => {
                let mut ended = BTreeSet::new();
                hub.unsubscribe_all(key, |topic| assert!(ended.insert(topic.to_owned())));
                for (topic, keys) in model.iter_mut() {
                    assert_eq!(keys.remove(&key), ended.contains(topic));
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
                for (topic, keys) in &model {
                    let listed = hub.subscribers(topic);
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
            hub.subscribe(1, &format!("topic {round}"));
            hub.unsubscribe_all(1, |_| {});
        }
        assert_eq!(
            (hub.topics(), hub.topics.len(), hub.subscriptions.len()),
            (0, 1, 0)
        );
    }
}
