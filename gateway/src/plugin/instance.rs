//! A running copy of a plugin: its store, its exports, and the rules its calls run under.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, Sleep};
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Store, Trap, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::contract::{
    self, ContractError, Export, Inbound, OnClose, OnDrain, OnLoad, OnMessage, OnOpen, OnUpgrade,
    Signature,
};
use super::engine::TICK;
use super::generation::Generation;
use super::log::GuestLog;
use crate::config::PluginLimits;
use crate::handler::{Event, Failure};

/// A table with more elements than this is not a program but an attack.
const TABLE_ELEMENTS_MAX: usize = 20_000;

/// What the host functions of one instance work on.
pub(super) struct Context {
    /// The event that is being handled.
    pub(super) event: Event,
    /// Which plugin this is, as an index into the configuration.
    pub(super) owner: usize,
    pub(super) generation: u64,
    pub(super) limits: Arc<PluginLimits>,
    memory: MemoryLimit,
    /// Ticks of the engine's clock that the guest may still run in this event. Only ticks that
    /// pass while it runs count, so a guest is not killed for waiting its turn.
    ticks_left: u64,
    /// What each event may run.
    budget: Budget,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Context {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

struct MemoryLimit {
    bytes: usize,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "the guest asked for {wanted} bytes, over its limit of {limit}: raise `limits.memory` of the plugin if it needs them"
)]
struct MemoryExceeded {
    wanted: usize,
    limit: usize,
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        _current: usize,
        wanted: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // An error traps at once and says why; `false` would leave it to the guest's allocator,
        // which aborts without a word.
        if wanted > self.bytes {
            return Err(wasmtime::Error::new(MemoryExceeded {
                wanted,
                limit: self.bytes,
            }));
        }
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        wanted: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(wanted <= TABLE_ELEMENTS_MAX)
    }
}

/// A running copy of a plugin. After any failure but a handler's `err` it is dead and must be
/// dropped: wasmtime does not let a trapped store be entered again.
pub(super) struct Instance {
    store: Store<Context>,
    on_open: Export<OnOpen>,
    on_message: Export<OnMessage>,
    on_close: Export<OnClose>,
    on_upgrade: Option<Export<OnUpgrade>>,
    on_drain: Option<Export<OnDrain>>,
    on_load: Option<Export<OnLoad>>,
}

/// Why an instance did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The component differs from the contract.
    #[error(transparent)]
    Contract(#[from] ContractError),
    /// It failed before any event.
    #[error("failed to start: {0}")]
    Start(Failure),
    /// The process holds as many instances as it may.
    #[error("all {0} instances of the engine are in use: raise `engine.instances`")]
    Exhausted(u32),
}

impl Instance {
    /// Starts an instance of a generation.
    pub(super) async fn start(generation: &Generation) -> Result<Self, StartError> {
        let limits = generation.limits().clone();
        let log = GuestLog::new(generation.plugin(), generation.number());
        let context = Context {
            event: Event::default(),
            owner: generation.owner(),
            generation: generation.number(),
            memory: MemoryLimit {
                bytes: limits.memory,
            },
            ticks_left: Budget::of(limits.load).ticks,
            budget: Budget::of(limits.deadline),
            // Nothing is granted: no files, no network, no environment (G8).
            wasi: WasiCtx::builder()
                .stdout(log.clone())
                .stderr(log)
                .allow_tcp(false)
                .allow_udp(false)
                .build(),
            table: ResourceTable::new(),
            limits: limits.clone(),
        };
        let mut store = Store::new(generation.engine().wasmtime(), context);
        store.limiter(|context| &mut context.memory);
        store.epoch_deadline_callback(|mut store| {
            let context = store.data_mut();
            context.ticks_left = context.ticks_left.saturating_sub(1);
            if context.ticks_left == 0 {
                return Ok(UpdateDeadline::Interrupt);
            }
            // A plain yield wakes this task at once and starves the sockets; tokio's own lets the
            // driver run first.
            Ok(UpdateDeadline::YieldCustom(
                1,
                Box::pin(tokio::task::yield_now()),
            ))
        });
        store.set_epoch_deadline(1);
        let start = bounded(generation.pre().instantiate_async(&mut store), limits.load);
        let instance = match start.await {
            Ok(instance) => instance,
            Err(failure) if failure.is_exhausted() => {
                return Err(StartError::Exhausted(generation.engine().instances()));
            }
            Err(failure) => {
                return Err(StartError::Start(failure.into_failure(limits.load, "load")));
            }
        };
        let exports = generation.exports();
        Ok(Self {
            on_open: Export::new(&mut store, &instance, &exports.on_open)?,
            on_message: Export::new(&mut store, &instance, &exports.on_message)?,
            on_close: Export::new(&mut store, &instance, &exports.on_close)?,
            on_upgrade: optional_export(&mut store, &instance, exports.on_upgrade.as_ref())?,
            on_drain: optional_export(&mut store, &instance, exports.on_drain.as_ref())?,
            on_load: optional_export(&mut store, &instance, exports.on_load.as_ref())?,
            store,
        })
    }

    /// The generation this is an instance of.
    pub(super) fn generation(&self) -> u64 {
        self.store.data().generation
    }

    /// Swaps the event in or out of the store.
    pub(super) fn swap_event(&mut self, event: &mut Event) {
        std::mem::swap(&mut self.store.data_mut().event, event);
    }

    /// Runs the generation's own check, if it has one.
    pub(super) async fn on_load(&mut self) -> Result<(), Failure> {
        let Some(export) = &self.on_load else {
            return Ok(());
        };
        let budget = Budget {
            key: "load",
            ..Budget::of(self.store.data().limits.load)
        };
        let (result,) = call::<OnLoad>(&mut self.store, export, (), budget).await?;
        result.map_err(Failure::Handler)
    }

    pub(super) async fn on_upgrade(
        &mut self,
        request: contract::Request<'_>,
    ) -> Result<Option<Result<contract::Accept, contract::Reject>>, Failure> {
        let Some(export) = &self.on_upgrade else {
            return Ok(None);
        };
        let budget = self.store.data().budget;
        let (answer,) = call::<OnUpgrade>(&mut self.store, export, (request,), budget).await?;
        Ok(Some(answer))
    }

    pub(super) async fn on_open(
        &mut self,
        connection: u64,
        request: contract::Request<'_>,
    ) -> Result<(), Failure> {
        let budget = self.store.data().budget;
        let params = (connection, request);
        let (result,) = call::<OnOpen>(&mut self.store, &self.on_open, params, budget).await?;
        result.map_err(Failure::Handler)
    }

    pub(super) async fn on_message(
        &mut self,
        connection: u64,
        message: Inbound<'_>,
    ) -> Result<(), Failure> {
        let budget = self.store.data().budget;
        let params = (connection, message);
        let (result,) =
            call::<OnMessage>(&mut self.store, &self.on_message, params, budget).await?;
        result.map(|_verdict| ()).map_err(Failure::Handler)
    }

    pub(super) async fn on_drain(&mut self, connection: u64) -> Result<(), Failure> {
        let Some(export) = &self.on_drain else {
            return Ok(());
        };
        let budget = self.store.data().budget;
        let (result,) = call::<OnDrain>(&mut self.store, export, (connection,), budget).await?;
        result.map_err(Failure::Handler)
    }

    pub(super) async fn on_close(
        &mut self,
        connection: u64,
        cause: contract::CloseCause<'_>,
    ) -> Result<(), Failure> {
        let budget = self.store.data().budget;
        let params = (connection, cause);
        let (result,) = call::<OnClose>(&mut self.store, &self.on_close, params, budget).await?;
        result.map_err(Failure::Handler)
    }
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

/// Calls the guest within a budget of its own time and the plugin's `wait` for host functions.
async fn call<S: Signature>(
    store: &mut Store<Context>,
    export: &Export<S>,
    params: S::Params<'_>,
    budget: Budget,
) -> Result<S::Results, Failure> {
    store.data_mut().ticks_left = budget.ticks;
    store.set_epoch_deadline(1);
    let wait = store.data().limits.wait;
    bounded(export.typed().call_async(store, params), wait)
        .await
        .map_err(|interrupted| interrupted.into_failure(budget.time, budget.key))
}

/// How long a guest may run; worked out once, because dividing times costs as much as an event's
/// smaller parts.
#[derive(Clone, Copy)]
struct Budget {
    time: Duration,
    /// Ticks of the engine's clock. One more than fit, because the first may come at once.
    ticks: u64,
    /// The key of the plugin's limits that it comes from.
    key: &'static str,
}

impl Budget {
    fn of(time: Duration) -> Self {
        let ticks = (time.as_nanos() / TICK.as_nanos()) as u64 + 1;
        Self {
            time,
            ticks,
            key: "deadline",
        }
    }
}

/// Why a guest's future did not end well.
enum Interrupted {
    Guest(wasmtime::Error),
    Waited(Duration),
}

impl Interrupted {
    fn is_exhausted(&self) -> bool {
        matches!(self, Self::Guest(error) if error.is::<wasmtime::PoolConcurrencyLimitError>())
    }

    fn into_failure(self, running: Duration, key: &str) -> Failure {
        let error = match self {
            Self::Waited(limit) => {
                return Failure::Deadline(format!(
                    "the event waited longer than {limit:?} in host functions: raise `limits.wait` of the plugin if it has to"
                ));
            }
            Self::Guest(error) => error,
        };
        if let Some(exceeded) = error.downcast_ref::<MemoryExceeded>() {
            return Failure::Memory(exceeded.to_string());
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => Failure::Deadline(format!(
                "the guest ran longer than {running:?}: raise `limits.{key}` of the plugin if it has to"
            )),
            Some(trap) => Failure::Trap(trap.to_string()),
            None => Failure::Trap(error.root_cause().to_string()),
        }
    }
}

/// Awaits a guest's future, but gives it up when it has been suspended for longer than `limit` in
/// all. The time it runs does not count: it has a budget of its own.
///
/// The timer is made when the future first has to wait: a call that does not wait reads no clock.
/// Giving up drops the future half-way, after which its store is dead, as after a trap.
async fn bounded<T>(
    future: impl Future<Output = wasmtime::Result<T>>,
    limit: Duration,
) -> Result<T, Interrupted> {
    let mut future = std::pin::pin!(future);
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    let mut suspended: Option<Instant> = None;
    let mut left = limit;
    std::future::poll_fn(|context| {
        if let Some(since) = suspended.take() {
            left = left.saturating_sub(since.elapsed());
        }
        if let Poll::Ready(result) = future.as_mut().poll(context) {
            return Poll::Ready(result.map_err(Interrupted::Guest));
        }
        if left.is_zero() {
            return Poll::Ready(Err(Interrupted::Waited(limit)));
        }
        let now = Instant::now();
        suspended = Some(now);
        let end = now + left;
        let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        timer.as_mut().reset(end);
        timer
            .as_mut()
            .poll(context)
            .map(|()| Err(Interrupted::Waited(limit)))
    })
    .await
}
