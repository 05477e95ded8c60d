//! One connection in the table, and how what it has waiting is written.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::AbortHandle;

use super::Seat;
use crate::close::CloseCause;
use crate::config::RouteLimits;
use crate::counters::Counters;
use crate::heartbeat::Pulse;
use crate::hub::Key;
use crate::message::ConnectionId;
use crate::outbox::{Flush, Outbox};
use crate::shard::Signal;

/// A connection's place in the table.
pub(super) struct Slot {
    pub(super) id: ConnectionId,
    pub(super) outbox: Outbox,
    pub(super) socket: OwnedWriteHalf,
    pub(super) signal: Rc<Signal>,
    pub(super) pulse: Pulse,
    pub(super) limits: Arc<RouteLimits>,
    pub(super) owner: usize,
    pub(super) is_dirty: bool,
    pub(super) writer: Writer,
}

/// The task that writes a backlog on.
pub(super) enum Writer {
    /// There is no backlog.
    None,
    /// The socket has blocked; the task starts at the turn's end.
    Due,
    /// It waits for the socket to take more.
    Running(AbortHandle),
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A closed socket wakes no one: without this the task would wait for ever.
        if let Self::Running(task) = self {
            task.abort();
        }
    }
}

/// Notes that a connection has something pending.
pub(super) fn mark(slot: &mut Slot, key: Key, dirty: &mut Vec<Key>) {
    if !slot.is_dirty {
        slot.is_dirty = true;
        dirty.push(key);
    }
}

/// Writes what a connection has waiting, and tells its task what came of it.
pub(super) fn flush(
    slot: &mut Slot,
    key: Key,
    turn: &[u8],
    blocked: &mut Vec<Seat>,
    counters: &Counters,
) {
    let socket = &slot.socket;
    let flushed = slot.outbox.flush(turn, |slices| {
        let written = match slices {
            [one] => socket.try_write(one),
            many => socket.try_write_vectored(many),
        }?;
        counters.bytes_out.add(written as u64);
        Ok(written)
    });
    match flushed {
        Ok(Flush::Done) => {
            if slot.outbox.take_drain() {
                slot.signal.set_drained();
            } else if slot.outbox.is_closing() {
                slot.signal.wake();
            }
        }
        Ok(Flush::Blocked) => {
            if matches!(slot.writer, Writer::None) {
                slot.writer = Writer::Due;
                blocked.push(Seat { id: slot.id, key });
            }
        }
        Err(error) => lost(slot, &error),
    }
}

fn lost(slot: &mut Slot, error: &io::Error) {
    // Nothing may stay that waits for the socket: it is always writable now, and its writer would
    // try for ever.
    slot.outbox.abandon();
    slot.signal
        .request_close(CloseCause::Lost(error.to_string()));
    // It may be closing already, and wait for its last bytes.
    slot.signal.wake();
}
