//! What goes over the wire.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_sdk::{members, subscriber_count};

use crate::topic;

/// Says something to a room, or to the one joined last.
#[derive(Deserialize, JsonSchema, Validate)]
pub(crate) struct Say {
    #[garde(skip)]
    pub(crate) room: Option<String>,
    #[garde(length(chars, min = 1, max = 4000))]
    pub(crate) text: String,
}

/// Says something to one.
#[derive(Deserialize, JsonSchema, Validate)]
pub(crate) struct Whisper {
    #[garde(skip)]
    pub(crate) to: String,
    #[garde(length(chars, min = 1, max = 4000))]
    pub(crate) text: String,
}

/// The room to join.
#[derive(Deserialize, JsonSchema, Validate)]
pub(crate) struct Join {
    #[garde(custom(is_word))]
    pub(crate) room: String,
}

/// The room to leave.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Leave {
    pub(crate) room: String,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Said<'a> {
    pub(crate) room: &'a str,
    pub(crate) from: &'a str,
    pub(crate) text: &'a str,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Whispered<'a> {
    pub(crate) from: &'a str,
    pub(crate) text: &'a str,
}

/// A room that `name` has joined or left.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Room {
    room: String,
    name: String,
    /// The names of all in it now, in order.
    members: Vec<String>,
}

impl Room {
    pub(crate) fn of(room: &str, name: &str) -> Self {
        let members = members(&topic(room)).into_iter();
        let mut members: Vec<_> = members.map(|member| member.label).collect();
        members.sort_unstable();
        Self {
            room: room.to_owned(),
            name: name.to_owned(),
            members,
        }
    }
}

/// How many are in a room.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Headcount {
    room: String,
    count: u32,
}

impl Headcount {
    pub(crate) fn of(room: &str) -> Self {
        let (room, count) = (room.to_owned(), subscriber_count(&topic(room)));
        Self { room, count }
    }
}

/// Whether it can name a room or a person: a space would end it in `/whisper NAME TEXT`.
pub(crate) fn is_word(word: &str, _: &()) -> garde::Result {
    let is_odd = |letter: char| letter.is_whitespace() || letter.is_control();
    match (1..=32).contains(&word.len()) && !word.contains(is_odd) {
        true => Ok(()),
        false => Err(garde::Error::new("1 to 32 bytes without spaces")),
    }
}
