//! The keys and values of one bucket. A plain data structure: no locks, no clock, no disk.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::clock::UnixMillis;

/// What an entry counts beside its bytes: its place in the map, its key's and value's headers.
pub(super) const ENTRY_COST: usize = 128;

/// A value, with what tells it from others of the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) value: Bytes,
    /// Grows with every write of the bucket, so that a swap notices a value that was deleted and
    /// set again to the same.
    pub(super) version: u64,
    pub(super) written: UnixMillis,
}

/// The keys and values of one bucket, in order of the keys' bytes.
#[derive(Debug, Default)]
pub(super) struct Entries {
    map: BTreeMap<Arc<str>, Entry>,
    /// Keys by version, which is the order in which they expire. Empty without a `ttl`.
    by_age: BTreeMap<u64, Arc<str>>,
    ttl: Option<UnixMillis>,
    bytes: usize,
    version: u64,
}

impl Entries {
    /// No entries; they expire that long after they were written.
    pub(super) fn new(ttl: Option<UnixMillis>) -> Self {
        Self {
            ttl,
            ..Self::default()
        }
    }

    /// How many there are, those among them that have expired but were not removed yet.
    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    /// Their keys and values in bytes, and [`ENTRY_COST`] for each.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The entry of a key, unless it has expired.
    pub(super) fn get(&self, key: &str, now: UnixMillis) -> Option<&Entry> {
        let entry = self.map.get(key)?;
        (!self.is_expired(entry, now)).then_some(entry)
    }

    /// The entry of a key, expired or not.
    pub(super) fn held(&self, key: &str) -> Option<&Entry> {
        self.map.get(key)
    }

    /// Whether a key has an entry, expired or not.
    pub(super) fn holds(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// Sets or removes a value. Returns the entry that was there.
    pub(super) fn put(
        &mut self,
        key: &Arc<str>,
        value: Option<Bytes>,
        now: UnixMillis,
    ) -> Option<Entry> {
        self.version += 1;
        let version = self.version;
        self.restore(
            key,
            value.map(|value| Entry {
                value,
                version,
                written: now,
            }),
        )
    }

    /// Puts back what [`Entries::put`] returned. Returns the entry that was there.
    pub(super) fn restore(&mut self, key: &Arc<str>, entry: Option<Entry>) -> Option<Entry> {
        if let Some(entry) = &entry {
            self.bytes += cost(key, entry);
            if self.ttl.is_some() {
                self.by_age.insert(entry.version, key.clone());
            }
        }
        let before = match entry {
            Some(entry) => self.map.insert(key.clone(), entry),
            None => self.map.remove(key),
        };
        if let Some(before) = &before {
            self.bytes -= cost(key, before);
            self.by_age.remove(&before.version);
        }
        before
    }

    /// Up to `limit` keys behind `after`, and whether there are more.
    pub(super) fn page(
        &self,
        after: Option<&str>,
        limit: usize,
        now: UnixMillis,
    ) -> (Vec<Arc<str>>, bool) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = self.map.range::<str, _>((from, Bound::Unbounded));
        let mut live = behind.filter(|(_, entry)| !self.is_expired(entry, now));
        let keys = live.by_ref().take(limit).map(|(key, _)| key.clone());
        (keys.collect(), live.next().is_some())
    }

    /// Up to `limit` keys whose entries have expired.
    pub(super) fn expired(&self, limit: usize, now: UnixMillis) -> Vec<Arc<str>> {
        let is_expired = |key: &&Arc<str>| {
            self.map
                .get(*key)
                .is_some_and(|entry| self.is_expired(entry, now))
        };
        let oldest = self.by_age.values().take_while(is_expired);
        oldest.take(limit).cloned().collect()
    }

    fn is_expired(&self, entry: &Entry, now: UnixMillis) -> bool {
        self.ttl
            .is_some_and(|ttl| now.saturating_sub(entry.written) >= ttl)
    }
}

fn cost(key: &str, entry: &Entry) -> usize {
    key.len() + entry.value.len() + ENTRY_COST
}
