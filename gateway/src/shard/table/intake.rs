//! Signs of life of a connection's peer: what it sends, and, when there is doubt, what its socket says.

use std::net::TcpStream;

use rustix::ioctl::{Getter, Opcode};

use super::slot::Slot;
use super::{Encoding, Table};
use crate::heartbeat::{Due, Look, Millis, Pulse};
use crate::message::ConnectionId;
use crate::message::Key;
use crate::message::Seat;
use crate::progress::Intake;

/// `SIOCOUTQ`, which on sockets has the number of `TIOCOUTQ`: bytes that the peer has not acknowledged.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Opcode = 0x5411;
/// `TIOCOUTQ`: bytes in the socket's send buffer.
#[cfg(not(target_os = "linux"))]
const UNACKNOWLEDGED: Opcode = 0x4004_7473;

impl Table {
    /// Something came from the peer. Returns whether its end is in sight.
    pub(in crate::shard) fn seen(&mut self, key: Key, now: Millis) -> bool {
        self.slots[key as usize].as_mut().is_none_or(|slot| {
            slot.pulse.seen(now);
            slot.ended
        })
    }

    /// Notes that the end of a connection's peer is in sight. It is told once only.
    pub(in crate::shard) fn set_ended(&mut self, seat: Seat) {
        if let Some(slot) = self.slot_mut(seat) {
            slot.ended = true;
        }
    }

    pub(in crate::shard) fn has_ended(&self, seat: Seat) -> bool {
        self.slot(seat).is_none_or(|slot| slot.ended)
    }

    /// The heartbeat of a connection, if it is open.
    pub(in crate::shard) fn pulse(&mut self, seat: Seat) -> Option<&mut Pulse> {
        self.slot_mut(seat).map(|slot| &mut slot.pulse)
    }

    /// What is due for a connection; nothing ever again for one whose end has begun.
    pub(in crate::shard) fn check_pulse(&mut self, id: ConnectionId, now: Millis) -> Option<Due> {
        let key = self.key(id)?;
        let slot = self.slots[key as usize].as_mut()?;
        if slot.outbox.is_closing() || slot.signal.is_closing() {
            return None;
        }
        let mut pulse = slot.pulse;
        let due = pulse.check(now, &slot.limits, || look(slot));
        slot.pulse = pulse;
        Some(due)
    }

    /// How far a connection's peer has come with what was sent to it.
    pub(in crate::shard) fn intake(&self, seat: Seat) -> Intake {
        self.slot(seat).map(intake).unwrap_or_default()
    }
}

/// How far the peer has come with what was sent to it.
fn intake(slot: &Slot) -> Intake {
    let unacknowledged = unacknowledged(&slot.socket);
    Intake {
        taken: slot.sent.wrapping_sub(unacknowledged),
        waiting: unacknowledged > 0 || slot.outbox.queued() > 0,
    }
}

/// What the socket says of the peer.
fn look(slot: &Slot) -> Look {
    let unread = rustix::io::ioctl_fionread(&slot.socket).unwrap_or(0);
    Look {
        unread: unread > 0 || slot.ended,
        intake: intake(slot),
        speaks: !matches!(slot.encoding, Encoding::EventStream),
    }
}

/// Bytes that were written to the socket and that the peer has not acknowledged; none if it cannot
/// be asked, as when it is lost.
#[expect(
    unsafe_code,
    reason = "no crate has a safe way to ask for what is not acknowledged"
)]
fn unacknowledged(socket: &TcpStream) -> u32 {
    // SAFETY: with this number the call writes one `int` to where its argument points and does
    // nothing else, whatever the descriptor is; `Getter` points it to an `int` of its own.
    let asked = unsafe {
        let request = Getter::<UNACKNOWLEDGED, std::ffi::c_int>::new();
        rustix::ioctl::ioctl(socket, request)
    };
    asked.map_or(0, |bytes| u32::try_from(bytes).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn what_a_peer_does_not_take_is_not_acknowledged() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut theirs, _) = listener.accept().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while let Ok(written) = ours.write(&[0; 64 << 10]) {
            sent += written;
        }
        let waiting = unacknowledged(&ours) as usize;
        assert!(0 < waiting && waiting <= sent, "{waiting} of {sent}");
        theirs.read_exact(&mut vec![0; sent]).unwrap();
        while unacknowledged(&ours) > 0 {
            std::thread::yield_now();
        }
    }
}
