//! One connection in the table, and how what it has waiting is written.

use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
use tidegate_codec as codec;

use crate::close::CloseCause;
use crate::config::RouteLimits;
use crate::counters::Counters;
use crate::event_stream;
use crate::heartbeat::Pulse;
use crate::message::Key;
use crate::message::Seat;
use crate::message::{ConnectionId, Message};
use crate::outbox::{Flush, Large, Outbox, Output, Oversize};
use crate::shard::deflation::Deflation;
use crate::shard::signal::Signal;

/// How messages lie on a connection's socket.
pub enum Encoding {
    /// Messages go out as frames.
    Plain,
    /// Messages go out as frames, compressed.
    Deflated(Box<Deflation>),
    /// Messages go out as server-sent events.
    EventStream,
}

impl Encoding {
    /// The bytes that a message takes in the outbox, at most; `id` as in
    /// [`event_stream::append_message`].
    pub(super) fn len_of(&self, message: Message<'_>, id: &str) -> usize {
        let payload = message.payload();
        match self {
            Self::Plain | Self::Deflated(_) => codec::frame_len_of(payload.len()),
            Self::EventStream => {
                let is_text = matches!(message, Message::Text(_));
                event_stream::message_len(payload, is_text, id)
            }
        }
    }
}

/// A connection's place in the table.
pub(super) struct Slot {
    pub(super) id: ConnectionId,
    pub(super) outbox: Outbox,
    pub(super) socket: TcpStream,
    /// Bytes written to the socket so far. It wraps.
    pub(super) sent: u32,
    /// The peer's end is in sight: a read that falls short has not emptied the socket.
    pub(super) ended: bool,
    pub(super) signal: Signal,
    pub(super) pulse: Pulse,
    pub(super) limits: Arc<RouteLimits>,
    /// The plugins that serve it.
    pub(super) owners: Rc<[usize]>,
    pub(super) encoding: Encoding,
    pub(super) is_dirty: bool,
    /// The client asked for signs of life.
    pub(super) has_signs: bool,
}

/// Reads what a socket has. The system calls are made directly: those of libc are points at which
/// a thread can be cancelled, which ours never is, and pay for it.
pub(super) fn receive(socket: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let (n, _) = rustix::net::recv(socket, buffer, RecvFlags::empty())?;
    Ok(n)
}

/// Copies what a socket has, and leaves it there.
pub(super) fn peek(socket: &TcpStream, buffer: &mut [u8]) -> usize {
    rustix::net::recv(socket, buffer, RecvFlags::PEEK).map_or(0, |(n, _)| n)
}

/// Whether a connection's peer is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The peer is there, as far as can be known.
    Here,
    /// The peer sends nothing more. Whether it still reads is not known.
    Parted,
    /// The peer neither sends nor reads any more.
    Gone,
}

/// Looks at a socket, whatever of it was not read yet.
pub(super) fn presence(socket: &TcpStream) -> Presence {
    let mut fds = [PollFd::new(socket, PollFlags::RDHUP)];
    let at_once = Timespec::default();
    // It fails only for want of memory: then nothing is known.
    let _ = rustix::event::poll(&mut fds, Some(&at_once));
    let said = fds[0].revents();
    if said.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
        Presence::Gone
    } else if said.contains(PollFlags::RDHUP) {
        Presence::Parted
    } else {
        Presence::Here
    }
}

fn write(socket: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let flags = SendFlags::NOSIGNAL;
    Ok(match slices {
        [one] => rustix::net::send(socket, one, flags)?,
        many => rustix::net::sendmsg(socket, many, &mut SendAncillaryBuffer::default(), flags)?,
    })
}

/// Notes that a connection has something pending.
pub(super) fn mark(slot: &mut Slot, key: Key, dirty: &mut Vec<Key>) {
    if !slot.is_dirty {
        slot.is_dirty = true;
        dirty.push(key);
    }
}

/// Writes what a connection has waiting. If there is something to be told of what came of it, the
/// connection is put on `due`.
pub(super) fn flush(
    slot: &mut Slot,
    key: Key,
    output: &mut Output,
    due: &mut Vec<Seat>,
    counters: &Counters,
) {
    let (socket, sent) = (&slot.socket, &mut slot.sent);
    let flushed = slot.outbox.flush(output, |slices| {
        let written = write(socket, slices)?;
        counters.bytes_out.add(written as u64);
        *sent = sent.wrapping_add(written as u32);
        Ok(written)
    });
    settle(slot, key, due, flushed);
}

/// Writes a large message to a connection whose outbox has admitted it, or has it wait there.
pub(super) fn write_large(
    slot: &mut Slot,
    key: Key,
    large: &mut Large<'_>,
    (output, oversize): (&mut Output, &Arc<Oversize>),
    due: &mut Vec<Seat>,
    counters: &Counters,
) {
    let (socket, sent) = (&slot.socket, &mut slot.sent);
    let written = slot.outbox.write_large(large, output, oversize, |slices| {
        let written = write(socket, slices)?;
        counters.bytes_out.add(written as u64);
        *sent = sent.wrapping_add(written as u32);
        Ok(written)
    });
    settle(slot, key, due, written);
}

fn settle(slot: &mut Slot, key: Key, due: &mut Vec<Seat>, flushed: io::Result<Flush>) {
    match flushed {
        Ok(Flush::Done) => {
            if slot.outbox.take_drain() {
                slot.signal.set_drained();
                due.push(Seat { id: slot.id, key });
            } else if slot.outbox.is_closing() {
                slot.signal.wake();
            }
        }
        // The socket says when it takes more.
        Ok(Flush::Blocked) => {}
        Err(error) => lost(slot, key, due, &error),
    }
}

fn lost(slot: &mut Slot, key: Key, due: &mut Vec<Seat>, error: &io::Error) {
    slot.outbox.abandon();
    slot.signal
        .request_close(CloseCause::Lost(error.to_string()));
    due.push(Seat { id: slot.id, key });
    // It may be closing already, and wait for its last bytes.
    slot.signal.wake();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ARCHITECTURE.md says what an idle connection holds.
    #[test]
    fn a_slot_is_small() {
        assert_eq!(size_of::<Slot>(), 216);
    }
}
