//! The one way of changes into a bucket: memory, the journal and the watchers in the same order.

use std::sync::Arc;

use bytes::Bytes;

use super::{Bucket, Operation};
use crate::store::clock::UnixMillis;
use crate::store::entries::Entries;
use crate::store::journal::{Receipt, Write};
use crate::store::record::{KeyRecord, Records};
use crate::store::{Change, StoreError};

/// How many expired entries are removed at once: some tenths of a millisecond for whoever waits for
/// the bucket meanwhile.
const SWEEP: usize = 256;

impl Bucket {
    /// Makes the changes that `decide` says, all or none. Counts them, unless they are our own.
    pub(super) fn write<C>(
        &self,
        counted: Option<(Operation, usize)>,
        decide: impl FnOnce(&Entries, UnixMillis) -> Result<C, StoreError>,
    ) -> Result<Receipt, StoreError>
    where
        C: IntoIterator<Item = (Arc<str>, Option<Bytes>)>,
    {
        let now = self.now();
        let mut content = self.content();
        if let Some((what, times)) = counted {
            content.operations[what as usize] += times as u64;
        }
        let written = decide(&content.entries, now)
            .and_then(|changes| self.apply(&mut content.entries, changes, now));
        drop(content);
        self.counted(written).inspect(|_| self.wake())
    }

    fn apply(
        &self,
        entries: &mut Entries,
        changes: impl IntoIterator<Item = (Arc<str>, Option<Bytes>)>,
        written: UnixMillis,
    ) -> Result<Receipt, StoreError> {
        let journal = self.shared.journal.as_ref();
        // Held until the write is in the journal: its order there is that of the bucket.
        let admission = journal.map(|journal| journal.admit()).transpose()?;
        let (keys, bytes) = (entries.len(), entries.bytes());
        let mut records = Records::new();
        for (key, value) in changes {
            if value.is_none() && !entries.holds(&key) {
                continue;
            }
            let before = entries.put(&key, value.clone(), written);
            records.push(KeyRecord {
                key,
                value,
                written,
                before,
            });
        }
        if let Err(refusal) = self.check_growth(entries, keys, bytes) {
            for record in records.into_iter().rev() {
                entries.restore(&record.key, record.before);
            }
            return Err(refusal);
        }
        for record in &records {
            self.tell(&record.key, record.value.clone());
        }
        Ok(match admission {
            Some(admission) if !records.is_empty() => admission.push(Write {
                bucket: self.name.clone(),
                records,
            }),
            _ => Receipt::Done,
        })
    }

    fn tell(&self, key: &Arc<str>, value: Option<Bytes>) {
        for watcher in &self.watchers {
            watcher.push(Change {
                bucket: self.name.clone(),
                key: key.clone(),
                value: value.clone(),
            });
        }
    }

    /// Wakes whoever has something to do after a write. Not while anything is locked.
    fn wake(&self) {
        if let Some(journal) = &self.shared.journal {
            journal.wake();
        }
        for watcher in &self.watchers {
            watcher.wake();
        }
    }

    /// Removes some of what has expired. Returns whether there is more.
    pub(in crate::store) fn sweep(&self) -> bool {
        let now = self.now();
        let expired = self.content().entries.expired(SWEEP, now);
        if expired.is_empty() {
            return false;
        }
        let more = expired.len() == SWEEP;
        let removed = self.write(None, |entries, now| {
            // Meanwhile one may have been written again.
            let still = expired
                .into_iter()
                .filter(|key| entries.get(key, now).is_none());
            Ok(still.map(|key| (key, None)).collect::<Vec<_>>())
        });
        // A disk that takes no more is said to whoever writes; nobody sees these entries.
        removed.is_ok() && more
    }

    /// What the bucket holds under a key, as a record that writes just that.
    pub(in crate::store) fn held(&self, key: &Arc<str>) -> Option<KeyRecord> {
        let content = self.content();
        let entry = content.entries.held(key);
        Some(KeyRecord {
            key: key.clone(),
            value: entry.map(|entry| entry.value.clone()),
            written: entry.map_or(0, |entry| entry.written),
            before: None,
        })
    }

    /// Puts back what was there before a write that the disk did not take.
    pub(in crate::store) fn undo(&self, records: Records) {
        let mut content = self.content();
        let before = content.entries.bytes();
        for record in records.into_iter().rev() {
            let value = record.before.as_ref().map(|entry| entry.value.clone());
            content.entries.restore(&record.key, record.before);
            self.tell(&record.key, value);
        }
        self.shared.account(before, content.entries.bytes());
        drop(content);
        self.wake();
    }
}
