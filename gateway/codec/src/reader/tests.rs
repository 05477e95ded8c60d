//! The reader against the RFC's rules (`rules`), against the network's cuts (`cuts`), against
//! tungstenite (`differential`), and its two ways to read against each other (`batches`).

mod batches;
mod cuts;
mod differential;
mod rules;

use super::{Item, Reader};
use crate::Violation;

const FIN: u8 = 0x80;
const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// The limit of tests that are not about it.
const MAX_MESSAGE: usize = 1 << 20;

/// An item that outlives the bytes it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Owned {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

impl From<Item<'_>> for Owned {
    fn from(item: Item<'_>) -> Self {
        match item {
            Item::Deflated { .. } => unreachable!("nothing was agreed on"),
            Item::Text(text) => Self::Text(text.to_owned()),
            Item::Binary(payload) => Self::Binary(payload.to_vec()),
            Item::Ping(payload) => Self::Ping(payload.to_vec()),
            Item::Pong(payload) => Self::Pong(payload.to_vec()),
            Item::Close(close) => Self::Close(close.map(|(code, reason)| (code, reason.into()))),
        }
    }
}

/// How the bytes of a length are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Minimal,
    Bits16,
    Bits64,
    /// 64 bits that say this, whatever the payload is.
    Claim(u64),
}

/// A frame as a client sends it, with a mask that leaves no byte unchanged.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    encode(
        first,
        Some([0x5a, 0x11, 0xe7, 0x83]),
        Form::Minimal,
        payload,
    )
}

fn encode(first: u8, mask: Option<[u8; 4]>, form: Form, payload: &[u8]) -> Vec<u8> {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut out = vec![first];
    let (form, len) = match form {
        Form::Minimal if payload.len() < 126 => (Form::Minimal, payload.len() as u64),
        Form::Minimal if payload.len() <= 0xffff => (Form::Bits16, payload.len() as u64),
        Form::Claim(len) => (Form::Bits64, len),
        Form::Minimal => (Form::Bits64, payload.len() as u64),
        form => (form, payload.len() as u64),
    };
    match form {
        Form::Minimal => out.push(masked | len as u8),
        Form::Bits16 => {
            out.push(masked | 126);
            out.extend((len as u16).to_be_bytes());
        }
        Form::Bits64 | Form::Claim(_) => {
            out.push(masked | 127);
            out.extend(len.to_be_bytes());
        }
    }
    out.extend(mask.iter().flatten());
    let mask = mask.unwrap_or([0; 4]);
    out.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    out
}

/// All that a reader makes of `pieces`, each of them one read into the same scratch buffer.
fn read<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    max_message: usize,
) -> (Vec<Owned>, Option<Violation>) {
    let mut reader = Reader::new();
    let mut items = Vec::new();
    let mut scratch = Vec::new();
    for piece in pieces {
        // What an earlier read left is gone: other connections used the buffer.
        scratch.fill(0xaa);
        scratch.clear();
        scratch.extend_from_slice(piece);
        let mut at = 0;
        loop {
            match reader.next(&mut scratch, &mut at, max_message) {
                Ok(Some(item)) => items.push(item.into()),
                Ok(None) => break,
                Err(violation) => {
                    assert!(reader.partial.is_none() || reader.ended);
                    assert_eq!(reader.next(&mut scratch, &mut at, max_message), Ok(None));
                    assert_eq!(at, scratch.len());
                    assert!(reader.partial.is_none());
                    return (items, Some(violation));
                }
            }
        }
        assert_eq!(at, piece.len(), "every byte is taken before the next read");
    }
    (items, None)
}

/// The items of `bytes` in one read, all of them valid.
fn items(bytes: &[u8]) -> Vec<Owned> {
    let (items, violation) = read([bytes], MAX_MESSAGE);
    assert_eq!(violation, None);
    items
}

/// The violation that ends `bytes`, and that it is the same when they come one by one.
fn violation(bytes: &[u8]) -> Violation {
    let (_, at_once) = read([bytes], MAX_MESSAGE);
    let (_, byte_by_byte) = read(bytes.chunks(1), MAX_MESSAGE);
    assert_eq!(at_once, byte_by_byte);
    at_once.expect("a violation")
}

/// How many of `bytes` must arrive until they are refused.
fn refused_after(bytes: &[u8]) -> usize {
    let refused = |n: &usize| read(bytes[..*n].chunks(1), MAX_MESSAGE).1.is_some();
    (0..=bytes.len()).find(refused).expect("a violation")
}
