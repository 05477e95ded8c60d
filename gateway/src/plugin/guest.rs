//! The handler that connections call: a route's chain of plugins.
//!
//! Each plugin's call is an event of its own: it takes effect or fails by itself, on the instance
//! and the generation of its own plugin. What the last one did is left to the caller to put into
//! force, as it is for a chain of one.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::contract::{self, Verdict};
use super::lower;
use super::member::Member;
use super::pool::Pool;
use crate::close::CloseCause;
use crate::dispatch::failed;
use crate::event::Event;
use crate::handler::{Accept, Batch, Failure, Handler, Reject, Request, Upgrade};
use crate::message::Message;
use crate::shard::Shard;
use crate::store::Change;

/// Handles events with the guests of a chain of plugins.
pub struct Guest {
    shard: Rc<Shard>,
    members: Box<[Member]>,
    /// The plugins' names, if they are several.
    names: Option<Arc<[Arc<str>]>>,
}

impl Guest {
    /// A handler over one shard's instances of each plugin of a chain, in its order.
    pub fn new(shard: Rc<Shard>, pools: Vec<Rc<Pool>>) -> Self {
        let names = pools.iter().map(|pool| pool.name().clone());
        let names = (pools.len() > 1).then(|| names.collect());
        let members = pools.into_iter().enumerate();
        Self {
            shard,
            members: members
                .map(|(place, pool)| Member::new(pool, place))
                .collect(),
            names,
        }
    }

    /// One message through several plugins, until one is done with it.
    async fn pass(&self, event: &mut Box<Event>, message: &Message<'_>) -> Result<(), Failure> {
        event.chain.clone_from(&self.names);
        for (index, member) in self.members.iter().enumerate() {
            let verdict = member.message(event, message).await;
            let verdict = verdict.map_err(|failure| failure.of_plugin(member.pool().name()))?;
            if matches!(verdict, Verdict::Done) || index + 1 == self.members.len() {
                return Ok(());
            }
            self.shard.commit(event);
            let is_ending = event.seat.is_some_and(|seat| self.shard.is_ending(seat));
            if event.kicked.is_some() || is_ending {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Asks these plugins whether a request may come in. When all have accepted, what they did is the
    /// event's, to be put into force at once.
    async fn decide(
        &self,
        event: &mut Box<Event>,
        request: &Request,
        members: &[Member],
    ) -> Result<Upgrade, Failure> {
        let peer = request.peer.to_string();
        let mut granted = Accept::default();
        let mut earlier = Vec::new();
        for (index, member) in members.iter().enumerate() {
            if index > 0 {
                let next = Box::new(Event::default());
                earlier.push(*std::mem::replace(event, next));
            }
            event.chain.clone_from(&self.names);
            event.states = std::mem::take(&mut granted.states);
            let answer = member
                .upgrade(event, lower::request(request, &peer))
                .await?;
            granted.states = std::mem::take(&mut event.states);
            match answer {
                None => {}
                Some(Ok(accept)) => grant(&mut granted, event, accept),
                Some(Err(contract::Reject {
                    status,
                    headers,
                    body,
                })) => {
                    return Ok(Upgrade::Reject(Reject {
                        status,
                        headers,
                        body,
                    }));
                }
            }
        }
        event.earlier = earlier;
        Ok(Upgrade::Accept(granted))
    }

    /// Puts what one of several plugins did into force, or drops it. The first failure is the
    /// event's; the others are counted and logged here.
    fn settle(
        &self,
        event: &mut Box<Event>,
        member: &Member,
        result: Result<(), Failure>,
        first: Option<Failure>,
    ) -> Option<Failure> {
        let Err(failure) = result else {
            self.shard.commit(event);
            return first;
        };
        event.discard();
        let failure = failure.of_plugin(member.pool().name());
        if first.is_some() {
            failed(&self.shard, "chain", event, &failure);
        }
        first.or(Some(failure))
    }
}

/// Runs an event for every plugin of the chain, whatever becomes of the others: what one has opened
/// it must see closed (G2).
macro_rules! every {
    ($guest:expr, $event:expr, |$member:ident| $call:expr) => {{
        if let [$member] = &*$guest.members {
            return $call.await;
        }
        $event.chain.clone_from(&$guest.names);
        let mut failed = None;
        for $member in &$guest.members {
            let result = $call.await;
            failed = $guest.settle($event, $member, result, failed);
        }
        failed.map_or(Ok(()), Err)
    }};
}

impl Handler for Guest {
    fn is_busy(&self) -> bool {
        self.members.iter().any(|member| member.pool().is_busy())
    }

    async fn upgrade(&self, event: &mut Box<Event>, request: &Request) -> Result<Upgrade, Failure> {
        self.decide(event, request, &self.members).await
    }

    fn responder(&self) -> Option<usize> {
        let mut members = self.members.iter();
        members.position(|member| member.pool().answers_requests())
    }

    async fn admit(
        &self,
        event: &mut Box<Event>,
        request: &Request,
        responder: usize,
    ) -> Result<Upgrade, Failure> {
        let in_front = &self.members[..responder];
        self.decide(event, request, in_front).await
    }

    async fn respond(
        &self,
        event: &mut Box<Event>,
        responder: usize,
        request: hyper::Request<Bytes>,
    ) -> Result<hyper::Response<Bytes>, Failure> {
        let member = &self.members[responder];
        event.chain.clone_from(&self.names);
        let answer = member.respond(event, request).await;
        match &self.names {
            None => answer,
            Some(_) => answer.map_err(|failure| failure.of_plugin(member.pool().name())),
        }
    }

    async fn open(&self, event: &mut Box<Event>, request: &Request) -> Result<(), Failure> {
        let peer = request.peer.to_string();
        every!(self, event, |member| member.open(event, request, &peer))
    }

    async fn messages(&self, event: &mut Box<Event>, messages: &[Message<'_>]) -> Batch {
        let result = match &*self.members {
            [only] => only.messages(event, messages).await,
            _ => Ok(Batch {
                handled: 1,
                last: self.pass(event, &messages[0]).await,
            }),
        };
        result.unwrap_or_else(|failure| Batch {
            handled: 1,
            last: Err(failure),
        })
    }

    async fn timer(&self, event: &mut Box<Event>, owner: usize, name: &str) -> Result<(), Failure> {
        let mut members = self.members.iter();
        let Some(member) = members.find(|member| member.pool().owner() == owner) else {
            return Ok(());
        };
        event.chain.clone_from(&self.names);
        member.timer(event, name).await
    }

    async fn change(&self, event: &mut Box<Event>, change: &Change) -> Result<(), Failure> {
        every!(self, event, |member| member.change(event, change))
    }

    async fn drain(&self, event: &mut Box<Event>) -> Result<(), Failure> {
        every!(self, event, |member| member.drain(event))
    }

    async fn close(&self, event: &mut Box<Event>, cause: &CloseCause) -> Result<(), Failure> {
        every!(self, event, |member| member.close(event, cause))
    }
}

/// Adds what one plugin grants to what those before it did.
fn grant(granted: &mut Accept, event: &Event, accept: contract::Accept) {
    granted.subprotocol = granted.subprotocol.take().or(accept.subprotocol);
    granted.headers.extend(accept.headers);
    if !accept.state.is_empty() {
        granted
            .states
            .set(event.member, accept.state, event.generation);
    }
}
