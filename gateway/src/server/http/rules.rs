//! The rules of an upgrade: what the request must be (RFC 6455 section 4.2.1), and what a handler may
//! put into the answer.

use std::net::SocketAddr;

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Version};
use percent_encoding::percent_decode_str;

use super::HttpRequest;
use crate::handler::{Accept, Request};
use crate::server::refusal::Refusal;

/// Whether a request asks for a WebSocket.
pub(super) fn is_upgrade(headers: &HeaderMap) -> bool {
    has_token(headers, header::UPGRADE, "websocket")
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name);
    values
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}

/// The rules of RFC 6455 section 4.2.1. Returns the key.
pub(super) fn check(request: &HttpRequest) -> Result<&HeaderValue, Refusal> {
    let headers = request.headers();
    if !is_upgrade(headers) {
        return Err(Refusal::NotAnUpgrade);
    }
    if request.method() != Method::GET {
        return Err(Refusal::Malformed("an upgrade request is a GET\n"));
    }
    if request.version() != Version::HTTP_11 {
        return Err(Refusal::Malformed("an upgrade request is HTTP/1.1\n"));
    }
    if !has_token(headers, header::CONNECTION, "upgrade") {
        return Err(Refusal::Malformed(
            "the header field `Connection: Upgrade` is missing\n",
        ));
    }
    has_host(headers)?;
    let length = headers.get(header::CONTENT_LENGTH);
    if length.is_some_and(|length| length != "0") || headers.contains_key(header::TRANSFER_ENCODING)
    {
        // Where it ends the frames begin, and not everyone in between would agree on where that is.
        return Err(Refusal::Malformed("an upgrade request has no body\n"));
    }
    if headers
        .get(header::SEC_WEBSOCKET_VERSION)
        .is_none_or(|version| version != "13")
    {
        return Err(Refusal::Version);
    }
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) if is_key(key.as_bytes()) => Ok(key),
        _ => Err(Refusal::Malformed(
            "`Sec-WebSocket-Key` is not 16 bytes in base64, once\n",
        )),
    }
}

/// Two could be read as either, and the origin is compared with one (RFC 9112 section 3.2).
pub(super) fn has_host(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if host.to_str().is_ok() => Ok(()),
        _ => Err(Refusal::Malformed(
            "the header field `Host` is not there once\n",
        )),
    }
}

/// 16 bytes in base64: 22 characters and the padding.
fn is_key(key: &[u8]) -> bool {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(is_base64)
}

pub(super) fn describe(
    http: &HttpRequest,
    params: Vec<(String, &str)>,
    peer: SocketAddr,
) -> Result<Request, Refusal> {
    let decode = |(name, value): (String, &str)| match percent_decode_str(value).decode_utf8() {
        Ok(value) => Ok((name, value.into_owned())),
        Err(_) => Err(Refusal::Malformed(
            "the path is not UTF-8 once percent-decoded\n",
        )),
    };
    let headers = http.headers();
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
    Ok(Request {
        path: http.uri().path().to_owned(),
        params: params.into_iter().map(decode).collect::<Result<_, _>>()?,
        query: http.uri().query().map(str::to_owned),
        headers: headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_owned()))
            .collect(),
        peer,
        subprotocols: offered
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect(),
    })
}

/// What a handler may put into a 101, and keep for the connection: at most `state_max` bytes.
pub(super) fn validate(accept: &Accept, request: &Request, state_max: usize) -> Result<(), String> {
    let state = accept.states.largest();
    if state > state_max {
        return Err(format!(
            "the handler accepted with a state of {state} bytes, over `limits.state` of the route ({state_max})"
        ));
    }
    if let Some(subprotocol) = &accept.subprotocol
        && !request.subprotocols.contains(subprotocol)
    {
        return Err(format!(
            "the handler chose the subprotocol {subprotocol:?}, which was not offered"
        ));
    }
    accept
        .headers
        .iter()
        .try_for_each(|field| match parse_field(field)? {
            (name, _) if is_ours(&name) => Err(format!(
                "the handler set the header field {:?}, which is the gateway's",
                name.as_str()
            )),
            _ => Ok(()),
        })
}

pub(super) fn is_ours(name: &HeaderName) -> bool {
    const OURS: [HeaderName; 4] = [
        header::UPGRADE,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
    ];
    OURS.contains(name) || name.as_str().starts_with("sec-websocket-")
}

pub(super) fn parse_field(
    (name, value): &(String, Vec<u8>),
) -> Result<(HeaderName, HeaderValue), String> {
    let invalid = || format!("the handler set an invalid header field {name:?}");
    let parsed = HeaderName::try_from(name.as_str()).map_err(|_| invalid())?;
    Ok((
        parsed,
        HeaderValue::from_bytes(value).map_err(|_| invalid())?,
    ))
}
