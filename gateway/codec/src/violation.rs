//! Every way in which a client can break RFC 6455, with the close code each one earns.

/// Why the bytes of a client were refused. The connection must be failed (RFC 6455 section 7.1.7):
/// send a Close with [`code`](Self::code), then close the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// RSV1, RSV2 or RSV3 is set without an extension that gives it a meaning (section 5.2).
    #[error("reserved bits set")]
    ReservedBits,
    /// An opcode that RFC 6455 does not define: 3-7 or 11-15 (section 5.2).
    #[error("unknown opcode {0}")]
    Opcode(u8),
    /// A frame without a mask (section 5.1: a server "MUST close the connection" on it).
    #[error("frame not masked")]
    Unmasked,
    /// A length in more bytes than it needs, or with its top bit set (section 5.2: "the minimal
    /// number of bytes MUST be used", "the most significant bit MUST be 0").
    #[error("length not in its minimal form")]
    Length,
    /// A control frame with more than 125 bytes (section 5.5).
    #[error("control frame too long")]
    ControlTooLong,
    /// A control frame without FIN (section 5.5).
    #[error("control frame fragmented")]
    ControlFragmented,
    /// A continuation frame while no fragmented message is under way (section 5.4).
    #[error("continuation without a message")]
    UnexpectedContinuation,
    /// A text or binary frame inside another message's fragments (section 5.4).
    #[error("new message inside a fragmented one")]
    ExpectedContinuation,
    /// A Close whose payload is one byte: half a code (section 5.5.1).
    #[error("close payload of one byte")]
    ClosePayload,
    /// A Close code that no endpoint may send (section 7.4).
    #[error("invalid close code {0}")]
    CloseCode(u16),
    /// A text message or a close reason that is not UTF-8 (sections 5.6, 5.5.1 and 8.1).
    #[error("invalid utf-8")]
    Utf8,
    /// A compressed message that cannot be decompressed (RFC 7692 section 7.2.2).
    #[error("invalid compressed data")]
    Deflate,
    /// A message in more frames than the limit.
    #[error("too many fragments")]
    Fragments,
    /// A message longer than the limit, found in the header that announces it (section 10.4).
    #[error("message too big")]
    TooBig,
}

impl Violation {
    /// The close code to send for it: 1007, 1008, 1009 or, for all others, 1002 (section 7.4.1).
    pub fn code(self) -> u16 {
        match self {
            Self::Utf8 | Self::Deflate => 1007,
            Self::Fragments => 1008,
            Self::TooBig => 1009,
            Self::ReservedBits
            | Self::Opcode(_)
            | Self::Unmasked
            | Self::Length
            | Self::ControlTooLong
            | Self::ControlFragmented
            | Self::UnexpectedContinuation
            | Self::ExpectedContinuation
            | Self::ClosePayload
            | Self::CloseCode(_) => 1002,
        }
    }
}
