//! The loader: does the loads of all plugins, one after another, on a thread of its own.

use std::sync::{Arc, Weak};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use super::{Notice, Plugin, Registry, Reload};
use crate::plugin::cache::Cache;
use crate::plugin::engine::Engine;
use crate::plugin::generation::Generation;
use crate::plugin::load::{self, LoadError};

/// A load that was asked for.
pub(super) struct Load {
    pub(super) plugin: usize,
    pub(super) only_changes: bool,
    pub(super) requested: Instant,
    pub(super) answer: oneshot::Sender<Result<Reload, LoadError>>,
}

/// Does the loads, one after another.
pub(super) struct Loader {
    pub(super) engine: Arc<Engine>,
    pub(super) cache: Cache,
    pub(super) registry: Weak<Registry>,
    pub(super) waiting: mpsc::Receiver<Load>,
}

impl Loader {
    /// Ends with the registry.
    pub(super) async fn run(mut self) {
        while let Some(load) = self.waiting.recv().await {
            let Some(registry) = self.registry.upgrade() else {
                return;
            };
            let result = self.load(&registry, &load).await;
            // Whoever asked may have gone.
            let _ = load.answer.send(result);
        }
    }

    async fn load(&self, registry: &Registry, load: &Load) -> Result<Reload, LoadError> {
        let plugin = &registry.plugins[load.plugin];
        let loaded = self.generation(plugin, load.only_changes).await;
        match loaded {
            Ok(Some(generation)) => {
                let generation = Arc::new(generation);
                let number = generation.number();
                // Held until the swap: a rollback in between would be overtaken by this load.
                let mut record = plugin.record();
                record.accept(generation.clone(), plugin.keep);
                registry.put(plugin, generation, load.requested, false);
                Ok(Reload::Swapped(number))
            }
            Ok(None) => {
                let mut record = plugin.record();
                // What was wrong with the file is mended.
                record.last_error = None;
                Ok(Reload::Unchanged(record.last_number))
            }
            Err(error) => {
                let words = error.to_string();
                tracing::error!(plugin = &**plugin.name(), "load refused: {words}");
                plugin.record().refuse(words.clone());
                let plugin = plugin.name().clone();
                let _ = registry.notices.send(Notice::Refused {
                    plugin,
                    error: words,
                });
                Err(error)
            }
        }
    }

    async fn generation(
        &self,
        plugin: &Plugin,
        only_changes: bool,
    ) -> Result<Option<Generation>, LoadError> {
        let bytes = load::read(&plugin.path)?;
        let (number, last) = {
            let record = plugin.record();
            let last = record.history.back().map(|last| last.digest());
            (record.last_number + 1, last)
        };
        if only_changes && last == Some(bytes.digest) {
            return Ok(None);
        }
        let identity = plugin.identity.clone();
        load::load(
            &self.engine,
            &self.cache,
            identity,
            number,
            &plugin.path,
            &bytes,
        )
        .await
        .map(Some)
    }
}
