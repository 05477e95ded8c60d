//! A call of a guest: how long it may run and wait, and what its failures are called.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, Sleep};
use wasmtime::{Store, Trap};

use super::context::{Context, MemoryExceeded};
use super::contract::{Export, Signature};
use super::engine::TICK;
use crate::handler::Failure;

/// Calls the guest within a budget of its own time and the plugin's `wait` for host functions.
pub(super) async fn call<S: Signature>(
    store: &mut Store<Context>,
    export: &Export<S>,
    params: S::Params<'_>,
    budget: Budget,
    suspended: &AtomicBool,
) -> Result<S::Results, Failure> {
    suspended.store(false, Ordering::Relaxed);
    store.data_mut().ticks_left = budget.ticks;
    store.set_epoch_deadline(1);
    let wait = store.data().limits.wait;
    let called = bounded(
        export.typed().call_async(&mut *store, params),
        wait,
        suspended,
    )
    .await;
    store.data_mut().end_call();
    called.map_err(|interrupted| interrupted.into_failure(budget.time, budget.key))
}

/// How long a guest may run; worked out once, because dividing times costs as much as an event's
/// smaller parts.
#[derive(Clone, Copy)]
pub(super) struct Budget {
    time: Duration,
    /// Ticks of the engine's clock. One more than fit, because the first may come at once.
    pub(super) ticks: u64,
    /// The key of the plugin's limits that it comes from.
    key: &'static str,
}

impl Budget {
    /// That of a limit and its key.
    pub(super) fn of(time: Duration, key: &'static str) -> Self {
        let ticks = (time.as_nanos() / TICK.as_nanos()) as u64 + 1;
        Self { time, ticks, key }
    }
}

/// Why a guest's future did not end well.
pub(super) enum Interrupted {
    Guest(wasmtime::Error),
    Waited(Duration),
}

impl Interrupted {
    /// Whether the engine has no instance to give.
    pub(super) fn is_exhausted(&self) -> bool {
        matches!(self, Self::Guest(error) if error.is::<wasmtime::PoolConcurrencyLimitError>())
    }

    /// In words. `running` is the limit on running time, `key` its name.
    pub(super) fn into_failure(self, running: Duration, key: &str) -> Failure {
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
pub(super) async fn bounded<T>(
    future: impl Future<Output = wasmtime::Result<T>>,
    limit: Duration,
    has_suspended: &AtomicBool,
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
        has_suspended.store(true, Ordering::Relaxed);
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
