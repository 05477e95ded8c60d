//! How a connection ends: the close frame, its last event, and the closing handshake.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use tidegate_codec::{Item, Violation};
use tokio::time::{Duration, Instant};

use super::Connection;
use super::step::{Ended, Step};
use crate::close::{CloseCause, CloseFrame, NO_STATUS};
use crate::config::RouteLimits;
use crate::handler::Handler;
use crate::labels::ClosingEnd;
use crate::message::Seat;
use crate::progress::{Intake, Progress};
use crate::shard::Shard;

/// The shortest time in which a peer must have taken something of what is queued for it, also where
/// nobody waits for its answer: the turn that writes must have come.
const LOOK_MIN: Duration = Duration::from_millis(100);

impl<H: Handler> Connection<H> {
    /// The one way out: close frame, `on-close`, the closing handshake. The caller frees the place.
    pub(super) async fn end(mut self, ended: Ended) {
        let cause = &ended.cause;
        tracing::debug!(connection = %self.events.seat.id, %cause, "ended");
        let shard = self.shard().clone();
        self.held = None;
        self.reader.skim();
        shard.counters().closes.count(cause.kind());
        shard.close(self.events.seat, cause);
        shard.unsubscribe_all(self.events.seat);
        shard.clear_timers(self.events.seat);
        self.events.closed(cause).await;
        if !matches!(cause, CloseCause::Lost(_)) {
            let end = match self.part(&ended).await {
                Ok(()) => ClosingEnd::Agreed,
                Err(end) => end,
            };
            shard.counters().closings.count(end);
        }
    }

    /// Sees that the close frame arrives: the socket may only be closed when the peer has nothing
    /// more to say, else a reset could overtake the frame (RFC 6455 section 7.1.1).
    async fn part(&mut self, ended: &Ended) -> Result<(), ClosingEnd> {
        let (shard, seat) = (self.shard().clone(), self.events.seat);
        let patience = Patience::new(shard.clone(), seat, &self.events.terms.limits);
        // The answer's time begins when the question is written; until then there must be progress.
        let progress = Progress::new(shard.intake(seat));
        patience.wait(progress, flushed(&shard, seat)).await?;
        let limits = &self.events.terms.limits;
        if limits.close.is_zero() {
            return Ok(());
        }
        if !ended.has_parted && !matches!(ended.cause, CloseCause::Peer(_)) {
            // One that broke the protocol, or speaks none, sends no close frame: only the end.
            let is_mute = self.only_receives
                || self.reader.has_ended()
                || matches!(ended.cause, CloseCause::ProtocolError { .. });
            let awaited = match is_mute {
                true => Awaited::End,
                false => Awaited::CloseFrame,
            };
            if is_mute {
                shard.shutdown(seat);
            }
            let progress = Progress::from_now(shard.intake(seat));
            patience.wait(progress, self.hear_out(awaited)).await??;
        }
        // Both have said it. What the peer has sent behind its close frame is read over.
        shard.shutdown(seat);
        let progress = Progress::from_now(shard.intake(seat));
        let _ = patience.wait(progress, self.hear_out(Awaited::Quiet)).await;
        Ok(())
    }

    /// Reads and drops what the peer still sends, until what is awaited has come. A peer that floods
    /// takes no more of the shard than any other: one read a turn.
    async fn hear_out(&mut self, awaited: Awaited) -> Result<(), ClosingEnd> {
        let (shard, seat) = (self.shard().clone(), self.events.seat);
        loop {
            let heard = poll_fn(|context| {
                shard.watch(seat, context);
                self.hear(awaited)
            });
            if let Some(heard) = heard.await {
                return heard;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Reads once; returns what is known then of what is awaited, if anything. Pending if it can only
    /// come later.
    fn hear(&mut self, awaited: Awaited) -> Poll<Option<Result<(), ClosingEnd>>> {
        let shard = self.shard().clone();
        let mut scratch = shard.take_scratch();
        let read = shard.read(self.events.seat, &mut scratch);
        let heard = match read {
            Ok(0) if awaited != Awaited::CloseFrame => Poll::Ready(Some(Ok(()))),
            Ok(n @ 1..) => {
                shard.counters().bytes_in.add(n as u64);
                let closed = awaited == Awaited::CloseFrame && self.has_closed(&mut scratch[..n]);
                Poll::Ready(closed.then_some(Ok(())))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Poll::Ready(None),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => match awaited {
                Awaited::Quiet => Poll::Ready(Some(Ok(()))),
                Awaited::CloseFrame | Awaited::End => Poll::Pending,
            },
            Ok(0) | Err(_) => Poll::Ready(Some(Err(ClosingEnd::Lost))),
        };
        shard.give_scratch(scratch);
        heard
    }

    /// Whether the peer's close frame is among these bytes. What it sent before is dropped.
    pub(super) fn has_closed(&mut self, bytes: &mut [u8]) -> bool {
        if self.only_receives {
            return false;
        }
        let mut at = 0;
        loop {
            match self
                .reader
                .next(bytes, &mut at, self.events.terms.limits.message)
            {
                Ok(Some(Item::Close(_))) | Err(_) => return true,
                Ok(Some(_)) => {}
                Ok(None) => return false,
            }
        }
    }
}

/// What is still to come from a peer that has our close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// The peer's close frame.
    CloseFrame,
    /// The end of its socket.
    End,
    /// Nothing: what has come by now is read, so that the socket is not closed with a reset.
    Quiet,
}

/// Everything queued for the connection has been written, or never will be.
async fn flushed(shard: &Shard, seat: Seat) {
    poll_fn(|context| {
        shard.watch(seat, context);
        match shard.is_flushed(seat) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
}

/// How long a peer is waited for that is to take what is queued, or to answer: as long as it goes on
/// taking bytes, a period after another, but not for ever.
struct Patience {
    shard: Rc<Shard>,
    seat: Seat,
    period: Duration,
    until: Instant,
}

impl Patience {
    fn new(shard: Rc<Shard>, seat: Seat, limits: &RouteLimits) -> Self {
        Self {
            shard,
            seat,
            period: limits.close.max(LOOK_MIN),
            until: Instant::now() + limits.linger.max(limits.close),
        }
    }

    async fn wait<T>(
        &self,
        mut progress: Progress,
        what: impl Future<Output = T>,
    ) -> Result<T, ClosingEnd> {
        let mut what = pin!(what);
        loop {
            let look = (Instant::now() + self.period).min(self.until);
            if let Ok(done) = tokio::time::timeout_at(look, &mut what).await {
                return Ok(done);
            }
            let intake @ Intake { waiting, .. } = self.shard.intake(self.seat);
            if !progress.goes_on(intake) {
                return Err(match waiting {
                    true => ClosingEnd::Stalled,
                    false => ClosingEnd::Unanswered,
                });
            }
            if look >= self.until {
                return Err(ClosingEnd::Overdue);
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
