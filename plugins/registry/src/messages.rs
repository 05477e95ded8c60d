//! What goes over the wire.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tidegate_sdk::subscriber_count;

use crate::users_in;

/// Bytes of a user's or a group's name.
pub(crate) const NAME_MAX: usize = 100;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct SetMetadata {
    /// At most 255 bytes of JSON.
    pub(crate) metadata: Map<String, Value>,
}

/// Sends to all connections of a user but this one.
#[derive(Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub(crate) struct ToUser {
    #[garde(length(bytes, min = 1, max = NAME_MAX))]
    pub(crate) user: String,
    pub(crate) data: Value,
}

/// Sends to everybody but this connection.
#[derive(Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub(crate) struct Broadcast {
    pub(crate) data: Value,
    /// Users who do not get it.
    #[serde(default)]
    #[garde(length(max = 100))]
    pub(crate) except: Vec<String>,
}

/// Sends to a group, but not to this connection.
#[derive(Deserialize, JsonSchema, Validate)]
#[garde(allow_unvalidated)]
pub(crate) struct ToGroup {
    #[garde(length(bytes, min = 1, max = NAME_MAX))]
    pub(crate) group: String,
    pub(crate) data: Value,
    /// Users who do not get it.
    #[serde(default)]
    #[garde(length(max = 100))]
    pub(crate) except: Vec<String>,
}

/// Which group.
#[derive(Deserialize, JsonSchema, Validate)]
pub(crate) struct Group {
    #[garde(length(bytes, min = 1, max = NAME_MAX))]
    pub(crate) group: String,
}

/// A user, with the metadata of each connection.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Online {
    pub(crate) user: String,
    pub(crate) connections: Vec<Map<String, Value>>,
}

/// To how many it went.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Delivered {
    pub(crate) connections: usize,
}

/// How many are in a group.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Size {
    users: usize,
    connections: u32,
}

impl Size {
    pub(crate) fn of(topic: &str) -> Self {
        let (users, connections) = (users_in(topic).len(), subscriber_count(topic));
        Self { users, connections }
    }
}

/// What others receive.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Sent<'a> {
    /// A user.
    pub(crate) from: &'a str,
    /// A topic: `users`, `user:NAME` or `group:NAME`.
    pub(crate) to: &'a str,
    pub(crate) data: &'a Value,
}
