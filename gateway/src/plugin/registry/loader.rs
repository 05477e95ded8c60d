//! The loader: does the loads of all plugins, side by side, on a thread of its own. Those of one
//! plugin come one after another; what was asked for meanwhile is one load.

use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Instant;

use tokio::sync::{Semaphore, mpsc};

use super::load::{Load, LoadOutcome};
use super::{Notice, Plugin, Registry, Reload};
use crate::plugin::generation::Generation;
use crate::plugin::load::{LoadError, Maker};
use crate::supervise;

/// Does the loads.
pub(super) struct Loader {
    pub(super) maker: Maker,
    pub(super) registry: Weak<Registry>,
}

impl Loader {
    /// Does the loads of each plugin as they come. Ends with the registry.
    pub(super) async fn run(self, plugins: Vec<mpsc::Receiver<Load>>) {
        let loader = Rc::new(self);
        let mut tasks = tokio::task::JoinSet::new();
        for (index, waiting) in plugins.into_iter().enumerate() {
            tasks.spawn_local(loader.clone().serve(index, waiting));
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                supervise::die("loads of a plugin", &error.to_string());
            }
        }
    }

    async fn serve(self: Rc<Self>, index: usize, mut waiting: mpsc::Receiver<Load>) {
        let place = Arc::new(Semaphore::new(1));
        while let Some(first) = waiting.recv().await {
            let mut loads = vec![first];
            // The file will be read after they were asked for, so one load is an answer to all.
            while let Ok(load) = waiting.try_recv() {
                loads.push(load);
            }
            let Some(registry) = self.registry.upgrade() else {
                return;
            };
            let wanted = Wanted {
                only_changes: loads.iter().all(|load| load.only_changes),
                requested: loads[0].requested,
            };
            let outcome = self
                .clone()
                .load_guarded(registry, index, wanted, place.clone())
                .await;
            for load in loads {
                // Whoever asked may have gone.
                let _ = load.answer.send(outcome.clone());
            }
        }
    }

    /// Does a load in a task of its own, so that a panic in it is the end of that load only.
    async fn load_guarded(
        self: Rc<Self>,
        registry: Arc<Registry>,
        index: usize,
        wanted: Wanted,
        place: Arc<Semaphore>,
    ) -> LoadOutcome {
        let loader = self.clone();
        let of = registry.clone();
        let loaded = tokio::task::spawn_local(async move {
            let plugin = &of.plugins[index];
            loader.generation(plugin, wanted.only_changes, &place).await
        });
        let plugin = &registry.plugins[index];
        let loaded = loaded.await.unwrap_or_else(|panic| {
            Err(LoadError::Panicked {
                path: plugin.path.clone(),
                why: words(panic),
            })
        });
        conclude(&registry, plugin, loaded, wanted.requested)
    }

    async fn generation(
        &self,
        plugin: &Plugin,
        only_changes: bool,
        place: &Arc<Semaphore>,
    ) -> Result<Option<Generation>, LoadError> {
        let source = self.maker.read(&plugin.path, place).await?;
        let (number, last) = {
            let record = plugin.record();
            (record.last_number + 1, record.last_digest)
        };
        if only_changes && last == Some(source.digest) {
            return Ok(None);
        }
        let identity = plugin.identity.clone();
        self.maker
            .load(identity, number, &plugin.path, source)
            .await
            .map(Some)
    }
}

/// What those who wait for a load want of it.
#[derive(Clone, Copy)]
struct Wanted {
    only_changes: bool,
    requested: Instant,
}

/// Puts a new generation in place, or notes why there is none.
fn conclude(
    registry: &Registry,
    plugin: &Plugin,
    loaded: Result<Option<Generation>, LoadError>,
    requested: Instant,
) -> LoadOutcome {
    match loaded {
        Ok(Some(generation)) => {
            let generation = Arc::new(generation);
            let number = generation.number();
            // Held until the swap: a rollback in between would be overtaken by this load.
            let mut record = plugin.record();
            record.accept(generation.clone());
            registry.put(plugin, generation, requested, false);
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
            plugin.record().refuse(words.clone(), error.reason());
            let plugin = plugin.name().clone();
            // No one listening is fine.
            let _ = registry.notices.send(Notice::Refused {
                plugin,
                error: words,
            });
            Err(Arc::new(error))
        }
    }
}

/// What a panic said.
fn words(panic: tokio::task::JoinError) -> String {
    match panic.try_into_panic() {
        Ok(payload) => payload
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| Some((*payload.downcast_ref::<&str>()?).to_owned()))
            .unwrap_or_else(|| "a panic without words".to_owned()),
        Err(cancelled) => cancelled.to_string(),
    }
}
