//! WebSocket frames, both roles: no fragments, no extensions, nothing allocated.

/// Opcode of a text message.
pub const TEXT: u8 = 0x1;
/// Opcode of a binary message.
pub const BINARY: u8 = 0x2;
/// Opcode of a close frame.
pub const CLOSE: u8 = 0x8;
/// Opcode of a ping.
pub const PING: u8 = 0x9;
/// Opcode of a pong.
pub const PONG: u8 = 0xA;

/// The key of every client frame. A server cannot tell it from a random one, and it lets frames be built once.
pub const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame longer than this is taken for a protocol error, so that a bad length cannot eat the memory.
const PAYLOAD_LIMIT: u64 = 64 << 20;

/// One whole frame, its payload unmasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// One of [`TEXT`], [`BINARY`], [`CLOSE`], [`PING`], [`PONG`].
    pub opcode: u8,
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
pub fn push_client(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    push_head(out, opcode, payload.len(), 0x80);
    out.extend_from_slice(&MASK);
    let start = out.len();
    out.extend_from_slice(payload);
    mask(&mut out[start..], MASK);
}

/// Appends a server's frame.
pub fn push_server(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    push_head(out, opcode, payload.len(), 0);
    out.extend_from_slice(payload);
}

fn push_head(out: &mut Vec<u8>, opcode: u8, length: usize, mask_bit: u8) {
    out.push(0x80 | opcode);
    if length < 126 {
        out.push(mask_bit | length as u8);
    } else if let Ok(short) = u16::try_from(length) {
        out.push(mask_bit | 126);
        out.extend_from_slice(&short.to_be_bytes());
    } else {
        out.push(mask_bit | 127);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
}

/// Masks or unmasks a payload in place.
pub fn mask(payload: &mut [u8], key: [u8; 4]) {
    // Eight bytes a step is what makes the floor server and large messages cheap.
    let wide = u64::from_ne_bytes([
        key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3],
    ]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

struct Head {
    opcode: u8,
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
    if !matches!(first & 0x0f, TEXT | BINARY | CLOSE | PING | PONG) {
        return Err(Parsed::Invalid("an unknown opcode"));
    }
    let masked = second & 0x80 != 0;
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
        opcode: first & 0x0f,
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
    mask(payload, *key);
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
                opcode: TEXT,
                payload: &payload,
            };
            let mut sent = Vec::new();
            push_client(&mut sent, TEXT, &payload);
            let end = sent.len();
            assert!(matches!(parse_client(&mut sent[..end - 1]), Parsed::Partial(n) if n <= end));
            sent.clear();
            push_client(&mut sent, TEXT, &payload);
            sent.push(0x81);
            assert_eq!(parse_client(&mut sent), Parsed::Whole(expected, end));
            let mut answer = Vec::new();
            push_server(&mut answer, TEXT, &payload);
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
