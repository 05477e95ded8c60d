//! The thread that commits what waits in the journal. A disk that fails is tried again until it
//! takes writes; until then they are refused.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::bucket::Bucket;
use super::disk::Disk;
use super::journal::{Group, Journal, Write};
use crate::supervise;

/// How long after a failure the disk is tried again: soon after it has room, and seldom enough for a
/// disk that is gone.
const RETRY: Duration = Duration::from_secs(1);

/// The thread that commits.
pub(super) struct Writer {
    journal: Arc<Journal>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread; the file is its own until [`Writer::close`].
    pub(super) fn start(
        disk: Disk,
        journal: Arc<Journal>,
        buckets: HashMap<Arc<str>, Arc<Bucket>>,
    ) -> std::io::Result<Self> {
        let mut committer = Committer {
            journal: journal.clone(),
            disk,
            buckets,
        };
        let run = move || {
            committer.run();
            Ok(())
        };
        Ok(Self {
            journal,
            thread: Mutex::new(Some(supervise::thread("journal", run)?)),
        })
    }

    /// Commits what waits and closes the file.
    pub(super) fn close(&self) {
        self.journal.close();
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            // It has ended, and not by a panic.
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

/// What the thread works on.
struct Committer {
    journal: Arc<Journal>,
    disk: Disk,
    /// By name, to undo what the disk did not take.
    buckets: HashMap<Arc<str>, Arc<Bucket>>,
}

impl Committer {
    /// Commits until the journal is closed.
    fn run(&mut self) {
        while let Some(group) = self.journal.next_group() {
            match self.disk.commit(&group.writes) {
                Ok(()) => {
                    self.journal.committed();
                    group.end(Ok(()));
                }
                Err(error) => {
                    let torn = self.fail(&error.to_string(), group);
                    if !self.recover(&torn) {
                        return;
                    }
                }
            }
        }
    }

    /// The disk did not take `group`: nothing is taken until it does again, and what was not
    /// committed is undone, the last first, so that everybody reads what a restart will read.
    /// Returns the buckets and keys of which nobody knows what the disk holds.
    fn fail(&self, why: &str, mut group: Group) -> Vec<(Arc<str>, Arc<str>)> {
        tracing::error!(
            "the store's file failed: {why}; writes are refused until it takes them again, which is tried every {RETRY:?}: see to the disk"
        );
        let why: Arc<str> = format!("the store's file failed: {why}").into();
        let mut waiting = self.journal.failed(why.clone());
        let keys = |write: &Write| {
            let bucket = write.bucket.clone();
            let keys = write.records.iter().map(|record| record.key.clone());
            keys.map(move |key| (bucket.clone(), key))
                .collect::<Vec<_>>()
        };
        let torn = group.writes.iter().flat_map(keys).collect();
        let mut writes = std::mem::take(&mut group.writes);
        writes.append(&mut waiting.writes);
        for write in writes.into_iter().rev() {
            if let Some(bucket) = self.buckets.get(&write.bucket) {
                bucket.undo(write.records);
            }
        }
        for group in [group, waiting] {
            group.end(Err(why.clone()));
        }
        torn
    }

    /// Tries until the disk takes writes again. A commit that failed may be on the disk all the same:
    /// the first that succeeds writes what memory holds under the keys it had. Returns whether
    /// writes are taken; if not, the journal was closed.
    fn recover(&mut self, torn: &[(Arc<str>, Arc<str>)]) -> bool {
        while !self.journal.closes_within(RETRY) {
            let buckets = &self.buckets;
            let held = |(bucket, key): &(Arc<str>, Arc<str>)| Write {
                bucket: bucket.clone(),
                records: buckets
                    .get(bucket)
                    .and_then(|bucket| bucket.held(key))
                    .into_iter()
                    .collect(),
            };
            let repair: Vec<_> = torn.iter().map(held).collect();
            match self.disk.reopen().and_then(|()| self.disk.commit(&repair)) {
                Ok(()) => {
                    self.journal.recovered();
                    tracing::info!("the store's file takes writes again");
                    return true;
                }
                Err(error) => {
                    let why = format!("the store's file failed: {error}");
                    // Nothing waits: nothing was taken meanwhile.
                    self.journal.failed(why.into());
                }
            }
        }
        false
    }
}
