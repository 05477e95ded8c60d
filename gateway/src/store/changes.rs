//! What a plugin has yet to hear of the buckets that it watches.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::change::Change;

/// The changes that wait for one plugin, in order. Beyond its limit the oldest are dropped: what is
/// heard last is how things are.
#[derive(Debug)]
pub struct Changes {
    /// A std mutex: it is held to add or take one change. Writers hold their bucket's lock then,
    /// which is what keeps the changes of a key in order.
    waiting: Mutex<Waiting>,
    arrived: Notify,
    limit: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    changes: VecDeque<Change>,
    dropped: u64,
}

impl Changes {
    /// Room for `limit` changes.
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::default(),
            arrived: Notify::new(),
            limit,
        })
    }

    /// Adds a change. Nobody hears of it before [`Changes::wake`]: that may be a system call, for
    /// which no lock is to be held.
    pub(super) fn push(&self, change: Change) {
        let mut waiting = self.waiting();
        if waiting.changes.len() == self.limit {
            waiting.changes.pop_front();
            waiting.dropped += 1;
        }
        waiting.changes.push_back(change);
    }

    /// Wakes whoever waits for changes.
    pub(super) fn wake(&self) {
        self.arrived.notify_one();
    }

    /// The next change; waits for one. For one caller at a time.
    pub async fn next(&self) -> Change {
        loop {
            let next = self.waiting().changes.pop_front();
            if let Some(change) = next {
                return change;
            }
            self.arrived.notified().await;
        }
    }

    /// How many were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.waiting().dropped
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // It is whole after every statement.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
