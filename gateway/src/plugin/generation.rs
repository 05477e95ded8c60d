//! One load of a plugin: compiled, linked and checked, ready to be instantiated.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::Semaphore;
use wasmtime::component::{Component, InstancePre};
use wasmtime_wasi_config::WasiConfigVariables;

use super::context::Context;
use super::contract::{ContractError, Exports};
use super::engine::Engine;
use super::instance::{Instance, StartError};
use super::namespace::Namespace;
use super::stock::{MEMORIES_MAX, Reserve, TABLES_EACH};
use crate::config::{OnRefusedState, PluginGrants, PluginLimits};
use crate::handler::Failure;
use crate::log::Rate;
use crate::store::Store;

/// What identifies a plugin to its generations.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name.
    pub name: Arc<str>,
    /// Its index in the configuration.
    pub owner: usize,
    /// Its limits.
    pub limits: Arc<PluginLimits>,
    /// What it may use.
    pub grants: Arc<PluginGrants>,
    /// Which topics it means by their names.
    pub topics: Arc<Namespace>,
    /// What it reads through `wasi:config/store`.
    pub settings: Arc<BTreeMap<String, String>>,
    /// Where its buckets are.
    pub store: Arc<Store>,
    /// What becomes of a connection whose state it refuses.
    pub on_refused_state: OnRefusedState,
    /// What all its instances together may log.
    pub log_rate: Arc<Rate>,
    /// What each of its pools keeps of the engine's places.
    pub reserve: Arc<Reserve>,
}

/// One load of a plugin.
pub struct Generation {
    identity: Identity,
    number: u64,
    digest: Digest,
    loaded: SystemTime,
    engine: Arc<Engine>,
    /// Shared by its instances.
    settings: Arc<WasiConfigVariables>,
    pre: InstancePre<Context>,
    exports: Exports,
    /// The engine's places that an instance takes.
    places: usize,
}

/// SHA-256 of a plugin's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Generation {
    /// Links a component and matches it with the contract.
    pub(super) fn new(
        engine: Arc<Engine>,
        identity: Identity,
        number: u64,
        digest: Digest,
        component: &Component,
    ) -> Result<Self, ContractError> {
        // Exports first: a component of another world is better told so than by its imports.
        let exports = Exports::probe(component)?;
        let pre = engine.link(component)?;
        let places = places(component)?;
        let settings = identity.settings.iter();
        Ok(Self {
            settings: Arc::new(
                settings
                    .map(|(key, value)| (key.as_str(), value.as_str()))
                    .collect(),
            ),
            identity,
            number,
            digest,
            loaded: SystemTime::now(),
            engine,
            pre,
            exports,
            places,
        })
    }

    /// Starts an instance that belongs to no shard, and shares its limits with none. The caller is
    /// the one load that may have one.
    async fn start(&self) -> Result<Instance, StartError> {
        let requests = Arc::new(Semaphore::new(self.limits().http_requests));
        Instance::start(self, requests).await
    }

    /// Starts an instance and runs the optional self-check (G4). The instance is thrown away: it
    /// belongs to no shard.
    pub(super) async fn check(&self) -> Result<(), CheckError> {
        {
            let _load = self.engine.load().await;
            let mut instance = self.start().await?;
            instance.on_load().await.map_err(CheckError::Refused)?;
        }
        let (places, instances) = (self.places, self.engine.instances());
        let raised = self.identity.reserve.raise(places);
        raised.map_err(|needed| CheckError::Places {
            places,
            instances,
            needed,
        })
    }

    /// What the plugin says of its messages (`describer` of the contract): a JSON Schema. None if it does not export
    /// that. It runs in an instance of its own, within `limits.load`.
    pub async fn describe(&self) -> Result<Option<String>, DescribeError> {
        let _load = self.engine.load().await;
        let mut instance = self.start().await?;
        instance.describe().await.map_err(DescribeError::Failed)
    }

    /// The plugin's name.
    pub fn plugin(&self) -> &Arc<str> {
        &self.identity.name
    }

    /// What all instances of its plugin together may log.
    pub(super) fn log_rate(&self) -> &Arc<Rate> {
        &self.identity.log_rate
    }

    /// The plugin's index in the configuration.
    pub fn owner(&self) -> usize {
        self.identity.owner
    }

    /// 1 for the plugin's first load, then 2, 3, ...
    pub fn number(&self) -> u64 {
        self.number
    }

    /// SHA-256 of the component it was loaded from.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// When it was loaded.
    pub fn loaded(&self) -> SystemTime {
        self.loaded
    }

    /// The plugin's limits.
    pub fn limits(&self) -> &Arc<PluginLimits> {
        &self.identity.limits
    }

    /// What becomes of a connection whose state it refuses.
    pub(super) fn on_refused_state(&self) -> OnRefusedState {
        self.identity.on_refused_state
    }

    /// What the plugin may use.
    pub fn grants(&self) -> &Arc<PluginGrants> {
        &self.identity.grants
    }

    /// Which topics its plugin means by their names.
    pub fn topics(&self) -> &Arc<Namespace> {
        &self.identity.topics
    }

    /// Where its buckets are.
    pub(super) fn store(&self) -> &Arc<Store> {
        &self.identity.store
    }

    /// What the plugin reads through `wasi:config/store`.
    pub(super) fn settings(&self) -> &Arc<WasiConfigVariables> {
        &self.settings
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn pre(&self) -> &InstancePre<Context> {
        &self.pre
    }

    pub(super) fn exports(&self) -> &Exports {
        &self.exports
    }

    /// The engine's places that an instance takes: one for each of its memories, as a rule.
    pub(super) fn places(&self) -> usize {
        self.places
    }
}

/// The places that an instance of a component takes.
fn places(component: &Component) -> Result<usize, ContractError> {
    // A component that imports modules has been refused: nobody offers any.
    let Some(resources) = component.resources_required() else {
        return Ok(1);
    };
    let (memories, tables) = (resources.num_memories, resources.num_tables);
    let tables_max = (MEMORIES_MAX * TABLES_EACH) as u32;
    if memories > MEMORIES_MAX as u32 || tables > tables_max {
        return Err(ContractError::TooManyParts { memories, tables });
    }
    let places = memories.max(tables.div_ceil(TABLES_EACH as u32)).max(1);
    Ok(places as usize)
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} generation {}", self.identity.name, self.number)
    }
}

/// Why a generation may not take over although it was linked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Its first instance did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Its own check failed.
    #[error("failed its self-check (on-load): {0}")]
    Refused(Failure),
    /// There are not enough places for one of its instances on each shard.
    #[error(
        "has {places} linear memories, and one instance of each plugin on each shard would take {needed} of the {instances} that `engine.instances` gives: raise it"
    )]
    Places {
        /// What one of its instances takes.
        places: usize,
        /// What there is.
        instances: u32,
        /// What there would have to be.
        needed: usize,
    },
}

/// Why a generation did not describe its messages.
#[derive(Debug, thiserror::Error)]
pub enum DescribeError {
    /// Its instance did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The call failed.
    #[error("failed to describe its messages: {0}")]
    Failed(Failure),
}
