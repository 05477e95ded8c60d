//! A call of a guest, within its budget and its limit of waiting, and what its failures are called.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, Sleep};
use wasmtime::{Store, Trap};

use super::budget::Budget;
use super::context::Context;
use super::contract::{Export, Signature};
use super::memory::MemoryExceeded;
use super::pace::Pace;
use crate::excerpt;
use crate::handler::Failure;

/// Calls the guest within a budget of its own time and the plugin's `wait` for host functions.
pub(super) async fn call<S: Signature>(
    store: &mut Store<Context>,
    export: &Export<S>,
    params: S::Params<'_>,
    budget: Budget,
    pace: &Pace,
) -> Result<S::Results, Failure> {
    pace.begin();
    store.data_mut().allow(budget);
    store.set_epoch_deadline(1);
    let wait = store.data().limits.wait;
    let called = bounded(export.typed().call_async(&mut *store, params), wait, pace).await;
    store.data_mut().end_call();
    called.map_err(|interrupted| interrupted.into_failure(budget))
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

    /// In words. `running` is what the guest was allowed to run.
    pub(super) fn into_failure(self, running: Budget) -> Failure {
        let error = match self {
            Self::Waited(limit) => {
                return Failure::Waited(format!(
                    "the event waited longer than {limit:?} in host functions: raise `limits.wait` of the plugin if it has to"
                ));
            }
            Self::Guest(error) => error,
        };
        if let Some(exceeded) = error.downcast_ref::<MemoryExceeded>() {
            return Failure::Memory(exceeded.to_string());
        }
        let Budget { time, key, .. } = running;
        match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => Failure::Deadline(format!(
                "the guest and the host functions it called ran longer than {time:?}: raise `limits.{key}` of the plugin if they have to"
            )),
            Some(trap) => Failure::Trap(trap.to_string()),
            None => Failure::Trap(excerpt::cut(error.root_cause().to_string())),
        }
    }
}

/// Awaits a guest's future, but gives it up when it has waited in host functions for longer than
/// `limit` in all. The time it runs does not count: it has a budget of its own. Nor does the time
/// it waits for its turn, which others have used up.
///
/// The timer is made when the future first has to wait: a call that does not wait reads no clock.
/// Giving up drops the future half-way, after which its store is dead, as after a trap.
pub(super) async fn bounded<T>(
    future: impl Future<Output = wasmtime::Result<T>>,
    limit: Duration,
    pace: &Pace,
) -> Result<T, Interrupted> {
    let mut future = std::pin::pin!(future);
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    let mut waits_since: Option<Instant> = None;
    let mut left = limit;
    std::future::poll_fn(|context| {
        if let Some(since) = waits_since.take() {
            left = left.saturating_sub(since.elapsed());
            pace.go_on();
        }
        if let Poll::Ready(result) = future.as_mut().poll(context) {
            return Poll::Ready(result.map_err(Interrupted::Guest));
        }
        if !pace.stopped() {
            return Poll::Pending;
        }
        if left.is_zero() {
            return Poll::Ready(Err(Interrupted::Waited(limit)));
        }
        let now = Instant::now();
        waits_since = Some(now);
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
