//! The connections of a shard as seen by those who write to them: outbox, socket, pulse.

mod slot;

use std::net::Shutdown;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use foldhash::{HashMap, HashMapExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::AbortHandle;

use super::signal::Signal;
use crate::close::{CloseCause, NO_STATUS};
use crate::codec::{self, Opcode};
use crate::config::RouteLimits;
use crate::counters::Counters;
use crate::heartbeat::{Due, Millis, Pulse};
use crate::hub::Key;
use crate::message::ConnectionId;
use crate::outbox::{HIGH_WATER, Outbox, Push, Span};

use slot::{Slot, Writer, flush, mark};

/// Past this the turn is written early: spans count in 32 bits, and memory is bounded.
const TURN_MAX: usize = 8 << 20;
/// What a turn's buffer keeps for the next one.
const TURN_KEEP: usize = 1 << 20;

/// A connection's id and its place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Never reused.
    pub id: ConnectionId,
    /// Reused after the connection is gone.
    pub key: Key,
}

/// What `send` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Written at the end of the turn.
    Sent,
    /// Behind bytes that the peer has not read yet; `on-drain` follows.
    Queued,
    /// Not taken.
    Dropped,
}

pub(super) struct Table {
    slots: Vec<Option<Slot>>,
    free: Vec<Key>,
    ids: HashMap<ConnectionId, Key>,
    /// All frames of this turn, each once, however many get it.
    turn: Vec<u8>,
    /// Who has something pending.
    dirty: Vec<Key>,
    /// Whose socket has blocked in an early flush: their writers start at the turn's end.
    blocked: Vec<Seat>,
    counters: Arc<Counters>,
}

impl Table {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            ids: HashMap::new(),
            turn: Vec::new(),
            dirty: Vec::new(),
            blocked: Vec::new(),
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

    /// The plugin that serves a connection.
    pub(super) fn owner(&self, id: ConnectionId) -> Option<usize> {
        let slot = self.slots[self.key(id)? as usize].as_ref();
        slot.map(|slot| slot.owner)
    }

    pub(super) fn insert(
        &mut self,
        id: ConnectionId,
        socket: OwnedWriteHalf,
        limits: Arc<RouteLimits>,
        owner: usize,
        signal: Rc<Signal>,
        now: Millis,
    ) -> Key {
        let outbox = Outbox::new(limits.outbox, limits.slow_consumer);
        let slot = Slot {
            id,
            outbox,
            socket,
            signal,
            pulse: Pulse::new(now),
            limits,
            owner,
            is_dirty: false,
            writer: Writer::None,
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

    pub(super) fn remove(&mut self, key: Key) {
        if let Some(slot) = self.slots[key as usize].take() {
            self.ids.remove(&slot.id);
            self.free.push(key);
        }
    }

    pub(super) fn signal(&self, id: ConnectionId) -> Option<&Signal> {
        let key = self.key(id)?;
        self.slots[key as usize].as_ref().map(|slot| &*slot.signal)
    }

    pub(super) fn seen(&mut self, key: Key, now: Millis) {
        if let Some(slot) = &mut self.slots[key as usize] {
            slot.pulse.seen(now);
        }
    }

    pub(super) fn check_pulse(&mut self, id: ConnectionId, now: Millis) -> Option<Due> {
        let key = self.key(id)?;
        let slot = self.slots[key as usize].as_mut()?;
        Some(slot.pulse.check(now, &slot.limits))
    }

    pub(super) fn delivery(
        &mut self,
        to: ConnectionId,
        sender: usize,
        ahead: usize,
        len: usize,
    ) -> Delivery {
        let slot = self
            .key(to)
            .and_then(|key| self.slots[key as usize].as_mut());
        let Some(slot) = slot.filter(|slot| slot.owner == sender && !slot.outbox.is_closing())
        else {
            self.counters.drops.count("closing");
            return Delivery::Dropped;
        };
        if !slot.outbox.has_room(ahead, len) {
            return match slot.limits.slow_consumer {
                // Taken: what gives way is older.
                crate::config::SlowConsumer::DropOldest if len <= slot.limits.outbox => {
                    slot.outbox.owe_drain();
                    Delivery::Queued
                }
                crate::config::SlowConsumer::Close if slot.outbox.is_blocked() => {
                    slot.signal.request_close(CloseCause::SlowConsumer);
                    self.counters.drops.count("slow-consumer");
                    Delivery::Dropped
                }
                _ => {
                    self.counters.drops.count("drop-newest");
                    Delivery::Dropped
                }
            };
        }
        if slot.outbox.is_blocked() || slot.outbox.queued() + ahead + len > HIGH_WATER {
            slot.outbox.owe_drain();
            return Delivery::Queued;
        }
        Delivery::Sent
    }

    /// Puts a frame into the turn; [`Table::push`] says who gets it.
    pub(super) fn append(&mut self, frame: &[u8]) -> Span {
        if self.turn.len() > TURN_MAX {
            self.flush_all();
        }
        let start = self.turn.len() as u32;
        self.turn.extend_from_slice(frame);
        start..self.turn.len() as u32
    }

    /// Queues a data frame of this turn for a connection.
    pub(super) fn push(&mut self, key: Key, span: Span) {
        let Some(slot) = &mut self.slots[key as usize] else {
            return;
        };
        if !slot.outbox.has_room(0, span.len()) && slot.outbox.may_flush() {
            // Nothing says that the reader is slow: only this turn has much for it.
            flush(slot, key, &self.turn, &mut self.blocked, &self.counters);
        }
        match slot.outbox.push(span, &self.turn) {
            Push::Taken => self.counters.deliveries.add(1),
            Push::Replaced(dropped) => {
                self.counters.deliveries.add(1);
                self.counters.drops.add("drop-oldest", dropped as u64);
            }
            Push::Dropped if slot.outbox.is_closing() => self.counters.drops.count("closing"),
            Push::Dropped => self.counters.drops.count("drop-newest"),
            Push::Overflow => {
                self.counters.drops.count("slow-consumer");
                slot.signal.request_close(CloseCause::SlowConsumer);
            }
        }
        mark(slot, key, &mut self.dirty);
    }

    pub(super) fn push_pong(&mut self, key: Key, payload: &[u8]) {
        self.make_way(key);
        let start = self.turn.len();
        codec::append(&mut self.turn, Opcode::Pong, payload);
        self.push_frame_at(key, start);
    }

    pub(super) fn push_control(&mut self, id: ConnectionId, frame: &[u8]) {
        if let Some(key) = self.key(id) {
            self.make_way(key);
            let start = self.turn.len();
            self.turn.extend_from_slice(frame);
            self.push_frame_at(key, start);
        }
    }

    /// Control frames have room always, so a flood of pings within one turn must not let their
    /// answers pile up: they are written, or the socket blocks and only the last one is kept.
    fn make_way(&mut self, key: Key) {
        if self.turn.len() > TURN_MAX {
            self.flush_all();
        }
        if let Some(slot) = &mut self.slots[key as usize]
            && slot.outbox.queued() > HIGH_WATER
            && slot.outbox.may_flush()
        {
            flush(slot, key, &self.turn, &mut self.blocked, &self.counters);
        }
    }

    fn push_frame_at(&mut self, key: Key, start: usize) {
        let Some(slot) = &mut self.slots[key as usize] else {
            return;
        };
        let aside = slot.outbox.is_blocked() || slot.outbox.is_closing();
        slot.outbox
            .push_control(start as u32..self.turn.len() as u32, &self.turn);
        if aside {
            // It was copied, or not taken: no one writes it from here.
            self.turn.truncate(start);
        }
        mark(slot, key, &mut self.dirty);
    }

    /// Queues the close frame of a cause as the last thing.
    pub(super) fn close(&mut self, key: Key, cause: &CloseCause) {
        let Some(slot) = &mut self.slots[key as usize] else {
            return;
        };
        let start = self.turn.len();
        let span = cause.frame().map(|frame| {
            let payload = match frame.code {
                NO_STATUS => Vec::new(),
                code => codec::close_payload(code, &frame.reason),
            };
            codec::append(&mut self.turn, Opcode::Close, &payload);
            start as u32..self.turn.len() as u32
        });
        let discard = matches!(cause, CloseCause::SlowConsumer | CloseCause::Lost(_));
        slot.outbox.close(span, discard);
        mark(slot, key, &mut self.dirty);
    }

    pub(super) fn is_flushed(&self, key: Key) -> bool {
        self.slots[key as usize]
            .as_ref()
            .is_none_or(|slot| slot.outbox.queued() == 0)
    }

    pub(super) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty() || !self.blocked.is_empty()
    }

    /// Ends the turn: writes what is pending. Returns whose sockets have blocked.
    pub(super) fn flush_dirty(&mut self) -> Vec<Seat> {
        self.flush_all();
        std::mem::take(&mut self.blocked)
    }

    fn flush_all(&mut self) {
        for key in self.dirty.drain(..) {
            // A key may have been freed, and even reused, since it was marked; then its new slot
            // has nothing pending and the flush does nothing.
            if let Some(slot) = &mut self.slots[key as usize] {
                slot.is_dirty = false;
                flush(slot, key, &self.turn, &mut self.blocked, &self.counters);
            }
        }
        self.turn.clear();
        if self.turn.capacity() > TURN_KEEP {
            self.turn.shrink_to(TURN_KEEP);
        }
    }

    /// Ready with true when the connection's socket takes more, with false when it is gone.
    pub(super) fn poll_writable(&self, seat: Seat, context: &mut Context<'_>) -> Poll<bool> {
        match self.slot(seat) {
            Some(slot) => slot.socket.as_ref().poll_write_ready(context).map(|_| true),
            None => Poll::Ready(false),
        }
    }

    /// Writes a backlog on. Returns whether there is still one.
    pub(super) fn flush_blocked(&mut self, seat: Seat) -> bool {
        let slot = self.slots[seat.key as usize]
            .as_mut()
            .filter(|slot| slot.id == seat.id);
        let Some(slot) = slot else { return false };
        flush(
            slot,
            seat.key,
            &self.turn,
            &mut self.blocked,
            &self.counters,
        );
        if slot.outbox.is_blocked() {
            return true;
        }
        // The caller is that task and ends by itself.
        std::mem::forget(std::mem::replace(&mut slot.writer, Writer::None));
        false
    }

    /// The task that writes this connection's backlog on has started.
    pub(super) fn set_writer(&mut self, seat: Seat, task: AbortHandle) {
        match self.slots[seat.key as usize]
            .as_mut()
            .filter(|slot| slot.id == seat.id)
        {
            Some(slot) => slot.writer = Writer::Running(task),
            None => task.abort(),
        }
    }

    /// Ends the sending side of a connection's socket.
    pub(super) fn shutdown(&self, key: Key) {
        if let Some(slot) = &self.slots[key as usize] {
            // Whether the peer is still there to notice makes no difference to us.
            let _ = socket2::SockRef::from(slot.socket.as_ref()).shutdown(Shutdown::Write);
        }
    }

    fn slot(&self, seat: Seat) -> Option<&Slot> {
        self.slots[seat.key as usize]
            .as_ref()
            .filter(|slot| slot.id == seat.id)
    }
}
