//! The engine all plugins share: wasmtime's settings, and the clock of deadlines.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, Result};

use super::memory::{TABLE_ELEMENTS_MAX, Total};
use super::stock::{MEMORIES_MAX, Stock, TABLES_EACH};
use crate::supervise;

/// The clock of deadlines: a guest that runs is looked at this often, and then lets others run.
/// Finer would cost more than it gives: 1 ms is a fiftieth of the default deadline.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// How much memory of a slot stays resident between two instances: a small guest's whole heap, so
/// that replacing an instance touches no fresh pages.
const KEEP_RESIDENT: usize = 256 << 10;
/// Slots kept warm for a component that has gone: enough for a shard's working set. More would
/// hold the memory of generations long gone.
const WARM_SLOTS: u32 = 32;
/// Core instances that one plugin may be made of. A guest in Rust is three of them (itself and two
/// shims); one for Python is some dozens, as each of its libraries is one.
const CORE_INSTANCES_MAX: u32 = 256;
/// Between memories that reserve no more than they may hold.
const SMALL_GUARD: u64 = 64 << 10;
/// With fewer instances than this it is better to have more of them whose code is some 10 % slower,
/// because it has to look at the bounds of its memory itself.
const FULL_MIN: u32 = 64;
/// The nice value of what compiles and loads: events go first.
const COMPILE_NICE: i32 = 10;

/// The engine all plugins share.
pub struct Engine {
    engine: wasmtime::Engine,
    instances: u32,
    reservation: Reservation,
    stock: Arc<Stock>,
    memory: Arc<Total>,
    /// One load at a time has an instance, in places of its own.
    loads: Semaphore,
    /// Last, so that the ticker ends after everything else here is gone.
    _ticker: Ticker,
}

/// What an engine is to have room for.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Instances at once, beside that of a load.
    pub instances: u32,
    /// How many of them are kept for plugins that have none: one for each on each shard.
    pub kept: u32,
    /// The shards.
    pub shards: usize,
    /// Bytes of memory of one instance.
    pub memory: usize,
    /// Bytes of memory of all instances.
    pub total_memory: usize,
}

impl Engine {
    /// An engine of these sizes. Where there is not as much address space, for fewer instances.
    pub fn new(sizes: Sizes) -> Result<Arc<Self>> {
        let (engine, instances, reservation) = allocate(sizes)?;
        let ticker = Ticker::start(engine.weak())?;
        Ok(Arc::new(Self {
            engine,
            instances,
            reservation,
            stock: Stock::new(instances as usize, sizes.shards),
            memory: Total::new(sizes.total_memory),
            loads: Semaphore::new(1),
            _ticker: ticker,
        }))
    }

    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.engine
    }

    pub(super) fn instances(&self) -> u32 {
        self.instances
    }

    /// What the code that it runs is compiled for.
    pub(super) fn reservation(&self) -> Reservation {
        self.reservation
    }

    /// The places of instances that handle events.
    pub(super) fn stock(&self) -> &Arc<Stock> {
        &self.stock
    }

    /// What all instances hold.
    pub(super) fn memory(&self) -> &Arc<Total> {
        &self.memory
    }

    /// Waits until no other load has an instance.
    pub(super) async fn load(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.loads.acquire().await.ok()
    }
}

/// How much address space each memory reserves. Compiled code depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// All that a guest can address, so that its code need not look at bounds.
    Full,
    /// So many bytes: what it may hold.
    Small(u64),
}

/// An engine for as many instances as there is address space for, and their number. `ulimit -v`, and
/// machines with 39 bits of addresses, leave less than the usual terabytes.
fn allocate(sizes: Sizes) -> Result<(wasmtime::Engine, u32, Reservation)> {
    let wanted = match wasmtime::Engine::new(&settings(sizes, sizes.instances, Reservation::Full)) {
        Ok(engine) => return Ok((engine, sizes.instances, Reservation::Full)),
        Err(error) => error,
    };
    let halves = |from: u32, to: u32| {
        std::iter::successors(Some(from), |n| Some(n / 2)).take_while(move |n| *n >= to.max(1))
    };
    let full = halves(sizes.instances / 2, sizes.kept.max(FULL_MIN));
    let small = halves(sizes.instances, sizes.kept);
    let full = full.map(|instances| (instances, Reservation::Full));
    let reserved = Reservation::Small(sizes.memory as u64);
    let small = small.map(|instances| (instances, reserved));
    for (instances, reservation) in full.chain(small) {
        if wasmtime::Engine::new(&settings(sizes, instances, reservation)).is_err() {
            continue;
        }
        // Everything else needs some as well: threads, code, messages.
        let instances = (instances / 2).max(sizes.kept);
        let engine = wasmtime::Engine::new(&settings(sizes, instances, reservation))?;
        tracing::warn!(
            instances,
            wanted = sizes.instances,
            ?reservation,
            "address space for fewer instances than `engine.instances`: raise the limit on it (`ulimit -v`), or lower `engine.instances` to this"
        );
        return Ok((engine, instances, reservation));
    }
    Err(wanted.context(format!(
        "no address space for {} instances, nor for the {} that shards keep of plugins: lower `engine.instances`, `server.shards` or `limits.memory`, or raise the limit on address space (`ulimit -v`)",
        sizes.instances, sizes.kept
    )))
}

fn settings(sizes: Sizes, instances: u32, reservation: Reservation) -> Config {
    let scan = match PoolingAllocationConfig::is_pagemap_scan_available() {
        true => Enabled::Yes,
        false => Enabled::No,
    };
    // That of a load, which may be of the largest kind.
    let places = instances + MEMORIES_MAX as u32;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(places)
        // Nothing is kept for them: what one plugin is made of is bounded, and how many there are.
        .total_core_instances(u32::MAX)
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .total_memories(places)
        .max_memories_per_module(MEMORIES_MAX as u32)
        .total_tables(places * TABLES_EACH as u32)
        .max_tables_per_module(TABLES_EACH as u32)
        .table_elements(TABLE_ELEMENTS_MAX)
        .total_stacks(places)
        .max_memory_size(sizes.memory)
        .max_unused_warm_slots(WARM_SLOTS)
        .table_keep_resident(64 << 10)
        .async_stack_keep_resident(64 << 10)
        .pagemap_scan(scan);
    if scan == Enabled::Yes {
        // Without the scan all that is kept would have to be cleared, touched or not.
        pool.linear_memory_keep_resident(KEEP_RESIDENT);
    }
    let mut config = code_settings(reservation);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// The settings that compiled code depends on: those of the engine that runs it and of the one that
/// compiles it, in another process. Whatever else wasmtime compiles into code (reservations and
/// guards of memory among it) must be set here for both, or no code will load.
fn code_settings(reservation: Reservation) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        // Our interfaces are synchronous; the machinery for concurrent calls would cost each call
        // 0.3-0.9 µs.
        .concurrency_support(false);
    if let Reservation::Small(bytes) = reservation {
        config
            .memory_reservation(bytes)
            .memory_guard_size(SMALL_GUARD);
    }
    config
}

/// An engine that compiles and runs nothing.
pub(super) fn for_compilation(reservation: Reservation) -> Result<wasmtime::Engine> {
    wasmtime::Engine::new(&code_settings(reservation))
}

pub(super) fn lower_priority() {
    // Without permission to be nicer we are as nice as we were.
    let _ = rustix::process::nice(COMPILE_NICE);
}

/// The thread that moves the clock of deadlines. Ends when dropped.
struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(engine: wasmtime::EngineWeak) -> io::Result<Self> {
        let (stop, stopped) = channel::<()>();
        let tick = move || {
            while let (Err(RecvTimeoutError::Timeout), Some(engine)) =
                (stopped.recv_timeout(TICK), engine.upgrade())
            {
                engine.increment_epoch();
            }
            Ok(())
        };
        Ok(Self {
            stop: Some(stop),
            thread: Some(supervise::thread("ticker", tick)?),
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It ends within a tick, and not by a panic.
            let _ = thread.join();
        }
    }
}
