//! The bounded queue into one connection.
//!
//! All frames a shard produces in one turn of its loop lie in one buffer, the *turn*; an outbox
//! only remembers which ranges of it its connection gets, and writes them at the turn's end. Bytes
//! of its own, the *backlog*, it holds only when the socket would block. Pure: no sockets, no
//! async; the writer is a closure.

mod backlog;

use std::io::{self, IoSlice};
use std::ops::Range;

use smallvec::SmallVec;

use crate::config::SlowConsumer;

use backlog::{Backlog, Control};

/// Above this many bytes waiting, `send` answers `queued` and `on-drain` follows: about what the
/// kernel takes at once for a socket whose reader keeps up (`TCP_NOTSENT_LOWAT` is set to it).
pub const HIGH_WATER: usize = 128 << 10;

/// A range of the turn's buffer.
pub type Span = Range<u32>;

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
    /// Taken.
    Taken,
    /// Taken, and this many older frames were dropped for it (`drop-oldest`).
    Replaced(usize),
    /// Not taken: there is no room (`drop-newest`) or the connection is closing.
    Dropped,
    /// Not taken, and the connection must be closed for it (`close`).
    Overflow,
}

/// What a flush came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// Everything is written.
    Done,
    /// The socket would block; the rest is in the backlog.
    Blocked,
}

/// The queue into one connection.
#[derive(Debug)]
pub struct Outbox {
    /// Ranges of the turn's buffer, in order. Contiguous ranges are one.
    pending: SmallVec<[Span; 2]>,
    pending_bytes: usize,
    backlog: Backlog,
    /// The latest pong, and ping, while there is a backlog: RFC 6455 section 5.5.3 lets us answer
    /// only the most recent ping, so a flood of pings to a peer that does not read takes no room.
    control: Control,
    limit: usize,
    policy: SlowConsumer,
    owes_drain: bool,
    closing: bool,
}

impl Outbox {
    /// An empty outbox for at most `limit` bytes, or for one message of any size.
    pub fn new(limit: usize, policy: SlowConsumer) -> Self {
        Self {
            pending: SmallVec::new(),
            pending_bytes: 0,
            backlog: Backlog::default(),
            control: Control::default(),
            limit,
            policy,
            owes_drain: false,
            closing: false,
        }
    }

    /// Bytes waiting to be written.
    pub fn queued(&self) -> usize {
        self.pending_bytes + self.backlog.len() + self.control.bytes.len()
    }

    /// Whether a frame of `len` bytes has room behind `ahead` bytes that are not pushed yet. An
    /// empty outbox has room for any one frame, else a message larger than the outbox could never
    /// be sent.
    pub fn has_room(&self, ahead: usize, len: usize) -> bool {
        // A pong or ping that waits aside takes none of the room: there is at most one of each.
        let queued = self.pending_bytes + self.backlog.len() + ahead;
        !self.closing && (queued == 0 || queued + len <= self.limit)
    }

    /// Whether bytes are waiting that the socket did not take.
    pub fn is_blocked(&self) -> bool {
        !self.backlog.is_empty() || !self.control.is_empty()
    }

    /// Whether nothing waits, and something could be queued.
    pub fn is_empty(&self) -> bool {
        self.queued() == 0 && !self.closing
    }

    /// Whether a close frame was queued: nothing follows it.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Whether an early flush could make room: nothing is known to block.
    pub fn may_flush(&self) -> bool {
        !self.is_blocked() && self.pending_bytes > 0
    }

    /// Remembers that a sender was told `queued`.
    pub fn owe_drain(&mut self) {
        self.owes_drain = true;
    }

    /// Whether `on-drain` is due: it was owed and everything is written. Clears the debt.
    pub fn take_drain(&mut self) -> bool {
        self.queued() == 0 && !self.closing && std::mem::take(&mut self.owes_drain)
    }

    /// Queues a data frame that lies at `span` in the turn.
    pub fn push(&mut self, span: Span, turn: &[u8]) -> Push {
        let len = span.len();
        if self.has_room(0, len) {
            self.append(span);
            return Push::Taken;
        }
        if self.closing {
            return Push::Dropped;
        }
        match self.policy {
            SlowConsumer::Close => Push::Overflow,
            SlowConsumer::DropNewest => Push::Dropped,
            SlowConsumer::DropOldest => {
                // What this turn has queued may be what is to give way.
                self.keep_pending(turn, 0);
                match self.backlog.drop_oldest(len, self.limit) {
                    Some(dropped) => {
                        self.append(span);
                        Push::Replaced(dropped)
                    }
                    None => Push::Dropped,
                }
            }
        }
    }

    /// Queues a pong or a ping. It has room always: at most one of each waits behind a backlog.
    pub fn push_control(&mut self, span: Span, turn: &[u8]) {
        if self.closing {
            return;
        }
        if self.is_blocked() {
            self.control.replace(&turn[range(&span)]);
        } else {
            self.append(span);
        }
    }

    /// Queues a close frame (or nothing, for a peer that sent none) as the last thing. With
    /// `discard`, what is queued and not begun is dropped for it: a slow consumer should not have
    /// to read all it was too slow for.
    pub fn close(&mut self, span: Option<Span>, discard: bool) {
        if self.closing {
            return;
        }
        if discard {
            self.pending.clear();
            self.pending_bytes = 0;
            self.backlog.keep_begun();
        }
        if let Some(span) = span {
            self.append(span);
        }
        self.closing = true;
    }

    /// Drops all that waits, a begun frame too: the socket is lost, nothing can be written to it.
    pub fn abandon(&mut self) {
        *self = Self {
            closing: true,
            ..Self::new(self.limit, self.policy)
        };
    }

    /// Writes what waits, first the backlog. `turn` is the buffer the spans lie in; what the
    /// writer does not take of it is copied to the backlog.
    pub fn flush(
        &mut self,
        turn: &[u8],
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<Flush> {
        if self.is_blocked() {
            self.keep_pending(turn, 0);
            return self.flush_backlog(write);
        }
        let mut written = 0;
        while written < self.pending_bytes {
            let slices = slices_from(&self.pending, turn, written);
            match write(&slices) {
                Ok(n) => written += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.keep_pending(turn, written);
                    return Ok(Flush::Blocked);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.pending.clear();
        self.pending_bytes = 0;
        Ok(Flush::Done)
    }

    fn flush_backlog(
        &mut self,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<Flush> {
        while self.is_blocked() {
            let (begun, rest) = self.backlog.parts();
            let slices = [begun, &self.control.bytes, rest].map(IoSlice::new);
            match write(&slices) {
                Ok(n) => self.written(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Flush::Blocked);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Flush::Done)
    }

    /// Accounts for `n` bytes written of begun frame, control frame and rest, in this order.
    fn written(&mut self, n: usize) {
        let begun = n.min(self.backlog.parts().0.len());
        let control = (n - begun).min(self.control.bytes.len());
        self.backlog.advance(begun);
        self.control.advance(control);
        self.backlog.advance(n - begun - control);
    }

    fn append(&mut self, span: Span) {
        self.pending_bytes += span.len();
        match self.pending.last_mut() {
            Some(last) if last.end == span.start => last.end = span.end,
            _ => self.pending.push(span),
        }
    }

    /// Copies what is pending, less `written` bytes, to the backlog.
    fn keep_pending(&mut self, turn: &[u8], written: usize) {
        let mut skip = written;
        for span in self.pending.drain(..) {
            if skip >= span.len() {
                skip -= span.len();
                continue;
            }
            self.backlog.append(&turn[range(&span)]);
            self.backlog.advance(skip);
            skip = 0;
        }
        self.pending_bytes = 0;
    }
}

fn range(span: &Span) -> Range<usize> {
    span.start as usize..span.end as usize
}

/// The slices of `spans` after their first `skip` bytes, as many as one write takes.
fn slices_from<'a>(spans: &[Span], turn: &'a [u8], mut skip: usize) -> SmallVec<[IoSlice<'a>; 8]> {
    /// Far below the kernel's limit of 1024, and enough that the system call's cost is spread.
    const SLICES_MAX: usize = 64;
    let mut slices = SmallVec::new();
    for span in spans {
        if skip >= span.len() {
            skip -= span.len();
            continue;
        }
        slices.push(IoSlice::new(&turn[range(span)][skip..]));
        skip = 0;
        if slices.len() == SLICES_MAX {
            break;
        }
    }
    slices
}

#[cfg(test)]
mod tests;
