//! Topics as an operator names them: with their plugin, or shared.

use std::sync::Arc;

use super::Registry;
use crate::topic::{Topic, TopicOwner};

/// A topic that somebody outside of the plugins has named, and that is not there.
#[derive(Debug, thiserror::Error)]
pub enum UnknownTopic {
    /// No plugin is called so.
    #[error("there is no plugin {plugin:?}: name one of {known}")]
    Plugin {
        /// What was named.
        plugin: String,
        /// The plugins there are.
        known: String,
    },
    /// The topic could be any plugin's.
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
