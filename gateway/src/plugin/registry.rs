//! The plugins by name, each with its slot, its history and the state of its loads.
//!
//! All loads happen one after another on one thread of their own. Whatever goes wrong there, the
//! slot keeps what it has (G4).

mod loader;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{broadcast, mpsc, oneshot};

use super::cache::Cache;
use super::engine::Engine;
use super::generation::{Digest, Generation, Identity};
use super::load::{self, LoadError};
use super::namespace::Namespace;
use super::slot::Slot;
use crate::config::{self, Config, SharedTopic};
use crate::store::Store;

use loader::{Load, Loader};

/// Loads that may wait for the loader. A plugin needs one; more only come from a caller in a loop,
/// who is told so.
const LOADS_MAX: usize = 64;
/// Notices a slow listener may be behind before it misses some.
const NOTICES_MAX: usize = 256;

/// What happened to a plugin.
#[derive(Clone, Debug)]
pub enum Notice {
    /// A generation took over.
    Swapped {
        /// The plugin.
        plugin: Arc<str>,
        /// Its generation.
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
    Load(#[from] LoadError),
    /// Too many loads are waiting.
    #[error("{LOADS_MAX} loads are waiting already: try again later")]
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
    loads: mpsc::Sender<Load>,
    notices: broadcast::Sender<Notice>,
}

/// One plugin of the configuration.
pub struct Plugin {
    identity: Identity,
    path: PathBuf,
    watched: bool,
    keep: usize,
    slot: Arc<Slot>,
    pinned: Arc<AtomicUsize>,
    /// Written by loads and rollbacks, read by the admin side; no event touches it.
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    /// The last good generations by number, the current one among them.
    history: VecDeque<Arc<Generation>>,
    last_number: u64,
    last_error: Option<(SystemTime, String)>,
    swaps: u64,
    refusals: u64,
}

/// What the admin side shows of a plugin.
#[derive(Clone, Debug)]
pub struct Status {
    /// Its name.
    pub name: Arc<str>,
    /// Its file.
    pub path: PathBuf,
    /// The current generation, with digest and time of its load.
    pub current: Option<(u64, Digest, SystemTime)>,
    /// The generations that can be rolled back to, the current one among them.
    pub kept: Vec<u64>,
    /// When the last refused load was, and why; none once a load has succeeded after it.
    pub last_error: Option<(SystemTime, String)>,
    /// Generations that took over, rollbacks included.
    pub swaps: u64,
    /// Loads that were refused.
    pub refusals: u64,
    /// Connections that stay with earlier generations, because a later one refused their state.
    pub pinned: usize,
}

impl Registry {
    /// The registry of the configured plugins; nothing is loaded yet. Starts the loader's thread.
    pub fn new(
        engine: Arc<Engine>,
        config: &Config,
        store: Arc<Store>,
    ) -> std::io::Result<Arc<Self>> {
        let (loads, waiting) = mpsc::channel(LOADS_MAX);
        let (notices, _) = broadcast::channel(NOTICES_MAX);
        let plugins = config
            .plugins
            .iter()
            .enumerate()
            .map(|(owner, plugin)| Plugin::new(owner, plugin, &config.topics, store.clone()));
        let registry = Arc::new(Self {
            plugins: plugins.collect(),
            shared: config.topics.clone(),
            store: store.clone(),
            loads,
            notices,
        });
        let cache = Cache::open(&config.engine.cache, engine.wasmtime());
        // A new generation's own check may send HTTP requests.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let loader = Loader {
            engine,
            cache,
            registry: Arc::downgrade(&registry),
            waiting,
        };
        std::thread::Builder::new()
            .name("loader".to_owned())
            .spawn(move || {
                super::engine::lower_priority();
                runtime.block_on(loader.run());
            })?;
        Ok(registry)
    }

    /// A generation of a plugin's file that is neither started nor checked: to be looked at only,
    /// with nothing around it that it may need.
    pub fn inspect(
        engine: &Arc<Engine>,
        plugin: &config::Plugin,
        store: Arc<Store>,
    ) -> Result<Generation, LoadError> {
        let cache = Cache::open(&config::Cache::Off, engine.wasmtime());
        let plugin = Plugin::new(0, plugin, &[], store);
        let bytes = load::read(&plugin.path)?;
        load::link(engine, &cache, plugin.identity, 1, &plugin.path, &bytes)
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
        let (answer, answered) = oneshot::channel();
        let load = Load {
            plugin,
            only_changes,
            requested: Instant::now(),
            answer,
        };
        self.loads.try_send(load).map_err(|_| ReloadError::Busy)?;
        let answer = answered.await.map_err(|_| ReloadError::Busy)?;
        Ok(answer?)
    }

    /// Puts a kept generation in place: `wanted`, or the one before the current.
    pub fn rollback(&self, plugin: usize, wanted: Option<u64>) -> Result<u64, ReloadError> {
        let plugin = &self.plugins[plugin];
        let requested = Instant::now();
        let mut record = plugin.record();
        let current = plugin
            .slot
            .current()
            .map_or(0, |generation| generation.number());
        let found = record.history.iter().rev().find(|kept| match wanted {
            Some(wanted) => kept.number() == wanted,
            None => kept.number() < current,
        });
        let Some(generation) = found.cloned() else {
            let numbers: Vec<_> = record
                .history
                .iter()
                .map(|kept| kept.number().to_string())
                .collect();
            return Err(ReloadError::NotKept {
                plugin: plugin.identity.name.to_string(),
                wanted: wanted
                    .map_or_else(|| format!("before {current}"), |wanted| wanted.to_string()),
                kept: format!("kept are {}", numbers.join(", ")),
            });
        };
        let number = generation.number();
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

impl Plugin {
    fn new(
        owner: usize,
        config: &config::Plugin,
        shared: &[SharedTopic],
        store: Arc<Store>,
    ) -> Self {
        let limits = Arc::new(config.limits.clone());
        Self {
            identity: Identity {
                name: config.name.as_str().into(),
                owner,
                limits,
                grants: Arc::new(config.grants.clone()),
                topics: Arc::new(Namespace::new(owner, shared, &config.grants.topics)),
                settings: Arc::new(config.config.clone()),
                store,
                on_refused_state: config.on_refused_state,
            },
            path: config.path.clone(),
            watched: config.watch,
            keep: config.history,
            slot: Arc::default(),
            pinned: Arc::default(),
            record: Mutex::default(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.identity.name
    }

    /// Its index in the configuration.
    pub fn owner(&self) -> usize {
        self.identity.owner
    }

    /// The file it is loaded from.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Whether that file is watched for changes.
    pub fn is_watched(&self) -> bool {
        self.watched
    }

    /// Where its current generation is found.
    pub fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    /// How many connections stay with earlier generations, because a later one refused their state.
    pub fn pinned(&self) -> &Arc<AtomicUsize> {
        &self.pinned
    }

    /// Its limits.
    pub fn limits(&self) -> &config::PluginLimits {
        &self.identity.limits
    }

    /// What there is to show of it.
    pub fn status(&self) -> Status {
        let record = self.record();
        let current = self.slot.current();
        Status {
            name: self.identity.name.clone(),
            path: self.path.clone(),
            current: current.map(|current| (current.number(), current.digest(), current.loaded())),
            kept: record.history.iter().map(|kept| kept.number()).collect(),
            last_error: record.last_error.clone(),
            swaps: record.swaps,
            refusals: record.refusals,
            pinned: self.pinned.load(Ordering::Relaxed),
        }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        // A panic elsewhere must not take the admin side down with it; the record is whole after
        // every statement.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn accept(&mut self, generation: Arc<Generation>, keep: usize) {
        self.last_number = generation.number();
        self.last_error = None;
        self.swaps += 1;
        self.history.push_back(generation);
        while self.history.len() > keep {
            self.history.pop_front();
        }
    }

    fn refuse(&mut self, words: String) {
        self.last_error = Some((SystemTime::now(), words));
        self.refusals += 1;
    }
}
