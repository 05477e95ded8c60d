//! The compression of what we send.

use std::mem::replace;

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush};

use super::TAIL;
use super::room::Room;

/// The symbols that zlib gathers before it ends a block: 2,048. The default of 16,384 costs a
/// context up to 48 KB more and makes a message of 1 MB half a percent smaller, but none of 64 KB.
const MEM_LEVEL: i32 = 5;

/// A message without a byte (RFC 7692 section 7.2.3.6): the header of an empty stored block.
const EMPTY: u8 = 0x00;

/// Room for the first piece of output: as much as there is input, which nearly always suffices,
/// up to this number of bytes.
const FIRST_PIECE: usize = 4096;
/// What a message that cannot be compressed takes beyond its own length, and some more, so that
/// output does not end exactly with the room. zlib would then repeat the last, empty block.
const OVERHEAD: usize = 64;

/// A compressor of messages: one per shard, level and window for messages that stand alone, or one
/// per connection that has context takeover.
///
/// Memory: for a window of 2^`bits` bytes: 4 * 2^`bits` bytes and 145 KB, whatever the level.
pub struct Deflater {
    stream: Deflate,
    /// The stream's history is to be forgotten before its next use. Doing that clears a table of
    /// 128 KiB, so it waits until there is something to compress.
    stale: bool,
}

impl Deflater {
    /// A compressor for `level` 1 (fast) to 9 (small), with a window of 2^`bits` bytes: at most
    /// [`Agreement::server_bits`](super::Agreement::server_bits). 12 bits save 112 KB against 15
    /// at next to no cost; with fewer than that it gets slow, since zlib-rs goes through the table
    /// of 128 KiB again whenever the window has moved by its size.
    ///
    /// # Panics
    ///
    /// If `level` is not in 1..=9 or `bits` not in 9..=15.
    pub fn new(level: u8, bits: u8) -> Self {
        assert!((1..=9).contains(&level), "level {level} is not in 1..=9");
        assert!((9..=15).contains(&bits), "bits {bits} are not in 9..=15");
        let stream = Deflate::new_with_config(DeflateConfig {
            level: level.into(),
            // Negative for a raw stream, which has no header of zlib's.
            window_bits: -i32::from(bits),
            mem_level: MEM_LEVEL,
            ..DeflateConfig::default()
        });
        Self {
            stream,
            stale: false,
        }
    }

    /// Compresses a message and appends it to `out`, without its tail (RFC 7692 section 7.2.1).
    /// Returns the number of bytes appended: at least 1. Noise comes out longer than it was, by up
    /// to an eighth at level 1; without `keep` such a message can be sent as it is.
    ///
    /// `keep` says whether the next message may refer to this one and those before it (context
    /// takeover). Once it may, each message must reach the peer, in order, or
    /// [`reset`](Self::reset) must come before the next.
    pub fn deflate(&mut self, payload: &[u8], out: &mut Vec<u8>, keep: bool) -> usize {
        if payload.is_empty() {
            // zlib writes nothing when there is nothing new since its last flush.
            self.stale |= !keep;
            out.push(EMPTY);
            return 1;
        }
        if replace(&mut self.stale, !keep) {
            self.stream.reset();
        }
        let first = payload.len().min(FIRST_PIECE) + OVERHEAD;
        let mut room = Room::new(out, first, usize::MAX);
        self.flush(payload, &mut room);
        let appended = room.finish() - TAIL.len();
        debug_assert!(out.ends_with(&TAIL), "a flush ends with an empty block");
        out.truncate(out.len() - TAIL.len());
        appended
    }

    /// Forgets all history: the next message stands alone. Needed when the peer was sent a message
    /// that another `Deflater` compressed, since its history is then no longer ours.
    pub fn reset(&mut self) {
        self.stale = true;
    }

    /// Compresses all of `input` up to a byte boundary.
    fn flush(&mut self, mut input: &[u8], room: &mut Room<'_>) {
        loop {
            let free = room.free();
            let size = free.len();
            let (read, written) = (self.stream.total_in(), self.stream.total_out());
            self.stream
                .compress(input, free, DeflateFlush::SyncFlush)
                .expect("fails only after the end of the stream, which is never asked for");
            let read = (self.stream.total_in() - read) as usize;
            let written = (self.stream.total_out() - written) as usize;
            input = &input[read..];
            room.advance(written);
            // With no room left there may be more to come, even if all input is read.
            if input.is_empty() && written < size {
                return;
            }
        }
    }
}
