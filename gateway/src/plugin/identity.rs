//! What a plugin's generations have in common, and what tells its files apart.

use std::sync::Arc;

use wasmtime_wasi_config::WasiConfigVariables;

use super::namespace::Namespace;
use super::stock::Reserve;
use crate::config::{OnRefusedState, PluginGrants, PluginLimits};
use crate::log::Rate;
use crate::store::Store;

/// What identifies a plugin to its generations.
#[derive(Clone)]
pub(super) struct Identity {
    /// The plugin's name.
    pub name: Arc<str>,
    /// The plugin, as an index into the configuration.
    pub owner: usize,
    /// The plugin's limits.
    pub limits: Arc<PluginLimits>,
    /// What it may use.
    pub grants: Arc<PluginGrants>,
    /// Which topics it means by their names.
    pub topics: Arc<Namespace>,
    /// What it reads through `wasi:config/store`.
    pub settings: Arc<WasiConfigVariables>,
    /// Where its buckets are.
    pub store: Arc<Store>,
    /// What becomes of a connection whose state it refuses.
    pub on_refused_state: OnRefusedState,
    /// What all its instances together may log.
    pub log_rate: Arc<Rate>,
    /// What each of its pools keeps of the engine's places.
    pub reserve: Arc<Reserve>,
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
