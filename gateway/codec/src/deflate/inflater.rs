//! The decompression of what clients sent.

use zlib_rs::{Inflate, InflateFlush, Status};

use super::TAIL;
use super::room::Room;

/// The tail of a message, and after it the end of the stream: an empty last block. A decoder that
/// does not come to rest exactly there was left in the middle of a block.
const TAIL_AND_END: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];

/// The bounds of the first piece of room, in bytes, between which it is four times the input: text
/// shrinks that much. zlib is slower in the last 260 bytes of its room.
const FIRST_PIECE: (usize, usize) = (512, 16 << 10);

/// Why a message could not be decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// The inflated message is longer than the limit. The close code is 1009 (RFC 6455 section
    /// 7.4.1).
    #[error("message too big after decompression")]
    TooBig,
    /// The bytes are not compressed data, refer to more than was sent, or end in the middle of a
    /// block. The close code is 1007 (RFC 6455 section 7.4.1).
    #[error("invalid compressed data")]
    Invalid,
}

/// A decompressor of messages: one per shard for messages that stand alone, or one per connection
/// that has context takeover. It reads data for windows of any size.
///
/// Memory: 48 KB, of which a context that has seen few messages touched 19.
pub struct Inflater {
    stream: Inflate,
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

impl Inflater {
    /// A decompressor without history.
    pub fn new() -> Self {
        Self {
            // zlib-rs has one size of window memory, so nothing is gained from a smaller window.
            stream: Inflate::new(false, 15),
        }
    }

    /// Decompresses a message and appends it to `out` (RFC 7692 section 7.2.2). `payload` joins the
    /// payloads of all its frames, as they came: the tail is added here.
    ///
    /// `max` is the limit for the message, in bytes after decompression. `out` grows with what is
    /// decoded, and never to more than `max` + 1 bytes beyond its length before.
    ///
    /// `keep` says whether the next message may refer to this one and those before it (context
    /// takeover).
    ///
    /// # Errors
    ///
    /// [`InflateError`]: `out` is then as it was, and all history is forgotten. A message that is
    /// cut off in the middle of a block is found out only without `keep`: with it, the stream must
    /// go on, and zlib does not tell where it stands.
    pub fn inflate(
        &mut self,
        payload: &[u8],
        out: &mut Vec<u8>,
        max: usize,
        keep: bool,
    ) -> Result<(), InflateError> {
        let mut course = Course::new(payload, out, max, keep);
        while !self.advance(&mut course, out, usize::MAX)? {}
        Ok(())
    }

    /// Decompresses some more of a message, and appends up to `slice` bytes to `out`. Returns
    /// whether that was the last of it. Between the slices of a message nothing else may be
    /// decompressed, and nothing else put into `out`.
    ///
    /// # Errors
    ///
    /// As [`inflate`](Self::inflate).
    pub fn advance(
        &mut self,
        course: &mut Course<'_>,
        out: &mut Vec<u8>,
        slice: usize,
    ) -> Result<bool, InflateError> {
        let (step, limit) = (course.step, course.max.saturating_add(1));
        let mut room = Room::resumed(out, course.start, step, limit, slice);
        let result = self.run(course, &mut room);
        if result.is_err() || !course.keep && matches!(result, Ok(true)) {
            self.reset();
        }
        match result {
            Ok(_) => _ = room.finish(),
            Err(_) => room.abandon(),
        }
        result
    }

    /// Forgets all history, and the message under way, in some 10 ns.
    pub fn reset(&mut self) {
        self.stream.reset(false);
    }

    fn run(&mut self, course: &mut Course<'_>, room: &mut Room<'_>) -> Result<bool, InflateError> {
        // A block may say that it is the last one (section 7.2.3.4). Senders begin a new stream
        // after it, without history. Its end may also be that of the message: then there is no
        // empty block that the tail would complete. Nor is there one in a payload of no bytes, an
        // empty message from a sender whose zlib had nothing to flush.
        while course.is_paused || !course.rest.is_empty() {
            let tail: &[u8] = if course.keep { &TAIL } else { &TAIL_AND_END };
            match self.feed(course.rest, room)? {
                Stream::Paused(rest) => {
                    course.rest = rest;
                    course.is_paused = true;
                    return Ok(false);
                }
                Stream::Open if !course.in_tail => {
                    course.rest = tail;
                    course.in_tail = true;
                    course.is_paused = false;
                }
                Stream::Open if course.keep => return Ok(true),
                Stream::Ended([]) if course.in_tail && !course.keep => return Ok(true),
                Stream::Ended(rest) if !course.in_tail => {
                    self.reset();
                    course.rest = rest;
                    course.is_paused = false;
                }
                Stream::Open | Stream::Ended(_) => return Err(InflateError::Invalid),
            }
        }
        Ok(true)
    }

    /// Decodes all of `input`, or as much of it as belongs to this stream.
    fn feed<'a>(
        &mut self,
        mut input: &'a [u8],
        room: &mut Room<'_>,
    ) -> Result<Stream<'a>, InflateError> {
        loop {
            let free = room.free();
            let size = free.len();
            let (read, written) = (self.stream.total_in(), self.stream.total_out());
            let status = self
                .stream
                .decompress(input, free, InflateFlush::SyncFlush)
                .map_err(|_| InflateError::Invalid)?;
            let read = (self.stream.total_in() - read) as usize;
            let written = (self.stream.total_out() - written) as usize;
            input = &input[read..];
            room.advance(written);
            if room.is_full() {
                return Err(InflateError::TooBig);
            }
            match status {
                Status::StreamEnd => return Ok(Stream::Ended(input)),
                _ if room.is_paused() => return Ok(Stream::Paused(input)),
                // With no room left there may be more to come, even if all input is read.
                _ if input.is_empty() && written < size => return Ok(Stream::Open),
                Status::BufError if written < size => return Err(InflateError::Invalid),
                _ => {}
            }
        }
    }
}

/// How far a message is decompressed.
#[derive(Debug)]
pub struct Course<'p> {
    /// Of the payload, or of its tail.
    rest: &'p [u8],
    in_tail: bool,
    /// There may be more to come of what was read.
    is_paused: bool,
    /// Where the message begins.
    start: usize,
    step: usize,
    max: usize,
    keep: bool,
}

impl<'p> Course<'p> {
    /// The start of a message behind what is in `out`, to be decompressed with
    /// [`Inflater::advance`]. The rest is as with [`Inflater::inflate`].
    pub fn new(payload: &'p [u8], out: &[u8], max: usize, keep: bool) -> Self {
        let (least, most) = FIRST_PIECE;
        Self {
            rest: payload,
            in_tail: false,
            is_paused: false,
            start: out.len(),
            step: payload.len().saturating_mul(4).clamp(least, most),
            max,
            keep,
        }
    }
}

/// Where a stream stands after some input.
enum Stream<'a> {
    /// The stream goes on.
    Open,
    /// Time to pause; these bytes of the input were not read.
    Paused(&'a [u8]),
    /// The last block of the stream ended, and these bytes of the input come after it.
    Ended(&'a [u8]),
}
