//! Items that outlive the bytes they were read from, and the frames that carry them.

use tidegate_codec::{Item, Message, Opcode, close_payload};

/// An [`Item`] of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owned {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// A compressed message, as it came.
    Deflated {
        /// Whether it was announced as text.
        text: bool,
        /// The compressed bytes.
        payload: Vec<u8>,
    },
    /// Asks for a Pong.
    Ping(Vec<u8>),
    /// Answers a Ping.
    Pong(Vec<u8>),
    /// The end, with its code and reason.
    Close(Option<(u16, String)>),
}

impl Owned {
    /// The length of the payload that it came in.
    pub fn payload_len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(payload) | Self::Ping(payload) | Self::Pong(payload) => payload.len(),
            Self::Deflated { payload, .. } => payload.len(),
            Self::Close(close) => close.as_ref().map_or(0, |(_, reason)| 2 + reason.len()),
        }
    }

    /// The frame type and payload that say the same.
    pub fn frame(&self) -> (Opcode, Vec<u8>) {
        match self {
            Self::Text(text) => (Opcode::Text, text.clone().into_bytes()),
            Self::Binary(payload) => (Opcode::Binary, payload.clone()),
            Self::Deflated { text, payload } => {
                let opcode = if *text { Opcode::Text } else { Opcode::Binary };
                (opcode, payload.clone())
            }
            Self::Ping(payload) => (Opcode::Ping, payload.clone()),
            Self::Pong(payload) => (Opcode::Pong, payload.clone()),
            Self::Close(None) => (Opcode::Close, Vec::new()),
            Self::Close(Some((code, reason))) => (Opcode::Close, close_payload(*code, reason)),
        }
    }
}

impl From<Item<'_>> for Owned {
    fn from(item: Item<'_>) -> Self {
        match item {
            Item::Text(text) => Self::Text(text.to_owned()),
            Item::Binary(payload) => Self::Binary(payload.to_vec()),
            Item::Deflated { text, payload } => Self::Deflated {
                text,
                payload: payload.to_vec(),
            },
            Item::Ping(payload) => Self::Ping(payload.to_vec()),
            Item::Pong(payload) => Self::Pong(payload.to_vec()),
            Item::Close(close) => Self::Close(close.map(|(code, reason)| (code, reason.into()))),
        }
    }
}

impl From<Message<'_>> for Owned {
    fn from(message: Message<'_>) -> Self {
        match message {
            Message::Text(text) => Self::Text(text.to_owned()),
            Message::Binary(payload) => Self::Binary(payload.to_vec()),
        }
    }
}
