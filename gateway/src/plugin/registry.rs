//! The plugins by name, each with its slot, its history and the state of its loads.
//!
//! Loads happen on a thread of their own, side by side. Whatever goes wrong there, the slot keeps
//! what it has (G4).

mod history;
mod load;
mod loader;
mod plugin;
mod topics;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, oneshot};

use super::engine::Engine;
use super::generation::Generation;
use super::identity::Digest;
use super::load::{LoadError, Maker};
use crate::config::{self, Config, SharedTopic};
use crate::store::Store;
use crate::supervise;

use load::{Load, LoadOutcome};
use loader::Loader;

pub use plugin::{Plugin, Status};
pub use topics::UnknownTopic;

/// Callers that may wait for a plugin's next load. They share it, so one place would do; more only
/// come from callers in a loop, who are told so.
const LOADS_MAX: usize = 64;
/// Threads of the loader beside those that read files: name look-ups for a self-check's requests.
const THREADS_SPARE: usize = 4;
/// Notices a slow listener may be behind before it misses some.
const NOTICES_MAX: usize = 256;

/// What happened to a plugin.
#[derive(Clone, Debug)]
pub enum Notice {
    /// A generation took over.
    Swapped {
        /// The plugin.
        plugin: Arc<str>,
        /// The plugin's generation.
        generation: u64,
        /// What it was loaded from.
        digest: Digest,
        /// From the request to the swap.
        took: Duration,
        /// Whether it is an earlier generation that came back.
        rollback: bool,
    },
    /// A load was refused; the last good generation stays.
    Refused {
        /// The plugin.
        plugin: Arc<str>,
        /// Why.
        error: String,
    },
}

/// What a reload came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// This generation took over.
    Swapped(u64),
    /// The file has not changed since this generation was loaded, and only changes were asked for.
    Unchanged(u64),
}

/// Why a reload or rollback did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// No plugin has that name.
    #[error("no plugin {0:?} in the configuration")]
    Unknown(String),
    /// The file did not become a generation.
    #[error(transparent)]
    Load(#[from] Arc<LoadError>),
    /// Too many callers are waiting. The load that they wait for has not begun, so it will see
    /// whatever this caller saw.
    #[error("{LOADS_MAX} callers are waiting for the plugin's next load already: try again later")]
    Busy,
    /// There is nothing to go back to.
    #[error("no generation {wanted} of {plugin:?} is kept: {kept}")]
    NotKept {
        /// The plugin.
        plugin: String,
        /// What was asked for.
        wanted: String,
        /// What there is.
        kept: String,
    },
}

/// The plugins of the configuration.
pub struct Registry {
    plugins: Vec<Plugin>,
    shared: Vec<SharedTopic>,
    store: Arc<Store>,
    notices: broadcast::Sender<Notice>,
}

impl Registry {
    /// The registry of the configured plugins; nothing is loaded yet. Starts the loader's thread.
    /// `program` is this very build of `tidegate`, which compiles.
    pub fn new(
        engine: Arc<Engine>,
        program: &Path,
        config: &Config,
        store: Arc<Store>,
    ) -> std::io::Result<Arc<Self>> {
        let (notices, _) = broadcast::channel(NOTICES_MAX);
        let plugins = config.plugins.iter().enumerate();
        let (plugins, waiting): (Vec<_>, Vec<_>) = plugins
            .map(|(owner, plugin)| {
                Plugin::new(&engine, owner, plugin, &config.topics, store.clone())
            })
            .unzip();
        let registry = Arc::new(Self {
            plugins,
            shared: config.topics.clone(),
            store,
            notices,
        });
        // A new generation's own check may send HTTP requests.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(registry.plugins.len() + Maker::THREADS + THREADS_SPARE)
            .enable_all()
            .build()?;
        let maker = Maker::new(engine, program.to_owned(), &config.engine);
        let of = Arc::downgrade(&registry);
        supervise::thread("loader", move || {
            super::engine::lower_priority();
            let loader = Loader {
                maker,
                registry: of,
            };
            tokio::task::LocalSet::new().block_on(&runtime, loader.run(waiting));
            // A read that hangs is not waited for.
            runtime.shutdown_background();
            Ok(())
        })?;
        Ok(registry)
    }

    /// A generation of a plugin's file that is neither started nor checked: to be looked at only,
    /// with nothing around it that it may need.
    pub async fn inspect(
        engine: &Arc<Engine>,
        program: &Path,
        config: &config::Engine,
        plugin: &config::Plugin,
        store: Arc<Store>,
    ) -> Result<Generation, LoadError> {
        let maker = Maker::new(engine.clone(), program.to_owned(), config);
        let (plugin, _) = Plugin::new(engine, 0, plugin, &[], store);
        let place = Arc::new(tokio::sync::Semaphore::new(1));
        let source = maker.read(&plugin.path, &place).await?;
        maker.link(plugin.identity, 1, &plugin.path, source).await
    }

    /// The plugins, in the configuration's order.
    pub fn plugins(&self) -> &[Plugin] {
        &self.plugins
    }

    /// Where their buckets are.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The topics that they share.
    pub fn shared(&self) -> &[SharedTopic] {
        &self.shared
    }

    /// A plugin's index.
    pub fn find(&self, name: &str) -> Result<usize, ReloadError> {
        let found = self
            .plugins
            .iter()
            .position(|plugin| &*plugin.identity.name == name);
        found.ok_or_else(|| ReloadError::Unknown(name.to_owned()))
    }

    /// What happens to plugins from now on.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// Loads a plugin's file and puts it in place; with `only_changes`, only if its bytes differ
    /// from those that were last loaded: touching the file does not undo a rollback.
    pub async fn reload(&self, plugin: usize, only_changes: bool) -> Result<Reload, ReloadError> {
        answer(self.request(plugin, only_changes)).await
    }

    /// Loads the files of all plugins, side by side; the results are in their order.
    pub async fn reload_all(&self) -> Vec<Result<Reload, ReloadError>> {
        let loads = 0..self.plugins.len();
        let asked: Vec<_> = loads.map(|plugin| self.request(plugin, false)).collect();
        let mut results = Vec::new();
        for load in asked {
            results.push(answer(load).await);
        }
        results
    }

    /// Asks for a load.
    fn request(&self, plugin: usize, only_changes: bool) -> Option<oneshot::Receiver<LoadOutcome>> {
        let (answer, answered) = oneshot::channel();
        let load = Load {
            only_changes,
            requested: Instant::now(),
            answer,
        };
        let sent = self.plugins[plugin].loads.try_send(load);
        sent.ok().map(|()| answered)
    }

    /// Puts a kept generation in place: `wanted`, or the one that served before the current.
    pub fn rollback(&self, plugin: usize, wanted: Option<u64>) -> Result<u64, ReloadError> {
        let plugin = &self.plugins[plugin];
        let requested = Instant::now();
        let mut record = plugin.record();
        let Some((number, generation)) = record.history.roll_back(wanted) else {
            let current = plugin.slot.current();
            let current = current.map_or(0, |generation| generation.number());
            let numbers = record.history.numbers();
            let numbers: Vec<_> = numbers.iter().map(u64::to_string).collect();
            return Err(ReloadError::NotKept {
                plugin: plugin.identity.name.to_string(),
                wanted: wanted.map_or_else(
                    || format!("that served before {current}"),
                    |wanted| wanted.to_string(),
                ),
                kept: format!("kept are {}", numbers.join(", ")),
            });
        };
        record.swaps += 1;
        self.put(plugin, generation, requested, true);
        Ok(number)
    }

    fn put(
        &self,
        plugin: &Plugin,
        generation: Arc<Generation>,
        requested: Instant,
        rollback: bool,
    ) {
        let (number, digest, took) = (
            generation.number(),
            generation.digest(),
            requested.elapsed(),
        );
        plugin.slot.swap(generation);
        let name = plugin.identity.name.clone();
        tracing::info!(plugin = &*name, generation = number, %digest, ?took, rollback, "took over");
        // No one listening is fine.
        let notice = Notice::Swapped {
            plugin: name,
            generation: number,
            digest,
            took,
            rollback,
        };
        let _ = self.notices.send(notice);
    }
}

/// Waits for a load that was asked for, if there was a place.
async fn answer(asked: Option<oneshot::Receiver<LoadOutcome>>) -> Result<Reload, ReloadError> {
    let answered = asked.ok_or(ReloadError::Busy)?;
    // The loader answers each; it is gone only when the process is about to be.
    Ok(answered.await.map_err(|_| ReloadError::Busy)??)
}
