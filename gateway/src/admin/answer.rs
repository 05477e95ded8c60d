//! The words of the admin API: a request's parameters, and what an answer is made of.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::json;

/// An answer, with its whole body.
pub(super) type AdminResponse = Response<Full<Bytes>>;

/// A parameter of the query, decoded as forms are; empty if it has no value.
pub(super) fn param(query: &str, name: &str) -> Option<String> {
    let mut pairs = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    let value = value.replace('+', " ");
    Some(percent_decode_str(&value).decode_utf8_lossy().into_owned())
}

/// Something wrong, in words: `{"error": "…"}`.
pub(super) fn error(status: StatusCode, words: &str) -> AdminResponse {
    json(status, &json!({ "error": words }))
}

/// A value as JSON, on a line of its own.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> AdminResponse {
    let mut body = serde_json::to_vec(value).expect("our own types have string keys");
    body.push(b'\n');
    answer(status, body, "application/json")
}

/// Plain text.
pub(super) fn text(status: StatusCode, words: impl Into<Bytes>) -> AdminResponse {
    answer(status, words, "text/plain; charset=utf-8")
}

fn answer(status: StatusCode, body: impl Into<Bytes>, kind: &'static str) -> AdminResponse {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}
