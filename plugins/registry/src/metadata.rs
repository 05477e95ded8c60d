//! What is known of a connection, as the label of its subscription.

use serde_json::{Map, Value};
use tidegate_sdk::{Fault, Request, Result};

/// Bytes of a label.
const LABEL_MAX: usize = 255;

/// The label that a new connection asks for.
pub(crate) fn label_of(request: &Request) -> Result<String, Fault> {
    match request.query("metadata") {
        None => Ok("{}".to_owned()),
        Some(text) => match serde_json::from_str(&text) {
            Ok(metadata) => label(&metadata),
            Err(_) => Err(Fault::field("metadata", "expected an object in JSON")),
        },
    }
}

/// The label of that metadata.
pub(crate) fn label(metadata: &Map<String, Value>) -> Result<String, Fault> {
    match serde_json::to_string(metadata)? {
        label if label.len() <= LABEL_MAX => Ok(label),
        _ => Err(Fault::field("metadata", "at most 255 bytes of JSON")),
    }
}
