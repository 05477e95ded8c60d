//! What the connection side needs of a plugin: the seam between sockets and WebAssembly.
//!
//! Two implementations exist: the plugin itself ([`crate::plugin::Guest`]) and the fake that the
//! connection's own tests use.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;

use bytes::Bytes;

use crate::change::Change;
use crate::close::CloseCause;
use crate::event::{Event, States};
use crate::excerpt;
use crate::labels::FailureKind;
use crate::message::Message;

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
    /// The connection's first state, of each plugin of the chain.
    pub states: States,
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
    /// The guest used up its running time.
    Deadline(String),
    /// The guest waited too long in host functions.
    Waited(String),
    /// The guest asked for more memory than its limit.
    Memory(String),
    /// No instance could be had.
    Unavailable(String),
    /// No instance came free in time.
    Busy(String),
    /// The generation refused the state that an earlier one left, and the connection can't stay
    /// with that one.
    Refused(String),
}

impl Failure {
    /// An error that a handler has returned. Its words can have megabytes; what is kept, logged and
    /// shown of them is cut.
    pub fn of_handler(why: String) -> Self {
        Self::Handler(excerpt::cut(why))
    }

    /// Says the failure of one plugin of several.
    pub fn of_plugin(self, name: &str) -> Self {
        let said = |why| format!("plugin {name:?}: {why}");
        match self {
            Self::Handler(why) => Self::Handler(said(why)),
            Self::Trap(why) => Self::Trap(said(why)),
            Self::Deadline(why) => Self::Deadline(said(why)),
            Self::Waited(why) => Self::Waited(said(why)),
            Self::Memory(why) => Self::Memory(said(why)),
            Self::Unavailable(why) => Self::Unavailable(said(why)),
            Self::Busy(why) => Self::Busy(said(why)),
            Self::Refused(why) => Self::Refused(said(why)),
        }
    }

    /// The label it is counted under.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Handler(_) => FailureKind::Error,
            Self::Trap(_) => FailureKind::Trap,
            Self::Deadline(_) => FailureKind::Deadline,
            Self::Waited(_) => FailureKind::Wait,
            Self::Memory(_) => FailureKind::Memory,
            Self::Unavailable(_) => FailureKind::Unavailable,
            Self::Busy(_) => FailureKind::Busy,
            Self::Refused(_) => FailureKind::Refused,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handler(why) => write!(f, "handler error: {why}"),
            Self::Trap(why) => write!(f, "trap: {why}"),
            Self::Deadline(why) => write!(f, "deadline missed: {why}"),
            Self::Waited(why) => write!(f, "waited too long: {why}"),
            Self::Memory(why) => write!(f, "memory limit: {why}"),
            Self::Unavailable(why) => write!(f, "no instance: {why}"),
            Self::Busy(why) => write!(f, "no instance in time: {why}"),
            Self::Refused(why) => write!(f, "state refused: {why}"),
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

    /// The place in the chain of the first plugin that answers plain HTTP requests just now.
    fn responder(&self) -> Option<usize>;

    /// Has the plugins in front of that place decide on a plain request, as on an upgrade.
    fn admit(
        &self,
        event: &mut Box<Event>,
        request: &Request,
        responder: usize,
    ) -> impl Future<Output = Result<Upgrade, Failure>>;

    /// Has the plugin at that place answer a plain request.
    fn respond(
        &self,
        event: &mut Box<Event>,
        responder: usize,
        request: hyper::Request<Bytes>,
    ) -> impl Future<Output = Result<hyper::Response<Bytes>, Failure>>;

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

    /// A timer has fired that the plugin `owner` has set, for the connection or for itself.
    fn timer(
        &self,
        event: &mut Box<Event>,
        owner: usize,
        name: &str,
    ) -> impl Future<Output = Result<(), Failure>>;

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
