//! Whole WebSocket frames in both roles: no fragments, no extensions, nothing allocated.
//!
//! The gateway's own codec reads what clients send, puts fragments together and owns what a read
//! cut. A client reads the other direction, and the floor measures what a server costs that does
//! none of this, so the parsers are here. Types, heads and masks are the codec's.

use tidegate_codec::{Opcode, apply_mask, encode_head};

/// The key of every client frame. A server cannot tell it from a random one, and it lets frames be built once.
pub const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The bit of the second byte that says that a mask follows.
const MASKED: u8 = 0x80;

/// A frame longer than this is taken for a protocol error, so that a bad length cannot eat the memory.
const PAYLOAD_LIMIT: u64 = 64 << 20;

/// One whole frame, its payload unmasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The type, never a continuation.
    pub opcode: Opcode,
    /// The application's bytes.
    pub payload: &'a [u8],
}

/// What the first bytes of a buffer are.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A frame, and how many bytes it took.
    Whole(Frame<'a>, usize),
    /// The beginning of a frame that will be at least this long.
    Partial(usize),
    /// Something this parser does not speak; the reason.
    Invalid(&'static str),
}

/// Appends a client's (masked) frame.
pub fn push_client(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    let at = out.len();
    out.extend_from_slice(encode_head(opcode, true, payload.len()).as_bytes());
    out[at + 1] |= MASKED;
    out.extend_from_slice(&MASK);
    let start = out.len();
    out.extend_from_slice(payload);
    apply_mask(&mut out[start..], MASK);
}

struct Head {
    opcode: Opcode,
    masked: bool,
    length: usize,
    payload_at: usize,
}

/// Reads a frame's head; `Err` is the answer to give when there is none.
fn head(buffer: &[u8]) -> Result<Head, Parsed<'static>> {
    let &[first, second, ..] = buffer else {
        return Err(Parsed::Partial(2));
    };
    if first & 0x70 != 0 {
        return Err(Parsed::Invalid(
            "a reserved bit is set without an extension",
        ));
    }
    if first & 0x80 == 0 || first & 0x0f == 0 {
        return Err(Parsed::Invalid(
            "a fragmented message: the generator reads whole ones only",
        ));
    }
    let Some(opcode) = Opcode::from_first_byte(first) else {
        return Err(Parsed::Invalid("an unknown opcode"));
    };
    let masked = second & MASKED != 0;
    let (length, at) = match second & 0x7f {
        126 => match buffer.get(2..4) {
            Some(bytes) => (u64::from(u16::from_be_bytes([bytes[0], bytes[1]])), 4),
            None => return Err(Parsed::Partial(4)),
        },
        127 => match buffer.get(2..).and_then(|rest| rest.first_chunk::<8>()) {
            Some(bytes) => (u64::from_be_bytes(*bytes), 10),
            None => return Err(Parsed::Partial(10)),
        },
        short => (u64::from(short), 2),
    };
    if length > PAYLOAD_LIMIT {
        return Err(Parsed::Invalid("a frame of more than 64 MiB"));
    }
    Ok(Head {
        opcode,
        masked,
        length: length as usize,
        payload_at: at + if masked { 4 } else { 0 },
    })
}

/// Parses a frame that a server sent.
#[must_use]
pub fn parse_server(buffer: &[u8]) -> Parsed<'_> {
    let head = match head(buffer) {
        Ok(head) => head,
        Err(answer) => return answer,
    };
    if head.masked {
        return Parsed::Invalid("a masked frame from a server");
    }
    let end = head.payload_at + head.length;
    match buffer.get(head.payload_at..end) {
        Some(payload) => Parsed::Whole(
            Frame {
                opcode: head.opcode,
                payload,
            },
            end,
        ),
        None => Parsed::Partial(end),
    }
}

/// Parses a frame that a client sent, unmasking it in place.
#[must_use]
pub fn parse_client(buffer: &mut [u8]) -> Parsed<'_> {
    let head = match head(buffer) {
        Ok(head) => head,
        Err(answer) => return answer,
    };
    if !head.masked {
        return Parsed::Invalid("a bare frame from a client");
    }
    let end = head.payload_at + head.length;
    if buffer.len() < end {
        return Parsed::Partial(end);
    }
    let (front, payload) = buffer[..end].split_at_mut(head.payload_at);
    let key = front
        .last_chunk()
        .expect("a masked head ends in four key bytes");
    apply_mask(payload, *key);
    let payload = &*payload;
    Parsed::Whole(
        Frame {
            opcode: head.opcode,
            payload,
        },
        end,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_class_survive_both_ways() {
        for length in [0, 1, 7, 8, 125, 126, 65_535, 65_536, 200_001] {
            let payload: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let expected = Frame {
                opcode: Opcode::Text,
                payload: &payload,
            };
            let mut sent = Vec::new();
            push_client(&mut sent, Opcode::Text, &payload);
            let end = sent.len();
            assert!(matches!(parse_client(&mut sent[..end - 1]), Parsed::Partial(n) if n <= end));
            sent.clear();
            push_client(&mut sent, Opcode::Text, &payload);
            sent.push(0x81);
            assert_eq!(parse_client(&mut sent), Parsed::Whole(expected, end));
            let mut answer = Vec::new();
            tidegate_codec::append(&mut answer, Opcode::Text, &payload);
            assert_eq!(parse_server(&answer), Parsed::Whole(expected, answer.len()));
        }
    }

    #[test]
    fn what_the_generator_does_not_speak_is_invalid() {
        for bytes in [[0x01, 0], [0x80, 0], [0xc1, 0], [0x83, 0], [0x81, 0x80]] {
            assert!(
                matches!(parse_server(&bytes), Parsed::Invalid(_)),
                "{bytes:?}"
            );
        }
        let mut huge = vec![0x82, 127];
        huge.extend_from_slice(&u64::MAX.to_be_bytes());
        assert!(matches!(parse_server(&huge), Parsed::Invalid(_)));
    }
}
