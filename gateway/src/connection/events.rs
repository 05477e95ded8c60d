//! A connection's events: calls the handler and puts what it did into force.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Terms, reply};
use crate::close::{CloseCause, CloseFrame};
use crate::config::{OnError, OnFailure};
use crate::dispatch;
use crate::effects::Options;
use crate::event::{Event, States};
use crate::handler::{Batch, Failure, Handler, Request};
use crate::heartbeat::Millis;
use crate::labels::{EventKind, Excess, Label};
use crate::message::{Message, Seat};
use crate::shard::{Delivery, Shard};

/// How many unused events a route keeps on a shard: as many as are under way at once, which is one
/// unless handlers wait.
const SPARE: usize = 4;
/// A message from this size on is itself what its handler had too little time or memory for.
const LARGE: usize = 64 << 10;

/// Events that are not under way, with the memory of their effects, so that an idle connection
/// holds none.
#[derive(Debug, Default)]
pub struct SpareEvents(
    #[expect(
        clippy::vec_box,
        reason = "an event is swapped into its handler by its box"
    )]
    RefCell<Vec<Box<Event>>>,
);

impl<H> Terms<H> {
    /// An event for a connection of this route, or for an upgrade.
    pub fn take_event(&self) -> Box<Event> {
        let spare = self.spare.0.borrow_mut().pop();
        let mut event = spare.unwrap_or_default();
        event.state_max = self.limits.state;
        event.subscriptions_max = self.limits.subscriptions;
        event.timers_max = self.limits.timers;
        event
    }

    /// Takes an event back that was committed or discarded.
    pub fn give_event(&self, mut event: Box<Event>) {
        let mut spares = self.spare.0.borrow_mut();
        if spares.len() < SPARE {
            event.reset();
            spares.push(event);
        }
    }
}

/// Faults of guests in a connection's events, by the minute.
#[derive(Debug, Default)]
struct Faults {
    /// Of the shard's clock.
    minute: u16,
    /// In that minute.
    count: u16,
    /// There was one since it was last asked for.
    is_new: bool,
}

impl Faults {
    /// Adds one. Returns how many there were in this minute.
    fn add(&mut self, now: Millis) -> u16 {
        let minute = (now / 60_000) as u16;
        if minute != self.minute {
            (self.minute, self.count) = (minute, 0);
        }
        self.count = self.count.saturating_add(1);
        self.is_new = true;
        self.count
    }
}

/// Calls one connection's handler. Each call returns why the connection is to end, if it is.
pub(super) struct Events<H> {
    shard: Rc<Shard>,
    pub(super) terms: Rc<Terms<H>>,
    pub(super) seat: Seat,
    states: States,
    faults: Faults,
}

impl<H: Handler> Events<H> {
    pub(super) fn new(shard: Rc<Shard>, terms: Rc<Terms<H>>, seat: Seat, states: States) -> Self {
        Self {
            shard,
            terms,
            seat,
            states,
            faults: Faults::default(),
        }
    }

    /// Whether an event has failed by its guest since this was last asked.
    pub(super) fn take_fault(&mut self) -> bool {
        std::mem::take(&mut self.faults.is_new)
    }

    pub(super) fn shard(&self) -> &Rc<Shard> {
        &self.shard
    }

    pub(super) async fn open(&mut self, request: &Request) -> Option<CloseCause> {
        let mut event = self.begin(EventKind::Open);
        let result = self.terms.handler.open(&mut event, request).await;
        self.finish(EventKind::Open, event, result)
    }

    /// Hands over messages that arrived together; returns how many were handled.
    pub(super) async fn messages(
        &mut self,
        messages: &[Message<'_>],
    ) -> (usize, Option<CloseCause>) {
        let mut event = self.begin(EventKind::Message);
        let Batch { handled, last } = self.terms.handler.messages(&mut event, messages).await;
        let counters = self.shard.counters();
        counters.messages.add(handled as u64);
        counters.events.add(EventKind::Message, handled as u64 - 1);
        let has_failed = last.is_err();
        let largest = messages[handled - 1].payload().len();
        let too_large = last.as_ref().err().and_then(|why| too_large(why, largest));
        let ended = self.finish(EventKind::Message, event, last);
        let ended = match ended {
            Some(CloseCause::Failed(_)) if too_large.is_some() => too_large,
            ended => ended,
        };
        if has_failed && ended.is_none() && self.terms.failure_reply {
            self.answer(&messages[handled - 1]);
        }
        (handled, ended)
    }

    /// Answers a message that failed, if it waits for an answer.
    fn answer(&self, message: &Message<'_>) {
        let Message::Text(message) = message else {
            return;
        };
        let Some(answer) = reply::to(message) else {
            return;
        };
        let (shard, id) = (&self.shard, self.seat.id);
        let mut event = self.terms.take_event();
        event.owner = self.terms.owners[0];
        let message = Message::Text(&answer);
        let (own, sent) = (Some(self.seat), (message, None));
        let (delivery, room) = shard.delivery(id, own, event.owner, &event.effects, sent);
        if matches!(delivery, Delivery::Sent | Delivery::Queued) {
            event.effects.send(id, message, Options::default(), room);
            event.seat = Some(self.seat);
            shard.commit(&mut event);
            shard.counters().failure_replies.add(1);
        }
        self.terms.give_event(event);
    }

    /// Whether a call would have to wait for an instance just now.
    pub(super) fn is_busy(&self) -> bool {
        self.terms.handler.is_busy()
    }

    /// A timer has fired that the plugin `owner` has set.
    pub(super) async fn timer(&mut self, owner: usize, name: &str) -> Option<CloseCause> {
        let mut event = self.begin(EventKind::Timer);
        let result = self.terms.handler.timer(&mut event, owner, name).await;
        self.finish(EventKind::Timer, event, result)
    }

    pub(super) async fn drained(&mut self) -> Option<CloseCause> {
        let mut event = self.begin(EventKind::Drain);
        let result = self.terms.handler.drain(&mut event).await;
        self.finish(EventKind::Drain, event, result)
    }

    pub(super) async fn closed(&mut self, cause: &CloseCause) {
        let mut event = self.begin(EventKind::Close);
        event.closed = true;
        let result = self.terms.handler.close(&mut event, cause).await;
        self.finish(EventKind::Close, event, result);
    }

    fn begin(&mut self, kind: EventKind) -> Box<Event> {
        self.shard.counters().events.count(kind);
        let mut event = self.terms.take_event();
        event.seat = Some(self.seat);
        event.states = std::mem::take(&mut self.states);
        event
    }

    fn finish(
        &mut self,
        kind: EventKind,
        mut event: Box<Event>,
        result: Result<(), Failure>,
    ) -> Option<CloseCause> {
        let failed = match result {
            Ok(()) => {
                self.shard.commit(&mut event);
                None
            }
            Err(failure) => {
                event.discard();
                self.failed(kind, &event, &failure)
            }
        };
        self.states = std::mem::take(&mut event.states);
        let kicked = event.kicked.take();
        self.terms.give_event(event);
        kicked.map(CloseCause::Kicked).or(failed)
    }

    fn failed(&mut self, kind: EventKind, event: &Event, failure: &Failure) -> Option<CloseCause> {
        dispatch::failed(&self.shard, kind.name(), event, failure);
        let closes = match failure {
            Failure::Handler(_) => self.terms.on_error == OnError::Close,
            // Its client comes back to the new generation, and begins anew.
            Failure::Refused(_) => return Some(CloseCause::Kicked(CloseFrame::restart())),
            Failure::Unavailable(_) | Failure::Busy(_) => self.terms.on_failure == OnFailure::Close,
            Failure::Trap(_) | Failure::Deadline(_) | Failure::Waited(_) | Failure::Memory(_) => {
                let is_too_many = self.faults.add(self.shard.now()) >= self.terms.limits.failures;
                let keeps = self.terms.on_failure == OnFailure::Keep;
                if keeps && is_too_many {
                    self.shard.counters().excesses.count(Excess::Failures);
                }
                !keeps || is_too_many
            }
        };
        closes.then(|| CloseCause::Failed(failure.to_string()))
    }
}

/// What a client is told whose message of so many bytes was too much for its handler. It would not be
/// helped by sending it again.
fn too_large(failure: &Failure, bytes: usize) -> Option<CloseCause> {
    let reason = match failure {
        Failure::Deadline(_) => "message too large: it takes its handler too long",
        Failure::Memory(_) => "message too large: it takes its handler too much memory",
        _ => return None,
    };
    (bytes >= LARGE).then(|| CloseCause::ProtocolError {
        code: 1009,
        reason: reason.to_owned(),
    })
}
