//! Which sockets are readable or writable.
//!
//! A poll of the shard's own, itself watched by the runtime: sockets then need no task and no
//! registration of the runtime's each, all that are ready are handled in one turn, and an idle
//! connection costs its socket alone. Edge-triggered: each change is told once.

use std::cell::RefCell;
use std::io;
use std::os::fd::AsRawFd;
use std::task::{Context, Poll};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Token};
use tokio::io::unix::AsyncFd;

/// The most sockets handled in one turn. More would let the runtime's other tasks wait; fewer
/// would spread what belongs into one write over several.
pub(super) const READY_MAX: usize = 256;

/// A socket that can do something.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// What it was added with.
    pub token: usize,
    /// There is something to read: bytes, the end, or an error.
    pub readable: bool,
    /// The end is in sight: one read may not reach it, and it is not told again.
    pub ended: bool,
    /// The socket takes more bytes, or has an error to tell.
    pub writable: bool,
}

/// The sockets of a shard.
#[derive(Debug)]
pub(super) struct Poller {
    poll: AsyncFd<Sockets>,
    events: RefCell<Events>,
}

/// In a cell, because asking needs it exclusively.
#[derive(Debug)]
struct Sockets(RefCell<mio::Poll>);

impl AsRawFd for Sockets {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.borrow().as_raw_fd()
    }
}

impl Poller {
    /// An empty poller. Call in a runtime.
    #[expect(
        unsafe_code,
        reason = "tokio has no safe way to watch a file descriptor"
    )]
    pub(super) fn new() -> io::Result<Self> {
        let sockets = Sockets(RefCell::new(mio::Poll::new()?));
        // SAFETY: `Sockets` owns its poll, never replaces it, and is never borrowed for longer than
        // a call: the descriptor is open and the same until the `AsyncFd` drops it.
        let poll =
            unsafe { AsyncFd::register_with_interest(sockets, tokio::io::Interest::READABLE) };
        Ok(Self {
            poll: poll?,
            events: RefCell::new(Events::with_capacity(READY_MAX)),
        })
    }

    /// Watches a socket until it is closed.
    pub(super) fn add(&self, socket: &impl AsRawFd, token: usize) -> io::Result<()> {
        let poll = self.poll.get_ref().0.borrow();
        poll.registry().register(
            &mut SourceFd(&socket.as_raw_fd()),
            Token(token),
            Interest::READABLE | Interest::WRITABLE,
        )
    }

    /// Adds the sockets that are ready to `ready`; pending if there are none.
    pub(super) fn poll(&self, context: &mut Context<'_>, ready: &mut Vec<Ready>) -> Poll<()> {
        loop {
            let Poll::Ready(Ok(mut guard)) = self.poll.poll_read_ready(context) else {
                return Poll::Pending;
            };
            self.collect(ready);
            if ready.len() < READY_MAX {
                guard.clear_ready();
            }
            if !ready.is_empty() {
                return Poll::Ready(());
            }
        }
    }

    /// Looks as [`poll`](Self::poll) does, whether or not the runtime has noticed, and without
    /// being woken.
    pub(super) fn look(&self, ready: &mut Vec<Ready>) -> Poll<()> {
        self.collect(ready);
        match ready.is_empty() {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }

    fn collect(&self, ready: &mut Vec<Ready>) {
        let mut events = self.events.borrow_mut();
        let mut poll = self.poll.get_ref().0.borrow_mut();
        // Only an interrupted call fails here: the next one tells the same.
        let _ = poll.poll(&mut events, Some(Duration::ZERO));
        ready.extend(events.iter().map(|event| Ready {
            token: event.token().0,
            readable: event.is_readable() || event.is_read_closed() || event.is_error(),
            ended: event.is_read_closed() || event.is_error(),
            writable: event.is_writable() || event.is_error(),
        }));
    }
}
