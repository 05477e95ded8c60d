//! What tungstenite makes of the same bytes, and where it judges otherwise than we must.

use std::io::{self, Cursor, Read, Write};

use tidegate_codec::Violation;
use tungstenite::error::ProtocolError;
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message};

use crate::item::Owned;
use crate::wire::{CLOSE, FIN, Found, PONG};

/// Below this limit tungstenite refuses control frames, to which it applies it as well.
pub const LEAST_LIMIT: usize = 125;

/// How a stream of frames ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All bytes were taken and more could follow.
    Open,
    /// By a Close.
    Closed,
    /// Refused with 1002.
    Protocol,
    /// Refused with 1007.
    Utf8,
    /// Refused with 1009.
    TooBig,
}

impl End {
    /// The end of a stream that we read.
    pub fn of(items: &[Owned], violation: Option<Violation>) -> Self {
        match violation.map(Violation::code) {
            Some(1007) => Self::Utf8,
            Some(1009) => Self::TooBig,
            Some(_) => Self::Protocol,
            None if matches!(items.last(), Some(Owned::Close(_))) => Self::Closed,
            None => Self::Open,
        }
    }
}

/// A socket that has bytes to read and swallows what is written.
struct Socket<'a>(Cursor<&'a [u8]>);

impl Read for Socket<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What tungstenite's server reads in `client`, a client's stream, with this limit.
pub fn reads_as_server(client: &[u8], limit: usize) -> (Vec<Owned>, End) {
    run(Role::Server, client, limit)
}

/// What tungstenite's client reads in `server`, a server's stream.
pub fn reads_as_client(server: &[u8]) -> (Vec<Owned>, End) {
    run(Role::Client, server, usize::MAX)
}

fn run(role: Role, stream: &[u8], limit: usize) -> (Vec<Owned>, End) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(limit))
        .max_frame_size(Some(limit))
        .read_buffer_size(4096);
    let mut context = WebSocketContext::new(role, Some(config));
    let mut socket = Socket(Cursor::new(stream));
    let mut items = Vec::new();
    let end = loop {
        items.push(match context.read(&mut socket) {
            Ok(Message::Text(text)) => Owned::Text(text.as_str().to_owned()),
            Ok(Message::Binary(payload)) => Owned::Binary(payload.to_vec()),
            Ok(Message::Ping(payload)) => Owned::Ping(payload.to_vec()),
            Ok(Message::Pong(payload)) => Owned::Pong(payload.to_vec()),
            Ok(Message::Close(close)) => {
                let close = close.map(|c| (c.code.into(), c.reason.as_str().to_owned()));
                items.push(Owned::Close(close));
                break End::Closed;
            }
            Ok(Message::Frame(_)) => unreachable!("never read"),
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => break End::Open,
            Err(Error::Protocol(_)) => break End::Protocol,
            Err(Error::Utf8(_)) => break End::Utf8,
            Err(Error::Capacity(_)) => break End::TooBig,
            Err(other) => panic!("{other:?}"),
        });
    };
    (items, end)
}

/// The ends we allow at `frame` where tungstenite does not judge it as we must, by its nature:
///
/// - it takes lengths that are not minimal, and knows no rule about the top bit;
/// - it answers a forbidden close code with a Close of its own instead of an error;
/// - its list of close codes has no 1014 (registered after the RFC);
/// - its frame limit is looked at before the frame's other faults;
/// - it judges no frame before that has come to its end.
///
/// A copy of the list in the codec's own tests, `reader/tests/differential.rs`.
pub fn differs(frame: &Found, stream: &[u8], limit: usize) -> Option<&'static [End]> {
    let limit = limit as u64;
    let opcode = frame.first & 0x0f;
    let faulty = frame.first & 0x70 != 0 || frame.mask.is_none();
    if faulty || (3..=7).contains(&opcode) || opcode > PONG {
        return (frame.announced > limit).then_some(&[End::Protocol]);
    }
    if frame.is_control() && (frame.announced > 125 || frame.first & FIN == 0) {
        return Some(&[End::Protocol]);
    }
    if !frame.is_minimal || frame.announced >= 1 << 63 {
        return Some(&[End::Protocol]);
    }
    if !frame.is_control() && frame.announced > limit {
        // Protocol if it also comes at the wrong place among fragments.
        return Some(&[End::TooBig, End::Protocol]);
    }
    let end = frame.end(stream.len())?;
    if opcode != CLOSE {
        return None;
    }
    let mask = frame.mask.unwrap_or_default();
    let code = stream[frame.payload_at..end].first_chunk::<2>()?;
    match u16::from_be_bytes([code[0] ^ mask[0], code[1] ^ mask[1]]) {
        1014 => Some(&[End::Closed, End::Utf8]),
        1000..=1003 | 1007..=1013 | 3000..=4999 => None,
        _ => Some(&[End::Protocol]),
    }
}
