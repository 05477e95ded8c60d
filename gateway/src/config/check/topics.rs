//! The topics that plugins share.

use super::super::wording;
use super::super::{Config, Plugin, SharedTopic, TopicGrants};
use super::{Problem, problem};

/// The topics that plugins share. Two that overlap would leave it open whose grants count.
pub(super) fn declared(topics: &[SharedTopic], plugins: &[Plugin]) -> Vec<Problem> {
    let mut found = Vec::new();
    for (index, topic) in topics.iter().enumerate() {
        let SharedTopic { name } = topic;
        let at_name = format!("topic.{index}.name");
        let overlapping = topics[..index]
            .iter()
            .find(|other| !name.is_empty() && other.overlaps(topic));
        let is_granted = |plugin: &Plugin| {
            let TopicGrants { publish, subscribe } = &plugin.grants.topics;
            publish.contains(name) || subscribe.contains(name)
        };
        let message = if name.is_empty() {
            "topic without a name: add one, like name = \"news:*\"".to_owned()
        } else if let Some(SharedTopic { name: other }) = overlapping {
            format!(
                "topic {name:?} overlaps with topic {other:?}: write one of them only, or names that have nothing in common"
            )
        } else if !plugins.iter().any(is_granted) {
            format!(
                "no plugin may use topic {name:?}: add grants.topics = {{ publish = [{name:?}], subscribe = [{name:?}] }} to those that share it"
            )
        } else {
            continue;
        };
        found.push(problem(&[&at_name], message));
    }
    found
}

/// A plugin can only be granted what is shared: its own topics need no grant.
pub(super) fn granted(config: &Config) -> Vec<Problem> {
    let shared: Vec<_> = config
        .topics
        .iter()
        .map(|topic| topic.name.as_str())
        .collect();
    let mut found = Vec::new();
    for (index, Plugin { name, grants, .. }) in config.plugins.iter().enumerate() {
        let TopicGrants { publish, subscribe } = &grants.topics;
        for (key, granted) in [("publish", publish), ("subscribe", subscribe)] {
            let unknown = granted
                .iter()
                .filter(|topic| !shared.contains(&topic.as_str()));
            found.extend(unknown.map(|topic| {
                let advice = match &shared[..] {
                    [] => format!("add [[topic]] with name = {topic:?}, or remove it: its own topics need no grant"),
                    shared => wording::choose(topic, shared),
                };
                let message = format!("plugin {name:?} has topic {topic:?} in grants.topics.{key}, which no [[topic]] shares: {advice}");
                problem(&[&format!("plugin.{index}.grants.topics.{key}"), "topic"], message)
            }));
        }
    }
    found
}
