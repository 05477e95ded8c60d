//! `POST /publish?plugin=P&topic=T`: a message from outside to a topic's subscribers. A topic belongs
//! to its plugin; `plugin` may be left out for one that `[[topic]]` shares, and where there is only
//! one plugin.
//!
//! The body is the message: text, or with `binary` in the query a binary one. The answer says how
//! many were subscribed at that moment: `{"plugin": "P", "topic": "T", "subscribers": 3}`, with `null` for
//! the plugin of a shared topic. A message that finds no
//! room on its way to a shard goes to none, and the answer is 503.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use serde_json::json;

use super::Admin;
use super::answer::{AdminResponse, error, json, param};
use crate::directory::NAME_MAX;
use crate::labels::PublishResult;
use crate::message::Message;

/// The whole message must arrive within this: each place for a request is held meanwhile.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// When a publish that found no room is worth another try, in seconds: a queue empties in
/// milliseconds, or its shard is not well.
const RETRY_AFTER: &str = "1";

pub(super) async fn publish(
    admin: &Admin,
    query: &str,
    headers: &HeaderMap,
    body: Incoming,
) -> AdminResponse {
    let topic = param(query, "topic").unwrap_or_default();
    if !(1..=NAME_MAX).contains(&topic.len()) {
        return error(
            StatusCode::BAD_REQUEST,
            "`topic` is 1 to 255 bytes: add ?topic=NAME",
        );
    }
    let plugin = param(query, "plugin");
    let (topic, owner) = match admin.registry.topic(plugin.as_deref(), &topic) {
        Ok(found) => found,
        Err(unknown) => return error(StatusCode::BAD_REQUEST, &unknown.to_string()),
    };
    let is_binary = match param(query, "binary").as_deref() {
        None | Some("false") => false,
        Some("" | "true") => true,
        Some(_) => return error(StatusCode::BAD_REQUEST, "`binary` is true or false"),
    };
    let body = match receive(headers, body, admin.message_max).await {
        Ok(body) => body,
        Err(refused) => return *refused,
    };
    let message = match is_binary {
        true => Message::Binary(&body),
        false => match std::str::from_utf8(&body) {
            Ok(text) => Message::Text(text),
            Err(_) => {
                let words = "the body is no UTF-8: send text, or add `binary` to the query";
                return error(StatusCode::BAD_REQUEST, words);
            }
        },
    };
    match admin.publisher.publish(topic, message) {
        Ok(subscribers) => {
            admin.publishes.count(PublishResult::Taken);
            json(
                StatusCode::OK,
                &json!({ "plugin": owner.map(|name| &**name), "topic": topic.name, "subscribers": subscribers }),
            )
        }
        Err(full) => {
            admin.publishes.count(PublishResult::ShardQueue);
            let mut refused = error(StatusCode::SERVICE_UNAVAILABLE, &full.to_string());
            let seconds = HeaderValue::from_static(RETRY_AFTER);
            refused.headers_mut().insert(header::RETRY_AFTER, seconds);
            refused
        }
    }
}

/// Reads a message of at most `limit` bytes.
async fn receive(
    headers: &HeaderMap,
    body: Incoming,
    limit: usize,
) -> Result<Bytes, Box<AdminResponse>> {
    let too_large = || {
        let words = format!("the message is over {limit} bytes: raise `message` in [admin]");
        Box::new(error(StatusCode::PAYLOAD_TOO_LARGE, &words))
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let body = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, limit).collect()).await;
    match body {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(failure)) if failure.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(failure)) => {
            let words = format!("the message did not arrive: {failure}");
            Err(Box::new(error(StatusCode::BAD_REQUEST, &words)))
        }
        Err(_) => {
            let words = format!("the message did not arrive within {BODY_TIMEOUT:?}");
            Err(Box::new(error(StatusCode::REQUEST_TIMEOUT, &words)))
        }
    }
}
