//! Clients: a well-behaved one (tungstenite), one that sends what bytes it likes, and plain HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message, http};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::{PATIENCE, WATCH};

/// A well-behaved WebSocket client.
pub struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The 101.
    pub response: http::Response<()>,
}

impl Client {
    /// Connects; the upgrade must be granted.
    pub async fn connect(address: SocketAddr, path: &str) -> Self {
        Self::try_connect(address, path, &[])
            .await
            .expect("the upgrade is granted")
    }

    /// Connects with header fields. A refusal is `Error::Http`.
    pub async fn try_connect(
        address: SocketAddr,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Error> {
        let mut request = format!("ws://{address}{path}").into_client_request()?;
        for (name, value) in headers {
            request
                .headers_mut()
                .append(*name, value.parse().expect("a valid value"));
        }
        let connecting = tokio::time::timeout(PATIENCE, connect_async(request));
        let (socket, response) = connecting.await.expect("the handshake ends")?;
        Ok(Self {
            socket,
            response: response.map(|_| ()),
        })
    }

    /// Sends a text.
    pub async fn send(&mut self, text: &str) {
        self.socket
            .send(Message::text(text))
            .await
            .expect("the message is sent");
    }

    /// Sends bytes.
    pub async fn send_binary(&mut self, bytes: &[u8]) {
        self.socket
            .send(Message::binary(bytes.to_vec()))
            .await
            .expect("the message is sent");
    }

    /// Sends anything.
    pub async fn send_message(&mut self, message: Message) -> Result<(), Error> {
        self.socket.send(message).await
    }

    /// The next message or close frame; pings and pongs are passed over.
    pub async fn next(&mut self) -> Option<Result<Message, Error>> {
        let next = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    next => return next,
                }
            }
        };
        tokio::time::timeout(PATIENCE, next)
            .await
            .expect("something comes")
    }

    /// The next message, a text.
    pub async fn recv(&mut self) -> String {
        match self.next().await {
            Some(Ok(Message::Text(text))) => text.to_string(),
            other => panic!("expected a text, got {other:?}"),
        }
    }

    /// The next message, a text in JSON.
    pub async fn recv_json(&mut self) -> serde_json::Value {
        let text = self.recv().await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
    }

    /// The next message, binary.
    pub async fn recv_binary(&mut self) -> Vec<u8> {
        match self.next().await {
            Some(Ok(Message::Binary(bytes))) => bytes.to_vec(),
            other => panic!("expected a binary message, got {other:?}"),
        }
    }

    /// The next message, a close frame: its code and reason.
    pub async fn recv_close(&mut self) -> (u16, String) {
        match self.next().await {
            Some(Ok(Message::Close(Some(frame)))) => (frame.code.into(), frame.reason.to_string()),
            other => panic!("expected a close frame, got {other:?}"),
        }
    }

    /// Sends a text and returns the answer.
    pub async fn ask(&mut self, text: &str) -> String {
        self.send(text).await;
        self.recv().await
    }

    /// Checks that nothing comes for a while.
    pub async fn silent(&mut self) {
        if let Ok(next) = tokio::time::timeout(WATCH, self.socket.next()).await {
            panic!("expected nothing, got {next:?}");
        }
    }

    /// Closes with a code and waits for the end of the socket; returns the peer's code.
    pub async fn close(mut self, code: u16, reason: &'static str) -> Option<u16> {
        let frame = tokio_tungstenite::tungstenite::protocol::CloseFrame {
            code: code.into(),
            reason: reason.into(),
        };
        self.socket
            .close(Some(frame))
            .await
            .expect("the close frame is sent");
        self.closed().await.map(|(code, _)| code)
    }

    /// Passes over messages until the connection ends; returns the close frame, if there was one.
    pub async fn closed(&mut self) -> Option<(u16, String)> {
        let mut frame = None;
        loop {
            match self.next().await {
                Some(Ok(Message::Close(close))) => {
                    frame = close.map(|close| (close.code.into(), close.reason.to_string()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return frame,
            }
        }
    }
}

/// A socket on which a test sends what bytes it likes.
pub struct Raw {
    socket: TcpStream,
}

impl From<TcpStream> for Raw {
    fn from(socket: TcpStream) -> Self {
        Self { socket }
    }
}

impl Raw {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address)
            .await
            .expect("the gateway listens");
        Self { socket }
    }

    /// Connects and upgrades.
    pub async fn upgraded(address: SocketAddr, path: &str) -> Self {
        let mut raw = Self::connect(address).await;
        raw.write(upgrade_request(path).as_bytes()).await;
        let head = raw.read_head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        raw
    }

    /// Writes bytes.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.socket
            .write_all(bytes)
            .await
            .expect("the bytes are sent");
    }

    /// Writes bytes; the gateway may have closed the socket already.
    pub async fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.socket.write_all(bytes).await
    }

    /// Reads the head of an HTTP response, and not a byte more.
    pub async fn read_head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.read(1).await);
        }
        String::from_utf8(head).expect("a head is text")
    }

    /// Reads exactly that many bytes.
    pub async fn read(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let read = tokio::time::timeout(PATIENCE, self.socket.read_exact(&mut bytes));
        read.await.expect("bytes come").expect("the socket is open");
        bytes
    }

    /// Reads until the gateway closes the socket.
    pub async fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(PATIENCE, self.socket.read_to_end(&mut bytes));
        // A reset is an end too.
        let _ = read.await.expect("the gateway closes the socket");
        bytes
    }

    /// Reads one frame of the gateway's: its first byte and its payload.
    pub async fn read_frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.read(2).await;
        let len = match head[1] {
            126 => self.read(2).await,
            127 => self.read(8).await,
            short => vec![short],
        };
        let len = len
            .iter()
            .fold(0_usize, |len, &byte| len << 8 | usize::from(byte));
        (head[0], self.read(len).await)
    }

    /// Reads that many bytes in parts, with a pause after each: a steady reader on a thin line.
    pub async fn read_slowly(&mut self, len: usize, part: usize, pause: Duration) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < len {
            bytes.extend(self.read(part.min(len - bytes.len())).await);
            tokio::time::sleep(pause).await;
        }
        bytes
    }

    /// Says that nothing more is sent, and goes on reading.
    pub async fn end_sending(&mut self) {
        self.socket.shutdown().await.expect("the socket is open");
    }

    /// Bounds what the system takes in for a reader that does not read. Less than a segment of the
    /// loopback's would let the sender wait for more room.
    pub fn shrink(&self) {
        socket2::SockRef::from(&self.socket)
            .set_recv_buffer_size(128 << 10)
            .expect("the buffer's size can be set");
    }

    /// Closes the socket with a reset instead of an orderly end.
    pub fn reset(self) {
        let lingers = socket2::SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
        lingers.expect("a socket can be told not to linger");
    }

    /// The socket, to be used from a thread of its own.
    pub fn into_std(self) -> std::net::TcpStream {
        let socket = self.socket.into_std().expect("the socket is open");
        socket.set_nonblocking(false).expect("it can be told");
        socket
    }

    /// The socket.
    pub fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }
}

/// A valid upgrade request.
pub fn upgrade_request(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// A client's frame: masked, with any first byte.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..126 => bytes.push(0x80 | len as u8),
        len @ 126..65536 => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}

/// An HTTP response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Response {
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{self:?}: {error}"))
    }
}

/// One request on a socket of its own.
pub async fn http(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Response {
    let mut raw = Raw::connect(address).await;
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    raw.write(request.as_bytes()).await;
    let text = String::from_utf8(raw.read_to_end().await).expect("a response is text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a response has a head");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Response {
        status: status.expect("a response has a status"),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}
