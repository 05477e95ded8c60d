//! The WebSocket wire format, server side (RFC 6455): bytes to items and back.
//!
//! Pure functions over byte slices: no sockets, no async, no clock. [`Reader`] turns what clients
//! sent into [`Item`]s, in the caller's buffer wherever that is possible; [`append`] and its
//! neighbours encode what we send; [`deflate`] is the compression of RFC 7692. The handshake is not
//! here, nor is any budget: [`Reader::held`] says what memory a connection holds, and the caller
//! counts it.

#![forbid(unsafe_code)]

mod body;
pub mod deflate;
mod frame;
mod head;
mod mask;
mod message;
mod opcode;
mod reader;
mod utf8;
mod violation;

pub use frame::{
    EncodedHead, HEAD_MAX, append, append_deflated, close_code_allowed, close_payload, encode_head,
    frame_len, frame_len_of, longest_deflated, payload,
};
pub use mask::apply_mask;
pub use message::Message;
pub use opcode::{MAX_CONTROL, Opcode, is_control};
pub use reader::{Batch, Item, Reader};
pub use violation::Violation;
