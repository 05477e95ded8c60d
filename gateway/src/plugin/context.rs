//! What the host functions of one instance work on, and its bounds.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{Resource, ResourceTable};
use wasmtime::{ResourceLimiter, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_config::{WasiConfig, WasiConfigVariables};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::budget::Budget;
use super::identity::Identity;
use super::log::GuestLog;
use super::memory::{Memory, Total};
use super::namespace::Namespace;
use super::outgoing::Outgoing;
use super::pace::Pace;
use super::turns::GuestTurn;
use super::version::Version;
use crate::config::{PluginGrants, PluginLimits};
use crate::event::Event;
use crate::shard::Shard;
use crate::store::Store;

/// Handles that an instance may hold, of buckets, streams, requests and the like: far more than one
/// event needs. A guest that never drops them is told so or traps, and is not given our memory.
pub(super) const RESOURCES_MAX: usize = 10_000;
/// Bytes of one set of HTTP header fields that a guest makes: what servers take of a head.
const FIELDS_MAX: usize = 16 << 10;
/// Random bytes that a guest gets in one call: more than any key or nonce has, and some ticks of
/// work in which nobody else has a turn. A call for more traps.
const RANDOM_MAX: u64 = 1 << 20;

/// What the host functions of one instance work on.
pub(super) struct Context {
    /// The event that is being handled; one that nobody looks at between events. None only while
    /// a host function works on it and on the guest's memory at once.
    event: Option<Box<Event>>,
    batch: Progress,
    /// The version of the slot, and what the pool saw there when it started this instance.
    slot: Option<(Version, u64)>,
    pub(super) generation: u64,
    pub(super) limits: Arc<PluginLimits>,
    pub(super) grants: Arc<PluginGrants>,
    /// Which topics it means by their names.
    pub(super) topics: Arc<Namespace>,
    store: Arc<Store>,
    memory: Memory,
    /// The plugin, as an index into the configuration.
    owner: usize,
    /// What each event may run.
    pub(super) budget: Budget,
    /// What the event under way may run, and each of a batch.
    allowed: Duration,
    /// What is left of that.
    left: Duration,
    pace: Arc<Pace>,
    settings: Arc<WasiConfigVariables>,
    log: GuestLog,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outgoing: Outgoing,
    /// What the guest holds handles of.
    pub(super) table: ResourceTable,
}

/// How far a call with several messages has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// No message is under way, or the call is to return.
    Ended,
    /// The guest is to go on until it has ended the events of so many messages.
    Until(usize),
}

impl Context {
    /// The context of a new instance, which is about to start: of that generation of the plugin, and with its share of
    /// `memory`. Its calls run at that pace.
    pub(super) fn new(
        identity: &Identity,
        generation: u64,
        memory: Arc<Total>,
        outgoing: Outgoing,
        pace: Arc<Pace>,
    ) -> Self {
        let limits = identity.limits.clone();
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(FIELDS_MAX);
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        let log = GuestLog::new(identity, generation);
        Self {
            event: Some(Box::default()),
            batch: Progress::Ended,
            slot: None,
            pace,
            owner: identity.owner,
            generation,
            memory: Memory::new(limits.memory, memory),
            allowed: limits.load,
            left: limits.load,
            budget: Budget::growing(limits.deadline, limits.deadline_per_kib, "deadline"),
            settings: identity.settings.clone(),
            // Nothing is granted: no files, no network, no environment (G8).
            wasi: WasiCtx::builder()
                .stdout(log.clone())
                .stderr(log.clone())
                .allow_tcp(false)
                .allow_udp(false)
                .max_random_size(RANDOM_MAX)
                .build(),
            log,
            http,
            outgoing,
            table,
            grants: identity.grants.clone(),
            topics: identity.topics.clone(),
            store: identity.store.clone(),
            limits,
        }
    }

    /// Where its buckets are.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// The memory's bounds.
    pub(super) fn limiter(&mut self) -> &mut dyn ResourceLimiter {
        &mut self.memory
    }

    /// What the instance holds.
    pub(super) fn memory(&mut self) -> &mut Memory {
        &mut self.memory
    }

    /// Allows the call that begins what its budget says.
    pub(super) fn allow(&mut self, budget: Budget) {
        self.allowed = budget.time;
        self.left = budget.time;
    }

    /// The engine's clock has moved while the guest ran.
    pub(super) fn tick(&mut self) -> UpdateDeadline {
        self.left = self.left.saturating_sub(self.pace.look());
        if self.left.is_zero() {
            return UpdateDeadline::Interrupt;
        }
        let turn = GuestTurn::new(self.owner, self.pace.clone());
        UpdateDeadline::YieldCustom(1, Box::pin(turn))
    }

    /// Has a batch end when the slot no longer holds that version.
    pub(super) fn watch(&mut self, slot: Version, version: u64) {
        self.slot = Some((slot, version));
    }

    /// Swaps the event in or out.
    pub(super) fn swap_event(&mut self, event: &mut Box<Event>) {
        let own = self.event.as_mut();
        std::mem::swap(own.expect("put back by whoever took it"), event);
        self.log.set_connection(self.event().connection());
    }

    /// Where the guest's lines go.
    pub(super) fn log(&self) -> &GuestLog {
        &self.log
    }

    /// What the guest reads through `wasi:config/store`.
    pub(super) fn settings(&mut self) -> WasiConfig<'_> {
        WasiConfig::new(&self.settings)
    }

    /// Takes the event out, to work on it and on the guest's memory at once.
    pub(super) fn take_event(&mut self) -> Box<Event> {
        self.event.take().expect("put back by whoever took it")
    }

    /// Puts the event back.
    pub(super) fn put_event(&mut self, event: Box<Event>) {
        self.event = Some(event);
    }

    /// A call with so many messages begins.
    pub(super) fn begin_batch(&mut self, len: usize) {
        self.batch = Progress::Until(len);
    }

    /// Ends the batch with its call. Returns whether a message was still under way, whose event
    /// then ended with the call.
    pub(super) fn end_batch(&mut self) -> bool {
        let is_under_way = std::mem::replace(&mut self.batch, Progress::Ended) != Progress::Ended;
        self.event_mut().handled += usize::from(is_under_way);
        is_under_way
    }

    /// What a resource of the guest's stands for.
    pub(super) fn resource<T: 'static>(&self, resource: &Resource<T>) -> wasmtime::Result<&T> {
        Ok(self.table.get(resource)?)
    }

    /// The call has ended: what it left under way ends too.
    pub(super) fn end_call(&mut self) {
        self.outgoing.end_event();
    }

    /// The event that is being handled.
    pub(super) fn event(&self) -> &Event {
        self.event.as_ref().expect("put back by whoever took it")
    }

    /// The event that is being handled.
    pub(super) fn event_mut(&mut self) -> &mut Event {
        self.event.as_mut().expect("put back by whoever took it")
    }

    /// Ends the event of one message of a batch with `ok`. Returns whether the guest is to go on
    /// with the next: the connection may have ended meanwhile, or the generation may no longer be
    /// the current one (G3).
    pub(super) fn handled(&mut self, shard: &Shard) -> bool {
        let Progress::Until(len) = self.batch else {
            return false;
        };
        self.left = self.allowed;
        let is_current = match &self.slot {
            Some((slot, version)) => slot.get() == *version,
            None => true,
        };
        let event = self.event_mut();
        shard.commit(event);
        event.handled += 1;
        let goes_on = event.handled < len
            && event.kicked.is_none()
            && !event.seat.is_some_and(|seat| shard.is_ending(seat))
            && is_current
            && !self.pace.has_stopped();
        if !goes_on {
            self.batch = Progress::Ended;
        }
        goes_on
    }
}

impl WasiView for Context {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Context {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.outgoing,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}
