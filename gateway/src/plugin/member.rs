//! One plugin of a route's chain, on one shard.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;

use super::contract;
use super::lower;
use super::packed::Packed;
use super::pool::Pin;
use super::pool::{Lease, Pool};
use crate::close::CloseCause;
use crate::dispatch::failed;
use crate::event::{Event, State};
use crate::handler::{Batch, Failure, Request};
use crate::message::{ConnectionId, Message};
use crate::shard;
use crate::store::Change;

/// One plugin of a chain.
pub(super) struct Member {
    pool: Rc<Pool>,
    /// The plugin's place in the chain.
    place: usize,
    /// Memory for the next batch.
    packed: Cell<Packed>,
}

/// Runs one event: an instance from the pool, the event swapped into its store, the call, and the
/// instance back unless it is dead.
macro_rules! event {
    ($member:expr, $event:expr, |$instance:ident| $call:expr) => {{
        let mut lease = $member.lease($event).await?;
        $event.member = $member.place;
        $event.owner = $member.pool.owner();
        $event.generation = lease.generation();
        let $instance = lease.instance();
        $instance.swap_event($event);
        let result = $call.await;
        $instance.swap_event($event);
        // After anything but a handler's `err` its store is dead.
        if matches!(result, Ok(_) | Err(Failure::Handler(_))) {
            lease.keep();
        }
        result
    }};
}

impl Member {
    pub(super) fn new(pool: Rc<Pool>, place: usize) -> Self {
        Self {
            pool,
            place,
            packed: Cell::default(),
        }
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// An instance for an event: of the current generation, or of that which its connection stays
    /// with.
    async fn lease(&self, event: &mut Event) -> Result<Lease, Failure> {
        // What was opened must be closed, however long that takes (G2).
        let endless = event.closed;
        let Some(state) = event.states.get(self.place) else {
            return self.pool.lease(endless).await;
        };
        if let Some(pool) = self.pinned(state) {
            return pool.lease(endless).await;
        }
        let mut lease = self.pool.lease(endless).await?;
        // The state may only have changed hands here while the event waited for the instance.
        let (is_kept, generation) = (!state.bytes.is_empty(), state.generation);
        if is_kept && generation != lease.generation() && lease.instance().migrates() {
            return Box::pin(self.take_over(event, lease)).await;
        }
        Ok(lease)
    }

    fn pinned(&self, state: &State) -> Option<Rc<Pool>> {
        let pin = state.pin.as_ref()?.downcast_ref::<Pin>()?;
        self.pool.pinned(pin)
    }

    /// Has a generation take over the state that another has left. If it refuses, the connection
    /// stays with that other one, or is to be closed.
    async fn take_over(&self, event: &mut Event, mut lease: Lease) -> Result<Lease, Failure> {
        let max = event.state_max;
        let state = event.states.get_mut(self.place);
        let migrated = lease
            .instance()
            .migrate_state(&state.bytes, state.generation)
            .await;
        let refusal = match migrated {
            Ok(bytes) if bytes.len() <= max => {
                state.bytes = bytes;
                state.generation = lease.generation();
                return Ok(lease);
            }
            Ok(bytes) => Failure::Handler(format!(
                "migrate-state returned {} bytes, over `limits.state` of the route ({max})",
                bytes.len()
            )),
            Err(failure) => failure,
        };
        if matches!(refusal, Failure::Handler(_)) {
            lease.keep();
        } else {
            drop(lease);
        }
        if self.pool.keeps_refused()
            && let Some(pin) = self.pool.pin(state.generation)
            && let Some(pool) = self.pool.pinned(&pin)
        {
            state.pin = Some(pin);
            shard::with_current(|shard| {
                if let Some(shard) = shard {
                    failed(shard, "migrate", event, &refusal);
                }
            });
            return pool.lease(event.closed).await;
        }
        // What was opened must be closed, on whatever generation there is (G2).
        if event.closed {
            return self.pool.lease(true).await;
        }
        Err(Failure::Refused(refusal.to_string()))
    }

    pub(super) async fn upgrade(
        &self,
        event: &mut Box<Event>,
        request: contract::Request<'_>,
    ) -> Result<Option<Result<contract::Accept, contract::Reject>>, Failure> {
        event!(self, event, |instance| instance.on_upgrade(request))
    }

    pub(super) async fn respond(
        &self,
        event: &mut Box<Event>,
        request: hyper::Request<Bytes>,
    ) -> Result<hyper::Response<Bytes>, Failure> {
        event!(self, event, |instance| instance.on_request(request))
    }

    pub(super) async fn open(
        &self,
        event: &mut Box<Event>,
        request: &Request,
        peer: &str,
    ) -> Result<(), Failure> {
        let id = own(event);
        event!(self, event, |instance| instance
            .on_open(id, lower::request(request, peer)))
    }

    /// Calls the guest with one message; tells whether the next plugin is to see it.
    pub(super) async fn message(
        &self,
        event: &mut Box<Event>,
        message: &Message<'_>,
    ) -> Result<contract::Verdict, Failure> {
        let id = own(event);
        event!(self, event, |instance| instance
            .on_message(id, lower::message(message)))
    }

    /// Calls the guest with all messages at once if it takes them together, else with the first.
    pub(super) async fn messages(
        &self,
        event: &mut Box<Event>,
        messages: &[Message<'_>],
    ) -> Result<Batch, Failure> {
        let id = own(event);
        event.handled = 0;
        let last = event!(self, event, |instance| async {
            if messages.len() > 1 && instance.takes_batches() {
                let packed = self.packed.take().fill(messages);
                let last = instance.on_messages(id, &packed).await;
                self.packed.set(packed);
                last
            } else {
                let verdict = instance.on_message(id, lower::message(&messages[0])).await;
                verdict.map(|_| ())
            }
        });
        Ok(Batch {
            // A message whose event was not ended in the call ended with it.
            handled: event.handled.max(1),
            last,
        })
    }

    pub(super) async fn timer(&self, event: &mut Box<Event>, name: &str) -> Result<(), Failure> {
        let id = event.connection().map(|ConnectionId(id)| id);
        event!(self, event, |instance| instance.on_timer(id, name))
    }

    pub(super) async fn change(
        &self,
        event: &mut Box<Event>,
        change: &Change,
    ) -> Result<(), Failure> {
        event!(self, event, |instance| instance.on_change(change))
    }

    pub(super) async fn drain(&self, event: &mut Box<Event>) -> Result<(), Failure> {
        let id = own(event);
        event!(self, event, |instance| instance.on_drain(id))
    }

    pub(super) async fn close(
        &self,
        event: &mut Box<Event>,
        cause: &CloseCause,
    ) -> Result<(), Failure> {
        let id = own(event);
        event!(self, event, |instance| instance
            .on_close(id, lower::cause(cause)))
    }
}

fn own(event: &Event) -> u64 {
    let ConnectionId(id) = event.connection().expect("the event is a connection's");
    id
}
