//! What requests and answers hold.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, JsonSchema, Validate)]
pub(crate) struct User {
    /// 1 to 32 characters.
    #[garde(length(chars, min = 1, max = 32))]
    pub id: String,
    /// 1 to 64 characters.
    #[garde(length(chars, min = 1, max = 64))]
    pub name: String,
}

#[derive(Deserialize, JsonSchema, Validate)]
pub(crate) struct Get {
    #[garde(length(chars, min = 1, max = 32))]
    pub id: String,
}

#[derive(Deserialize, JsonSchema, Validate)]
pub(crate) struct Ask {
    /// 1 to 8 letters and digits.
    #[garde(alphanumeric, length(min = 1, max = 8))]
    pub symbol: String,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Quote {
    pub symbol: String,
    pub price: f64,
}

/// What the upstream server answers.
#[derive(Deserialize)]
pub(crate) struct Price {
    pub price: f64,
}

#[derive(Deserialize, JsonSchema, Validate)]
pub(crate) struct Slow {
    /// Milliseconds, at most a minute.
    #[garde(range(max = 60_000))]
    pub ms: u64,
}
