//! What one turn of a shard has for its connections.

use bytes::Bytes;
use foldhash::HashMap;
use std::ops::Range;

/// What an output keeps of its memory for the next turn: a busy turn's worth.
const KEEP: usize = 1 << 20;

/// A range of an output: whole messages.
pub type Span = Range<u32>;

/// What a message is to an outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Data, or the close: it keeps its place in the order.
    Message,
    /// A sign of life. Of those that wait only the latest is of use.
    Ping,
    /// The answer to a ping. Of those that wait only the latest is of use.
    Pong,
}

/// All small messages of one turn, each once in each encoding, however many connections get it. It
/// remembers where each ends, so that nobody has to read that from the bytes.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    /// The end and the kind of each message, in order.
    ends: Vec<(u32, Kind)>,
    /// Copies for those that have to wait, by where the message begins.
    shared: HashMap<u32, Bytes>,
}

impl Output {
    /// How many bytes it holds.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Adds the message that `encode` appends; returns where it lies.
    pub fn add(&mut self, kind: Kind, encode: impl FnOnce(&mut Vec<u8>)) -> Span {
        let start = self.bytes.len() as u32;
        encode(&mut self.bytes);
        let end = self.bytes.len() as u32;
        self.ends.push((end, kind));
        start..end
    }

    /// Takes out the message that was added last.
    pub fn take_last(&mut self) -> Vec<u8> {
        self.ends.pop();
        let start = self.ends.last().map_or(0, |&(end, _)| end);
        self.bytes.split_off(start as usize)
    }

    /// Forgets everything, and the memory of a turn that was unusually large.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.bytes.shrink_to(KEEP);
        self.ends.shrink_to(KEEP / size_of::<(u32, Kind)>());
        if !self.shared.is_empty() {
            self.shared = HashMap::default();
        }
    }

    /// The bytes at `span`.
    pub(super) fn bytes(&self, span: &Span) -> &[u8] {
        &self.bytes[span.start as usize..span.end as usize]
    }

    /// The message that begins at `start`.
    pub(super) fn message_at(&self, start: u32) -> (Span, Kind) {
        let index = self.ends.partition_point(|&(end, _)| end <= start);
        let (end, kind) = self.ends[index];
        (start..end, kind)
    }

    /// A copy of the message at `span`, the same for all that ask for it.
    pub(super) fn share(&mut self, span: &Span) -> Bytes {
        if let Some(shared) = self.shared.get(&span.start) {
            return shared.clone();
        }
        let shared = Bytes::copy_from_slice(self.bytes(span));
        self.shared.insert(span.start, shared.clone());
        shared
    }
}
