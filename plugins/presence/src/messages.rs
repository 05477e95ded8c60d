//! What goes over the wire.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{NAME_MAX, WATCHED_MAX};

/// How a user is.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    #[default]
    Online,
    Away,
    Busy,
    Offline,
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct SetStatus {
    pub(crate) status: Status,
}

/// Whom to watch, or no longer.
#[derive(Deserialize, JsonSchema, Validate)]
pub(crate) struct Users {
    #[garde(length(min = 1, max = WATCHED_MAX), inner(length(bytes, min = 1, max = NAME_MAX)))]
    pub(crate) users: Vec<String>,
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Who {
    /// Whose connections to count; one's own without.
    pub(crate) user: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Headcount {
    pub(crate) users: usize,
    pub(crate) connections: u32,
}

/// How a user is, for those who watch.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown<'a> {
    pub(crate) user: &'a str,
    pub(crate) status: Status,
    /// In milliseconds since 1970.
    pub(crate) last_seen: Option<u64>,
    pub(crate) revision: u64,
}
