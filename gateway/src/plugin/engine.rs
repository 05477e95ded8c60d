//! The engine all plugins share: wasmtime's settings, the clock of deadlines and the linker.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, Result};

use super::context::Context;
use super::contract::ContractError;
use super::{host, keyvalue, logging, outgoing};
use crate::supervise;

/// The clock of deadlines: a guest that runs is looked at this often, and then lets others run.
/// Finer would cost more than it gives: 1 ms is a fiftieth of the default deadline.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// How much memory of a slot stays resident between two instances: a small guest's whole heap, so
/// that replacing an instance touches no fresh pages.
const KEEP_RESIDENT: usize = 1 << 20;
/// Slots kept warm for a component that has gone: enough for a shard's working set. More would
/// hold the memory of generations long gone.
const WARM_SLOTS: u32 = 32;
/// A std guest in Rust is three core instances (itself and two shims); others have a few more.
const CORE_INSTANCES_EACH: u32 = 8;
/// The nice value of what compiles and loads: events go first.
const COMPILE_NICE: i32 = 10;

/// The engine all plugins share.
pub struct Engine {
    engine: wasmtime::Engine,
    linker: Linker<Context>,
    instances: u32,
    /// Last, so that the ticker ends after everything else here is gone.
    _ticker: Ticker,
}

impl Engine {
    /// An engine for at most `instances` instances at once of at most `memory` bytes each.
    pub fn new(instances: u32, memory: usize) -> Result<Arc<Self>> {
        let engine = wasmtime::Engine::new(&settings(instances, memory))?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi_config::add_to_linker(&mut linker, Context::settings)?;
        logging::add_to_linker(&mut linker)?;
        host::add_to_linker(&mut linker)?;
        keyvalue::add_to_linker(&mut linker)?;
        outgoing::add_to_linker(&mut linker)?;
        let ticker = Ticker::start(engine.weak())?;
        Ok(Arc::new(Self {
            engine,
            linker,
            instances,
            _ticker: ticker,
        }))
    }

    /// Links a component with all that the gateway offers.
    pub(super) fn link(
        &self,
        component: &Component,
    ) -> Result<InstancePre<Context>, ContractError> {
        let linked = self.linker.instantiate_pre(component);
        linked.map_err(|error| ContractError::Import(format!("{error:#}")))
    }

    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.engine
    }

    pub(super) fn instances(&self) -> u32 {
        self.instances
    }
}

fn settings(instances: u32, memory: usize) -> Config {
    let scan = match PoolingAllocationConfig::is_pagemap_scan_available() {
        true => Enabled::Yes,
        false => Enabled::No,
    };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances * CORE_INSTANCES_EACH)
        .total_memories(instances)
        .total_tables(instances * 2)
        .total_stacks(instances)
        .max_memory_size(memory)
        .max_unused_warm_slots(WARM_SLOTS)
        .table_keep_resident(64 << 10)
        .async_stack_keep_resident(64 << 10)
        .pagemap_scan(scan);
    if scan == Enabled::Yes {
        // Without the scan all that is kept would have to be cleared, touched or not.
        pool.linear_memory_keep_resident(KEEP_RESIDENT);
    }
    let mut config = code_settings();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// The settings that compiled code depends on: those of the engine that runs it and of the one that
/// compiles it, in another process. Whatever else wasmtime compiles into code (reservations and
/// guards of memory among it) must be set here for both, or no code will load.
fn code_settings() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        // Our interfaces are synchronous; the machinery for concurrent calls would cost each call
        // 0.3-0.9 µs.
        .concurrency_support(false);
    config
}

/// An engine that compiles and runs nothing.
pub(super) fn for_compilation() -> Result<wasmtime::Engine> {
    wasmtime::Engine::new(&code_settings())
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
