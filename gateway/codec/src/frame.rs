//! What we send: server frames, which are never masked (RFC 6455 section 5.1).

use crate::head::max_deflated;
use crate::opcode::{MAX_CONTROL, Opcode};

/// The longest head of a frame we send: two bytes and a 64-bit length (section 5.2).
pub const HEAD_MAX: usize = 10;

const FIN: u8 = 0x80;
/// The payload is compressed.
const RSV1: u8 = 0x40;
/// The seven length bits that announce a 16-bit length, and those that announce a 64-bit one.
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// An encoded frame head, to be written before its payload.
#[derive(Debug, Clone, Copy)]
pub struct EncodedHead {
    bytes: [u8; HEAD_MAX],
    len: u8,
}

impl EncodedHead {
    /// The bytes to write: 2, 4 or 10 of them.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The head of a frame with `len` bytes of payload, its length in the minimal form (RFC 6455
/// section 5.2). For payloads that are written from where they lie; see [`append`] for the rest.
#[inline]
pub fn encode_head(opcode: Opcode, fin: bool, len: usize) -> EncodedHead {
    debug_assert!(
        !opcode.is_control() || (fin && len <= MAX_CONTROL),
        "control frames are short and whole (section 5.5)"
    );
    let mut bytes = [0; HEAD_MAX];
    bytes[0] = opcode as u8 | if fin { FIN } else { 0 };
    let used = if len < usize::from(LENGTH_16) {
        bytes[1] = len as u8;
        2
    } else if let Ok(len) = u16::try_from(len) {
        bytes[1] = LENGTH_16;
        bytes[2..4].copy_from_slice(&len.to_be_bytes());
        4
    } else {
        bytes[1] = LENGTH_64;
        bytes[2..10].copy_from_slice(&(len as u64).to_be_bytes());
        10
    };
    EncodedHead { bytes, len: used }
}

/// Appends a whole frame to `out`.
#[inline]
pub fn append(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    let head = encode_head(opcode, true, payload.len());
    let head = head.as_bytes();
    // One reservation for both parts: a fan-out encodes into a fresh vector.
    out.reserve(head.len() + payload.len());
    out.extend_from_slice(head);
    out.extend_from_slice(payload);
}

/// The length of a whole frame with `len` bytes of payload.
#[inline]
pub fn frame_len_of(len: usize) -> usize {
    usize::from(encode_head(Opcode::Binary, true, len).len) + len
}

/// Appends a data frame whose payload is compressed (RFC 7692 section 6.1). `first` is the first byte
/// of the frame that it takes the place of.
pub fn append_deflated(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    let start = out.len();
    append(out, Opcode::Binary, payload);
    out[start] = first | RSV1;
}

/// The payload of a frame encoded here.
#[inline]
pub fn payload(frame: &[u8]) -> &[u8] {
    let head = match frame {
        [_, LENGTH_64, ..] => HEAD_MAX,
        [_, LENGTH_16, ..] => 4,
        _ => 2,
    };
    &frame[head..]
}

/// The longest frame that a payload of `len` bytes compresses to.
pub fn longest_deflated(len: usize) -> usize {
    HEAD_MAX + max_deflated(len)
}

/// The payload of a Close: the code and then the reason (RFC 6455 section 5.5.1), which is cut
/// before the character that would not fit into a control frame.
pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    let reason = &reason[..reason.floor_char_boundary(MAX_CONTROL - 2)];
    let mut payload = Vec::with_capacity(2 + reason.len());
    payload.extend_from_slice(&code.to_be_bytes());
    payload.extend_from_slice(reason.as_bytes());
    payload
}

/// Whether an endpoint may send `code` in a Close (RFC 6455 sections 7.4.1 and 7.4.2, and the
/// IANA registry for 1012-1014). 1004-1006 and 1015 are reserved for what never goes on the wire.
pub fn close_code_allowed(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// The length of the frame that `bytes` begin with, head and payload, for a frame encoded here. It
/// reads the head alone; bytes that do not hold a whole head count as one frame up to their end.
#[inline]
pub fn frame_len(bytes: &[u8]) -> usize {
    match *bytes {
        [_, LENGTH_64, a, b, c, d, e, f, g, h, ..] => {
            // It was encoded from a usize, so it fits one again.
            HEAD_MAX.saturating_add(u64::from_be_bytes([a, b, c, d, e, f, g, h]) as usize)
        }
        [_, LENGTH_16, a, b, ..] => 4 + usize::from(u16::from_be_bytes([a, b])),
        [_, len, ..] if len < LENGTH_16 => 2 + usize::from(len),
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opcode::is_control;

    /// Every length at which the encoding changes, and its neighbours.
    const LENGTHS: [usize; 9] = [0, 1, 125, 126, 127, 65_535, 65_536, 65_537, 1 << 20];

    #[test]
    fn heads_use_the_minimal_length() {
        let bytes = |len| encode_head(Opcode::Binary, true, len).as_bytes().to_vec();
        assert_eq!(bytes(0), [0x82, 0]);
        assert_eq!(bytes(125), [0x82, 125]);
        assert_eq!(bytes(126), [0x82, 126, 0, 126]);
        assert_eq!(bytes(65_535), [0x82, 126, 0xff, 0xff]);
        assert_eq!(bytes(65_536), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(encode_head(Opcode::Text, false, 1).as_bytes(), [0x01, 1]);
        assert_eq!(
            encode_head(Opcode::Continuation, true, 1).as_bytes(),
            [0x80, 1]
        );
    }

    #[test]
    fn the_rfc_examples_come_out_as_printed() {
        // Section 5.7.
        let mut out = Vec::new();
        append(&mut out, Opcode::Text, b"Hello");
        append(&mut out, Opcode::Ping, b"Hello");
        assert_eq!(out, b"\x81\x05Hello\x89\x05Hello");
    }

    #[test]
    fn frame_len_walks_what_append_wrote() {
        let mut out = Vec::new();
        for len in LENGTHS {
            append(&mut out, Opcode::Binary, &vec![7; len]);
            append(&mut out, Opcode::Pong, &[1, 2]);
        }
        let mut rest = out.as_slice();
        for len in LENGTHS {
            let head = encode_head(Opcode::Binary, true, len).as_bytes().len();
            assert_eq!(frame_len(rest), head + len);
            assert!(!is_control(rest[0]));
            rest = &rest[head + len..];
            assert_eq!(frame_len(rest), 4);
            assert!(is_control(rest[0]));
            rest = &rest[4..];
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn frame_len_needs_only_the_head_and_never_runs_past_half_of_one() {
        let head = encode_head(Opcode::Text, true, 70_000);
        assert_eq!(frame_len(head.as_bytes()), 70_010);
        for short in 0..10 {
            assert_eq!(frame_len(&head.as_bytes()[..short]), short);
        }
    }

    #[test]
    fn a_close_carries_code_and_reason() {
        assert_eq!(close_payload(1000, ""), [0x03, 0xe8]);
        assert_eq!(close_payload(4001, "bye"), b"\x0f\xa1bye");
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(close_payload(1000, &"x".repeat(123)).len(), 125);
        assert_eq!(close_payload(1000, &"x".repeat(124)).len(), 125);
        // 122 bytes and a character of two: it would need 124.
        let reason = "x".repeat(122) + "é";
        assert_eq!(
            close_payload(1000, &reason)[2..],
            *"x".repeat(122).as_bytes()
        );
    }

    #[test]
    fn close_codes_follow_the_registry() {
        let allowed: Vec<u16> = (0..=u16::MAX)
            .filter(|code| close_code_allowed(*code))
            .collect();
        let expected: Vec<u16> = (1000..=1003)
            .chain(1007..=1014)
            .chain(3000..=4999)
            .collect();
        assert_eq!(allowed, expected);
    }
}
