//! What an outbox keeps of its own while the socket would block.

use crate::codec;

/// Whole frames that the socket did not take, and the rest of the one it took in part.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    pub(super) bytes: Vec<u8>,
    /// Where the unwritten bytes begin.
    start: usize,
    /// Where the first frame begins of which nothing is written; not before `start`.
    boundary: usize,
}

impl Backlog {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rest of the frame that is begun, and the whole frames after it.
    pub(super) fn parts(&self) -> (&[u8], &[u8]) {
        self.bytes[self.start..].split_at(self.boundary - self.start)
    }

    pub(super) fn append(&mut self, frames: &[u8]) {
        self.bytes.extend_from_slice(frames);
    }

    /// `n` bytes were written.
    pub(super) fn advance(&mut self, n: usize) {
        self.start += n;
        while self.boundary < self.start {
            self.boundary += codec::frame_len(&self.bytes[self.boundary..]);
        }
        if self.is_empty() {
            // Memory is held under backpressure only.
            *self = Self::default();
        } else if self.start > self.bytes.len() / 8 {
            // Often, so that what is dropped from the front takes little memory beside the limit.
            self.bytes.drain(..self.start);
            self.boundary -= self.start;
            self.start = 0;
        }
    }

    pub(super) fn keep_begun(&mut self) {
        self.bytes.truncate(self.boundary);
        self.advance(0);
    }

    /// Drops whole data frames from the front until `len` bytes more are within `limit`, or nothing
    /// else waits; returns how many. Control frames stay. None, and nothing is dropped, if there
    /// would be no room even then. What stays in front of the survivors is moved up to them, so
    /// that the cost is that of the begun frame, not of the backlog.
    pub(super) fn drop_oldest(&mut self, len: usize, limit: usize) -> Option<usize> {
        let need = (self.len() + len).saturating_sub(limit);
        let (mut at, mut freed, mut dropped) = (self.boundary, 0, 0);
        let mut kept = self.bytes[self.start..self.boundary].to_vec();
        let begun = kept.len();
        while freed < need && at < self.bytes.len() {
            let frame = at..at + codec::frame_len(&self.bytes[at..]);
            if codec::is_control(self.bytes[at]) {
                kept.extend_from_slice(&self.bytes[frame.clone()]);
            } else {
                freed += frame.len();
                dropped += 1;
            }
            at = frame.end;
        }
        if freed < need && freed < self.len() {
            return None;
        }
        self.start = at - kept.len();
        self.boundary = self.start + begun;
        self.bytes[self.start..at].copy_from_slice(&kept);
        self.advance(0);
        Some(dropped)
    }
}

/// The latest pong and ping that wait behind a begun frame, or go before the frames that wait.
#[derive(Debug, Default)]
pub(super) struct Control {
    pub(super) bytes: Vec<u8>,
    /// How many bytes belong to a frame of which some are written: they can't be replaced.
    begun: usize,
}

impl Control {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Puts a frame in the place of the one of its kind.
    pub(super) fn replace(&mut self, frame: &[u8]) {
        let mut at = self.begun;
        while at < self.bytes.len() {
            let end = at + codec::frame_len(&self.bytes[at..]);
            if self.bytes[at] == frame[0] {
                self.bytes.drain(at..end);
            } else {
                at = end;
            }
        }
        self.bytes.extend_from_slice(frame);
    }

    /// `n` bytes were written.
    pub(super) fn advance(&mut self, n: usize) {
        let mut boundary = self.begun;
        while boundary < n {
            boundary += codec::frame_len(&self.bytes[boundary..]);
        }
        self.bytes.drain(..n);
        self.begun = boundary - n;
        if self.bytes.is_empty() {
            *self = Self::default();
        }
    }
}
