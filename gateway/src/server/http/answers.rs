//! The responses to requests, but for those that plugins give.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use tidegate_codec::deflate::Agreement;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::rules::{is_ours, parse_field};
use crate::handler::{Accept, Reject};
use crate::http_body::HttpBody;
use crate::server::refusal::Refusal;

/// The 101 of an upgrade that was granted.
pub(super) fn switching_protocols(
    key: &HeaderValue,
    accept: &Accept,
    agreement: Option<&Agreement>,
) -> Response<HttpBody> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    let accepted = HeaderValue::try_from(derive_accept_key(key.as_bytes()));
    headers.insert(
        header::SEC_WEBSOCKET_ACCEPT,
        accepted.expect("base64 is a valid value"),
    );
    if let Some(subprotocol) = &accept.subprotocol {
        let subprotocol = HeaderValue::try_from(subprotocol);
        headers.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            subprotocol.expect("it was offered in a header field, so it is a valid value"),
        );
    }
    if let Some(agreement) = agreement {
        let agreement = HeaderValue::try_from(agreement.to_string());
        headers.insert(
            header::SEC_WEBSOCKET_EXTENSIONS,
            agreement.expect("it is made of tokens"),
        );
    }
    for (name, value) in accept
        .headers
        .iter()
        .filter_map(|field| parse_field(field).ok())
    {
        headers.append(name, value);
    }
    response
}

/// A handler's refusal.
pub(super) fn rejected(reject: Reject) -> Result<Response<HttpBody>, Refusal> {
    let failed = |why: String| {
        tracing::warn!("upgrade failed: {why}");
        Refusal::Failed(why)
    };
    let status = StatusCode::from_u16(reject.status)
        .ok()
        .filter(|status| (200..600).contains(&status.as_u16()));
    let status = status.ok_or_else(|| {
        failed(format!(
            "the handler refused with status {}, which is not one of 200 to 599",
            reject.status
        ))
    })?;
    let mut response = Response::new(full(Bytes::from(reject.body)));
    *response.status_mut() = status;
    for field in &reject.headers {
        let (name, value) = parse_field(field).map_err(failed)?;
        if !is_ours(&name) {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}

/// Our own refusal.
pub(super) fn refuse(refusal: &Refusal) -> Response<HttpBody> {
    let mut response = Response::new(full(Bytes::from_static(refusal.words().as_bytes())));
    *response.status_mut() = refusal.status();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    if refusal.status() == StatusCode::UPGRADE_REQUIRED {
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(
            header::SEC_WEBSOCKET_VERSION,
            HeaderValue::from_static("13"),
        );
    }
    let is_passing = [
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    if is_passing.contains(&refusal.status()) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// A body that is whole.
pub(super) fn full(bytes: Bytes) -> HttpBody {
    Full::new(bytes).boxed_unsync()
}

fn empty() -> HttpBody {
    full(Bytes::new())
}
