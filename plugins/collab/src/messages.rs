//! What clients send beside edits, and what they hear.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_sdk::Connection;

use crate::document::{Document, TEXT_MAX};

const COLOURS: [&str; 6] = [
    "#c0392b", "#2980b9", "#27ae60", "#8e44ad", "#d35400", "#16a085",
];

#[derive(Serialize, JsonSchema)]
pub(crate) struct User {
    pub id: u64,
    pub name: String,
    /// Such as `#c0392b`.
    pub colour: &'static str,
}

impl User {
    pub(crate) fn new(connection: &Connection, name: String) -> Self {
        let id = connection.id();
        let colour = COLOURS[id as usize % COLOURS.len()];
        Self { id, name, colour }
    }
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Init {
    #[serde(flatten)]
    pub document: Document,
    pub you: u64,
    pub users: Vec<User>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Saved {
    pub version: u64,
}

#[derive(Deserialize, JsonSchema, Validate)]
pub(crate) struct Place {
    #[garde(range(max = TEXT_MAX))]
    pub position: usize,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Cursor {
    pub user: u64,
    pub position: usize,
}
