//! A plugin of the configuration: where it is, what serves, and what became of its loads.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

use super::LOADS_MAX;
use super::history::History;
use super::load::Load;
use crate::config::{self, SharedTopic};
use crate::plugin::engine::Engine;
use crate::plugin::generation::Generation;
use crate::plugin::identity::{Digest, Identity};
use crate::plugin::namespace::Namespace;
use crate::plugin::slot::Slot;
use crate::plugin::stock::Reserve;
use crate::store::Store;

/// One plugin of the configuration.
pub struct Plugin {
    pub(super) identity: Identity,
    pub(super) path: PathBuf,
    watched: bool,
    poll: Duration,
    pub(super) loads: mpsc::Sender<Load>,
    pub(super) slot: Arc<Slot>,
    pinned: Arc<AtomicUsize>,
    /// Written by loads and rollbacks, read by the admin side; no event touches it.
    record: Mutex<PluginRecord>,
}

pub(super) struct PluginRecord {
    /// The last good generations, the current one among them.
    pub(super) history: History<Arc<Generation>>,
    pub(super) last_number: u64,
    /// What the last good one was loaded from, whether or not it serves.
    pub(super) last_digest: Option<Digest>,
    pub(super) last_error: Option<(SystemTime, String)>,
    pub(super) swaps: u64,
    /// Refused loads, by reason.
    refusals: BTreeMap<&'static str, u64>,
}

/// What the admin side shows of a plugin.
#[derive(Clone, Debug)]
pub struct Status {
    /// The plugin's name.
    pub name: Arc<str>,
    /// The component's file.
    pub path: PathBuf,
    /// The current generation, with digest and time of its load.
    pub current: Option<(u64, Digest, SystemTime)>,
    /// The generations that can be rolled back to, the current one among them.
    pub kept: Vec<u64>,
    /// When the last refused load was, and why; none once a load has succeeded after it.
    pub last_error: Option<(SystemTime, String)>,
    /// Generations that took over, rollbacks included.
    pub swaps: u64,
    /// Loads that were refused, by the reason of their `LoadError`.
    pub refusals: BTreeMap<&'static str, u64>,
    /// Connections that stay with earlier generations, because a later one refused their state.
    pub pinned: usize,
}

impl Plugin {
    /// A plugin with nothing loaded, and the loads that will be asked for.
    pub(super) fn new(
        engine: &Engine,
        owner: usize,
        config: &config::Plugin,
        shared: &[SharedTopic],
        store: Arc<Store>,
    ) -> (Self, mpsc::Receiver<Load>) {
        let limits = Arc::new(config.limits.clone());
        let settings = config.config.iter();
        let settings = settings.map(|(key, value)| (key.as_str(), value.as_str()));
        let (loads, waiting) = mpsc::channel(LOADS_MAX);
        let plugin = Self {
            identity: Identity {
                name: config.name.as_str().into(),
                owner,
                limits,
                grants: Arc::new(config.grants.clone()),
                topics: Arc::new(Namespace::new(owner, shared, &config.grants.topics)),
                settings: Arc::new(settings.collect()),
                store,
                on_refused_state: config.on_refused_state,
                log_rate: Arc::default(),
                reserve: Reserve::new(engine.stock().clone()),
            },
            path: config.path.clone(),
            watched: config.watch,
            poll: config.poll,
            loads,
            slot: Arc::default(),
            pinned: Arc::default(),
            record: Mutex::new(PluginRecord {
                history: History::new(config.history),
                last_number: 0,
                last_digest: None,
                last_error: None,
                swaps: 0,
                refusals: BTreeMap::new(),
            }),
        };
        (plugin, waiting)
    }

    /// The plugin's name.
    pub fn name(&self) -> &Arc<str> {
        &self.identity.name
    }

    /// The plugin's index in the configuration.
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

    /// How often that file is looked at beside; zero for never.
    pub fn poll(&self) -> Duration {
        self.poll
    }

    /// Where its current generation is found.
    pub fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    /// What each of its pools keeps of the engine's places.
    pub(in crate::plugin) fn reserve(&self) -> &Arc<Reserve> {
        &self.identity.reserve
    }

    /// How many connections stay with earlier generations, because a later one refused their state.
    pub fn pinned(&self) -> &Arc<AtomicUsize> {
        &self.pinned
    }

    /// The plugin's limits.
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
            kept: record.history.numbers(),
            last_error: record.last_error.clone(),
            swaps: record.swaps,
            refusals: record.refusals.clone(),
            pinned: self.pinned.load(Ordering::Relaxed),
        }
    }

    pub(super) fn record(&self) -> MutexGuard<'_, PluginRecord> {
        // A panic elsewhere must not take the admin side down with it; the record is whole after
        // every statement.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PluginRecord {
    pub(super) fn accept(&mut self, generation: Arc<Generation>) {
        self.last_number = generation.number();
        self.last_digest = Some(generation.digest());
        self.last_error = None;
        self.swaps += 1;
        self.history.accept(generation.number(), generation);
    }

    pub(super) fn refuse(&mut self, words: String, reason: &'static str) {
        self.last_error = Some((SystemTime::now(), words));
        *self.refusals.entry(reason).or_default() += 1;
    }
}
