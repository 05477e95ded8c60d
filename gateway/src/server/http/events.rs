//! Server-sent events: a route asked for with `Accept: text/event-stream` gives a connection that
//! only receives. Its handler, topics and limits are those of a WebSocket.
//!
//! hyper has no way to hand a socket over with another answer than a 101. So the request is left
//! unanswered there, the socket taken back, and the head of the answer written here.

use std::io::Write as _;
use std::net;

use http_body_util::{BodyExt, Full};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Response, StatusCode};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::HttpRequest;
use super::rules::{is_upgrade, parse_field};
use crate::config::Origins;
use crate::console::Body;
use crate::handler::Accept;

/// Whether a request asks for server-sent events.
pub(super) fn is_wanted(request: &HttpRequest) -> bool {
    let accepted = request.headers().get_all(header::ACCEPT);
    request.method() == Method::GET
        && !is_upgrade(request.headers())
        && accepted
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|kind| {
                let kind = kind.split(';').next().unwrap_or_default();
                kind.trim().eq_ignore_ascii_case("text/event-stream")
            })
}

/// The origin of a page that may not read the stream before it was told so: `Last-Event-ID` makes a
/// request of another origin's page one that its browser asks for first (a CORS preflight).
pub(super) fn asking_first(request: &HttpRequest) -> Option<&HeaderValue> {
    let headers = request.headers();
    let method = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD);
    let asks = request.method() == Method::OPTIONS && method.is_some_and(|method| method == "GET");
    headers.get(header::ORIGIN).filter(|_| asks)
}

/// Tells a page of an allowed origin that it may. Its browser asks again after ten minutes, the most
/// that some of them remember it.
pub(super) fn go_ahead(allowed: &Origins, origin: &HeaderValue) -> Response<Body> {
    let mut response = Response::new(Full::default().boxed_unsync());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "last-event-id"),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
        (header::VARY, "origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some((name, value)) = credentials(allowed) {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether a page may send cookies along: not where any page may connect.
fn credentials(allowed: &Origins) -> Option<(HeaderName, &'static str)> {
    match allowed {
        Origins::Any => None,
        Origins::Same | Origins::List(_) => {
            Some((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true"))
        }
    }
}

/// Where a request leaves what is to become of its socket, for whoever serves the socket.
pub(super) struct Handover<T> {
    left: std::cell::Cell<Option<T>>,
    is_left: Notify,
}

impl<T> Handover<T> {
    pub(super) fn new() -> Self {
        Self {
            left: std::cell::Cell::new(None),
            is_left: Notify::new(),
        }
    }

    /// Leaves it, and never returns: the request is not answered where it came from.
    pub(super) async fn leave<R>(&self, what: T) -> R {
        self.left.set(Some(what));
        self.is_left.notify_one();
        std::future::pending().await
    }

    /// What was left, once it was.
    pub(super) async fn taken(&self) -> T {
        loop {
            self.is_left.notified().await;
            if let Some(left) = self.left.take() {
                return left;
            }
        }
    }
}

/// The head of the answer. Its body ends with the socket (RFC 9112 section 6.3), because the frames
/// of another encoding would be one more for every message.
pub(super) fn head(accept: &Accept, allowed: &Origins, origin: Option<&str>) -> Vec<u8> {
    let mut head = b"HTTP/1.1 200 OK\r\n\
        content-type: text/event-stream\r\n\
        cache-control: no-store\r\n\
        x-accel-buffering: no\r\n\
        connection: close\r\n"
        .to_vec();
    if let Some(origin) = origin {
        // That pages of this origin may connect was checked; this lets them read.
        // Writing to a vector does not fail.
        let _ = write!(
            head,
            "access-control-allow-origin: {origin}\r\nvary: origin\r\n"
        );
        if let Some((name, value)) = credentials(allowed) {
            let _ = write!(head, "{name}: {value}\r\n");
        }
    }
    let fields = accept.headers.iter();
    for (name, value) in fields.filter_map(|field| parse_field(field).ok()) {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Writes the head, and gives the socket back as a connection takes it.
pub(super) async fn begin(mut socket: TcpStream, head: &[u8]) -> std::io::Result<net::TcpStream> {
    socket.write_all(head).await?;
    socket.into_std()
}
