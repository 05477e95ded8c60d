//! One plain HTTP request at a time, to the admin side of a server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::handshake;

/// An answer longer than this is refused.
const BODY_LIMIT: u64 = 64 << 20;

/// A server's answer.
#[derive(Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Body, unchunked.
    pub body: String,
}

impl Response {
    /// Whether the status is 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Sends a request without a body and reads the answer. Each read and write may take `timeout`.
///
/// # Errors
/// When the address is not a loopback one, or the exchange fails.
pub fn request(
    address: SocketAddr,
    method: &str,
    resource: &str,
    timeout: Duration,
) -> Result<Response> {
    ensure!(
        address.ip().is_loopback(),
        "refusing to ask {address}: only loopback addresses are allowed"
    );
    exchange(address, method, resource, timeout)
        .with_context(|| format!("failed to {method} http://{address}{resource}"))
}

fn exchange(
    address: SocketAddr,
    method: &str,
    resource: &str,
    timeout: Duration,
) -> Result<Response> {
    let mut socket = TcpStream::connect_timeout(&address, timeout)?;
    socket.set_read_timeout(Some(timeout))?;
    socket.set_write_timeout(Some(timeout))?;
    let request = format!(
        "{method} {resource} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    socket.write_all(request.as_bytes())?;
    // The server closes, as asked: the end of the stream is the end of the answer.
    let mut bytes = Vec::new();
    socket.take(BODY_LIMIT).read_to_end(&mut bytes)?;
    let length = handshake::head_length(&bytes).context("the answer has no whole head")?;
    let head = String::from_utf8_lossy(&bytes[..length]);
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let body = &bytes[length..];
    let chunked = handshake::header(&head, "transfer-encoding")
        .is_some_and(|encoding| encoding.eq_ignore_ascii_case("chunked"));
    let body = if chunked {
        unchunk(body)?
    } else {
        body.to_vec()
    };
    Ok(Response {
        status: status.with_context(|| format!("the answer has no status: {head:?}"))?,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

fn unchunk(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n");
        let end = end.context("a chunk without a size line")?;
        let line = String::from_utf8_lossy(&rest[..end]);
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(digits, 16).context("a chunk without a size")?;
        if size == 0 {
            return Ok(body);
        }
        let chunk = rest[end + 2..]
            .get(..size)
            .context("a chunk that is cut off")?;
        body.extend_from_slice(chunk);
        rest = rest[end + 2 + size..]
            .strip_prefix(b"\r\n")
            .context("a chunk without an end")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined() {
        assert_eq!(
            unchunk(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n").unwrap(),
            b"abcde"
        );
        assert!(unchunk(b"5\r\nabc").is_err());
    }

    #[test]
    fn other_machines_are_refused() {
        let address = "192.0.2.1:80".parse().unwrap();
        let error = request(address, "GET", "/", Duration::from_secs(1)).unwrap_err();
        assert!(error.to_string().contains("only loopback"));
    }
}
