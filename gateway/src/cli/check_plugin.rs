//! `tidegate check-plugin`: does to a component all that a load does, but for the swap.

use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use tokio::runtime::Runtime;

use super::Error;
use crate::config::{self, Config, PluginLimits};
use crate::log;
use crate::plugin::{Engine, Registry, Sizes};
use crate::store::Store;

/// Places for one instance of the largest kind that a gateway loads.
const INSTANCES: u32 = 8;

/// Loads the component at `path` as a plugin, with nothing granted and default limits, and says what
/// came of it.
pub fn run(path: &Path) -> Result<(), Error> {
    let Bench {
        engine,
        config,
        plugin,
        store,
        runtime,
    } = bench(path)?;
    let config = Config {
        engine: config,
        plugins: vec![plugin],
        ..Config::default()
    };
    let registry = Registry::new(engine, super::program(), &config, store)
        .map_err(|error| anyhow!("failed to start the loader: {error}"))?;
    runtime
        .block_on(registry.reload(0, false))
        .map_err(|error| anyhow!("{error}"))?;
    let generation = registry.plugins()[0].slot().current();
    let generation =
        generation.ok_or_else(|| anyhow!("{path:?} was loaded, but is not in place"))?;
    super::say(&format!(
        "{} is a plugin: sha256:{}",
        path.display(),
        generation.digest()
    ));
    Ok(())
}

/// What a component is tried on.
pub(super) struct Bench {
    pub(super) engine: Arc<Engine>,
    pub(super) config: config::Engine,
    pub(super) plugin: config::Plugin,
    pub(super) store: Arc<Store>,
    /// For its calls.
    pub(super) runtime: Runtime,
}

/// All that the component at `path` needs to be loaded, with nothing granted and default limits.
pub(super) fn bench(path: &Path) -> Result<Bench, Error> {
    // Its last words, if it panics; what the loader says is said once, below.
    log::start(&config::Log {
        level: "off,guest=info".to_owned(),
        ..config::Log::default()
    })?;
    let plugin = config::Plugin {
        name: "plugin".to_owned(),
        path: path.to_owned(),
        ..config::Plugin::default()
    };
    let config = config::Engine {
        cache: config::Cache::Off,
        ..config::Engine::default()
    };
    let sizes = Sizes {
        instances: INSTANCES,
        kept: 1,
        shards: 1,
        memory: PluginLimits::default().memory,
        total_memory: config::Engine::default().memory,
    };
    let engine =
        Engine::new(sizes).map_err(|error| anyhow!("failed to start the engine: {error:#}"))?;
    // Nothing is granted here, so nothing of a store is needed.
    let store = Store::open(&Config::default()).map_err(|error| anyhow!("{error}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| anyhow!("failed to start a runtime: {error}"))?;
    Ok(Bench {
        engine,
        config,
        plugin,
        store,
        runtime,
    })
}
