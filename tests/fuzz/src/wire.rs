//! Client frames as bytes, in both directions, and naively: this must be right by being plain.

/// The top bit of a frame's first byte: no fragment follows.
pub const FIN: u8 = 0x80;
/// The opcodes as they stand in a frame's first byte (RFC 6455 section 5.2).
pub const CONTINUATION: u8 = 0x0;
/// A text message or its first fragment.
pub const TEXT: u8 = 0x1;
/// A binary message or its first fragment.
pub const BINARY: u8 = 0x2;
/// The end.
pub const CLOSE: u8 = 0x8;
/// Asks for a Pong.
pub const PING: u8 = 0x9;
/// Answers a Ping.
pub const PONG: u8 = 0xa;

/// How the bytes of a length are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The length as RFC 6455 demands it.
    Minimal,
    /// In 16 bits, even if seven would do.
    Bits16,
    /// In 64 bits, even if fewer would do.
    Bits64,
    /// In 64 bits that say this, whatever the payload is.
    Claim(u64),
}

/// A frame to be sent by a client.
#[derive(Debug, Clone)]
pub struct Frame {
    /// FIN, the reserved bits and the opcode.
    pub first: u8,
    /// `None` is a violation.
    pub mask: Option<[u8; 4]>,
    /// How its length is written.
    pub form: Form,
    /// Before masking.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The frame's bytes.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        let len = self.payload.len() as u64;
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        out.push(self.first);
        match self.form {
            Form::Minimal if len < 126 => out.push(masked | len as u8),
            Form::Minimal | Form::Bits16 if len < 1 << 16 => {
                out.push(masked | 126);
                out.extend((len as u16).to_be_bytes());
            }
            form => {
                let len = if let Form::Claim(len) = form {
                    len
                } else {
                    len
                };
                out.push(masked | 127);
                out.extend(len.to_be_bytes());
            }
        }
        out.extend(self.mask.iter().flatten());
        let payload_at = out.len();
        out.extend_from_slice(&self.payload);
        let mask = self.mask.unwrap_or_default();
        for chunk in out[payload_at..].chunks_mut(mask.len()) {
            for (byte, mask) in chunk.iter_mut().zip(mask) {
                *byte ^= mask;
            }
        }
    }
}

/// A frame found in a stream whose head is all there; its payload may be cut.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// The frame's first byte.
    pub first: u8,
    /// The frame's mask.
    pub mask: Option<[u8; 4]>,
    /// What it says its length is.
    pub announced: u64,
    /// Whether it says so in the least bytes.
    pub is_minimal: bool,
    /// Where in the stream it starts.
    pub start: usize,
    /// Where its payload starts.
    pub payload_at: usize,
}

impl Found {
    /// Where the next frame starts, if this one ends in a stream of `len` bytes.
    pub fn end(&self, len: usize) -> Option<usize> {
        let end = self.payload_at as u64 + self.announced.min(u64::from(u32::MAX));
        (end <= len as u64).then_some(end as usize)
    }

    /// Whether it is a control frame.
    pub fn is_control(&self) -> bool {
        self.first & 0x08 != 0
    }
}

/// The frames of `stream` until one is cut, whatever rules they break.
pub fn split(stream: &[u8]) -> Vec<Found> {
    let mut frames = Vec::new();
    let mut at = 0;
    while let Some(frame) = head(stream, at) {
        frames.push(frame);
        match frame.end(stream.len()) {
            Some(end) => at = end,
            None => break,
        }
    }
    frames
}

fn head(stream: &[u8], start: usize) -> Option<Found> {
    let bytes = &stream[start..];
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let (announced, mask_at, minimum) = match second & 0x7f {
        126 => (
            u64::from(u16::from_be_bytes(*bytes[2..].first_chunk()?)),
            4,
            126,
        ),
        127 => (u64::from_be_bytes(*bytes[2..].first_chunk()?), 10, 1 << 16),
        short => (u64::from(short), 2, 0),
    };
    let mask = match second & 0x80 {
        0 => None,
        _ => Some(*bytes[mask_at..].first_chunk()?),
    };
    Some(Found {
        first,
        mask,
        announced,
        is_minimal: announced >= minimum,
        start,
        payload_at: start + mask_at + if mask.is_some() { 4 } else { 0 },
    })
}
