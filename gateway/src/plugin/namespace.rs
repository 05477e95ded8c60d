//! Which topic is meant by a name: a plugin's own, or one that the configuration shares.

use std::sync::Arc;

use super::registry::Registry;
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
    /// That of the plugin `owner`, beside the shared topics.
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

/// A topic that somebody outside of the plugins has named, and that is not there.
#[derive(Debug, thiserror::Error)]
pub enum UnknownTopic {
    /// No plugin is called so.
    #[error("there is no plugin {plugin:?}: name one of {known}")]
    Plugin {
        /// What was named.
        plugin: String,
        /// Those there are.
        known: String,
    },
    /// It could be any plugin's.
    #[error(
        "topics belong to their plugin, and {topic:?} is not one that [[topic]] shares: name the plugin, one of {known}"
    )]
    Ambiguous {
        /// The topic's name.
        topic: String,
        /// The plugins there are.
        known: String,
    },
}

impl Registry {
    /// The topic that an operator means, and the plugin whose it is; none if it is shared. With one
    /// plugin only, that need not be named.
    ///
    /// # Errors
    /// When no plugin is called so, or none is named and there are several.
    pub fn topic<'a>(
        &self,
        plugin: Option<&str>,
        name: &'a str,
    ) -> Result<(Topic<'a>, Option<&Arc<str>>), UnknownTopic> {
        let known = || {
            let names = self.plugins().iter().map(|plugin| plugin.name());
            let names: Vec<_> = names.map(|name| format!("{name:?}")).collect();
            names.join(", ")
        };
        let named = plugin.map(|plugin| {
            self.find(plugin).map_err(|_| UnknownTopic::Plugin {
                plugin: plugin.to_owned(),
                known: known(),
            })
        });
        let named = named.transpose()?;
        if self.shared().iter().any(|topic| topic.takes(name)) {
            let owner = TopicOwner::SHARED;
            return Ok((Topic { owner, name }, None));
        }
        let index = match (named, self.plugins()) {
            (Some(index), _) => index,
            (None, [_]) => 0,
            (None, _) => {
                return Err(UnknownTopic::Ambiguous {
                    topic: name.to_owned(),
                    known: known(),
                });
            }
        };
        let owner = TopicOwner::plugin(index);
        Ok((Topic { owner, name }, Some(self.plugins()[index].name())))
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
