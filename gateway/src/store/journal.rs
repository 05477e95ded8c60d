//! The way of writes to disk. A thread commits what has come since its last commit as one group;
//! who wrote waits for the commit that holds the write.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::watch;

use super::StoreError;
use super::bucket::{Bucket, Record, Records};
use super::disk::Disk;

/// What a record costs beside its key and value when it is counted against the queue's limit.
const RECORD_COST: usize = 128;

/// The writes that wait for the disk.
pub(super) struct Journal {
    /// A std mutex: it is held while a write is made in memory, or the queue taken, and never while
    /// the disk works. Taken with a bucket's lock held, never the other way round.
    queue: Mutex<Queue>,
    filled: Condvar,
    progress: watch::Sender<Progress>,
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

#[derive(Default)]
struct Queue {
    writes: Vec<Write>,
    cost: usize,
    /// The number of the last write; they count from one.
    last: u64,
    /// Why nothing more is taken.
    ended: Option<Arc<str>>,
}

#[derive(Debug, Default)]
struct Progress {
    /// The last write that is on disk.
    committed: u64,
    /// Why none after it will be.
    ended: Option<Arc<str>>,
}

/// Room for one write. The journal takes no other meanwhile.
pub(super) struct Admission<'a> {
    journal: &'a Journal,
    queue: MutexGuard<'a, Queue>,
}

/// A write that is there for everybody who reads, but perhaps not on disk yet.
#[derive(Debug)]
#[must_use = "a write counts only when it is on disk"]
pub enum Pending {
    /// Nothing is kept on disk, or nothing has changed.
    Done,
    /// It waits for its commit.
    Waits(Commit),
}

/// The commit that a write waits for.
#[derive(Debug)]
pub struct Commit {
    write: u64,
    progress: watch::Receiver<Progress>,
}

impl Pending {
    /// Waits until the write is safe on disk. After an error it is undone.
    pub async fn done(self) -> Result<(), StoreError> {
        let Self::Waits(Commit {
            write,
            mut progress,
        }) = self
        else {
            return Ok(());
        };
        let has_ended =
            |progress: &Progress| progress.committed >= write || progress.ended.is_some();
        let progress = progress.wait_for(has_ended).await.ok();
        let ended = progress
            .filter(|progress| progress.committed < write)
            .and_then(|progress| progress.ended.clone());
        ended.map_or(Ok(()), |why| Err(StoreError::Disk(why)))
    }
}

impl Journal {
    /// A journal in which `limit` bytes may wait, or one write of any size.
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::default(),
            filled: Condvar::new(),
            progress: watch::Sender::default(),
            limit,
            commits: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        })
    }

    /// Asks for room for one write.
    pub(super) fn admit(&self) -> Result<Admission<'_>, StoreError> {
        let queue = self.queue();
        if let Some(why) = &queue.ended {
            return Err(StoreError::Disk(why.clone()));
        }
        if queue.cost >= self.limit {
            return Err(StoreError::Queue { max: self.limit });
        }
        Ok(Admission {
            journal: self,
            queue,
        })
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

    /// Commits until it is ended.
    fn run(&self, disk: &Disk) {
        while let Some((group, last)) = self.next_group() {
            match disk.commit(&group) {
                Ok(()) => {
                    self.commits.fetch_add(1, Ordering::Relaxed);
                    self.progress
                        .send_modify(|progress| progress.committed = last);
                }
                Err(error) => return self.fail(&error.to_string(), group),
            }
        }
    }

    /// All that waits, and the number of its last write; none at the end.
    fn next_group(&self) -> Option<(Vec<Write>, u64)> {
        let waits = |queue: &mut Queue| queue.writes.is_empty() && queue.ended.is_none();
        let queue = self.filled.wait_while(self.queue(), waits);
        let mut queue = queue.unwrap_or_else(PoisonError::into_inner);
        queue.cost = 0;
        let group = std::mem::take(&mut queue.writes);
        (!group.is_empty()).then_some((group, queue.last))
    }

    /// The disk did not take `group`: nothing is taken any more, and what was not committed is
    /// undone, the last first, so that everybody reads what a restart will read.
    fn fail(&self, why: &str, group: Vec<Write>) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            "the store's file failed: {why}; all writes are refused from now on: see to the disk, then restart"
        );
        let why: Arc<str> = format!("the store's file failed: {why}").into();
        let waiting = {
            let mut queue = self.queue();
            queue.ended = Some(why.clone());
            std::mem::take(&mut queue.writes)
        };
        for write in group.into_iter().chain(waiting).rev() {
            write.bucket.undo(write.records);
        }
        self.progress
            .send_modify(|progress| progress.ended = Some(why));
    }

    fn close(&self) {
        let mut queue = self.queue();
        let closed = || "the store is closed: the gateway is shutting down".into();
        queue.ended.get_or_insert_with(closed);
        drop(queue);
        self.wake();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // It is whole after every statement.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admission<'_> {
    /// Takes the write. The thread hears of it by [`Journal::wake`].
    pub(super) fn push(mut self, write: Write) -> Pending {
        let queue = &mut *self.queue;
        queue.cost += write.records.iter().map(cost).sum::<usize>();
        queue.writes.push(write);
        queue.last += 1;
        Pending::Waits(Commit {
            write: queue.last,
            progress: self.journal.progress.subscribe(),
        })
    }
}

fn cost(record: &Record) -> usize {
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
            let journal = committing;
            // A panic would leave every writer waiting.
            if catch_unwind(AssertUnwindSafe(|| journal.run(&disk))).is_err() {
                journal.fail("its thread has panicked", Vec::new());
            }
        };
        let thread = std::thread::Builder::new().name("journal".to_owned());
        Ok(Self {
            journal,
            thread: Mutex::new(Some(thread.spawn(run)?)),
        })
    }

    /// Commits what waits and closes the file.
    pub(super) fn close(&self) {
        self.journal.close();
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            // A panic in it has been reported already.
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}
