//! The WebSocket wire format, server side (RFC 6455): bytes to items and back.
//!
//! Pure functions over byte slices: no sockets, no async, no clock. [`Reader`] turns what clients
//! sent into [`Item`]s, in the caller's buffer wherever that is possible; [`append`] and its
//! neighbours encode what we send; [`deflate`] is the compression of RFC 7692. The handshake is not
//! here: hyper and `server/http.rs` do it.

mod body;
pub mod deflate;
mod frame;
mod head;
mod mask;
mod reader;
mod utf8;
mod violation;

pub use frame::{
    EncodedHead, HEAD_MAX, MAX_CONTROL, Opcode, append, append_deflated, close_code_allowed,
    close_payload, encode_head, frame_len, frame_len_of, is_control, longest_deflated, payload,
};
pub use reader::{Batch, Item, Reader};
pub use violation::Violation;
