//! The connections of a shard as seen by those who write to them: outbox, socket, pulse.

mod control;
mod deliver;
mod intake;
mod signs;
mod slot;

use std::io;
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;

use foldhash::{HashMap, HashMapExt};

use super::deflation::Compressors;
use super::poller::Poller;
use super::signal::{Signal, Wake};
use crate::close::CloseCause;
use crate::config::{RouteLimits, SlowConsumer};
use crate::counters::Counters;
use crate::heartbeat::{Millis, Pulse};
use crate::labels::DropReason;
use crate::message::{ConnectionId, Key, Message, Seat};
use crate::outbox::{HIGH_WATER, LARGE_MIN, Outbox, Output, Oversize};
use crate::signs::Signs;

pub(super) use deliver::{Audience, Frame};
pub use slot::{Encoding, Presence};

use slot::{Slot, flush, mark};

/// Past this the turn is written early, so that its memory is bounded.
const TURN_MAX: usize = 8 << 20;
/// The most connections that are told something in one turn; the others' turn is the next.
const DUE_MAX: usize = 256;

/// What `send` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Written at the end of the turn.
    Sent,
    /// Behind bytes that the peer has not read yet; `on-drain` follows.
    Queued,
    /// Not taken.
    Dropped,
    /// Not taken, and the connection is to be closed for it, once the event has returned `ok`.
    Overflow,
}

pub(super) struct Table {
    slots: Vec<Option<Slot>>,
    free: Vec<Key>,
    ids: HashMap<ConnectionId, Key>,
    /// All small messages of this turn, each once, however many get it.
    output: Output,
    /// The process's, for messages that are longer than their outbox.
    oversize: Arc<Oversize>,
    /// Who has something pending.
    dirty: Vec<Key>,
    /// Who has to be told something.
    due: Vec<Seat>,
    compressors: Compressors,
    signs: Signs,
    counters: Arc<Counters>,
}

impl Table {
    pub(super) fn new(oversize: Arc<Oversize>, counters: Arc<Counters>) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            ids: HashMap::new(),
            output: Output::default(),
            oversize,
            dirty: Vec::new(),
            due: Vec::new(),
            compressors: Compressors::new(counters.clone()),
            signs: Signs::default(),
            counters,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn ids(&self) -> Vec<ConnectionId> {
        self.ids.keys().copied().collect()
    }

    pub(super) fn key(&self, id: ConnectionId) -> Option<Key> {
        self.ids.get(&id).copied()
    }

    /// The plugins that serve a connection.
    pub(super) fn owners(&self, seat: Seat) -> &[usize] {
        self.slot(seat).map_or(&[], |slot| &slot.owners)
    }

    /// Whether a connection is there and that plugin serves it.
    pub(super) fn is_served(&self, id: ConnectionId, owner: usize) -> bool {
        let key = self.key(id);
        let slot = key.and_then(|key| self.slots[key as usize].as_ref());
        slot.is_some_and(|slot| slot.owners.contains(&owner))
    }

    pub(super) fn insert(
        &mut self,
        id: ConnectionId,
        socket: TcpStream,
        limits: Arc<RouteLimits>,
        owners: Rc<[usize]>,
        encoding: Encoding,
        now: Millis,
    ) -> Key {
        let outbox = Outbox::new(limits.outbox, limits.slow_consumer);
        let slot = Slot {
            id,
            outbox,
            socket,
            sent: 0,
            ended: false,
            signal: Signal::default(),
            pulse: Pulse::new(now),
            limits,
            owners,
            encoding,
            is_dirty: false,
            has_signs: false,
        };
        let key = match self.free.pop() {
            Some(key) => {
                self.slots[key as usize] = Some(slot);
                key
            }
            None => {
                self.slots.push(Some(slot));
                (self.slots.len() - 1) as Key
            }
        };
        self.ids.insert(id, key);
        key
    }

    /// Has a connection's socket watched, until it is closed.
    pub(super) fn watch_socket(&self, seat: Seat, poller: &Poller) -> io::Result<()> {
        match self.slot(seat) {
            Some(slot) => poller.add(&slot.socket, token(seat)),
            None => Ok(()),
        }
    }

    pub(super) fn remove(&mut self, key: Key) {
        if let Some(slot) = self.slots[key as usize].take() {
            self.ids.remove(&slot.id);
            if slot.has_signs {
                self.signs.forget(slot.id);
            }
            self.free.push(key);
        }
    }

    /// The connection that a token stands for, if it is still there: see [`token`].
    pub(super) fn seat(&self, token: usize) -> Option<Seat> {
        let key = token as Key;
        let slot = self.slots.get(key as usize)?.as_ref()?;
        let seat = Seat { id: slot.id, key };
        (self::token(seat) == token).then_some(seat)
    }

    /// Asks a connection to end. Returns whether this is the first to ask.
    pub(super) fn request_close(&mut self, id: ConnectionId, cause: CloseCause) -> bool {
        let Some(key) = self.key(id) else {
            return false;
        };
        let slot = self.slots[key as usize].as_mut();
        let first = slot.is_some_and(|slot| slot.signal.request_close(cause));
        if first {
            self.due.push(Seat { id, key });
        }
        first
    }

    /// Tells a connection that a timer of its has fired.
    pub(super) fn set_fired(&mut self, seat: Seat) {
        if let Some(slot) = self.slot_mut(seat) {
            slot.signal.set_fired();
            self.due.push(seat);
        }
    }

    pub(super) fn is_ending(&self, seat: Seat) -> bool {
        self.slot(seat).is_none_or(|slot| slot.signal.is_closing())
    }

    /// Has a connection looked at in the next turn.
    pub(super) fn set_due(&mut self, seat: Seat) {
        self.due.push(seat);
    }

    pub(super) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Moves those that have to be told something to `due`, as many as have their turn now.
    pub(super) fn take_due(&mut self, due: &mut Vec<Seat>) {
        let count = self.due.len().min(DUE_MAX);
        due.extend(self.due.drain(..count));
    }

    /// What a connection has to be told next. If there is more, it has another turn for that.
    pub(super) fn take_wake(&mut self, seat: Seat) -> Option<Wake> {
        let signal = &mut self.slot_mut(seat)?.signal;
        let wake = signal.take()?;
        if signal.has_more() {
            self.due.push(seat);
        }
        Some(wake)
    }

    pub(super) fn take_close(&mut self, seat: Seat) -> Option<CloseCause> {
        self.slot_mut(seat)?.signal.take_close()
    }

    pub(super) fn watch(&mut self, seat: Seat, context: &Context<'_>) {
        if let Some(slot) = self.slot_mut(seat) {
            slot.signal.watch(context);
        }
    }

    pub(super) fn wake(&self, seat: Seat) {
        if let Some(slot) = self.slot(seat) {
            slot.signal.wake();
        }
    }

    pub(super) fn read(&self, seat: Seat, buffer: &mut [u8]) -> io::Result<usize> {
        match self.slot(seat) {
            Some(slot) => slot::receive(&slot.socket, buffer),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    pub(super) fn presence(&self, seat: Seat) -> Presence {
        self.slot(seat)
            .map_or(Presence::Gone, |slot| slot::presence(&slot.socket))
    }

    pub(super) fn peek(&self, seat: Seat, buffer: &mut [u8]) -> usize {
        let slot = self.slot(seat);
        slot.map_or(0, |slot| slot::peek(&slot.socket, buffer))
    }

    pub(super) fn delivery(
        &mut self,
        to: ConnectionId,
        own: Option<Seat>,
        sender: usize,
        ahead: usize,
        (message, id): (Message<'_>, &str),
    ) -> (Delivery, usize) {
        let key = match own {
            Some(seat) if seat.id == to => Some(seat.key),
            _ => self.key(to),
        };
        let slot = key.and_then(|key| self.slots[key as usize].as_mut());
        let Some(slot) = slot.filter(|slot| {
            slot.id == to && slot.owners.contains(&sender) && !slot.outbox.is_closing()
        }) else {
            self.counters.drops.count(DropReason::Closing);
            return (Delivery::Dropped, 0);
        };
        let len = slot.encoding.len_of(message, id);
        let may_wait = len < LARGE_MIN || self.oversize.has_room(len);
        let delivery = if !slot.outbox.has_room(ahead, len, may_wait) {
            match slot.limits.slow_consumer {
                // Taken: what gives way is older.
                SlowConsumer::DropOldest if len <= slot.limits.outbox => Delivery::Queued,
                SlowConsumer::Close if slot.outbox.is_blocked() => {
                    self.counters.drops.count(DropReason::SlowConsumer);
                    Delivery::Overflow
                }
                _ if len > slot.limits.outbox && !may_wait => {
                    self.counters.drops.count(DropReason::Oversize);
                    Delivery::Dropped
                }
                _ => {
                    self.counters.drops.count(DropReason::DropNewest);
                    Delivery::Dropped
                }
            }
        } else if slot.outbox.is_blocked() || slot.outbox.queued() + ahead + len > HIGH_WATER {
            Delivery::Queued
        } else {
            Delivery::Sent
        };
        if delivery == Delivery::Queued {
            slot.outbox.owe_drain();
        }
        (delivery, len)
    }

    /// Remembers that a plugin was told `queued` of a message to a connection; `on-drain` follows even if
    /// the message is not taken in the end. Returns whether the connection is there and served by it.
    pub(super) fn owe_drain(&mut self, id: ConnectionId, sender: usize) -> bool {
        let Some(key) = self.key(id) else {
            return false;
        };
        let slot = self.slots[key as usize].as_mut();
        let Some(slot) =
            slot.filter(|slot| slot.owners.contains(&sender) && !slot.outbox.is_closing())
        else {
            return false;
        };
        slot.outbox.owe_drain();
        mark(slot, key, &mut self.dirty);
        true
    }

    /// Writes the turn early if it has grown large. What was put into it before is gone then.
    pub(super) fn make_room(&mut self) {
        if self.output.len() > TURN_MAX {
            self.flush_dirty();
        }
    }

    pub(super) fn is_flushed(&self, key: Key) -> bool {
        self.slots[key as usize]
            .as_ref()
            .is_none_or(|slot| slot.outbox.queued() == 0)
    }

    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Writes all that is pending.
    pub(super) fn flush_dirty(&mut self) {
        for key in self.dirty.drain(..) {
            // A key may have been freed, and even reused, since it was marked; then its new slot
            // has nothing pending and the flush does nothing.
            if let Some(slot) = &mut self.slots[key as usize] {
                slot.is_dirty = false;
                flush(slot, key, &mut self.output, &mut self.due, &self.counters);
            }
        }
        self.output.clear();
    }

    /// A connection's socket takes more: writes its backlog on.
    pub(super) fn flush_blocked(&mut self, seat: Seat) {
        let slot = self.slots[seat.key as usize].as_mut();
        if let Some(slot) = slot.filter(|slot| slot.id == seat.id && slot.outbox.is_blocked()) {
            flush(
                slot,
                seat.key,
                &mut self.output,
                &mut self.due,
                &self.counters,
            );
        }
    }

    /// Ends the sending side of a connection's socket.
    pub(super) fn shutdown(&self, key: Key) {
        if let Some(slot) = &self.slots[key as usize] {
            // Whether the peer is still there to notice makes no difference to us.
            let _ = slot.socket.shutdown(Shutdown::Write);
        }
    }

    fn slot(&self, seat: Seat) -> Option<&Slot> {
        self.slots[seat.key as usize]
            .as_ref()
            .filter(|slot| slot.id == seat.id)
    }

    fn slot_mut(&mut self, seat: Seat) -> Option<&mut Slot> {
        self.slots[seat.key as usize]
            .as_mut()
            .filter(|slot| slot.id == seat.id)
    }
}

/// What a connection's socket is watched under: the place, and which of the connections that have
/// had it.
pub(super) fn token(seat: Seat) -> usize {
    (seat.id.0 as usize) << Key::BITS | seat.key as usize
}
