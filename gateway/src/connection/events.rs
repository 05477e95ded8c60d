//! A connection's events: calls the handler and puts what it did into force.

use std::cell::RefCell;
use std::rc::Rc;

use super::Terms;
use crate::close::{CloseCause, CloseFrame};
use crate::config::{OnError, OnFailure};
use crate::event::{Event, States};
use crate::handler::{Batch, Failure, Handler, Request};
use crate::labels::{EventKind, Label};
use crate::message::Message;
use crate::shard::{Seat, Shard};

/// How many unused events a route keeps on a shard: as many as are under way at once, which is one
/// unless handlers wait.
const SPARE: usize = 4;

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

/// Calls one connection's handler. Each call returns why the connection is to end, if it is.
pub(super) struct Events<H> {
    shard: Rc<Shard>,
    terms: Rc<Terms<H>>,
    seat: Seat,
    states: States,
}

impl<H: Handler> Events<H> {
    pub(super) fn new(shard: Rc<Shard>, terms: Rc<Terms<H>>, seat: Seat, states: States) -> Self {
        Self {
            shard,
            terms,
            seat,
            states,
        }
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
        (handled, self.finish(EventKind::Message, event, last))
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
                event.commit(&self.shard);
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

    fn failed(&self, kind: EventKind, event: &Event, failure: &Failure) -> Option<CloseCause> {
        self.shard.failed(kind.name(), event, failure);
        let closes = match failure {
            Failure::Handler(_) => self.terms.on_error == OnError::Close,
            // Its client comes back to the new generation, and begins anew.
            Failure::Refused(_) => return Some(CloseCause::Kicked(CloseFrame::restart())),
            _ => self.terms.on_failure == OnFailure::Close,
        };
        closes.then(|| CloseCause::Failed(failure.to_string()))
    }
}
