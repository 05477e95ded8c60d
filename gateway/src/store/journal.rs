//! The way of writes to disk. A thread commits what has come since its last commit as one group;
//! who wrote waits for the commit that holds the write. A disk that fails is tried again until it
//! takes writes; until then they are refused.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use super::StoreError;
use super::bucket::{Bucket, KeyRecord, Records};
use super::disk::Disk;
use crate::supervise;

/// How long after a failure the disk is tried again: soon after it has room, and seldom enough for a
/// disk that is gone.
const RETRY: Duration = Duration::from_secs(1);

/// What a record costs beside its key and value when it is counted against the queue's limit.
const RECORD_COST: usize = 128;

/// The writes that wait for the disk.
pub(super) struct Journal {
    /// A std mutex: it is held while a write is made in memory, or the queue taken, and never while
    /// the disk works. Taken with a bucket's lock held, never the other way round.
    queue: Mutex<GroupQueue>,
    filled: Condvar,
    /// Bytes that may wait.
    limit: usize,
    commits: AtomicU64,
    failures: AtomicU64,
}

/// A write as a bucket has made it in memory: all of it is committed, or none.
pub(super) struct Write {
    pub(super) bucket: Arc<Bucket>,
    pub(super) records: Records,
}

/// Writes that are committed together.
#[derive(Default)]
struct Group {
    writes: Vec<Write>,
    /// What has become of them, once that is known; whoever wrote waits for it.
    outcome: watch::Sender<Option<CommitOutcome>>,
}

type CommitOutcome = Result<(), Arc<str>>;

#[derive(Default)]
struct GroupQueue {
    group: Group,
    cost: usize,
    /// Why nothing is taken just now.
    failed: Option<Arc<str>>,
    /// No more is taken for ever.
    closed: bool,
}

/// Room for one write. The journal takes no other meanwhile.
pub(super) struct Admission<'a>(MutexGuard<'a, GroupQueue>);

/// A write that is there for everybody who reads, but perhaps not on disk yet.
#[derive(Debug)]
#[must_use = "a write counts only when it is on disk"]
pub enum Receipt {
    /// Nothing is kept on disk, or nothing has changed.
    Done,
    /// It waits for its commit.
    Waits(Commit),
}

/// The commit that a write waits for.
#[derive(Debug)]
pub struct Commit(watch::Receiver<Option<CommitOutcome>>);

impl Receipt {
    /// Waits until the write is safe on disk. After an error it is undone.
    pub async fn done(self) -> Result<(), StoreError> {
        let Self::Waits(Commit(mut outcome)) = self else {
            return Ok(());
        };
        match outcome.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(outcome)) => outcome.clone().map_err(StoreError::Disk),
            // The thread is gone, and the process with it.
            Ok(None) | Err(_) => Err(StoreError::Disk("nobody writes it any more".into())),
        }
    }
}

impl Journal {
    /// A journal in which `limit` bytes may wait, or one write of any size.
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::default(),
            filled: Condvar::new(),
            limit,
            commits: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        })
    }

    /// Asks for room for one write.
    pub(super) fn admit(&self) -> Result<Admission<'_>, StoreError> {
        let queue = self.queue();
        if queue.closed {
            return Err(StoreError::Closed);
        }
        if let Some(why) = &queue.failed {
            return Err(StoreError::Disk(why.clone()));
        }
        if queue.cost >= self.limit {
            return Err(StoreError::Queue { max: self.limit });
        }
        Ok(Admission(queue))
    }

    /// Wakes the thread that commits.
    pub(super) fn wake(&self) {
        self.filled.notify_one();
    }

    /// Commits so far, and those that failed.
    pub(super) fn counts(&self) -> (u64, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (count(&self.commits), count(&self.failures))
    }

    /// Why nothing is taken just now, if that is so.
    pub(super) fn failure(&self) -> Option<Arc<str>> {
        self.queue().failed.clone()
    }

    /// Commits until it is closed.
    fn run(&self, mut disk: Disk) {
        while let Some(group) = self.next_group() {
            match disk.commit(&group.writes) {
                Ok(()) => {
                    self.commits.fetch_add(1, Ordering::Relaxed);
                    group.outcome.send_replace(Some(Ok(())));
                }
                Err(error) => {
                    let torn = self.fail(&error.to_string(), group);
                    if !self.recover(&mut disk, &torn) {
                        return;
                    }
                }
            }
        }
    }

    /// All that waits; none at the end.
    fn next_group(&self) -> Option<Group> {
        let waits = |queue: &mut GroupQueue| queue.group.writes.is_empty() && !queue.closed;
        let queue = self.filled.wait_while(self.queue(), waits);
        let mut queue = queue.unwrap_or_else(PoisonError::into_inner);
        queue.cost = 0;
        let group = std::mem::take(&mut queue.group);
        (!group.writes.is_empty()).then_some(group)
    }

    /// The disk did not take `group`: nothing is taken until it does again, and what was not
    /// committed is undone, the last first, so that everybody reads what a restart will read.
    /// Returns the keys of which nobody knows what the disk holds.
    fn fail(&self, why: &str, group: Group) -> Vec<(Arc<Bucket>, Arc<str>)> {
        self.failures.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            "the store's file failed: {why}; writes are refused until it takes them again, which is tried every {RETRY:?}: see to the disk"
        );
        let why: Arc<str> = format!("the store's file failed: {why}").into();
        let waiting = {
            let mut queue = self.queue();
            queue.failed = Some(why.clone());
            queue.cost = 0;
            std::mem::take(&mut queue.group)
        };
        let keys = |write: &Write| {
            let bucket = write.bucket.clone();
            let keys = write.records.iter().map(|record| record.key.clone());
            keys.map(move |key| (bucket.clone(), key))
                .collect::<Vec<_>>()
        };
        let torn = group.writes.iter().flat_map(keys).collect();
        for write in group.writes.into_iter().chain(waiting.writes).rev() {
            write.bucket.undo(write.records);
        }
        for outcome in [group.outcome, waiting.outcome] {
            outcome.send_replace(Some(Err(why.clone())));
        }
        torn
    }

    /// Tries until the disk takes writes again. A commit that failed may be on the disk all the same:
    /// the first that succeeds writes what memory holds under the keys it had. Returns whether
    /// writes are taken; if not, the journal was closed.
    fn recover(&self, disk: &mut Disk, torn: &[(Arc<Bucket>, Arc<str>)]) -> bool {
        loop {
            let open = |queue: &mut GroupQueue| !queue.closed;
            let waited = self.filled.wait_timeout_while(self.queue(), RETRY, open);
            let (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if queue.closed {
                return false;
            }
            drop(queue);
            let held = |(bucket, key): &(Arc<Bucket>, Arc<str>)| Write {
                bucket: bucket.clone(),
                records: bucket.held(key).into_iter().collect(),
            };
            let repair: Vec<_> = torn.iter().map(held).collect();
            match disk.reopen().and_then(|()| disk.commit(&repair)) {
                Ok(()) => {
                    self.commits.fetch_add(1, Ordering::Relaxed);
                    self.queue().failed = None;
                    tracing::info!("the store's file takes writes again");
                    return true;
                }
                Err(error) => {
                    let why = format!("the store's file failed: {error}");
                    self.failures.fetch_add(1, Ordering::Relaxed);
                    self.queue().failed = Some(why.into());
                }
            }
        }
    }

    fn close(&self) {
        self.queue().closed = true;
        self.wake();
    }

    fn queue(&self) -> MutexGuard<'_, GroupQueue> {
        // It is whole after every statement.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admission<'_> {
    /// Takes the write. The thread hears of it by [`Journal::wake`].
    pub(super) fn push(mut self, write: Write) -> Receipt {
        let queue = &mut *self.0;
        queue.cost += write.records.iter().map(cost).sum::<usize>();
        queue.group.writes.push(write);
        Receipt::Waits(Commit(queue.group.outcome.subscribe()))
    }
}

fn cost(record: &KeyRecord) -> usize {
    let value = record.value.as_ref().map_or(0, |value| value.len());
    record.key.len() + value + RECORD_COST
}

/// The thread that commits.
pub(super) struct Writer {
    journal: Arc<Journal>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread; the file is its own until [`Writer::close`].
    pub(super) fn start(disk: Disk, journal: Arc<Journal>) -> std::io::Result<Self> {
        let committing = journal.clone();
        let run = move || {
            committing.run(disk);
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
