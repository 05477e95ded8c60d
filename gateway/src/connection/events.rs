//! A connection's events: calls the handler and puts what it did into force.

use std::rc::Rc;

use super::Terms;
use crate::close::CloseCause;
use crate::config::{OnError, OnFailure};
use crate::handler::{Event, Failure, Handler, Request};
use crate::message::Message;
use crate::shard::{Seat, Shard};

/// Calls one connection's handler. Each call returns why the connection is to end, if it is.
pub(super) struct Events<H> {
    shard: Rc<Shard>,
    terms: Rc<Terms<H>>,
    seat: Seat,
    event: Event,
}

impl<H: Handler> Events<H> {
    pub(super) fn new(shard: Rc<Shard>, terms: Rc<Terms<H>>, seat: Seat, state: Vec<u8>) -> Self {
        let event = Event {
            connection: Some(seat.id),
            state,
            state_max: terms.limits.state,
            subscriptions_max: terms.limits.subscriptions,
            ..Event::default()
        };
        Self {
            shard,
            terms,
            seat,
            event,
        }
    }

    pub(super) async fn open(&mut self, request: &Request) -> Option<CloseCause> {
        self.begin("open");
        let result = self.terms.handler.open(&mut self.event, request).await;
        self.finish("open", result)
    }

    pub(super) async fn message(&mut self, message: Message<'_>) -> Option<CloseCause> {
        self.begin("message");
        self.shard.counters().messages.add(1);
        let result = self.terms.handler.message(&mut self.event, message).await;
        self.finish("message", result)
    }

    pub(super) async fn drained(&mut self) -> Option<CloseCause> {
        self.begin("drain");
        let result = self.terms.handler.drain(&mut self.event).await;
        self.finish("drain", result)
    }

    pub(super) async fn closed(&mut self, cause: &CloseCause) {
        self.event.closed = true;
        self.begin("close");
        let result = self.terms.handler.close(&mut self.event, cause).await;
        self.finish("close", result);
    }

    fn begin(&mut self, event: &'static str) {
        self.shard.counters().events.count(event);
        self.event.effects = self.shard.take_effects();
    }

    fn finish(&mut self, name: &'static str, result: Result<(), Failure>) -> Option<CloseCause> {
        let ended = match result {
            Ok(()) => {
                self.event.commit();
                self.shard
                    .apply(Some(self.seat), self.terms.owner, &self.event.effects)
                    .map(CloseCause::Kicked)
            }
            Err(failure) => {
                self.event.discard();
                self.failed(name, &failure)
            }
        };
        self.shard
            .give_effects(std::mem::take(&mut self.event.effects));
        ended
    }

    fn failed(&self, event: &'static str, failure: &Failure) -> Option<CloseCause> {
        self.shard.counters().failures.count(failure.name());
        let generation = self.event.generation;
        if self.shard.may_log_failure() {
            tracing::warn!(connection = %self.seat.id, event, generation, "{failure}");
        }
        let closes = match failure {
            Failure::Handler(_) => self.terms.on_error == OnError::Close,
            _ => self.terms.on_failure == OnFailure::Close,
        };
        closes.then(|| CloseCause::Failed(failure.to_string()))
    }
}
