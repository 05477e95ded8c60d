//! What goes over the wire.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Bytes of a topic.
pub(crate) const TOPIC_MAX: usize = 100;

/// What to listen to, or no longer.
#[derive(Deserialize, JsonSchema, Validate)]
pub(crate) struct Topic {
    #[garde(length(bytes, min = 1, max = TOPIC_MAX))]
    pub(crate) topic: String,
}

/// Something to publish.
#[derive(Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub(crate) struct Publish {
    #[garde(length(bytes, min = 1, max = TOPIC_MAX))]
    pub(crate) topic: String,
    pub(crate) data: Value,
    /// Whether the sender gets it too, if it is subscribed.
    #[serde(default)]
    pub(crate) include_sender: bool,
    /// Set to false for what would not get smaller, or is secret.
    pub(crate) compress: Option<bool>,
}

#[derive(Deserialize, JsonSchema, Validate)]
pub(crate) struct PublishMany {
    #[garde(length(min = 1, max = 100), dive)]
    pub(crate) messages: Vec<Publish>,
}

/// How many listen to a topic.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Listeners {
    pub(crate) topic: String,
    pub(crate) subscribers: u32,
}

/// What subscribers receive.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Published<'a> {
    pub(crate) topic: &'a str,
    pub(crate) data: &'a Value,
}
