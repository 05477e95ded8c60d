//! Which topic is meant by a name: a plugin's own, or one that the configuration shares.

use crate::config::{SharedTopic, TopicGrants};
use crate::topic::{Topic, TopicOwner};

/// What a plugin wants of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicUse {
    /// To publish to it.
    Publish,
    /// To subscribe a connection to it, or to see who is.
    Subscribe,
}

/// The topics of one plugin.
#[derive(Debug)]
pub struct Namespace {
    own: TopicOwner,
    /// The names that are not its own.
    shared: Box<[Granted]>,
}

/// A shared topic as one plugin has it.
#[derive(Debug)]
struct Granted {
    topic: SharedTopic,
    publish: bool,
    subscribe: bool,
}

impl Namespace {
    /// The namespace of the plugin `owner`, beside the shared topics.
    pub fn new(owner: usize, shared: &[SharedTopic], grants: &TopicGrants) -> Self {
        let granted = |topic: &SharedTopic| Granted {
            topic: topic.clone(),
            publish: grants.publish.contains(&topic.name),
            subscribe: grants.subscribe.contains(&topic.name),
        };
        Self {
            own: TopicOwner::plugin(owner),
            shared: shared.iter().map(granted).collect(),
        }
    }

    /// The topic of that name; none if it is shared and the plugin is not granted that use of it.
    pub fn find<'a>(&self, name: &'a str, wanted: TopicUse) -> Option<Topic<'a>> {
        let owner = match self.shared.iter().find(|shared| shared.topic.takes(name)) {
            None => self.own,
            Some(shared) => {
                let is_granted = match wanted {
                    TopicUse::Publish => shared.publish,
                    TopicUse::Subscribe => shared.subscribe,
                };
                is_granted.then_some(TopicOwner::SHARED)?
            }
        };
        Some(Topic { owner, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_plugins_own_unless_it_is_shared() {
        let shared = ["news:*", "all"].map(|name| SharedTopic {
            name: name.to_owned(),
        });
        let grants = TopicGrants {
            publish: vec!["all".to_owned()],
            subscribe: vec!["news:*".to_owned()],
        };
        let namespace = Namespace::new(3, &shared, &grants);
        let owner = |name, wanted| namespace.find(name, wanted).map(|topic| topic.owner);
        let (publish, subscribe) = (TopicUse::Publish, TopicUse::Subscribe);
        for wanted in [publish, subscribe] {
            assert_eq!(owner("news", wanted), Some(TopicOwner::plugin(3)));
        }
        assert_eq!(owner("all", publish), Some(TopicOwner::SHARED));
        assert_eq!(owner("all", subscribe), None);
        assert_eq!(owner("news:a", subscribe), Some(TopicOwner::SHARED));
        assert_eq!(owner("news:a", publish), None);
    }
}
