//! One load of a plugin: compiled, linked and checked, ready to be instantiated.

use std::sync::Arc;
use std::time::SystemTime;

use wasmtime::component::{Component, InstancePre};

use super::context::Context;
use super::contract::{ContractError, Exports};
use super::engine::Engine;
use super::identity::{Digest, Identity};
use super::imports::Imports;
use super::stock::{MEMORIES_MAX, TABLES_EACH};
use crate::config::{OnRefusedState, PluginLimits};

/// One load of a plugin.
pub struct Generation {
    identity: Identity,
    number: u64,
    digest: Digest,
    loaded: SystemTime,
    engine: Arc<Engine>,
    pre: InstancePre<Context>,
    exports: Exports,
    /// The engine's places that an instance takes.
    places: usize,
}

impl Generation {
    /// Links a component and matches it with the contract.
    pub(super) fn new(
        engine: Arc<Engine>,
        imports: &Imports,
        identity: Identity,
        number: u64,
        (digest, component): (Digest, &Component),
    ) -> Result<Self, ContractError> {
        // Exports first: a component of another world is better told so than by its imports.
        let exports = Exports::probe(component)?;
        let pre = imports.link(component)?;
        let places = places(component)?;
        Ok(Self {
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

    /// The plugin's name.
    pub fn plugin(&self) -> &Arc<str> {
        &self.identity.name
    }

    /// What all generations of the plugin have in common.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
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
