//! A running copy of a plugin: its store and its exports.

use std::sync::Arc;

use bytes::Bytes;
use hyper::{Request, Response};
use tokio::sync::Semaphore;
use wasmtime::Store;

use super::budget::Budget;
use super::call::{bounded, call};
use super::context::Context;
use super::contract::{
    self, ContractError, Describe, Export, Inbound, MigrateState, OnClose, OnDrain, OnLoad,
    OnMessage, OnMessages, OnOpen, OnTimer, OnUpgrade, Signature, Verdict,
};
use super::generation::Generation;
use super::identity::Identity;
use super::incoming::{self, OnRequest};
use super::keyvalue::{OnDelete, OnSet};
use super::outgoing::Outgoing;
use super::pace::Pace;
use super::packed::Packed;
use super::version::Version;
use crate::event::Event;
use crate::handler::Failure;
use crate::store::Change;

/// A running copy of a plugin. After any failure but a handler's `err` it is dead and must be
/// dropped: wasmtime does not let a trapped store be entered again.
pub(super) struct Instance {
    store: Store<Context>,
    pace: Arc<Pace>,
    on_open: Export<OnOpen>,
    on_message: Export<OnMessage>,
    on_close: Export<OnClose>,
    on_messages: Option<Export<OnMessages>>,
    on_upgrade: Option<Export<OnUpgrade>>,
    on_drain: Option<Export<OnDrain>>,
    on_timer: Option<Export<OnTimer>>,
    migrate_state: Option<Export<MigrateState>>,
    on_request: Option<Export<OnRequest>>,
    on_load: Option<Export<OnLoad>>,
    describe: Option<Export<Describe>>,
    on_set: Option<Export<OnSet>>,
    on_delete: Option<Export<OnDelete>>,
}

/// Why an instance did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The component differs from the contract.
    #[error(transparent)]
    Contract(#[from] ContractError),
    /// The instance failed before any event.
    #[error("failed to start: {0}")]
    Start(Failure),
    /// The process holds as many instances as it may.
    #[error("all {0} instances of the engine are in use: raise `engine.instances`")]
    Exhausted(u32),
}

impl Instance {
    /// Starts an instance of a generation. `requests` has a permit for each HTTP request that its
    /// plugin may have under way on this shard.
    pub(super) async fn start(
        generation: &Generation,
        requests: Arc<Semaphore>,
    ) -> Result<Self, StartError> {
        let load = generation.limits().load;
        let pace = Arc::new(Pace::default());
        let (engine, identity) = (generation.engine(), generation.identity());
        let outgoing = Outgoing::new(identity, requests);
        let (number, memory) = (generation.number(), engine.memory().clone());
        let context = Context::new(identity, number, memory, outgoing, pace.clone());
        let mut store = Store::new(engine.wasmtime(), context);
        store.limiter(Context::limiter);
        store.set_hostcall_fuel(copies_max(identity));
        store.epoch_deadline_callback(|mut store| Ok(store.data_mut().tick()));
        store.set_epoch_deadline(1);
        let start = bounded(generation.pre().instantiate_async(&mut store), load, &pace);
        let instance = match start.await {
            Ok(instance) => instance,
            Err(failure) if failure.is_exhausted() => {
                return Err(StartError::Exhausted(engine.instances()));
            }
            Err(failure) => {
                let budget = Budget::of(load, "load");
                return Err(StartError::Start(failure.into_failure(budget)));
            }
        };
        store.data_mut().memory().started();
        let exports = generation.exports();
        Ok(Self {
            on_open: Export::new(&mut store, &instance, &exports.on_open)?,
            on_message: Export::new(&mut store, &instance, &exports.on_message)?,
            on_close: Export::new(&mut store, &instance, &exports.on_close)?,
            on_messages: optional_export(&mut store, &instance, exports.on_messages.as_ref())?,
            on_upgrade: optional_export(&mut store, &instance, exports.on_upgrade.as_ref())?,
            on_drain: optional_export(&mut store, &instance, exports.on_drain.as_ref())?,
            on_timer: optional_export(&mut store, &instance, exports.on_timer.as_ref())?,
            migrate_state: optional_export(&mut store, &instance, exports.migrate_state.as_ref())?,
            on_request: optional_export(&mut store, &instance, exports.on_request.as_ref())?,
            on_load: optional_export(&mut store, &instance, exports.on_load.as_ref())?,
            describe: optional_export(&mut store, &instance, exports.describe.as_ref())?,
            on_set: optional_export(&mut store, &instance, exports.on_set.as_ref())?,
            on_delete: optional_export(&mut store, &instance, exports.on_delete.as_ref())?,
            store,
            pace,
        })
    }

    /// Has a call with several messages end when the slot no longer holds that version.
    pub(super) fn watch(&mut self, slot: Version, version: u64) {
        self.store.data_mut().watch(slot, version);
    }

    /// Whether it holds so much more memory than after its start that it is better replaced.
    pub(super) fn is_swollen(&mut self) -> bool {
        self.store.data_mut().memory().is_swollen()
    }

    /// The generation this is an instance of.
    pub(super) fn generation(&self) -> u64 {
        self.store.data().generation
    }

    /// Swaps the event in or out of the store.
    pub(super) fn swap_event(&mut self, event: &mut Box<Event>) {
        self.store.data_mut().swap_event(event);
    }

    /// Runs the generation's own check, if it has one.
    pub(super) async fn on_load(&mut self) -> Result<(), Failure> {
        let Some(export) = &self.on_load else {
            return Ok(());
        };
        let budget = Budget::of(self.store.data().limits.load, "load");
        let (result,) = call::<OnLoad>(&mut self.store, export, (), budget, &self.pace).await?;
        result.map_err(Failure::of_handler)
    }

    /// What the plugin says of its messages, if it says anything.
    pub(super) async fn describe(&mut self) -> Result<Option<String>, Failure> {
        let Some(export) = &self.describe else {
            return Ok(None);
        };
        let budget = Budget::of(self.store.data().limits.load, "load");
        let (description,) =
            call::<Describe>(&mut self.store, export, (), budget, &self.pace).await?;
        Ok(Some(description))
    }

    pub(super) async fn on_upgrade(
        &mut self,
        request: contract::Request<'_>,
    ) -> Result<Option<Result<contract::Accept, contract::Reject>>, Failure> {
        let Some(export) = &self.on_upgrade else {
            return Ok(None);
        };
        let budget = self.store.data().budget;
        let (answer,) =
            call::<OnUpgrade>(&mut self.store, export, (request,), budget, &self.pace).await?;
        Ok(Some(answer))
    }

    /// Answers a plain HTTP request.
    pub(super) async fn on_request(
        &mut self,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Failure> {
        let Some(export) = &self.on_request else {
            let why = "this generation of the plugin answers no requests";
            return Err(Failure::Unavailable(why.to_owned()));
        };
        incoming::respond(&mut self.store, export, request, &self.pace).await
    }

    pub(super) async fn on_open(
        &mut self,
        connection: u64,
        request: contract::Request<'_>,
    ) -> Result<(), Failure> {
        let budget = self.store.data().budget;
        let params = (connection, request);
        let (result,) =
            call::<OnOpen>(&mut self.store, &self.on_open, params, budget, &self.pace).await?;
        result.map_err(Failure::of_handler)
    }

    pub(super) async fn on_message(
        &mut self,
        connection: u64,
        message: Inbound<'_>,
    ) -> Result<Verdict, Failure> {
        let budget = self.store.data().budget.with(message.len());
        let params = (connection, message);
        let (result,) = call::<OnMessage>(
            &mut self.store,
            &self.on_message,
            params,
            budget,
            &self.pace,
        )
        .await?;
        result.map_err(Failure::of_handler)
    }

    /// Whether it takes several messages in one call.
    pub(super) fn takes_batches(&self) -> bool {
        self.on_messages.is_some()
    }

    /// The event holds how many messages were handled, the one that failed among them.
    pub(super) async fn on_messages(
        &mut self,
        connection: u64,
        messages: &Packed,
    ) -> Result<(), Failure> {
        let Some(export) = &self.on_messages else {
            return Ok(());
        };
        self.store.data_mut().begin_batch(messages.ends.len());
        let budget = self.store.data().budget.with(messages.longest);
        let params = (connection, &messages.payloads[..], &messages.ends[..]);
        let called = call::<OnMessages>(&mut self.store, export, params, budget, &self.pace).await;
        let result = match called {
            Ok((result,)) => result.map_err(Failure::of_handler),
            Err(failure) => Err(failure),
        };
        let is_under_way = self.store.data_mut().end_batch();
        match result {
            Ok(()) if is_under_way => Err(Failure::Handler(
                "on-messages returned before all messages were `handled`".to_owned(),
            )),
            result => result,
        }
    }

    /// Whether it takes over the states that other generations left.
    pub(super) fn migrates(&self) -> bool {
        self.migrate_state.is_some()
    }

    /// Has the guest take over a state. There is no event: nothing it does takes effect.
    pub(super) async fn migrate_state(
        &mut self,
        state: &[u8],
        generation: u64,
    ) -> Result<Vec<u8>, Failure> {
        let Some(export) = &self.migrate_state else {
            return Ok(state.to_vec());
        };
        let budget = self.store.data().budget.with(state.len());
        let params = (state, generation);
        let called =
            call::<MigrateState>(&mut self.store, export, params, budget, &self.pace).await;
        self.store.data_mut().event_mut().discard();
        let (result,) = called?;
        result.map_err(Failure::of_handler)
    }

    pub(super) async fn on_drain(&mut self, connection: u64) -> Result<(), Failure> {
        let Some(export) = &self.on_drain else {
            return Ok(());
        };
        let budget = self.store.data().budget;
        let (result,) =
            call::<OnDrain>(&mut self.store, export, (connection,), budget, &self.pace).await?;
        result.map_err(Failure::of_handler)
    }

    pub(super) async fn on_timer(
        &mut self,
        connection: Option<u64>,
        name: &str,
    ) -> Result<(), Failure> {
        let Some(export) = &self.on_timer else {
            return Ok(());
        };
        let budget = self.store.data().budget;
        let params = (connection, name);
        let (result,) =
            call::<OnTimer>(&mut self.store, export, params, budget, &self.pace).await?;
        result.map_err(Failure::of_handler)
    }

    /// Tells the guest of a change in a bucket that it watches, if it exports the watcher.
    pub(super) async fn on_change(&mut self, change: &Change) -> Result<(), Failure> {
        let len = change.value.as_ref().map_or(0, |value| value.len());
        let budget = self.store.data().budget.with(len);
        let (Some(on_set), Some(on_delete)) = (&self.on_set, &self.on_delete) else {
            return Ok(());
        };
        let context = self.store.data_mut();
        // Buckets are the configuration's, so a change is of one that is there.
        let Some(bucket) = context.store().bucket(&change.bucket).cloned() else {
            return Ok(());
        };
        let bucket = context.table.push(bucket);
        let bucket = bucket.map_err(|error| Failure::Trap(error.to_string()))?;
        match &change.value {
            Some(value) => {
                let params = (bucket, &*change.key, &value[..]);
                call::<OnSet>(&mut self.store, on_set, params, budget, &self.pace).await
            }
            None => {
                let params = (bucket, &*change.key);
                call::<OnDelete>(&mut self.store, on_delete, params, budget, &self.pace).await
            }
        }
    }

    pub(super) async fn on_close(
        &mut self,
        connection: u64,
        cause: contract::CloseCause<'_>,
    ) -> Result<(), Failure> {
        let budget = self.store.data().budget;
        let params = (connection, cause);
        let (result,) =
            call::<OnClose>(&mut self.store, &self.on_close, params, budget, &self.pace).await?;
        result.map_err(Failure::of_handler)
    }
}

/// What a guest may hand over in one call, whatever its limits: what is over those is refused with an
/// error of its own, which a trap would hide.
const COPIES_MIN: usize = 64 << 20;

/// Bytes that a guest hands over in one call of a host function: while they are copied nobody else has
/// a turn. A call with more traps.
fn copies_max(identity: &Identity) -> usize {
    let granted = identity.grants.store.iter();
    let buckets = granted.filter_map(|name| identity.store.bucket(name));
    let value = buckets.map(|bucket| bucket.value_max()).max().unwrap_or(0);
    // Beside the message or value: names, and what a list costs.
    identity.limits.effects.max(value).max(COPIES_MIN) + (1 << 20)
}

fn optional_export<S: Signature>(
    store: &mut Store<Context>,
    instance: &wasmtime::component::Instance,
    function: Option<&contract::Function>,
) -> Result<Option<Export<S>>, ContractError> {
    function
        .map(|function| Export::new(store, instance, function))
        .transpose()
}
