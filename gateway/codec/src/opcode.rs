//! The types of frames, the same in both directions (RFC 6455 section 5.2).

/// The longest payload of a control frame (RFC 6455 section 5.5).
pub const MAX_CONTROL: usize = 125;

const CONTROL: u8 = 0x08;

/// The frame types of RFC 6455 section 5.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// The next fragment of a message that a text or binary frame began.
    Continuation = 0x0,
    /// A text message, or its first fragment.
    Text = 0x1,
    /// A binary message, or its first fragment.
    Binary = 0x2,
    /// The end of the connection, with an optional code and reason.
    Close = 0x8,
    /// Asks the peer for a Pong with the same payload.
    Ping = 0x9,
    /// The answer to a Ping, or an unasked sign of life.
    Pong = 0xa,
}

impl Opcode {
    /// The opcode in the low four bits of a frame's first byte; `None` for the reserved ones.
    #[inline]
    pub fn from_first_byte(first: u8) -> Option<Self> {
        Some(match first & 0x0f {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    /// Whether frames of this type are control frames (RFC 6455 section 5.5).
    #[inline]
    pub(crate) fn is_control(self) -> bool {
        is_control(self as u8)
    }
}

/// Whether a frame that begins with `first` is a control frame: its opcode's top bit is set
/// (RFC 6455 section 5.2).
#[inline]
pub fn is_control(first: u8) -> bool {
    first & CONTROL != 0
}
