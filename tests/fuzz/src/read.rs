//! Reads a stream as a connection does, and holds the reader to its promises on memory.

use std::alloc::System;

use cap::Cap;
use tidegate_codec::{Batch, Reader, Violation};

use crate::item::Owned;
use crate::wire::{FIN, Found, split};

/// Only the fuzzed code allocates through it; libFuzzer itself is C++.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// What the reader may hold for anything pending, besides payload: a head, a few lengths and
/// pointers.
const STATE: usize = 256;
/// The smallest capacity that a vector of bytes takes.
const LEAST_CAPACITY: usize = 8;

/// All that was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the client said.
    pub items: Vec<Owned>,
    /// The rule it broke.
    pub violation: Option<Violation>,
    /// In which of the reads.
    pub broken_in: Option<usize>,
}

impl Outcome {
    /// The outcome, whatever the reads were.
    pub fn said(self) -> (Vec<Owned>, Option<Violation>) {
        (self.items, self.violation)
    }
}

/// What holds for a connection.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// The most bytes of a message, in turns for one read and the next.
    pub limits: [usize; 2],
    /// Whether the client may compress.
    pub deflate: bool,
}

impl Terms {
    /// One limit for all reads, and no compression.
    pub fn plain(limit: usize) -> Self {
        Self {
            limits: [limit; 2],
            deflate: false,
        }
    }
}

/// Reads `pieces`, each of them one read into the same scratch buffer.
pub fn read(pieces: &[&[u8]], terms: Terms) -> Outcome {
    run(pieces, terms, false)
}

/// Reads with [`Reader::batch`] in front of every [`Reader::next`].
pub fn read_in_batches(pieces: &[&[u8]], terms: Terms) -> Outcome {
    run(pieces, terms, true)
}

fn run(pieces: &[&[u8]], terms: Terms, in_batches: bool) -> Outcome {
    let stream = pieces.concat();
    let mut pending = Pending {
        frames: split(&stream),
        len: stream.len(),
        has_ended: false,
    };
    let mut connection = Connection::default();
    if terms.deflate {
        connection.reader = Reader::deflating();
    }
    let mut scratch = Vec::new();
    let mut before = 0;
    for (read, piece) in pieces.iter().enumerate() {
        // What an earlier read left is gone: other connections used the buffer.
        scratch.fill(0xaa);
        scratch.clear();
        scratch.extend_from_slice(piece);
        let limit = terms.limits[read % 2];
        let result = connection.take(&mut scratch, before, limit, in_batches, &mut pending);
        if let Err(violation) = result {
            return Outcome {
                items: connection.items,
                violation: Some(violation),
                broken_in: Some(read),
            };
        }
        before += piece.len();
    }
    Outcome {
        items: connection.items,
        violation: None,
        broken_in: None,
    }
}

/// A reader, what it said and what it holds.
#[derive(Debug, Default)]
struct Connection {
    reader: Reader,
    held: usize,
    items: Vec<Owned>,
}

impl Connection {
    /// Takes all of `scratch`, which `before` bytes of the stream came before.
    fn take(
        &mut self,
        scratch: &mut [u8],
        before: usize,
        limit: usize,
        in_batches: bool,
        pending: &mut Pending,
    ) -> Result<(), Violation> {
        let mut at = 0;
        loop {
            if in_batches {
                self.batch(scratch, &mut at, limit)?;
            }
            let allocated = ALLOCATOR.allocated();
            let result = self.reader.next(scratch, &mut at, limit);
            self.held = self.held + ALLOCATOR.allocated() - allocated;
            match result {
                Ok(Some(item)) => {
                    let item = Owned::from(item);
                    pending.has_ended = matches!(item, Owned::Close(_));
                    let given = STATE + 2 * item.payload_len().max(LEAST_CAPACITY);
                    let most = given + pending.most_held(before + at);
                    assert!(self.held <= most, "{} bytes held, not {most}", self.held);
                    self.items.push(item);
                }
                Ok(None) => {
                    assert_eq!(at, scratch.len(), "every byte is taken");
                    let most = pending.most_held(before + at);
                    assert!(self.held <= most, "{} bytes held, not {most}", self.held);
                    return Ok(());
                }
                Err(violation) => return Err(self.refuse(violation, scratch, at)),
            }
        }
    }

    /// Takes the messages that lie whole in `scratch`; the reader keeps nothing of them.
    fn batch(&mut self, scratch: &mut [u8], at: &mut usize, limit: usize) -> Result<(), Violation> {
        let start = *at;
        let mut batch = Batch::with_capacity(64);
        let allocated = ALLOCATOR.allocated();
        let result = self
            .reader
            .batch(scratch, at, limit, usize::MAX, &mut batch);
        let result = result.map(|_| ());
        let now = ALLOCATOR.allocated();
        assert!(now <= allocated, "a batch allocates nothing");
        self.held -= allocated - now;
        assert!(batch.is_empty() || self.held == 0);
        assert!(batch.is_empty() || *at > start);
        self.items
            .extend(batch.iter().map(|message| Owned::from(*message)));
        drop(batch);
        result.map_err(|violation| self.refuse(violation, scratch, *at))
    }

    /// After a violation all bytes are skipped, and nothing is held for them.
    fn refuse(&mut self, violation: Violation, scratch: &mut [u8], mut at: usize) -> Violation {
        let allocated = ALLOCATOR.allocated();
        let after = self.reader.next(scratch, &mut at, usize::MAX);
        assert_eq!(after, Ok(None));
        assert_eq!(self.held + ALLOCATOR.allocated() - allocated, 0);
        assert_eq!(at, scratch.len());
        violation
    }
}

/// What a reader has to remember, by a plain count of the stream's frames.
#[derive(Debug)]
struct Pending {
    frames: Vec<Found>,
    len: usize,
    /// A Close came: the rest of the stream has no meaning.
    has_ended: bool,
}

impl Pending {
    /// The most bytes that a reader may hold at `at` of the stream: nothing between messages, else
    /// at most twice what arrived of what is unfinished.
    fn most_held(&self, at: usize) -> usize {
        if self.has_ended {
            return 0;
        }
        let (mut message, mut control, mut boundary) = (None, 0, 0);
        for frame in self.frames.iter().take_while(|frame| frame.start < at) {
            let end = frame.end(self.len).filter(|end| *end <= at);
            let arrived = end.unwrap_or(at).saturating_sub(frame.payload_at);
            boundary = end.unwrap_or(boundary);
            if frame.is_control() {
                control = if end.is_some() { 0 } else { arrived };
            } else if end.is_some() && frame.first & FIN != 0 {
                message = None;
            } else {
                message = Some(message.unwrap_or(0) + arrived);
            }
        }
        if boundary == at && message.is_none() {
            return 0;
        }
        STATE + 2 * message.unwrap_or(0) + 2 * control.max(LEAST_CAPACITY)
    }
}
