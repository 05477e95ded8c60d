//! How a connection ends: the close frame, its last event, and the socket's end.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use super::Connection;
use super::driver::Step;
use crate::close::{CloseCause, CloseFrame, NO_STATUS};
use crate::codec::{Item, Violation};
use crate::handler::Handler;

/// How a connection has ended.
pub(in crate::connection) struct Ended {
    pub(super) cause: CloseCause,
    /// The peer's close frame came behind the bytes that ended the connection.
    pub(super) has_parted: bool,
}

impl From<CloseCause> for Ended {
    fn from(cause: CloseCause) -> Self {
        Self {
            cause,
            has_parted: false,
        }
    }
}

impl<H: Handler> Connection<H> {
    /// The one way out: close frame, `on-close`, the closing handshake. The caller frees the place.
    pub(super) async fn end(mut self, ended: Ended) {
        let cause = &ended.cause;
        tracing::debug!(connection = %self.seat.id, %cause, "ended");
        let shard = self.shard().clone();
        shard.counters().closes.count(cause.kind());
        shard.close(self.seat, cause);
        shard.unsubscribe_all(self.seat);
        shard.clear_timers(self.seat);
        self.events.closed(cause).await;
        if !matches!(cause, CloseCause::Lost(_)) {
            // A peer that does not read or answer holds its place no longer than this.
            let _ = tokio::time::timeout(self.terms.limits.close, self.part(&ended)).await;
        }
    }

    /// Sees that the close frame arrives: the socket may only be closed when the peer has nothing
    /// more to say, else a reset could overtake the frame (RFC 6455 section 7.1.1).
    async fn part(&mut self, ended: &Ended) {
        let (shard, seat) = (self.shard().clone(), self.seat);
        poll_fn(|context| {
            shard.watch(seat, context);
            match shard.is_flushed(seat) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
        if ended.has_parted || matches!(ended.cause, CloseCause::Peer(_)) {
            return;
        }
        // One that broke the protocol, or speaks none, sends no close frame: only the end.
        let ends = self.only_receives || matches!(ended.cause, CloseCause::ProtocolError { .. });
        if ends {
            shard.shutdown(seat);
        }
        let mut scratch = vec![0; 4096];
        loop {
            let read = poll_fn(|context| {
                shard.watch(seat, context);
                match shard.read(seat, &mut scratch) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                        Poll::Ready(Ok(None))
                    }
                    read => Poll::Ready(read.map(Some)),
                }
            });
            match read.await {
                Ok(Some(0)) | Err(_) => return,
                Ok(Some(n)) if !ends && self.has_closed(&mut scratch[..n]) => return,
                Ok(_) => {}
            }
        }
    }

    /// Whether the peer's close frame is among these bytes. What it sent before is dropped.
    pub(super) fn has_closed(&mut self, bytes: &mut [u8]) -> bool {
        if self.only_receives {
            return false;
        }
        let mut at = 0;
        loop {
            match self.reader.next(bytes, &mut at, self.terms.limits.message) {
                Ok(Some(Item::Close(_))) | Err(_) => return true,
                Ok(Some(_)) => {}
                Ok(None) => return false,
            }
        }
    }
}

pub(super) fn broken(violation: Violation) -> CloseCause {
    CloseCause::ProtocolError {
        code: violation.code(),
        reason: violation.to_string(),
    }
}

/// The end of a socket on which the peer has no other way to say so.
pub(super) fn parted() -> Step {
    Step::Ended(
        CloseCause::Peer(CloseFrame {
            code: NO_STATUS,
            reason: String::new(),
        })
        .into(),
    )
}

pub(super) fn lost(why: impl ToString) -> Step {
    Step::Ended(CloseCause::Lost(why.to_string()).into())
}
