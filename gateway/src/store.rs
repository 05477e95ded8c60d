//! What plugins keep beyond their connections: buckets of keys and values, one store for the whole
//! process. It knows neither WebAssembly nor sockets.
//!
//! Memory is what everything reads. With a file a write is also in the `journal`, whose thread
//! commits what has come meanwhile as one group; the writer waits for that ([`Receipt`]), nobody
//! else does. What a bucket's watchers are to hear goes into their [`Changes`] in the order of the
//! writes.
//!
//! - [`Bucket`]: one bucket: limits, locking, the order of everything
//! - `entries`: its keys and values, a pure data structure
//! - `journal`: the writes that wait for the disk; `writer`: the group commit; `disk`: the file;
//!   `rehearsal`: trying a file without changing it
//! - [`Changes`]: what a watcher has yet to hear

mod bucket;
mod changes;
mod clock;
mod disk;
mod entries;
mod error;
mod journal;
mod record;
mod rehearsal;
mod sweeper;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crate::config::{self, Config};

pub use crate::change::Change;
pub use bucket::{Bucket, BucketStatus, KeyPage, Seen, Swap};
pub use changes::Changes;
pub use disk::OpenError;
pub use error::StoreError;
pub use journal::{Commit, Receipt};

use clock::Clock;
use disk::Disk;
use journal::Journal;
use sweeper::Sweeper;
use writer::Writer;

/// The buckets of the process.
pub struct Store {
    buckets: HashMap<Arc<str>, Arc<Bucket>>,
    /// By plugin, as an index into the configuration.
    changes: HashMap<usize, Arc<Changes>>,
    shared: Arc<Shared>,
    writer: Option<Writer>,
    _sweeper: Option<Sweeper>,
}

/// What the buckets share.
struct Shared {
    limits: config::Store,
    /// Bytes of all buckets.
    bytes: AtomicUsize,
    clock: Clock,
    /// The journal; none if nothing is kept on disk.
    journal: Option<Arc<Journal>>,
}

/// What there is to show of a store.
#[derive(Debug)]
pub struct StoreStatus {
    /// The store's buckets, by name.
    pub buckets: Vec<BucketStatus>,
    /// Commits to disk so far, and those that failed; none if nothing is kept on disk.
    pub commits: Option<(u64, u64)>,
    /// Changes that plugins did not hear of, because too many were waiting; by plugin.
    pub dropped_changes: Vec<(usize, u64)>,
}

impl Store {
    /// The store of a configuration, with what its file holds. Reads the whole file: takes a second
    /// for some hundred megabytes.
    pub fn open(config: &Config) -> Result<Arc<Self>, OpenError> {
        let disk = config.store.path.as_deref().map(Disk::open).transpose()?;
        Self::with(config, disk, Clock::new())
    }

    fn with(config: &Config, disk: Option<Disk>, clock: Clock) -> Result<Arc<Self>, OpenError> {
        let limits = config.store.clone();
        let journal = disk.as_ref().map(|_| Journal::new(limits.queue));
        let shared = Arc::new(Shared {
            limits,
            bytes: AtomicUsize::new(0),
            clock,
            journal,
        });
        let changes: HashMap<_, _> = config
            .plugins
            .iter()
            .enumerate()
            .filter(|(_, plugin)| !plugin.grants.watch.is_empty())
            .map(|(owner, plugin)| (owner, Changes::new(plugin.limits.changes)))
            .collect();
        let mut buckets = HashMap::new();
        for limits in config.buckets() {
            let stored = disk.as_ref().map(|disk| disk.load(&limits.name));
            let watchers = changes.iter().filter(|(owner, _)| {
                let watched = &config.plugins[**owner].grants.watch;
                watched.contains(&limits.name)
            });
            let watchers = watchers.map(|(_, changes)| changes.clone()).collect();
            let bucket = Bucket::new(limits, shared.clone(), watchers, stored.transpose()?);
            buckets.insert(bucket.name().into(), bucket);
        }
        let writer = match (disk, &shared.journal) {
            (Some(disk), Some(journal)) => {
                Some(Writer::start(disk, journal.clone(), buckets.clone())?)
            }
            _ => None,
        };
        let sweeper = Sweeper::start(buckets.values().cloned())?;
        Ok(Arc::new(Self {
            buckets,
            changes,
            shared,
            writer,
            _sweeper: sweeper,
        }))
    }

    /// A bucket, if there is one of that name.
    pub fn bucket(&self, name: &str) -> Option<&Arc<Bucket>> {
        self.buckets.get(name)
    }

    /// The changes that a plugin is to hear of, if it may watch any bucket.
    pub fn changes(&self, owner: usize) -> Option<&Arc<Changes>> {
        self.changes.get(&owner)
    }

    /// Why nothing can be written just now, if that is so. It is tried again by itself.
    pub fn failure(&self) -> Option<Arc<str>> {
        self.shared.journal.as_ref()?.failure()
    }

    /// Commits what is waiting and closes the file; every write after it is refused.
    pub fn close(&self) {
        if let Some(writer) = &self.writer {
            writer.close();
        }
    }

    /// What there is to show of it.
    pub fn status(&self) -> StoreStatus {
        let mut buckets: Vec<_> = self
            .buckets
            .values()
            .map(|bucket| bucket.status())
            .collect();
        buckets.sort_by(|a, b| a.name.cmp(&b.name));
        let dropped = |(owner, changes): (&usize, &Arc<Changes>)| (*owner, changes.dropped());
        let mut dropped_changes: Vec<_> = self.changes.iter().map(dropped).collect();
        dropped_changes.sort_unstable();
        StoreStatus {
            buckets,
            commits: self.shared.journal.as_ref().map(|journal| journal.counts()),
            dropped_changes,
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.buckets.keys()).finish()
    }
}
