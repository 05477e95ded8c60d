//! The writes that wait for the disk, in their order. The `writer` commits what has come since its
//! last commit as one group; who wrote waits for the commit that holds the write.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::error::StoreError;
use super::record::{KeyRecord, Records};

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
    /// The name of the bucket.
    pub(super) bucket: Arc<str>,
    pub(super) records: Records,
}

/// Writes that are committed together.
#[derive(Default)]
pub(super) struct Group {
    pub(super) writes: Vec<Write>,
    /// What has become of them, once that is known; whoever wrote waits for it.
    outcome: watch::Sender<Option<CommitOutcome>>,
}

pub(super) type CommitOutcome = Result<(), Arc<str>>;

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
    /// The write waits for its commit.
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

    /// All that waits; none at the end.
    pub(super) fn next_group(&self) -> Option<Group> {
        let waits = |queue: &mut GroupQueue| queue.group.writes.is_empty() && !queue.closed;
        let queue = self.filled.wait_while(self.queue(), waits);
        let mut queue = queue.unwrap_or_else(PoisonError::into_inner);
        queue.cost = 0;
        let group = std::mem::take(&mut queue.group);
        (!group.writes.is_empty()).then_some(group)
    }

    /// A commit has succeeded.
    pub(super) fn committed(&self) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    /// A commit has failed: nothing is taken until [`Journal::recovered`]. Returns what was waiting.
    pub(super) fn failed(&self, why: Arc<str>) -> Group {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut queue = self.queue();
        queue.failed = Some(why);
        queue.cost = 0;
        std::mem::take(&mut queue.group)
    }

    /// The disk takes writes again.
    pub(super) fn recovered(&self) {
        self.committed();
        self.queue().failed = None;
    }

    /// Waits that long, or until it is closed. Returns whether it is.
    pub(super) fn closes_within(&self, time: Duration) -> bool {
        let open = |queue: &mut GroupQueue| !queue.closed;
        let waited = self.filled.wait_timeout_while(self.queue(), time, open);
        let (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        queue.closed
    }

    /// Takes no more; what waits is still committed.
    pub(super) fn close(&self) {
        self.queue().closed = true;
        self.wake();
    }

    fn queue(&self) -> MutexGuard<'_, GroupQueue> {
        // It is whole after every statement.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Group {
    /// Tells whoever waits for it what has become of it.
    pub(super) fn end(self, outcome: CommitOutcome) {
        self.outcome.send_replace(Some(outcome));
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
