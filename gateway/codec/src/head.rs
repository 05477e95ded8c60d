//! The head of a client frame: everything that RFC 6455 forbids before the payload (section 5.2).

use crate::opcode::{MAX_CONTROL, Opcode};
use crate::violation::Violation;

/// The longest head of a client frame: two bytes, a 64-bit length and the mask.
pub(crate) const MAX_HEAD: usize = 14;

const FIN: u8 = 0x80;
const RSV: u8 = 0x70;
/// The message is compressed (RFC 7692 section 6).
const RSV1: u8 = 0x40;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;

/// A client frame whose payload follows, or what remains of one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) opcode: Opcode,
    pub(crate) fin: bool,
    /// Whether it begins a compressed message.
    pub(crate) deflated: bool,
    /// The mask for the next byte of payload and those after it.
    pub(crate) mask: [u8; 4],
    /// Bytes of payload to come.
    pub(crate) remaining: usize,
}

impl Head {
    /// Reads a head from the start of `bytes`; with it comes the number of bytes it took. `None`
    /// if it goes on after them. Each rule is checked as soon as its bytes are there, and in their
    /// order, so that a violation does not depend on how the network cut the frame.
    ///
    /// `message` is the length of the fragmented message under way, `None` between messages;
    /// `deflate` whether messages may be compressed.
    // Called once on the hot path and once on a cold one, so the compiler would not inline it by
    // itself; its result of 32 bytes through memory costs 7 of 30 ns a small frame.
    #[inline(always)]
    pub(crate) fn parse(
        bytes: &[u8],
        message: Option<usize>,
        max_message: usize,
        deflate: bool,
    ) -> Result<Option<(Self, usize)>, Violation> {
        let Some(&first) = bytes.first() else {
            return Ok(None);
        };
        let (opcode, fin) = check_first(first, message.is_some(), deflate)?;
        let deflated = first & RSV1 != 0;
        let max_message = match deflated {
            true => max_deflated(max_message),
            false => max_message,
        };
        let Some(&second) = bytes.get(1) else {
            return Ok(None);
        };
        if second & MASKED == 0 {
            return Err(Violation::Unmasked);
        }
        let short = usize::from(second & LENGTH);
        if opcode.is_control() && short > MAX_CONTROL {
            return Err(Violation::ControlTooLong);
        }
        let Some((len, mask_at)) = length(bytes, short)? else {
            return Ok(None);
        };
        if !opcode.is_control() && len > max_message.saturating_sub(message.unwrap_or(0)) as u64 {
            return Err(Violation::TooBig);
        }
        let Some(mask) = bytes[mask_at..].first_chunk::<4>() else {
            return Ok(None);
        };
        let head = Self {
            opcode,
            fin,
            deflated,
            mask: *mask,
            // At most max_message, so it fits.
            remaining: len as usize,
        };
        Ok(Some((head, mask_at + mask.len())))
    }

    /// What is left of the frame after `taken` bytes of its payload.
    pub(crate) fn after(mut self, taken: usize) -> Self {
        self.mask.rotate_left(taken % 4);
        self.remaining -= taken;
        self
    }
}

/// The rules that the first byte alone can break: reserved bits and opcodes (section 5.2), whole
/// control frames (5.5) and the order of fragments (5.4).
#[inline(always)]
fn check_first(first: u8, in_message: bool, deflate: bool) -> Result<(Opcode, bool), Violation> {
    let fin = first & FIN != 0;
    let opcode = Opcode::from_first_byte(first).ok_or(Violation::Opcode(first & 0x0f))?;
    // RSV1 is for the first frame of a message (RFC 7692 section 6.1).
    let allowed = match opcode {
        Opcode::Text | Opcode::Binary if deflate => RSV1,
        _ => 0,
    };
    if first & RSV & !allowed != 0 {
        return Err(Violation::ReservedBits);
    }
    match opcode {
        Opcode::Close | Opcode::Ping | Opcode::Pong if !fin => Err(Violation::ControlFragmented),
        Opcode::Continuation if !in_message => Err(Violation::UnexpectedContinuation),
        Opcode::Text | Opcode::Binary if in_message => Err(Violation::ExpectedContinuation),
        _ => Ok((opcode, fin)),
    }
}

/// The payload's length and where the mask begins, from the seven bits `short` and what follows.
#[inline(always)]
fn length(bytes: &[u8], short: usize) -> Result<Option<(u64, usize)>, Violation> {
    let (len, mask_at, minimum) = match short {
        126 => match bytes[2..].first_chunk() {
            Some(len) => (u64::from(u16::from_be_bytes(*len)), 4, 126),
            None => return Ok(None),
        },
        127 => match bytes[2..].first_chunk() {
            Some(len) => (u64::from_be_bytes(*len), 10, 1 << 16),
            None => return Ok(None),
        },
        _ => (short as u64, 2, 0),
    };
    if len < minimum || len > i64::MAX as u64 {
        return Err(Violation::Length);
    }
    Ok(Some((len, mask_at)))
}

/// The most bytes a compressed message may have whose content is within the limit. What does not
/// compress gets longer: noise by a twentieth, and text in the upper half of the bytes by an eighth,
/// where a compressor uses the fixed codes (RFC 1951 section 3.2.6).
pub(crate) fn max_deflated(max_message: usize) -> usize {
    max_message.saturating_add(max_message / 8 + 64)
}
