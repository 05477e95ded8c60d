//! One socket of requests, one at a time.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mio::net::TcpStream;

use crate::{Target, handshake};

/// Bytes of a response that are read at once; a longer one is refused.
const RESPONSE_LIMIT: usize = 16 << 10;

/// What a request's body says: who posts, and how many it had posted before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Post {
    pub(super) sender: usize,
    pub(super) number: u64,
}

impl Post {
    /// Writes it as JSON, filled up to `size` bytes.
    fn write(self, body: &mut Vec<u8>, size: usize) {
        let Self { sender, number } = self;
        body.clear();
        // Writing to a vector does not fail.
        let _ = write!(
            body,
            "{{\"sender\":{sender},\"number\":{number},\"text\":\""
        );
        body.resize(body.len().max(size.saturating_sub(2)), b'.');
        body.extend_from_slice(b"\"}");
    }

    /// Reads it back.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (sender, rest) = text.strip_prefix("{\"sender\":")?.split_once(',')?;
        let (number, _) = rest.strip_prefix("\"number\":")?.split_once(',')?;
        Some(Self {
            sender: sender.parse().ok()?,
            number: number.parse().ok()?,
        })
    }
}

/// A response.
pub(super) struct Answer {
    pub(super) is_success: bool,
    pub(super) took: Duration,
}

/// A socket that posts.
pub(super) struct Poster {
    socket: TcpStream,
    /// The request's head up to the value of `content-length`.
    head: String,
    size: usize,
    next: Post,
    body: Vec<u8>,
    request: Vec<u8>,
    sent: Option<Instant>,
    received: Vec<u8>,
}

impl Poster {
    pub(super) fn connect(target: &Target, path: &str, sender: usize, size: usize) -> Result<Self> {
        let socket = std::net::TcpStream::connect(target.address())
            .with_context(|| format!("failed to connect to {}", target.address()))?;
        socket
            .set_nodelay(true)
            .and_then(|()| socket.set_nonblocking(true))
            .context("failed to set a socket's options")?;
        let host = target.host();
        Ok(Self {
            socket: TcpStream::from_std(socket),
            head: format!(
                "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: "
            ),
            size,
            next: Post { sender, number: 0 },
            body: Vec::new(),
            request: Vec::new(),
            sent: None,
            received: Vec::new(),
        })
    }

    pub(super) fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Whether a response is still to come.
    pub(super) fn is_waiting(&self) -> bool {
        self.sent.is_some()
    }

    /// Nothing more will come.
    pub(super) fn end(&mut self) {
        self.sent = None;
    }

    /// Sends the next request. The socket is empty then, so it takes all of it.
    pub(super) fn post(&mut self) -> Result<()> {
        self.next.write(&mut self.body, self.size);
        self.next.number += 1;
        self.request.clear();
        let (head, length) = (&self.head, self.body.len());
        write!(self.request, "{head}{length}\r\n\r\n").context("failed to write a request")?;
        self.request.extend_from_slice(&self.body);
        self.sent = Some(Instant::now());
        let written = self.socket.write(&self.request);
        let written = written.context("failed to send a request")?;
        ensure!(
            written == self.request.len(),
            "the socket took {written} of {} bytes: use a smaller --size",
            self.request.len()
        );
        Ok(())
    }

    /// The response, once it is whole.
    pub(super) fn read(&mut self) -> Result<Option<Answer>> {
        let mut chunk = [0; RESPONSE_LIMIT];
        match self.socket.read(&mut chunk) {
            Ok(0) => bail!("the server closed it"),
            Ok(read) => self.received.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let Some(length) = handshake::head_length(&self.received) else {
            let known = self.received.len();
            ensure!(known < RESPONSE_LIMIT, "a response's head is too long");
            return Ok(None);
        };
        let head = String::from_utf8_lossy(&self.received[..length]);
        let body = match handshake::header(&head, "content-length") {
            Some(length) => length.parse::<usize>().context("a body without a length")?,
            None => 0,
        };
        if self.received.len() < length + body {
            return Ok(None);
        }
        let is_success = head.starts_with("HTTP/1.1 2");
        self.received.drain(..length + body);
        let sent = self.sent.take().context("a response to no request")?;
        let took = sent.elapsed();
        Ok(Some(Answer { is_success, took }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_is_read_back_at_any_size() {
        let post = Post {
            sender: 3,
            number: 12_345,
        };
        let mut body = Vec::new();
        for size in [0, 64, 1000] {
            post.write(&mut body, size);
            assert!(body.len() >= size && body.ends_with(b"\"}"));
            assert_eq!(Post::read(&body), Some(post));
        }
        assert_eq!(Post::read(b"hello"), None);
    }
}
