//! Many client connections on one epoll instance, driven by one thread.
//!
//! A workload calls [`Fleet::turn`] in a loop with a closure that sees every event and may answer on the same
//! connection. All that one read called forth leaves in one write.

mod connection;

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mio::{Events, Interest, Poll, Token};

use self::connection::Connection;
use crate::Target;
use crate::frame::Frame;

/// Bytes one read may take; also the size under which no message is ever copied.
const SCRATCH: usize = 256 << 10;

/// Handshakes under way at once in [`Fleet::connect_all`]: below any server's accept backlog.
const CONNECTING: usize = 64;

/// Something that happened on a connection.
pub struct Arrival<'a> {
    /// The connection.
    pub id: usize,
    /// When its bytes were read.
    pub at: Instant,
    /// What happened.
    pub event: Event<'a>,
}

/// What happened on a connection.
pub enum Event<'a> {
    /// The server accepted the upgrade.
    Opened,
    /// A text or binary message.
    Message(Frame<'a>),
    /// The connection is over; its id may be given to another.
    Ended(End),
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// We sent a close frame, the server answered it with this code and closed the socket.
    Answered(Option<u16>),
    /// The server sent a close frame on its own.
    ClosedByServer(Option<u16>),
    /// The socket closed or failed without a close handshake.
    Lost(String),
    /// The server sent what no server may send.
    Protocol(&'static str),
    /// The server answered the handshake with something else than an upgrade.
    Refused(String),
}

/// What a closure of [`Fleet::turn`] wants to send on the connection of its event.
#[derive(Default)]
pub struct Reply {
    /// Whole client frames, in order.
    pub bytes: Vec<u8>,
    /// Whether a close frame follows them.
    pub close: bool,
}

/// Client connections, by number.
pub struct Fleet {
    poll: Poll,
    events: Events,
    connections: Vec<Option<Connection>>,
    vacant: BTreeSet<usize>,
    /// Connections whose last write failed; they end at the next turn.
    broken: Vec<(usize, io::Error)>,
    scratch: Vec<u8>,
    reply: Reply,
}

impl Fleet {
    /// No connections yet.
    ///
    /// # Errors
    /// When the system gives no epoll instance.
    pub fn new() -> Result<Self> {
        raise_descriptor_limit();
        Ok(Self {
            poll: Poll::new().context("failed to create an epoll instance")?,
            events: Events::with_capacity(1024),
            connections: Vec::new(),
            vacant: BTreeSet::new(),
            broken: Vec::new(),
            scratch: vec![0; SCRATCH],
            reply: Reply::default(),
        })
    }

    /// Connections that have not ended.
    #[must_use]
    pub fn live(&self) -> usize {
        self.connections.len() - self.vacant.len()
    }

    /// Begins to connect; the lowest free number becomes the connection's id.
    ///
    /// # Errors
    /// When the system gives no socket.
    pub fn open(&mut self, target: &Target) -> Result<usize> {
        let mut connection = Connection::start(target)
            .with_context(|| format!("failed to connect to {}", target.address()))?;
        let id = self.vacant.pop_first().unwrap_or(self.connections.len());
        self.poll
            .registry()
            .register(
                connection.socket(),
                Token(id),
                Interest::READABLE | Interest::WRITABLE,
            )
            .context("failed to watch a socket")?;
        if id == self.connections.len() {
            self.connections.push(Some(connection));
        } else {
            self.connections[id] = Some(connection);
        }
        Ok(id)
    }

    /// Opens one connection to each of `targets`, in order, and waits until all are open. Messages meanwhile are passed over.
    ///
    /// # Errors
    /// When one fails, or when `within` has passed.
    pub fn connect_all<'t>(
        &mut self,
        targets: impl IntoIterator<Item = &'t Target>,
        within: Duration,
    ) -> Result<()> {
        let deadline = Instant::now() + within;
        let mut targets = targets.into_iter().peekable();
        let (mut started, mut opened) = (0, 0);
        while targets.peek().is_some() || opened < started {
            while started - opened < CONNECTING
                && let Some(target) = targets.next()
            {
                self.open(target)?;
                started += 1;
            }
            let mut failure = None;
            self.turn(Duration::from_millis(100), |arrival, _| {
                match arrival.event {
                    Event::Opened => opened += 1,
                    Event::Message(_) => {}
                    Event::Ended(end) => failure = Some((arrival.id, end)),
                }
            })?;
            if let Some((id, end)) = failure {
                bail!("connection {id} failed after {opened} had opened: {end:?}");
            }
            ensure!(
                Instant::now() < deadline,
                "only {opened} connections opened within {within:?}; allow more time or fewer connections"
            );
        }
        Ok(())
    }

    /// Waits up to `timeout` (rounded up to milliseconds) for events and handles those there are.
    ///
    /// # Errors
    /// When epoll fails. What goes wrong on one connection is its [`Event::Ended`].
    pub fn turn(
        &mut self,
        timeout: Duration,
        mut on: impl FnMut(Arrival<'_>, &mut Reply),
    ) -> Result<()> {
        while let Some((id, error)) = self.broken.pop() {
            let end = End::Lost(format!("failed to write: {error}"));
            Self::finish(&mut self.connections, &mut self.vacant, id, end, &mut on);
        }
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other.context("failed to wait for events")?,
        }
        for event in &self.events {
            let id = event.token().0;
            let Some(Some(connection)) = self.connections.get_mut(id) else {
                continue;
            };
            self.reply.bytes.clear();
            self.reply.close = false;
            let mut io = connection::Io {
                id,
                scratch: &mut self.scratch,
                reply: &mut self.reply,
            };
            if let Err(end) = connection.serve(event, &mut io, &mut on) {
                Self::finish(&mut self.connections, &mut self.vacant, id, end, &mut on);
            }
        }
        Ok(())
    }

    /// Handles events for `time`, passing over all messages.
    ///
    /// # Errors
    /// When a connection ends meanwhile.
    pub fn rest(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            let mut ended = None;
            self.turn(left, |arrival, _| {
                if let Event::Ended(end) = arrival.event {
                    ended = Some(end);
                }
            })?;
            if let Some(end) = ended {
                bail!("a connection ended while it should have rested: {end:?}");
            }
        }
        Ok(())
    }

    /// Handles events until no message has come for `quiet`, at most for `within`: join notices are over then.
    ///
    /// # Errors
    /// When epoll fails.
    pub fn settle(&mut self, quiet: Duration, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        let mut last = Instant::now();
        while last.elapsed() < quiet && Instant::now() < deadline {
            self.turn(quiet, |_, _| last = Instant::now())?;
        }
        Ok(())
    }

    /// Writes whole client frames on `id`; what the socket does not take follows later.
    pub fn send(&mut self, id: usize, frames: &[u8]) {
        if let Some(Some(connection)) = self.connections.get_mut(id)
            && let Err(error) = connection.write(frames)
        {
            self.broken.push((id, error));
        }
    }

    /// Reads nothing more on `id`, and hears of nothing: a peer that has stalled.
    ///
    /// # Errors
    /// When the socket cannot be taken out of epoll.
    pub fn stop_reading(&mut self, id: usize) -> Result<()> {
        if let Some(Some(connection)) = self.connections.get_mut(id) {
            let registry = self.poll.registry();
            let gone = registry.deregister(connection.socket());
            gone.context("failed to leave a socket unwatched")?;
        }
        Ok(())
    }

    /// Sends a close frame (1000) on `id`.
    pub fn close(&mut self, id: usize) {
        if let Some(Some(connection)) = self.connections.get_mut(id)
            && let Err(error) = connection.send_close()
        {
            self.broken.push((id, error));
        }
    }

    /// Closes every connection and waits for the ends, at most for `within`; returns how each did not end
    /// as it should: answered with 1000.
    ///
    /// # Errors
    /// When epoll fails.
    pub fn close_all(&mut self, within: Duration) -> Result<Vec<String>> {
        let deadline = Instant::now() + within;
        let mut wrong = Vec::new();
        let mut next = 0;
        while self.live() > 0 && Instant::now() < deadline {
            for _ in 0..CONNECTING {
                self.close(next);
                next += 1;
            }
            let wait = if next < self.connections.len() { 1 } else { 50 };
            self.turn(Duration::from_millis(wait), |arrival, _| {
                if let Event::Ended(end) = arrival.event
                    && end != End::Answered(Some(1000))
                {
                    wrong.push(format!("connection {}: {end:?}", arrival.id));
                }
            })?;
        }
        for id in 0..self.connections.len() {
            if self.connections[id].take().is_some() {
                self.vacant.insert(id);
                wrong.push(format!("connection {id}: no answer to its close frame"));
            }
        }
        Ok(wrong)
    }

    fn finish(
        connections: &mut [Option<Connection>],
        vacant: &mut BTreeSet<usize>,
        id: usize,
        end: End,
        on: &mut impl FnMut(Arrival<'_>, &mut Reply),
    ) {
        // Dropping the socket also takes it out of epoll. Ids a write failed on twice are vacant already.
        if connections[id].take().is_none() {
            return;
        }
        vacant.insert(id);
        let arrival = Arrival {
            id,
            at: Instant::now(),
            event: Event::Ended(end),
        };
        on(arrival, &mut Reply::default());
    }
}

/// Ten thousand sockets need more than the usual soft limit; the hard one is ours to use, and what we start inherits it.
/// Returns how many descriptors there may be now.
pub(crate) fn raise_descriptor_limit() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    // A refusal shows later, as "too many open files", and with the count that was reached.
    let raised = setrlimit(Resource::Nofile, limit).is_ok();
    let current = if raised { limit.maximum } else { before };
    // None means that there is no limit.
    current
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or(usize::MAX)
}
