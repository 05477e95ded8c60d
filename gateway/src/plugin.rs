//! The plugin side: everything that knows WebAssembly.
//!
//! - [`engine`](Engine): wasmtime's settings, the clock of deadlines, the linker
//! - `contract`: the WIT contract in Rust types; `host`: what guests may ask of the gateway;
//!   `keyvalue`: of the store
//! - `load`: from a file to a [`Generation`]; `cache`: compiled code on disk
//! - [`Registry`]: the plugins by name, their histories, the loader's thread
//! - [`Slot`]: where the current generation is found; [`Pool`]: its instances on one shard
//! - [`Guest`]: the [`Handler`] that connections call
//! - [`watcher`]: files that change; [`builder`]: source that changes (`tidegate dev`)

pub mod builder;
mod cache;
mod call;
mod context;
mod contract;
mod engine;
mod generation;
mod host;
mod instance;
mod keyvalue;
mod load;
mod log;
mod packed;
mod pool;
mod registry;
mod slot;
pub mod watcher;

use std::cell::Cell;
use std::rc::Rc;

use crate::close::CloseCause;
use crate::handler::{Accept, Batch, Event, Failure, Handler, Reject, Request, Upgrade};
use crate::message::{ConnectionId, Message};
use crate::store::Change;

pub use contract::ContractError;
pub use engine::Engine;
pub use generation::{CheckError, Digest, Generation, Identity};
pub use instance::StartError;
pub use load::LoadError;
pub use log::dropped_lines;
pub use pool::Pool;
pub use registry::{Notice, Plugin, Registry, Reload, ReloadError, Status};
pub use slot::Slot;

use contract::Inbound;
use packed::Packed;

/// Handles events with a plugin's guests.
pub struct Guest {
    pool: Rc<Pool>,
    /// Memory for the next batch.
    packed: Cell<Packed>,
}

impl Guest {
    /// A handler over one shard's instances of a plugin.
    pub fn new(pool: Rc<Pool>) -> Self {
        Self {
            pool,
            packed: Cell::default(),
        }
    }
}

impl Guest {
    /// Calls the guest with one message, or with all of them if there are several and it takes
    /// them together.
    async fn handle(
        &self,
        event: &mut Box<Event>,
        messages: &[Message<'_>],
    ) -> Result<Batch, Failure> {
        let id = own(event);
        let mut lease = self.pool.lease().await?;
        event.generation = lease.generation();
        event.handled = 0;
        let instance = lease.instance();
        instance.swap_event(event);
        let last = match messages {
            [first] => instance.on_message(id, lower_message(first)).await,
            [first, ..] if !instance.takes_batches() => {
                instance.on_message(id, lower_message(first)).await
            }
            _ => {
                let packed = self.packed.take().fill(messages);
                let last = instance.on_messages(id, &packed).await;
                self.packed.set(packed);
                last
            }
        };
        instance.swap_event(event);
        if is_reusable(&last) {
            lease.keep();
        }
        Ok(Batch {
            // A message whose event was not ended in the call ended with it.
            handled: event.handled.max(1),
            last,
        })
    }
}

/// Whether an instance is as good as before: after anything but a handler's `err` its store is dead.
fn is_reusable<T>(result: &Result<T, Failure>) -> bool {
    matches!(result, Ok(_) | Err(Failure::Handler(_)))
}

/// Runs one event: an instance from the pool, the event swapped into its store, the call, and the
/// instance back unless it is dead.
macro_rules! event {
    ($guest:expr, $event:expr, |$instance:ident| $call:expr) => {{
        let mut lease = $guest.pool.lease().await?;
        $event.generation = lease.generation();
        let $instance = lease.instance();
        $instance.swap_event($event);
        let result = $call.await;
        $instance.swap_event($event);
        if is_reusable(&result) {
            lease.keep();
        }
        result
    }};
}

impl Handler for Guest {
    fn is_busy(&self) -> bool {
        self.pool.is_busy()
    }

    async fn upgrade(&self, event: &mut Box<Event>, request: &Request) -> Result<Upgrade, Failure> {
        let peer = request.peer.to_string();
        let answer = event!(self, event, |instance| instance
            .on_upgrade(lower(request, &peer)))?;
        Ok(match answer {
            None => Upgrade::Accept(Accept::default()),
            Some(Ok(contract::Accept {
                subprotocol,
                headers,
                state,
            })) => Upgrade::Accept(Accept {
                subprotocol,
                headers,
                state,
            }),
            Some(Err(contract::Reject {
                status,
                headers,
                body,
            })) => Upgrade::Reject(Reject {
                status,
                headers,
                body,
            }),
        })
    }

    async fn open(&self, event: &mut Box<Event>, request: &Request) -> Result<(), Failure> {
        let (id, peer) = (own(event), request.peer.to_string());
        event!(self, event, |instance| instance
            .on_open(id, lower(request, &peer)))
    }

    async fn messages(&self, event: &mut Box<Event>, messages: &[Message<'_>]) -> Batch {
        match self.handle(event, messages).await {
            Ok(batch) => batch,
            Err(failure) => Batch {
                handled: 1,
                last: Err(failure),
            },
        }
    }

    async fn drain(&self, event: &mut Box<Event>) -> Result<(), Failure> {
        let id = own(event);
        event!(self, event, |instance| instance.on_drain(id))
    }

    async fn change(&self, event: &mut Box<Event>, change: &Change) -> Result<(), Failure> {
        event!(self, event, |instance| instance.on_change(change))
    }

    async fn close(&self, event: &mut Box<Event>, cause: &CloseCause) -> Result<(), Failure> {
        let id = own(event);
        event!(self, event, |instance| instance
            .on_close(id, lower_cause(cause)))
    }
}

fn own(event: &Event) -> u64 {
    let ConnectionId(id) = event
        .connection()
        .expect("only an upgrade has no connection");
    id
}

fn lower<'a>(request: &'a Request, peer: &'a str) -> contract::Request<'a> {
    contract::Request {
        path: &request.path,
        params: request
            .params
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect(),
        query: request.query.as_deref(),
        headers: request
            .headers
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect(),
        peer,
        subprotocols: request.subprotocols.iter().map(String::as_str).collect(),
    }
}

fn lower_message<'a>(message: &Message<'a>) -> Inbound<'a> {
    match *message {
        Message::Text(text) => Inbound::Text(text),
        Message::Binary(bytes) => Inbound::Binary(bytes),
    }
}

fn lower_cause(cause: &CloseCause) -> contract::CloseCause<'_> {
    use contract::CloseCause as Lowered;
    match cause {
        CloseCause::Peer(frame) => Lowered::Peer(lower_frame(frame)),
        CloseCause::Lost(why) => Lowered::Lost(why),
        CloseCause::Idle => Lowered::Idle,
        CloseCause::SlowConsumer => Lowered::SlowConsumer,
        CloseCause::ProtocolError { reason, .. } => Lowered::ProtocolError(reason),
        CloseCause::Failed(why) => Lowered::Failed(why),
        CloseCause::Kicked(frame) => Lowered::Kicked(lower_frame(frame)),
        CloseCause::Drained => Lowered::Drained,
    }
}

fn lower_frame(frame: &crate::close::CloseFrame) -> contract::CloseFrame<'_> {
    contract::CloseFrame {
        code: frame.code,
        reason: &frame.reason,
    }
}
