//! What the connection side needs of a plugin: the seam between sockets and WebAssembly.
//!
//! Two implementations exist: the plugin itself ([`crate::plugin::Guest`]) and the fake that the
//! connection's own tests use.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;

use foldhash::HashMap;

use crate::close::{CloseCause, CloseFrame};
use crate::effects::Effects;
use crate::message::{ConnectionId, Message};
use crate::shard::{Seat, Shard};
use crate::store::Change;

/// The HTTP request that opened a connection. Header names are in lower case.
#[derive(Clone, Debug)]
pub struct Request {
    /// Path without the query, as sent.
    pub path: String,
    /// What the route's `{name}` segments matched, percent-decoded.
    pub params: Vec<(String, String)>,
    /// What follows `?`, as sent.
    pub query: Option<String>,
    /// Header fields in the order they came.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The peer's address.
    pub peer: SocketAddr,
    /// The subprotocols offered, in the client's order.
    pub subprotocols: Vec<String>,
}

/// A granted upgrade.
#[derive(Clone, Debug, Default)]
pub struct Accept {
    /// One of the offered subprotocols.
    pub subprotocol: Option<String>,
    /// Header fields added to the 101.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The connection's first state.
    pub state: Vec<u8>,
}

/// A refused upgrade: the response the client gets instead.
#[derive(Clone, Debug)]
pub struct Reject {
    /// An HTTP status.
    pub status: u16,
    /// Header fields of the response.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Body of the response.
    pub body: Vec<u8>,
}

/// What an upgrade came to.
#[derive(Clone, Debug)]
pub enum Upgrade {
    /// The 101 may go out.
    Accept(Accept),
    /// The client gets this instead. A refusal is not an error.
    Reject(Reject),
}

/// What an event carries into the handler and what it brings back.
///
/// A connection has one only while it handles something; the state is moved in and out. Effects and
/// the new state count only when the handler returned `ok`: [`Event::commit`].
#[derive(Debug, Default)]
pub struct Event {
    /// The event's own connection; none for an upgrade or a change of the store.
    pub seat: Option<Seat>,
    /// Its state as the last event left it.
    pub state: Vec<u8>,
    /// The state this event has set.
    pub next_state: Option<Vec<u8>>,
    /// What the handler did, in order.
    pub effects: Effects,
    /// What this event has done to its connection's subscriptions, by topic: `None` ended it,
    /// `Some` made it, with or without a label.
    pub topics: HashMap<Box<str>, Option<Option<Box<str>>>>,
    /// By how much that changes their number.
    pub topics_added: isize,
    /// The generation that handled the event.
    pub generation: u64,
    /// The largest state, in bytes.
    pub state_max: usize,
    /// The most topics the connection may be subscribed to.
    pub subscriptions_max: usize,
    /// Set from `on-close` on: the connection can no longer subscribe.
    pub closed: bool,
    /// The close frame with which the handler has closed the connection.
    pub kicked: Option<CloseFrame>,
    /// Messages of a batch whose events have ended with `ok`.
    pub handled: usize,
}

impl Event {
    /// The event's own connection; none for an upgrade.
    pub fn connection(&self) -> Option<ConnectionId> {
        self.seat.map(|seat| seat.id)
    }

    /// The handler returned `ok`: state and effects take effect. `owner` is the plugin.
    pub fn commit(&mut self, shard: &Shard, owner: usize) {
        if let Some(state) = self.next_state.take() {
            self.state = state;
        }
        let kicked = shard.apply(self.seat, owner, &self.effects);
        self.kicked = self.kicked.take().or(kicked);
        self.effects.clear();
        self.forget_topics();
    }

    /// The handler failed: nothing it did takes effect (G10).
    pub fn discard(&mut self) {
        self.next_state = None;
        self.effects.clear();
        self.forget_topics();
    }

    /// Makes it anyone's event, keeping the memory of its effects.
    pub fn reset(&mut self) {
        self.discard();
        self.seat = None;
        self.state = Vec::new();
        self.closed = false;
        self.kicked = None;
        self.handled = 0;
    }

    fn forget_topics(&mut self) {
        if !self.topics.is_empty() {
            self.topics = HashMap::default();
        }
        self.topics_added = 0;
    }
}

/// What became of a call with several messages.
#[derive(Debug)]
pub struct Batch {
    /// How many of them were handled, from the first on; at least one.
    pub handled: usize,
    /// How the event of the last of those ended.
    pub last: Result<(), Failure>,
}

/// Why a handler's call did not return `ok`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The handler returned an error: nothing is broken.
    Handler(String),
    /// The guest trapped; its instance is gone.
    Trap(String),
    /// The guest used up its running time, or waited too long in a host function.
    Deadline(String),
    /// The guest asked for more memory than its limit.
    Memory(String),
    /// No instance could be had.
    Unavailable(String),
}

impl Failure {
    /// The name used in metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Handler(_) => "error",
            Self::Trap(_) => "trap",
            Self::Deadline(_) => "deadline",
            Self::Memory(_) => "memory",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handler(why) => write!(f, "handler error: {why}"),
            Self::Trap(why) => write!(f, "trap: {why}"),
            Self::Deadline(why) => write!(f, "deadline missed: {why}"),
            Self::Memory(why) => write!(f, "memory limit: {why}"),
            Self::Unavailable(why) => write!(f, "no instance: {why}"),
        }
    }
}

impl std::error::Error for Failure {}

/// Handles the events of a route's connections. Each connection calls it for one event at a time.
/// Events come boxed, because they are swapped into the handler's own memory.
pub trait Handler: 'static {
    /// Whether a call would have to wait for an instance just now.
    fn is_busy(&self) -> bool;

    /// Decides on an upgrade, before the 101.
    fn upgrade(
        &self,
        event: &mut Box<Event>,
        request: &Request,
    ) -> impl Future<Output = Result<Upgrade, Failure>>;

    /// A connection has opened.
    fn open(
        &self,
        event: &mut Box<Event>,
        request: &Request,
    ) -> impl Future<Output = Result<(), Failure>>;

    /// Messages have arrived: at least one, in order, each an event of its own. Handles as many as
    /// it cares to in one call. All but the last of those have ended with `ok` and have been
    /// committed; how the last one ended is the result, and the caller's to put into force.
    fn messages(
        &self,
        event: &mut Box<Event>,
        messages: &[Message<'_>],
    ) -> impl Future<Output = Batch>;

    /// All that was queued for the connection is written.
    fn drain(&self, event: &mut Box<Event>) -> impl Future<Output = Result<(), Failure>>;

    /// A key of a bucket that the plugin watches was set or removed. An event without a connection.
    fn change(
        &self,
        event: &mut Box<Event>,
        change: &Change,
    ) -> impl Future<Output = Result<(), Failure>>;

    /// The connection has ended.
    fn close(
        &self,
        event: &mut Box<Event>,
        cause: &CloseCause,
    ) -> impl Future<Output = Result<(), Failure>>;
}
