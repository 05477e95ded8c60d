//! What a component exports of the contract, and how it may differ from it.

use wasmtime::component::{Component, ComponentExportIndex};

use super::VERSION;
use crate::plugin::stock::{MEMORIES_MAX, TABLES_EACH};

const HANDLER: &str = "tidegate:plugin/handler@0.1.0";
const BATCH_HANDLER: &str = "tidegate:plugin/batch-handler@0.1.0";
const UPGRADER: &str = "tidegate:plugin/upgrader@0.1.0";
const DRAINER: &str = "tidegate:plugin/drainer@0.1.0";
const TIMER: &str = "tidegate:plugin/timer@0.1.0";
const MIGRATOR: &str = "tidegate:plugin/migrator@0.1.0";
const DESCRIBER: &str = "tidegate:plugin/describer@0.1.0";
const WATCHER: &str = "wasi:keyvalue/watcher@0.2.0-draft2";
const INCOMING_HANDLER: &str = "wasi:http/incoming-handler@0.2.12";
const LIFECYCLE: &str = "tidegate:plugin/lifecycle@0.1.0";

/// Where a function stands in a component.
#[derive(Clone, Copy)]
pub(in crate::plugin) struct Function {
    pub(super) name: &'static str,
    pub(super) index: ComponentExportIndex,
}

/// What a component exports of the contract.
pub(in crate::plugin) struct Exports {
    pub(in crate::plugin) on_open: Function,
    pub(in crate::plugin) on_message: Function,
    pub(in crate::plugin) on_close: Function,
    pub(in crate::plugin) on_messages: Option<Function>,
    pub(in crate::plugin) on_upgrade: Option<Function>,
    pub(in crate::plugin) on_drain: Option<Function>,
    pub(in crate::plugin) on_timer: Option<Function>,
    pub(in crate::plugin) migrate_state: Option<Function>,
    pub(in crate::plugin) on_request: Option<Function>,
    pub(in crate::plugin) on_load: Option<Function>,
    pub(in crate::plugin) describe: Option<Function>,
    pub(in crate::plugin) on_set: Option<Function>,
    pub(in crate::plugin) on_delete: Option<Function>,
}

/// How a component differs from the contract.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// The component has no handler at all.
    #[error(
        "does not export tidegate:plugin/handler@{VERSION}; it exports {exports}: \
         implement the world `tidegate:plugin/plugin` (in Rust: `tidegate_sdk::export!`)"
    )]
    NoHandler {
        /// What it exports instead.
        exports: String,
    },
    /// The component speaks another version of the contract.
    #[error(
        "exports {found}, but this gateway speaks tidegate:plugin@{VERSION}: rebuild it against that version"
    )]
    Version {
        /// The interface it exports.
        found: String,
    },
    /// An interface lacks a function.
    #[error(
        "lacks the function {function} of tidegate:plugin@{VERSION}: rebuild it against that version"
    )]
    Missing {
        /// The function's name.
        function: &'static str,
    },
    /// A function has other types.
    #[error(
        "has another signature for {function} than tidegate:plugin@{VERSION}: {difference}: \
         rebuild it against that version"
    )]
    Signature {
        /// The function's name.
        function: &'static str,
        /// What wasmtime says.
        difference: String,
    },
    /// The component imports what the gateway does not have.
    #[error(
        "imports what this gateway does not offer: {0}: \
         rebuild it against tidegate:plugin@{VERSION}, or remove the import"
    )]
    Import(String),
    /// An instance would take more of the engine than any may.
    #[error(
        "is made of {memories} linear memories and {tables} tables, more than the {MEMORIES_MAX} and {} that one plugin may have: \
         build it of fewer modules",
        MEMORIES_MAX * TABLES_EACH
    )]
    TooManyParts {
        /// The number of its memories.
        memories: u32,
        /// The number of its tables.
        tables: u32,
    },
}

impl Exports {
    /// Looks for the contract's interfaces in a component.
    pub(in crate::plugin) fn probe(component: &Component) -> Result<Self, ContractError> {
        let function = |interface: &str, name: &'static str| {
            let Some(instance) = component.get_export_index(None, interface) else {
                return Ok(None);
            };
            let index = component.get_export_index(Some(&instance), name);
            let index = index.ok_or(ContractError::Missing { function: name })?;
            Ok(Some(Function { name, index }))
        };
        let required = |name| function(HANDLER, name)?.ok_or_else(|| no_handler(component));
        Ok(Self {
            on_open: required("on-open")?,
            on_message: required("on-message")?,
            on_close: required("on-close")?,
            on_messages: function(BATCH_HANDLER, "on-messages")?,
            on_upgrade: function(UPGRADER, "on-upgrade")?,
            on_drain: function(DRAINER, "on-drain")?,
            on_timer: function(TIMER, "on-timer")?,
            migrate_state: function(MIGRATOR, "migrate-state")?,
            on_request: function(INCOMING_HANDLER, "handle")?,
            on_load: function(LIFECYCLE, "on-load")?,
            describe: function(DESCRIBER, "describe")?,
            on_set: function(WATCHER, "on-set")?,
            on_delete: function(WATCHER, "on-delete")?,
        })
    }
}

fn no_handler(component: &Component) -> ContractError {
    let exports = component.component_type();
    let names: Vec<_> = exports
        .exports(component.engine())
        .map(|(name, _)| name.to_owned())
        .collect();
    match names
        .iter()
        .find(|name| name.starts_with("tidegate:plugin/handler"))
    {
        Some(found) => ContractError::Version {
            found: found.clone(),
        },
        None if names.is_empty() => ContractError::NoHandler {
            exports: "nothing".to_owned(),
        },
        None => ContractError::NoHandler {
            exports: names.join(", "),
        },
    }
}
