//! One bucket: its lock, what can be asked of it, and what is counted.

mod limits;
mod write;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::clock::{UnixMillis, millis};
use super::entries::{Entries, Entry};
use super::journal::Receipt;
use super::record::Stored;
use super::{Changes, Shared, StoreError};
use crate::config;
use bytes::Bytes;

/// How many keys a page has, as the contract says.
const PAGE: usize = 1000;

/// One bucket. What is written is there at once for everybody who reads; on disk it is when the
/// write's [`Receipt`] says so.
pub struct Bucket {
    name: Arc<str>,
    limits: config::Bucket,
    shared: Arc<Shared>,
    watchers: Box<[Arc<Changes>]>,
    /// A std mutex: it is held for one call's work in memory, a microsecond as a rule, and never
    /// while anybody waits for the disk. One for the whole bucket, so that a batch happens whole
    /// and the journal and the watchers have the order of the writes.
    content: Mutex<Content>,
    /// By [`StoreError::kind`].
    refusals: [AtomicU64; StoreError::NAMES.len()],
}

struct Content {
    entries: Entries,
    operations: [u64; Operation::NAMES.len()],
}

/// What is counted.
#[derive(Clone, Copy)]
enum Operation {
    Get,
    Exists,
    List,
    Set,
    Delete,
    Increment,
    Swap,
}

impl Operation {
    /// The names used in metrics, in the order of the variants.
    const NAMES: [&'static str; 7] = [
        "get",
        "exists",
        "list",
        "set",
        "delete",
        "increment",
        "swap",
    ];
}

/// Some of a bucket's keys, in order of their bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct KeyPage {
    /// The keys; at most 1,000.
    pub keys: Vec<Arc<str>>,
    /// Behind which key the next page begins; none at the end.
    pub cursor: Option<Arc<str>>,
}

/// A key as it was at one time.
#[derive(Clone, Debug)]
pub struct Seen {
    key: Arc<str>,
    entry: Option<Entry>,
}

impl Seen {
    /// The value of the key at that time.
    pub fn value(&self) -> Option<&Bytes> {
        self.entry.as_ref().map(|entry| &entry.value)
    }
}

/// What became of a swap.
#[derive(Debug)]
pub enum Swap {
    /// The value is set.
    Done(Receipt),
    /// The value has changed meanwhile, to this.
    Changed(Seen),
}

/// What there is to show of a bucket.
#[derive(Debug)]
pub struct BucketStatus {
    /// The bucket's name.
    pub name: Box<str>,
    /// How many keys it has.
    pub keys: usize,
    /// Bytes of them and their values, with what each costs beside.
    pub bytes: usize,
    /// What was done with it, by name.
    pub operations: Vec<(&'static str, u64)>,
    /// What was refused, by the name of the limit.
    pub refusals: Vec<(&'static str, u64)>,
}

impl Bucket {
    /// A bucket with what the disk has of it.
    pub(super) fn new(
        limits: config::Bucket,
        shared: Arc<Shared>,
        watchers: Box<[Arc<Changes>]>,
        stored: Option<Vec<Stored>>,
    ) -> Arc<Self> {
        let mut entries = Entries::new(limits.ttl.map(millis));
        let mut stored = stored.unwrap_or_default();
        // The oldest first: versions have the order of writes.
        stored.sort_by_key(|(written, ..)| *written);
        for (written, key, value) in stored {
            entries.put(&key, Some(value), written);
        }
        // What was written under higher limits stays.
        shared.bytes.fetch_add(entries.bytes(), Ordering::Relaxed);
        Arc::new(Self {
            name: limits.name.as_str().into(),
            limits,
            shared,
            watchers,
            content: Mutex::new(Content {
                entries,
                operations: [0; Operation::NAMES.len()],
            }),
            refusals: [const { AtomicU64::new(0) }; StoreError::NAMES.len()],
        })
    }

    /// The bucket's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes that a value may have.
    pub fn value_max(&self) -> usize {
        self.limits.value
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<Bytes> {
        self.read(Operation::Get, 1, |entries, now| {
            entries.get(key, now).map(|entry| entry.value.clone())
        })
    }

    /// Whether a key has a value.
    pub fn exists(&self, key: &str) -> bool {
        self.read(Operation::Exists, 1, |entries, now| {
            entries.get(key, now).is_some()
        })
    }

    /// The values of keys, in their order, as they were together at one time.
    pub fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.counted(self.check_batch(keys.len()))?;
        let value = |entry: &Entry| entry.value.clone();
        Ok(self.read(Operation::Get, keys.len(), |entries, now| {
            let values = keys.iter().map(|key| entries.get(key, now).map(value));
            values.collect()
        }))
    }

    /// The keys behind `cursor`, or the first ones.
    pub fn page(&self, cursor: Option<&str>) -> KeyPage {
        let (keys, more) = self.read(Operation::List, 1, |entries, now| {
            entries.page(cursor, PAGE, now)
        });
        let cursor = keys.last().filter(|_| more).cloned();
        KeyPage { keys, cursor }
    }

    /// A key as it is now, for a later [`Bucket::swap`].
    pub fn see(&self, key: Arc<str>) -> Seen {
        let entry = self.read(Operation::Get, 1, |entries, now| {
            entries.get(&key, now).cloned()
        });
        Seen { key, entry }
    }

    /// Sets a value.
    pub fn set(&self, key: Arc<str>, value: Bytes) -> Result<Receipt, StoreError> {
        self.counted(self.check(&key, &value))?;
        self.write(Some((Operation::Set, 1)), |_, _| {
            Ok(Some((key, Some(value))))
        })
    }

    /// Removes a key; without it nothing happens.
    pub fn delete(&self, key: Arc<str>) -> Result<Receipt, StoreError> {
        self.write(Some((Operation::Delete, 1)), |_, _| Ok(Some((key, None))))
    }

    /// Sets keys, all or none.
    pub fn set_many(&self, pairs: Vec<(Arc<str>, Bytes)>) -> Result<Receipt, StoreError> {
        self.counted(self.check_batch(pairs.len()))?;
        for (key, value) in &pairs {
            self.counted(self.check(key, value))?;
        }
        self.write(Some((Operation::Set, pairs.len())), |_, _| {
            Ok(pairs.into_iter().map(|(key, value)| (key, Some(value))))
        })
    }

    /// Removes keys, all or none.
    pub fn delete_many(&self, keys: Vec<Arc<str>>) -> Result<Receipt, StoreError> {
        self.counted(self.check_batch(keys.len()))?;
        self.write(Some((Operation::Delete, keys.len())), |_, _| {
            Ok(keys.into_iter().map(|key| (key, None)))
        })
    }

    /// Adds to a number that is kept as decimal text; a missing one counts as nought. Returns the
    /// sum.
    pub fn increment(&self, key: Arc<str>, delta: i64) -> Result<(i64, Receipt), StoreError> {
        let mut sum = 0;
        let pending = self.write(Some((Operation::Increment, 1)), |entries, now| {
            let value = entries.get(&key, now).map_or(Ok(0), |entry| {
                let text = std::str::from_utf8(&entry.value).ok();
                let number = text.and_then(|text| text.parse::<i64>().ok());
                number.ok_or_else(|| StoreError::NotANumber {
                    bucket: self.name().into(),
                    key: (&*key).into(),
                })
            })?;
            sum = value
                .checked_add(delta)
                .ok_or_else(|| StoreError::Overflow {
                    bucket: self.name().into(),
                    key: (&*key).into(),
                    value,
                    delta,
                })?;
            let text = Bytes::from(sum.to_string());
            self.check(&key, &text)?;
            Ok(Some((key, Some(text))))
        })?;
        Ok((sum, pending))
    }

    /// Sets the value of a key that is still as it was seen.
    pub fn swap(&self, seen: &Seen, value: Bytes) -> Result<Swap, StoreError> {
        self.counted(self.check(&seen.key, &value))?;
        let mut changed = None;
        let pending = self.write(Some((Operation::Swap, 1)), |entries, now| {
            let entry = entries.get(&seen.key, now);
            let version = |entry: &Entry| entry.version;
            if entry.map(version) != seen.entry.as_ref().map(version) {
                changed = Some(entry.cloned());
                return Ok(None);
            }
            Ok(Some((seen.key.clone(), Some(value))))
        })?;
        Ok(match changed {
            None => Swap::Done(pending),
            Some(entry) => Swap::Changed(Seen {
                key: seen.key.clone(),
                entry,
            }),
        })
    }

    /// Whether its entries expire.
    pub(super) fn expires(&self) -> bool {
        self.limits.ttl.is_some()
    }

    /// What there is to show of it.
    pub(super) fn status(&self) -> BucketStatus {
        let content = self.content();
        let refusals = self
            .refusals
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        BucketStatus {
            name: self.name().into(),
            keys: content.entries.len(),
            bytes: content.entries.bytes(),
            operations: Operation::NAMES
                .into_iter()
                .zip(content.operations)
                .collect(),
            refusals: StoreError::NAMES.into_iter().zip(refusals).collect(),
        }
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        // Nothing panics half-way through a change.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time; not asked for where nothing depends on it.
    fn now(&self) -> UnixMillis {
        match self.expires() || self.shared.journal.is_some() {
            true => self.shared.clock.now(),
            false => 0,
        }
    }

    fn read<R>(
        &self,
        what: Operation,
        times: usize,
        f: impl FnOnce(&Entries, UnixMillis) -> R,
    ) -> R {
        let now = self.now();
        let mut content = self.content();
        content.operations[what as usize] += times as u64;
        f(&content.entries, now)
    }

    fn counted<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        result.inspect_err(|refusal| {
            self.refusals[refusal.kind()].fetch_add(1, Ordering::Relaxed);
        })
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bucket").field(&self.name()).finish()
    }
}
