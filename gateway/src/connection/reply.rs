//! The gateway's own answer to a message that failed, in the standard envelope: who numbers its
//! messages waits for each answer, and a guest that is gone gives none.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Bytes of a message in which its type and its id are looked for. In longer ones they stand in
/// front of the payload.
const LOOKED_AT: usize = 64 << 10;
/// Bytes of a type or an id that are repeated.
const REPEATED_MAX: usize = 1024;

/// The answer to `message`, if it has a type and an id: that it has failed.
pub(super) fn to(message: &str) -> Option<String> {
    let mut asked = FailedMessage::default();
    let head = &message[..message.floor_char_boundary(LOOKED_AT)];
    // Whether all of it is sound is no matter; it may well be cut.
    let _ = serde_json::Deserializer::from_str(head).deserialize_map(Search(&mut asked));
    let (kind, id) = (asked.kind?, asked.id?);
    if id.get().as_bytes().as_ptr_range().end == head.as_bytes().as_ptr_range().end {
        // A number that may go on.
        return None;
    }
    let answer = FailureReply {
        kind: &kind,
        request_id: id,
        success: false,
        error: Fault {
            code: "internal",
            message: "the server failed to handle this message",
        },
    };
    serde_json::to_string(&answer).ok()
}

/// What a message says of itself.
#[derive(Default)]
struct FailedMessage<'a> {
    kind: Option<Cow<'a, str>>,
    id: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct FailureReply<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(rename = "requestId")]
    request_id: &'a RawValue,
    success: bool,
    error: Fault,
}

#[derive(Serialize)]
struct Fault {
    code: &'static str,
    message: &'static str,
}

/// Reads an object until both are found, and no further.
struct Search<'a, 'de>(&'a mut FailedMessage<'de>);

impl<'de> Visitor<'de> for Search<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while self.0.kind.is_none() || self.0.id.is_none() {
            let Some(name) = fields.next_key::<Cow<'de, str>>()? else {
                return Ok(());
            };
            match &*name {
                "type" => {
                    let kind = fields.next_value::<&RawValue>()?.get();
                    let kind = serde_json::from_str(kind).ok();
                    self.0.kind = kind.filter(|kind: &Cow<'_, str>| kind.len() <= REPEATED_MAX);
                }
                "id" => {
                    let id = fields.next_value::<&RawValue>()?;
                    let begins = id.get().bytes().next().unwrap_or_default();
                    let is_id = matches!(begins, b'"' | b'-' | b'0'..=b'9');
                    self.0.id = Some(id).filter(|_| is_id && id.get().len() <= REPEATED_MAX);
                }
                _ => _ = fields.next_value::<IgnoredAny>()?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(message: &str) -> Option<(String, String)> {
        let answer: serde_json::Value = serde_json::from_str(&to(message)?).unwrap();
        assert_eq!(answer["success"], false);
        assert_eq!(answer["error"]["code"], "internal");
        let kind = answer["type"].as_str().unwrap().to_owned();
        Some((kind, answer["requestId"].to_string()))
    }

    #[test]
    fn a_message_with_a_type_and_an_id_is_answered_with_them() {
        for (message, id) in [
            (r#"{"type":"join","id":7}"#, "7"),
            (
                r#" { "id" : "7f3a", "payload": {"id": 1}, "type": "join" } "#,
                r#""7f3a""#,
            ),
            (
                r#"{"type":"j\u006fin","id":"\"","x":[1,{"type":"no"}]}"#,
                r#""\"""#,
            ),
            (
                r#"{"type":"join","id":-1.5e3,"payload":{"broken":"#,
                "-1500.0",
            ),
        ] {
            assert_eq!(
                parts(message),
                Some(("join".to_owned(), id.to_owned())),
                "{message}"
            );
        }
    }

    #[test]
    fn what_cannot_be_told_apart_is_not_answered() {
        for message in [
            "",
            "join",
            "[1]",
            r#"{"type":"join"}"#,
            r#"{"id":7}"#,
            r#"{"type":7,"id":7}"#,
            r#"{"type":"join","id":null}"#,
            r#"{"type":"join","id":{"a":1}}"#,
            r#"{"type":"join","id":7"#,
            r#"{"payload":{"type":"join","id":7}}"#,
        ] {
            assert_eq!(parts(message), None, "{message}");
        }
    }

    #[test]
    fn a_long_message_is_looked_at_as_far_as_its_head() {
        let long = "ä".repeat(1 << 20);
        let ahead = format!(r#"{{"type":"join","id":7,"payload":"{long}"}}"#);
        assert!(parts(&ahead).is_some());
        let behind = format!(r#"{{"payload":"{long}","type":"join","id":7}}"#);
        assert_eq!(parts(&behind), None);
        let deep = format!(
            r#"{{"type":"join","id":{}1{}}}"#,
            "[".repeat(9000),
            "]".repeat(9000)
        );
        assert_eq!(parts(&deep), None);
        let wide = format!(r#"{{"type":"join","id":"{}"}}"#, "x".repeat(2000));
        assert_eq!(parts(&wide), None);
    }
}
