//! What a topic is: a name, and whose it is.

use std::collections::HashMap;

/// Whose a topic is. Topics of two owners never meet, whatever they are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TopicOwner(u32);

impl TopicOwner {
    /// The configuration, which shares its topics between the plugins that it grants them.
    pub const SHARED: Self = Self(0);

    /// The plugin of that index in the configuration.
    pub fn plugin(index: usize) -> Self {
        Self(index as u32 + 1)
    }
}

/// A topic, borrowed from whoever names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Topic<'a> {
    /// Whose it is.
    pub owner: TopicOwner,
    /// What the owner calls it.
    pub name: &'a str,
}

/// Values by topic, to be looked up without a copy of the name.
#[derive(Debug)]
pub struct ByTopic<V> {
    /// By owner, of whom there are as many as plugins.
    owners: Vec<HashMap<Box<str>, V>>,
}

impl<V> Default for ByTopic<V> {
    fn default() -> Self {
        Self { owners: Vec::new() }
    }
}

impl<V> ByTopic<V> {
    /// A topic's value, if there is one.
    pub fn get(&self, topic: Topic<'_>) -> Option<&V> {
        self.owners.get(topic.owner.0 as usize)?.get(topic.name)
    }

    /// The value of a topic, to be changed; see [`ByTopic::get`].
    pub fn get_mut(&mut self, topic: Topic<'_>) -> Option<&mut V> {
        self.owners
            .get_mut(topic.owner.0 as usize)?
            .get_mut(topic.name)
    }

    /// Sets a topic's value.
    pub fn insert(&mut self, topic: Topic<'_>, value: V) {
        let owner = topic.owner.0 as usize;
        if self.owners.len() <= owner {
            self.owners.resize_with(owner + 1, HashMap::new);
        }
        self.owners[owner].insert(topic.name.into(), value);
    }

    /// Removes a topic with its value.
    pub fn remove(&mut self, topic: Topic<'_>) {
        if let Some(names) = self.owners.get_mut(topic.owner.0 as usize) {
            names.remove(topic.name);
        }
    }

    /// How many topics have a value.
    pub fn len(&self) -> usize {
        self.owners.iter().map(HashMap::len).sum()
    }

    /// Whether no topic has a value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_of_two_owners_never_meet() {
        let [shared, one, two] = [
            TopicOwner::SHARED,
            TopicOwner::plugin(0),
            TopicOwner::plugin(1),
        ]
        .map(|owner| Topic {
            owner,
            name: "news",
        });
        let mut values = ByTopic::default();
        values.insert(two, 2);
        assert_eq!(
            (values.get(shared), values.get(one), values.get(two)),
            (None, None, Some(&2))
        );
        values.insert(shared, 0);
        values.remove(one);
        assert_eq!(values.len(), 2);
        values.remove(two);
        assert_eq!((values.get(shared), values.get(two)), (Some(&0), None));
        values.remove(shared);
        assert!(values.is_empty());
    }
}
