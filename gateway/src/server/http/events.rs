//! Server-sent events: a route asked for with `Accept: text/event-stream` gives a connection that
//! only receives. Its handler, topics and limits are those of a WebSocket.
//!
//! hyper has no way to hand a socket over with another answer than a 101. So the request is left
//! unanswered there, the socket taken back, and the head of the answer written here.

use std::net;

use hyper::Method;
use hyper::header::{self, HeaderMap};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::HttpRequest;
use super::cors::Marks;
use super::rules::{is_upgrade, parse_field};
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
pub(super) fn head(accept: &Accept, marks: &Marks) -> Vec<u8> {
    let mut fields = HeaderMap::new();
    for (name, value) in accept.headers.iter().filter_map(|f| parse_field(f).ok()) {
        fields.append(name, value);
    }
    marks.put(&mut fields);
    let mut head = b"HTTP/1.1 200 OK\r\n\
        content-type: text/event-stream\r\n\
        cache-control: no-store\r\n\
        x-accel-buffering: no\r\n\
        connection: close\r\n"
        .to_vec();
    for (name, value) in &fields {
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
