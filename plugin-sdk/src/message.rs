//! A message, owned as it arrives and borrowed as it leaves.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::bindings::tidegate::plugin::types::{MessageParam, MessageResult};

/// A complete message, whatever frames it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// UTF-8, checked before it got here.
    Text(String),
    /// Any bytes.
    Binary(Vec<u8>),
}

impl Message {
    /// The text, or `None` for a binary message.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// The bytes of either kind.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// Reads the message as JSON. A type may borrow from it, and a serde enum routes by message type:
    ///
    /// ```
    /// # use tidegate_sdk::{Message, Result};
    /// #[derive(serde::Deserialize)]
    /// #[serde(tag = "type", rename_all = "kebab-case")]
    /// enum Command<'a> {
    ///     Say { text: &'a str },
    ///     Leave,
    /// }
    ///
    /// fn said(message: &Message) -> Result<&str> {
    ///     match message.json()? {
    ///         Command::Say { text } => Ok(text),
    ///         Command::Leave => Ok("good bye"),
    ///     }
    /// }
    /// assert_eq!(said(&Message::from(r#"{"type": "say", "text": "hello"}"#))?, "hello");
    /// # Ok::<(), tidegate_sdk::Error>(())
    /// ```
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        Ok(serde_json::from_slice(self.as_bytes())?)
    }

    /// A text message of JSON.
    pub fn from_json<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        Ok(Self::Text(serde_json::to_string(value)?))
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&[u8]> for Message {
    fn from(bytes: &[u8]) -> Self {
        Self::Binary(bytes.to_owned())
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes)
    }
}

impl From<MessageResult> for Message {
    fn from(message: MessageResult) -> Self {
        match message {
            MessageResult::Text(text) => Self::Text(text),
            MessageResult::Binary(bytes) => Self::Binary(bytes),
        }
    }
}

/// A message that somebody else owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageRef<'a> {
    /// UTF-8.
    Text(&'a str),
    /// Any bytes.
    Binary(&'a [u8]),
}

impl<'a> From<MessageRef<'a>> for MessageParam<'a> {
    fn from(message: MessageRef<'a>) -> Self {
        match message {
            MessageRef::Text(text) => Self::Text(text),
            MessageRef::Binary(bytes) => Self::Binary(bytes),
        }
    }
}

/// What can be sent: strings as text, bytes as binary, [`Message`] as it is; by value or by reference.
///
/// Sending only borrows: the gateway reads the bytes where they are.
pub trait AsMessage {
    /// The message to send.
    fn as_message(&self) -> MessageRef<'_>;

    /// Whether it may be compressed, where the route asks for it: all but [`Uncompressed`] may.
    fn compress(&self) -> bool {
        true
    }

    /// What it is called in a stream of server-sent events: see [`WithId`].
    fn event_id(&self) -> Option<&str> {
        None
    }
}

/// A message under an id. Connections by server-sent events receive it as the event's `id`, and a browser that comes
/// back names the last one it got in the header field `last-event-id` of its [`Request`](crate::Request). At most 255
/// bytes, without line ends; else it is left out. WebSockets receive the message alone.
///
/// ```no_run
/// # use tidegate_sdk::{publish, Result, WithId};
/// # fn tell(sequence: u64) -> Result {
/// Ok(publish("news", WithId(sequence.to_string(), "rain"))?)
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WithId<I, M>(pub I, pub M);

impl<I: AsRef<str>, M: AsMessage> AsMessage for WithId<I, M> {
    fn as_message(&self) -> MessageRef<'_> {
        self.1.as_message()
    }

    fn compress(&self) -> bool {
        self.1.compress()
    }

    fn event_id(&self) -> Option<&str> {
        Some(self.0.as_ref())
    }
}

/// A message that is never compressed: one that would not get smaller, such as a picture, or one that holds a secret
/// beside text which a stranger chose (its compressed length would tell of the secret).
///
/// ```no_run
/// # use tidegate_sdk::{Connection, Uncompressed};
/// # fn on_message(connection: &Connection, jpeg: Vec<u8>) {
/// connection.send(Uncompressed(jpeg));
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uncompressed<M>(pub M);

impl<M: AsMessage> AsMessage for Uncompressed<M> {
    fn as_message(&self) -> MessageRef<'_> {
        self.0.as_message()
    }

    fn compress(&self) -> bool {
        false
    }

    fn event_id(&self) -> Option<&str> {
        self.0.event_id()
    }
}

impl AsMessage for Message {
    fn as_message(&self) -> MessageRef<'_> {
        match self {
            Self::Text(text) => MessageRef::Text(text),
            Self::Binary(bytes) => MessageRef::Binary(bytes),
        }
    }
}

impl AsMessage for MessageRef<'_> {
    fn as_message(&self) -> MessageRef<'_> {
        *self
    }
}

impl AsMessage for str {
    fn as_message(&self) -> MessageRef<'_> {
        MessageRef::Text(self)
    }
}

impl AsMessage for String {
    fn as_message(&self) -> MessageRef<'_> {
        MessageRef::Text(self)
    }
}

impl AsMessage for [u8] {
    fn as_message(&self) -> MessageRef<'_> {
        MessageRef::Binary(self)
    }
}

impl<const N: usize> AsMessage for [u8; N] {
    fn as_message(&self) -> MessageRef<'_> {
        MessageRef::Binary(self)
    }
}

impl AsMessage for Vec<u8> {
    fn as_message(&self) -> MessageRef<'_> {
        MessageRef::Binary(self)
    }
}

impl<T: AsMessage + ?Sized> AsMessage for &T {
    fn as_message(&self) -> MessageRef<'_> {
        (**self).as_message()
    }

    fn compress(&self) -> bool {
        (**self).compress()
    }

    fn event_id(&self) -> Option<&str> {
        (**self).event_id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_text_and_bytes_are_binary() {
        fn kind(message: impl AsMessage) -> &'static str {
            match message.as_message() {
                MessageRef::Text(_) => "text",
                MessageRef::Binary(_) => "binary",
            }
        }
        let (string, message) = (String::new(), Message::from(""));
        assert_eq!(kind("a"), "text");
        assert_eq!(kind(&string), "text");
        assert_eq!(kind(string), "text");
        assert_eq!(kind(b"a"), "binary");
        assert_eq!(kind(&[1_u8, 2][..]), "binary");
        assert_eq!(kind(vec![1_u8]), "binary");
        assert_eq!(kind(&message), "text");
        assert_eq!(kind(message), "text");
    }

    #[test]
    fn only_what_says_so_is_not_compressed() {
        let plain = Uncompressed("a");
        assert!("a".compress());
        let by_reference = &plain;
        assert!(!plain.compress() && !AsMessage::compress(&by_reference));
        assert_eq!(plain.as_message(), MessageRef::Text("a"));
    }

    #[test]
    fn an_id_stays_through_all_wrappers() {
        let message = WithId("7", "a");
        assert_eq!(message.as_message(), MessageRef::Text("a"));
        assert_eq!(AsMessage::event_id(&&message), Some("7"));
        let both = Uncompressed(message);
        assert_eq!((both.event_id(), both.compress()), (Some("7"), false));
        assert!(!WithId("7", Uncompressed("a")).compress());
    }

    #[test]
    fn json_goes_through_both_ways() {
        let message = Message::from_json(&("a", 1)).unwrap();
        assert_eq!(message, Message::from(r#"["a",1]"#));
        assert_eq!(message.json::<(&str, u8)>().unwrap(), ("a", 1));
        assert!(message.json::<u8>().is_err());
    }
}
