//! One core's share of the gateway: its connections' outboxes, its hub, and the turn of its loop.
//!
//! A shard is a thread with a current-thread runtime. Everything here belongs to that thread and
//! needs no locks; `RefCell` borrows are short and never across an await. What one turn of the
//! loop produced for a connection leaves in one write at the turn's end.

mod allowance;
mod apply;
mod deflation;
mod delays;
mod link;
mod poller;
mod pulses;
mod signal;
mod table;
mod timers;
mod turn;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::{io, net};

use foldhash::HashMap;
use tidegate_codec::deflate::Inflater;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::close::CloseCause;
use crate::config::RouteLimits;
use crate::counters::Counters;
use crate::directory::Directory;
use crate::effects::Effects;
use crate::event_stream;
use crate::heartbeat::{Heartbeats, Millis};
use crate::hub::Hub;
use crate::labels::DropReason;
use crate::log::Rate;
use crate::message::{ConnectionId, Message, Seat};
use crate::outbox::Oversize;
use crate::pending::Pending;
use crate::signs::Wish;
use crate::supervise;
use crate::topic::Topic;

pub use allowance::SLICE;
pub use deflation::Deflation;
pub use link::{Link, Mail, Mailbox};
pub use poller::Ready;
pub use signal::Wake;
pub use table::{Delivery, Encoding, Presence};
pub use timers::Whose;
pub use turn::Turn;

use allowance::Allowance;
use delays::Delays;
use poller::Poller;
use table::Table;
use timers::Timers;

/// One read takes at most this much; a turn's answers to it leave in one write. Larger reads would
/// let one connection keep the others waiting longer.
pub const SCRATCH_SIZE: usize = 64 << 10;
/// How many unused read buffers a shard keeps.
const SPARE: usize = 4;

thread_local! {
    /// The shard that runs on this thread. Guest stores must be `Send` and so can't hold the `Rc`;
    /// the host functions, which only ever run on the shard's own thread, find it here.
    static CURRENT: OnceCell<Rc<Shard>> = const { OnceCell::new() };
}

/// The shard of this thread; none on threads that serve no connections.
pub fn with_current<R>(f: impl FnOnce(Option<&Rc<Shard>>) -> R) -> R {
    CURRENT.with(|current| f(current.get()))
}

/// A decompressor, and room for what it inflates.
#[derive(Default)]
pub struct Inflating {
    /// For messages that stand alone.
    pub inflater: Inflater,
    /// Empty between messages.
    pub inflated: Vec<u8>,
}

/// One core's share of the gateway.
pub struct Shard {
    index: usize,
    hub: RefCell<Hub>,
    table: RefCell<Table>,
    directory: Arc<Directory>,
    pending: Arc<Pending>,
    /// The ways to the other shards, by index; the own one is not used.
    links: Box<[Link]>,
    /// What goes to the other shards at the end of this turn, by index.
    outgoing: RefCell<Box<[Effects]>>,
    poller: Poller,
    /// Wakes the task that runs the turns.
    turn_waker: Cell<Option<Waker>>,
    scratch: RefCell<Vec<Box<[u8]>>>,
    inflaters: RefCell<Vec<Inflating>>,
    allowance: Allowance,
    delays: RefCell<Delays>,
    heartbeats: RefCell<Heartbeats>,
    timers: RefCell<Timers>,
    /// A timer was set that is earlier than all the others.
    timer_set: Notify,
    plugin_timers: RefCell<HashMap<usize, Rc<Notify>>>,
    started: Instant,
    now: Cell<Millis>,
    /// What each plugin's failures may log, by its index in the configuration.
    failure_rates: RefCell<HashMap<usize, Rate>>,
    failures_unlogged: Cell<u64>,
    next_id: Cell<u64>,
    counters: Arc<Counters>,
}

impl Shard {
    /// The shard `index` of as many as there are links. Call on the shard's thread, in its runtime.
    pub fn new(
        index: usize,
        links: Box<[Link]>,
        directory: Arc<Directory>,
        pending: Arc<Pending>,
        oversize: Arc<Oversize>,
        counters: Arc<Counters>,
    ) -> io::Result<Rc<Self>> {
        Ok(Rc::new(Self {
            index,
            hub: RefCell::default(),
            table: RefCell::new(Table::new(oversize, counters.clone())),
            directory,
            pending,
            outgoing: RefCell::new(links.iter().map(|_| Effects::default()).collect()),
            links,
            poller: Poller::new()?,
            turn_waker: Cell::new(None),
            scratch: RefCell::default(),
            inflaters: RefCell::default(),
            allowance: Allowance::new(),
            delays: RefCell::default(),
            heartbeats: RefCell::default(),
            timers: RefCell::default(),
            timer_set: Notify::new(),
            plugin_timers: RefCell::default(),
            started: Instant::now(),
            now: Cell::new(0),
            failure_rates: RefCell::default(),
            failures_unlogged: Cell::new(0),
            next_id: Cell::new(1),
            counters,
        }))
    }

    /// Makes this the thread's shard and starts its clocks. Its turns are run by
    /// [`connection::drive`](crate::connection::drive).
    pub fn start(self: &Rc<Self>) {
        CURRENT.with(|current| {
            // A second shard on one thread can only be a test's; the first one stays.
            let _ = current.set(self.clone());
        });
        supervise::lasting("clock", pulses::run(self.clone()));
        supervise::lasting("timers", timers::run(self.clone()));
    }

    /// What this shard counts.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many connections it holds.
    pub fn connections(&self) -> usize {
        self.table.borrow().len()
    }

    /// Gives a new connection its id and its outbox, and watches its socket, which must not block.
    /// `owners` are the plugins that serve it.
    ///
    /// # Errors
    /// When the kernel watches as many sockets as it may.
    pub fn admit(
        &self,
        socket: net::TcpStream,
        limits: Arc<RouteLimits>,
        owners: Rc<[usize]>,
        encoding: Encoding,
    ) -> io::Result<Seat> {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        let id = ConnectionId(id * self.links.len() as u64 + self.index as u64);
        let now = self.now.get();
        let mut table = self.table.borrow_mut();
        let key = table.insert(id, socket, limits, owners, encoding, now);
        let seat = Seat { id, key };
        if let Err(error) = table.watch_socket(seat, &self.poller) {
            table.remove(key);
            return Err(error);
        }
        self.directory.connections().add(id, table.owners(seat));
        self.heartbeats.borrow_mut().schedule(now + 1, id);
        self.counters.opened.add(1);
        Ok(seat)
    }

    /// The connection that a ready socket belongs to. It may be gone by now.
    pub fn seat(&self, ready: &Ready) -> Option<Seat> {
        self.table.borrow().seat(ready.token)
    }

    /// Reads what a connection's socket has.
    ///
    /// # Errors
    /// `WouldBlock` if it has nothing, or that of the socket.
    pub fn read(&self, seat: Seat, buffer: &mut [u8]) -> io::Result<usize> {
        self.table.borrow().read(seat, buffer)
    }

    /// A connection's socket takes more: writes its backlog on.
    pub fn write_on(&self, seat: Seat) {
        self.table.borrow_mut().flush_blocked(seat);
    }

    /// What a connection has to be told.
    pub fn take_wake(&self, seat: Seat) -> Option<Wake> {
        self.table.borrow_mut().take_wake(seat)
    }

    /// Why a connection was asked to end, if it was.
    pub fn take_close(&self, seat: Seat) -> Option<CloseCause> {
        self.table.borrow_mut().take_close(seat)
    }

    /// Has the task woken when something happens to the connection: for one that is ending.
    pub fn watch(&self, seat: Seat, context: &Context<'_>) {
        self.table.borrow_mut().watch(seat, context);
    }

    /// Wakes the task that watches the connection.
    pub fn wake(&self, seat: Seat) {
        self.table.borrow().wake(seat);
    }

    /// Has a connection looked at in the next turn.
    pub fn set_due(&self, seat: Seat) {
        self.table.borrow_mut().set_due(seat);
        self.wake_turn();
    }

    /// Frees a connection's place. Its socket closes.
    pub fn dismiss(&self, seat: Seat) {
        self.unsubscribe_all(seat);
        self.leave(seat);
        self.table.borrow_mut().remove(seat.key);
        self.counters.closed.add(1);
    }

    /// The connections of this shard.
    pub fn ids(&self) -> Vec<ConnectionId> {
        self.table.borrow().ids()
    }

    /// Whether a connection was asked to end.
    pub fn is_ending(&self, seat: Seat) -> bool {
        self.table.borrow().is_ending(seat)
    }

    /// Asks a connection to end; the first cause wins.
    pub fn request_close(&self, id: ConnectionId, cause: CloseCause) -> bool {
        let first = self.table.borrow_mut().request_close(id, cause);
        self.wake_turn();
        first
    }

    /// A buffer to read into. It goes back with [`Shard::give_scratch`]; there are as many as
    /// events are under way at once, which is one unless handlers wait.
    pub fn take_scratch(&self) -> Box<[u8]> {
        let spare = self.scratch.borrow_mut().pop();
        spare.unwrap_or_else(|| vec![0; SCRATCH_SIZE].into_boxed_slice())
    }

    /// Takes a read buffer back. A few are kept.
    pub fn give_scratch(&self, scratch: Box<[u8]>) {
        let mut spares = self.scratch.borrow_mut();
        if spares.len() < SPARE {
            spares.push(scratch);
        }
    }

    /// A decompressor for messages that stand alone, and room for one of them. They go back with
    /// [`Shard::give_inflater`].
    pub fn take_inflater(&self) -> Inflating {
        self.inflaters.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a decompressor back. A few are kept, without the memory of large messages.
    pub fn give_inflater(&self, mut inflater: Inflating) {
        let mut spares = self.inflaters.borrow_mut();
        if spares.len() < SPARE {
            inflater.inflated.clear();
            inflater.inflated.shrink_to(SCRATCH_SIZE);
            spares.push(inflater);
        }
    }

    /// Grants a connection the signs of life that its client asked for. To be called before anything
    /// is sent to it.
    pub fn grant_signs(&self, seat: Seat, wish: Wish) {
        let now = self.now.get();
        self.table.borrow_mut().grant_signs(seat, wish, now);
        self.wake_turn();
    }

    /// Milliseconds since the shard started, on the coarse clock.
    pub fn now(&self) -> Millis {
        self.now.get()
    }

    /// Whether a connection's peer is still there, by a look at its socket.
    pub fn presence(&self, seat: Seat) -> Presence {
        self.table.borrow().presence(seat)
    }

    /// Copies what a connection's socket has, and leaves it there. Returns how many bytes.
    pub fn peek(&self, seat: Seat, buffer: &mut [u8]) -> usize {
        self.table.borrow().peek(seat, buffer)
    }

    /// What `send` answers for a message to `to` (with the id that events are to carry), behind what the
    /// same event did before; and the bytes that it takes in the outbox there. `own` is the event's
    /// connection, `sender` the plugin that asks.
    pub fn delivery(
        &self,
        to: ConnectionId,
        own: Option<Seat>,
        sender: usize,
        before: &Effects,
        (message, id): (Message<'_>, Option<&str>),
    ) -> (Delivery, usize) {
        let shard = to.shard(self.links.len());
        if shard == self.index {
            let id = id.filter(|id| event_stream::is_id(id)).unwrap_or_default();
            let mut table = self.table.borrow_mut();
            let ahead = before.bytes_for(to);
            return table.delivery(to, own, sender, ahead, (message, id));
        }
        let cost = Effects::cost_of(message.payload().len());
        let refused = if !self.directory.connections().is_served(to, sender) {
            DropReason::Closing
        } else if !self.has_mail_room(shard, before.cost(), cost) {
            DropReason::ShardQueue
        } else {
            return (Delivery::Queued, cost);
        };
        self.counters.drops.count(refused);
        (Delivery::Dropped, 0)
    }

    /// The process's budget for what has come in only in part.
    pub fn pending(&self) -> &Arc<Pending> {
        &self.pending
    }

    /// The process's directory of topics.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Whether a connection of this shard is subscribed.
    pub fn is_subscribed(&self, id: ConnectionId, topic: Topic<'_>) -> bool {
        let key = self.table.borrow().key(id);
        key.is_some_and(|key| self.hub.borrow().is_subscribed(key, topic))
    }

    /// How many topics a connection of this shard is subscribed to.
    pub fn subscriptions(&self, id: ConnectionId) -> usize {
        let key = self.table.borrow().key(id);
        key.map_or(0, |key| self.hub.borrow().subscriptions(key))
    }

    /// Queues a pong for a ping's payload (RFC 6455 section 5.5.3).
    pub fn pong(&self, seat: Seat, payload: &[u8]) {
        self.table.borrow_mut().push_pong(seat.key, payload);
        self.wake_turn();
    }

    /// Queues the close frame; nothing is sent after it. A frame with code 1005 goes out empty,
    /// none means that nothing can be sent any more.
    pub fn close(&self, seat: Seat, cause: &CloseCause) {
        self.leave(seat);
        self.table.borrow_mut().close(seat.key, cause);
        self.wake_turn();
    }

    /// Has other shards know that a connection takes nothing more.
    fn leave(&self, seat: Seat) {
        let table = self.table.borrow();
        let connections = self.directory.connections();
        connections.remove(seat.id, table.owners(seat));
    }

    /// Ends a connection's subscriptions.
    pub fn unsubscribe_all(&self, seat: Seat) {
        self.hub.borrow_mut().unsubscribe_all(seat.key, |topic| {
            self.directory.unsubscribed(self.index, topic, seat.id);
        });
    }

    /// Whether everything queued for the connection has been written.
    pub fn is_flushed(&self, seat: Seat) -> bool {
        self.table.borrow().is_flushed(seat.key)
    }

    /// Ends the sending side of a connection's socket, once all is flushed.
    pub fn shutdown(&self, seat: Seat) {
        self.table.borrow().shutdown(seat.key);
    }

    /// Whether a failure of the plugin `owner` may be logged: clients can cause them at any rate, and
    /// neither the log nor another plugin's lines should give way to them. All are counted.
    pub fn may_log_failure(&self, owner: usize) -> bool {
        let may = self
            .failure_rates
            .borrow_mut()
            .entry(owner)
            .or_default()
            .admits();
        if !may {
            self.failures_unlogged.update(|unlogged| unlogged + 1);
        }
        may
    }

    /// Says how many were not logged since this was last asked.
    fn tell_unlogged_failures(&self) {
        if let unlogged @ 1.. = self.failures_unlogged.take() {
            tracing::warn!(
                shard = self.index,
                "{unlogged} more failures of handlers were not logged: they were over `log.rate`"
            );
        }
    }
}
