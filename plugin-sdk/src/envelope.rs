//! The standard envelope: what the [`Router`](crate::Router), [`event`], [`Ticket`](crate::Ticket) and the browser's
//! `/tidegate.js` speak, all of it JSON text.
//!
//! # What clients send
//!
//! ```json
//! {"type": "join", "id": "7f3a", "timestamp": 1767225600000, "payload": {"room": "tea"}}
//! ```
//!
//! | field | |
//! | --- | --- |
//! | `type` | which route it is for; the only field that is required |
//! | `id` | a text or a number that the answer repeats as `requestId`; without it the client can't tell answers apart |
//! | `timestamp` | when it was sent, in milliseconds since 1970; a number, of which the fraction is dropped |
//! | `payload` | what the route reads |
//!
//! Without `payload` the fields beside `type`, `id` and `timestamp` are the payload, so the message may be flat:
//!
//! ```json
//! {"type": "join", "room": "tea"}
//! ```
//!
//! Other fields beside a `payload` are passed over. Of fields that come twice the last one counts.
//!
//! # What they get back
//!
//! One answer, with the `type` of what it answers; without `requestId` if the message had no `id`:
//!
//! ```json
//! {"type": "join", "requestId": "7f3a", "success": true, "data": {"members": ["ann", "bob"]}}
//! {"type": "join", "requestId": "7f3a", "success": false,
//!  "error": {"code": "invalid-message", "message": "room: missing field",
//!            "details": {"field": "room", "reason": "missing field"}}}
//! ```
//!
//! A message with nothing to tell, such as an answer of `()`, is answered (`"data": null`) only if it had an `id`. After
//! an error the connection stays open and nothing that the failed message did has taken effect, but for what it wrote to
//! the [store](crate::store). A message whose type
//! can't be read is answered with the type `error`; so is what [`Connection::send_error`](crate::Connection::send_error)
//! sends.
//!
//! | `code` | the message |
//! | --- | --- |
//! | `invalid-json` | is not JSON; `message` says where |
//! | `invalid-message` | has a field that is missing, of another type, or against a rule: `details.field` and `details.reason`, and in `details.fields` all that are wrong, if several are |
//! | `unknown-type` | has a type that no route knows; `details.known` lists those there are |
//! | `binary-message` | is binary, and no route reads that |
//! | `unauthorized` | needs a [`User`](crate::User), and there is none |
//! | `forbidden` | needs a role that the user has not; `details.role` names it |
//! | `internal` | met a fault of the plugin's; its text is in the gateway's log only |
//!
//! A plugin adds codes of its own: see [`Fault`].
//!
//! # What they hear of
//!
//! An event, which answers nothing: made by [`event`], [`publish_event`](crate::publish_event) and
//! [`Connection::send_event`](crate::Connection::send_event). Its `id` is unique, its `timestamp` in milliseconds since
//! 1970.
//!
//! ```json
//! {"type": "joined", "id": "9b1deb4d3b7d4bad", "timestamp": 1767225600123, "payload": {"name": "cid"}}
//! ```

mod event;
mod inbound;

use serde::Serialize;
use serde_json::value::RawValue;

pub use event::event;

pub(crate) use inbound::{Inbound, Refused};

use crate::{Fault, Message, Result};

/// The type of an answer to what has none.
pub(crate) const ERROR: &str = "error";

/// An answer, as it goes out.
#[derive(Serialize)]
struct Answer<'a, T: ?Sized> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(rename = "requestId", skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a RawValue>,
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Fault>,
}

/// The answer to a message of that type and id: what came of it.
pub(crate) fn answer<T: Serialize + ?Sized>(
    kind: &str,
    request_id: Option<&RawValue>,
    outcome: Result<&T, &Fault>,
) -> Result<Message> {
    Message::from_json(&Answer {
        kind,
        request_id,
        success: outcome.is_ok(),
        data: outcome.ok(),
        error: outcome.err(),
    })
}

/// [`answer`], of a fault.
pub(crate) fn refusal(kind: &str, request_id: Option<&RawValue>, fault: &Fault) -> Result<Message> {
    answer::<()>(kind, request_id, Err(fault))
}
