//! The bounded queue into one connection.
//!
//! What a shard produces in one turn of its loop lies in one [`Output`]; an outbox only remembers
//! which ranges of it its connection gets, and writes them at the turn's end. A [`Large`] message lies
//! by itself and is written at once. Something of its own, the backlog, an outbox holds only while the
//! socket would block: copies of small messages, shares of the others. Pure: no sockets, no async; the
//! writer is a closure.

mod backlog;
mod large;
mod output;

use std::io::{self, IoSlice};
use std::sync::Arc;

use serde::Deserialize;
use smallvec::SmallVec;

pub use large::{LARGE_MIN, Large, Oversize};
pub use output::{Kind, Output, Span};

use backlog::{Backlog, SHARED_MIN, SLICES_MAX, Slices};

/// Above this many bytes waiting, `send` answers `queued` and `on-drain` follows: about what the
/// kernel takes at once for a socket whose reader keeps up (`TCP_NOTSENT_LOWAT` is set to it).
pub const HIGH_WATER: usize = 128 << 10;

/// Whether a message is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
    /// Taken.
    Taken,
    /// Taken, and this many older messages were dropped for it (`drop-oldest`).
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

/// What becomes of a message for a connection whose outbox is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlowConsumer {
    /// The connection is closed: its client comes back and asks anew, rather than miss messages
    /// unknowingly.
    #[default]
    Close,
    /// The message is dropped and counted; what waits already is sent.
    DropNewest,
    /// What has waited longest is dropped and counted, for streams in which the newest value
    /// matters.
    DropOldest,
}

/// The queue into one connection.
#[derive(Debug)]
pub struct Outbox {
    /// Ranges of the turn's output, in order. Contiguous ranges are one.
    pending: SmallVec<[Span; 2]>,
    pending_bytes: usize,
    /// The backlog; none while nothing waits that the socket did not take.
    backlog: Option<Box<Backlog>>,
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
            backlog: None,
            limit,
            policy,
            owes_drain: false,
            closing: false,
        }
    }

    /// Bytes waiting to be written.
    pub fn queued(&self) -> usize {
        self.held() + self.backlog.as_ref().map_or(0, |backlog| backlog.aside())
    }

    /// Bytes that count against the limit: all but a pong and a ping, of which one each waits.
    fn held(&self) -> usize {
        self.pending_bytes + self.backlog.as_ref().map_or(0, |backlog| backlog.len())
    }

    /// Whether a message of `len` bytes has room behind `ahead` bytes that are not taken yet. An empty
    /// outbox has room for any one message, else one longer than the outbox could never be sent;
    /// `may_wait` says whether the process has room for such a one.
    pub fn has_room(&self, ahead: usize, len: usize, may_wait: bool) -> bool {
        let held = self.held() + ahead;
        !self.closing && (held + len <= self.limit || held == 0 && may_wait)
    }

    /// Whether something waits that the socket did not take.
    pub fn is_blocked(&self) -> bool {
        self.backlog.is_some()
    }

    /// Whether a close was queued: nothing follows it.
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

    /// Decides on a message of `len` bytes, and makes room for it as the policy says. What is taken
    /// must follow with [`Outbox::push`] or [`Outbox::write_large`]. `may_wait` as in
    /// [`Outbox::has_room`].
    pub fn admit(&mut self, len: usize, may_wait: bool, output: &mut Output) -> Push {
        if self.has_room(0, len, may_wait) {
            return Push::Taken;
        }
        if self.closing {
            return Push::Dropped;
        }
        match self.policy {
            SlowConsumer::Close => Push::Overflow,
            SlowConsumer::DropNewest => Push::Dropped,
            SlowConsumer::DropOldest if len > self.limit && !may_wait => Push::Dropped,
            SlowConsumer::DropOldest => {
                // What this turn has queued may be what is to give way.
                self.keep_pending(output, 0);
                let backlog = self.backlog.as_mut();
                let dropped = backlog.and_then(|backlog| backlog.drop_oldest(len, self.limit));
                self.forget_empty_backlog();
                dropped.map_or(Push::Dropped, Push::Replaced)
            }
        }
    }

    /// Queues a message of the turn's that was admitted.
    pub fn push(&mut self, span: Span) {
        self.pending_bytes += span.len();
        match self.pending.last_mut() {
            Some(last) if last.end == span.start => last.end = span.end,
            _ => self.pending.push(span),
        }
    }

    /// Queues a pong or a ping. It has room always: at most one of each waits behind a backlog.
    pub fn push_control(&mut self, span: Span, kind: Kind, output: &Output) {
        match &mut self.backlog {
            _ if self.closing => {}
            Some(backlog) => backlog.set_aside(kind, output.bytes(&span)),
            None => self.push(span),
        }
    }

    /// Queues the close (or nothing, for a peer that is sent none) as the last thing. With `discard`,
    /// what is queued and not begun is dropped for it: a slow consumer should not have to read all it
    /// was too slow for.
    pub fn close(&mut self, span: Option<Span>, discard: bool) {
        if self.closing {
            return;
        }
        if discard {
            self.pending.clear();
            self.pending_bytes = 0;
            if let Some(backlog) = &mut self.backlog {
                backlog.keep_begun();
            }
            self.forget_empty_backlog();
        }
        if let Some(span) = span {
            self.push(span);
        }
        self.closing = true;
    }

    /// Drops all that waits, a begun message too: the socket is lost, nothing can be written to it.
    pub fn abandon(&mut self) {
        *self = Self {
            closing: true,
            ..Self::new(self.limit, self.policy)
        };
    }

    /// Writes what waits, first the backlog. What the writer does not take of `output` moves to the
    /// backlog.
    ///
    /// # Errors
    /// An error of the writer, but for `WouldBlock` and `Interrupted`.
    pub fn flush(
        &mut self,
        output: &mut Output,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<Flush> {
        if self.is_blocked() {
            self.keep_pending(output, 0);
            return self.flush_backlog(write);
        }
        let mut written = 0;
        while written < self.pending_bytes {
            let wrote = once(&mut write, &slices_from(&self.pending, output, written))?;
            match wrote {
                Some(n) => written += n,
                None => {
                    self.keep_pending(output, written);
                    return Ok(Flush::Blocked);
                }
            }
        }
        self.pending.clear();
        self.pending_bytes = 0;
        Ok(Flush::Done)
    }

    /// Writes a large message that was admitted, from where it lies, or has it wait for its turn.
    ///
    /// # Errors
    /// As those of [`Outbox::flush`].
    pub fn write_large(
        &mut self,
        large: &mut Large<'_>,
        output: &mut Output,
        oversize: &Arc<Oversize>,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<Flush> {
        let (mut written, len) = (0, large.bytes().len());
        if self.queued() == 0 {
            while written < len {
                let rest = IoSlice::new(&large.bytes()[written..]);
                match once(&mut write, &[rest])? {
                    Some(n) => written += n,
                    None => break,
                }
            }
            if written == len {
                return Ok(Flush::Done);
            }
        }
        self.keep_pending(output, 0);
        let kept = large.keep((len > self.limit).then_some(oversize));
        self.backlog().push_shared(kept, written);
        Ok(Flush::Blocked)
    }

    fn flush_backlog(
        &mut self,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<Flush> {
        while let Some(backlog) = &mut self.backlog {
            let wrote = once(&mut write, &backlog.slices())?;
            match wrote {
                Some(n) => backlog.advance(n),
                None => return Ok(Flush::Blocked),
            }
            self.forget_empty_backlog();
        }
        Ok(Flush::Done)
    }

    /// Moves what is pending, less `written` bytes, to the backlog.
    fn keep_pending(&mut self, output: &mut Output, written: usize) {
        let mut skip = written;
        for span in std::mem::take(&mut self.pending) {
            let mut at = span.start;
            while at < span.end {
                let (message, kind) = output.message_at(at);
                at = message.end;
                if skip >= message.len() {
                    skip -= message.len();
                    continue;
                }
                let begun = std::mem::take(&mut skip);
                if kind != Kind::Message && begun == 0 {
                    self.backlog().set_aside(kind, output.bytes(&message));
                } else if message.len() >= SHARED_MIN {
                    let shared = output.share(&message);
                    self.backlog().push_shared(shared, begun);
                } else {
                    self.backlog().push_copy(output.bytes(&message), begun);
                }
            }
        }
        self.pending_bytes = 0;
    }

    fn backlog(&mut self) -> &mut Backlog {
        self.backlog.get_or_insert_default()
    }

    /// Memory is held under backpressure only.
    fn forget_empty_backlog(&mut self) {
        self.backlog.take_if(|backlog| backlog.is_empty());
    }
}

/// Writes once; none when the socket would block.
fn once(
    write: &mut impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    slices: &[IoSlice<'_>],
) -> io::Result<Option<usize>> {
    loop {
        match write(slices) {
            Ok(n) => return Ok(Some(n)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The slices of `spans` after their first `skip` bytes, as many as one write takes.
fn slices_from<'a>(spans: &[Span], output: &'a Output, mut skip: usize) -> Slices<'a> {
    let mut slices = Slices::new();
    for span in spans {
        if skip >= span.len() {
            skip -= span.len();
            continue;
        }
        slices.push(IoSlice::new(&output.bytes(span)[skip..]));
        skip = 0;
        if slices.len() == SLICES_MAX {
            break;
        }
    }
    slices
}

#[cfg(test)]
mod tests;
