//! `tidegate check-plugin`: does to a component all that a load does, but for the swap.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use tokio::runtime::Runtime;

use super::Error;
use crate::config::{self, Config, PluginLimits};
use crate::plugin::{Engine, Generation, Registry};
use crate::store::Store;

/// Loads the component at `path` as a plugin and says what came of it.
pub fn run(path: &Path) -> Result<(), Error> {
    let (_, generation) = load(path)?;
    println!(
        "{} is a plugin: sha256:{}",
        path.display(),
        generation.digest()
    );
    Ok(())
}

/// Loads the component at `path` as a plugin, with nothing granted and default limits; returns it with a runtime for its
/// calls.
pub(super) fn load(path: &Path) -> Result<(Runtime, Arc<Generation>), Error> {
    // Its last words, if it panics; what the loader says is said once, below.
    super::start_log(&config::Log {
        level: "off,guest=info".to_owned(),
        ..config::Log::default()
    })?;
    let plugin = config::Plugin {
        name: "plugin".to_owned(),
        path: path.to_owned(),
        ..config::Plugin::default()
    };
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let engine = Engine::new(1, PluginLimits::default().memory, threads)
        .map_err(|error| anyhow!("failed to start the engine: {error:#}"))?;
    // Nothing is granted here, so nothing of a store is needed.
    let store = Store::open(&Config::default()).map_err(|error| anyhow!("{error}"))?;
    let registry = Registry::new(engine, &config::Cache::Off, &[plugin], store)
        .map_err(|error| anyhow!("failed to start the loader: {error}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| anyhow!("failed to start a runtime: {error}"))?;
    runtime
        .block_on(registry.reload(0, false))
        .map_err(|error| anyhow!("{error}"))?;
    let generation = registry.plugins()[0].slot().current();
    let generation =
        generation.ok_or_else(|| anyhow!("{path:?} was loaded, but is not in place"))?;
    Ok((runtime, generation))
}
