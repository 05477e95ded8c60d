//! The table `[[topic]]`, and what plugins are granted of it.

use serde::{Deserialize, Deserializer};

use super::units::{self, Scalar};
use crate::directory::NAME_MAX;

/// `[[topic]]`: a topic that plugins share. Without such a table each plugin has topics of its own:
/// `news` of one and `news` of another never meet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub struct SharedTopic {
    /// The topic's name, required: `"news"`, or with `*` at the end all names that begin so,
    /// `"news:*"`. A plugin that is not granted it (`grants.topics`) has no topic of such a name at
    /// all: to publish or subscribe to one is an error in the guest.
    #[serde(deserialize_with = "name")]
    pub name: String,
}

/// `grants.topics` of a plugin: the shared topics that it may use, each by the `name` of its
/// `[[topic]]`. Nothing by default; a plugin's own topics need no grant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub struct TopicGrants {
    /// The topics it may publish to.
    pub publish: Vec<String>,
    /// The topics it may subscribe its connections to, and whose subscribers it may see.
    pub subscribe: Vec<String>,
}

impl SharedTopic {
    /// Whether a topic of that name is this one, or one of these.
    pub fn takes(&self, topic: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(prefix) => topic.starts_with(prefix),
            None => topic == self.name,
        }
    }

    /// Whether some name would be both.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let is_within = |one: &Self, other: &Self| {
            let begins = one.name.strip_suffix('*').unwrap_or(&one.name);
            other.takes(begins)
        };
        is_within(self, other) || is_within(other, self)
    }
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let expected = r#"a topic like "news", or "news:*" for all that begin so, of 1 to 255 bytes"#;
    units::scalar(deserializer, expected, |value| match value {
        Scalar::Text(name) => {
            let stem = name.strip_suffix('*').unwrap_or(name);
            let is_name = (1..=NAME_MAX).contains(&name.len()) && !stem.contains('*');
            is_name.then(|| name.to_owned())
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str) -> SharedTopic {
        SharedTopic {
            name: name.to_owned(),
        }
    }

    #[test]
    fn a_star_takes_all_that_begin_so() {
        let (news, all) = (topic("news"), topic("news:*"));
        assert!(news.takes("news") && !news.takes("news:") && !news.takes("new"));
        assert!(all.takes("news:") && all.takes("news:a") && !all.takes("news"));
        assert!(topic("*").takes("") && topic("*").takes("a"));
    }

    #[test]
    fn topics_overlap_where_a_name_would_be_both() {
        let overlap = |one, other| {
            let (one, other) = (topic(one), topic(other));
            assert_eq!(one.overlaps(&other), other.overlaps(&one));
            one.overlaps(&other)
        };
        assert!(overlap("news", "news") && overlap("news:*", "news:a") && overlap("a*", "ab*"));
        assert!(overlap("*", "a") && overlap("a*", "a"));
        assert!(!overlap("news", "news:*") && !overlap("a:*", "b:*") && !overlap("a", "b"));
    }
}
