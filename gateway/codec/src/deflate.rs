//! permessage-deflate, the compression of WebSocket messages (RFC 7692), server side.
//!
//! Pure functions over byte slices, as in the rest of the codec. [`negotiate`] picks an offer of
//! the handshake, a [`Deflater`] compresses what we send and an [`Inflater`] reads what clients
//! sent. RSV1 and frames are the caller's: a payload here is that of a whole message.
//!
//! Coders can forget each message once it is done, and then a few serve all connections of a shard.
//! With context takeover a message may refer to those before it: it comes out smaller, and each
//! connection needs coders of its own.

mod deflater;
mod extension;
mod inflater;
mod offer;
mod room;

pub use deflater::Deflater;
pub use inflater::{Course, InflateError, Inflater};
pub use offer::{Agreement, negotiate};

/// What ends the compressed data of every message and is left off on the wire (RFC 7692 section
/// 7.2.1): the lengths of an empty stored block, whose header bits stay.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

#[cfg(test)]
mod tests;
