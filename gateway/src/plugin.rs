//! The plugin side: everything that knows WebAssembly.
//!
//! - [`engine`](Engine): wasmtime's settings, the clock of deadlines, the linker
//! - `contract`: the WIT contract in Rust types; `host`: what guests may ask of the gateway
//! - `load`: from a file to a [`Generation`]; `cache`: compiled code on disk
//! - [`Registry`]: the plugins by name, their histories, the loader's thread
//! - [`Slot`]: where the current generation is found; [`Pool`]: its instances on one shard
//! - [`Guest`]: the [`Handler`] that connections call
//! - [`watcher`]: files that change; [`builder`]: source that changes (`tidegate dev`)

pub mod builder;
mod cache;
mod contract;
mod engine;
mod generation;
mod host;
mod instance;
mod load;
mod log;
mod pool;
mod registry;
mod slot;
pub mod watcher;

use std::rc::Rc;

use crate::close::CloseCause;
use crate::handler::{Accept, Event, Failure, Handler, Reject, Request, Upgrade};
use crate::message::{ConnectionId, Message};

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

/// Handles events with a plugin's guests.
pub struct Guest {
    pool: Rc<Pool>,
}

impl Guest {
    /// A handler over one shard's instances of a plugin.
    pub fn new(pool: Rc<Pool>) -> Self {
        Self { pool }
    }
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
        if matches!(result, Ok(_) | Err(Failure::Handler(_))) {
            lease.keep();
        }
        result
    }};
}

impl Handler for Guest {
    fn is_busy(&self) -> bool {
        self.pool.is_busy()
    }

    async fn upgrade(&self, event: &mut Event, request: &Request) -> Result<Upgrade, Failure> {
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

    async fn open(&self, event: &mut Event, request: &Request) -> Result<(), Failure> {
        let (id, peer) = (own(event), request.peer.to_string());
        event!(self, event, |instance| instance
            .on_open(id, lower(request, &peer)))
    }

    async fn message(&self, event: &mut Event, message: Message<'_>) -> Result<(), Failure> {
        let id = own(event);
        let message = match message {
            Message::Text(text) => Inbound::Text(text),
            Message::Binary(bytes) => Inbound::Binary(bytes),
        };
        event!(self, event, |instance| instance.on_message(id, message))
    }

    async fn drain(&self, event: &mut Event) -> Result<(), Failure> {
        let id = own(event);
        event!(self, event, |instance| instance.on_drain(id))
    }

    async fn close(&self, event: &mut Event, cause: &CloseCause) -> Result<(), Failure> {
        let id = own(event);
        event!(self, event, |instance| instance
            .on_close(id, lower_cause(cause)))
    }
}

fn own(event: &Event) -> u64 {
    let ConnectionId(id) = event.connection.expect("only an upgrade has no connection");
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
