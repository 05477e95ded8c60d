//! What a bucket refuses.

use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::Bucket;
use crate::store::entries::Entries;
use crate::store::{Shared, StoreError};

impl Bucket {
    /// Refuses a key or a value that is too large.
    pub(super) fn check(&self, key: &str, value: &Bytes) -> Result<(), StoreError> {
        let limits = &self.limits;
        let refusal = if key.len() > limits.key {
            StoreError::Key {
                bucket: self.name().into(),
                len: key.len(),
                max: limits.key,
            }
        } else if value.len() > limits.value {
            StoreError::Value {
                bucket: self.name().into(),
                len: value.len(),
                max: limits.value,
            }
        } else {
            return Ok(());
        };
        Err(refusal)
    }

    /// Refuses a call that names too many keys.
    pub(super) fn check_batch(&self, len: usize) -> Result<(), StoreError> {
        let max = self.shared.limits.batch;
        (len <= max)
            .then_some(())
            .ok_or(StoreError::Batch { len, max })
    }

    /// Refuses to grow beyond a limit. What is beyond it already, because the limit was higher, may
    /// stay and shrink.
    pub(super) fn check_growth(
        &self,
        entries: &Entries,
        keys: usize,
        bytes: usize,
    ) -> Result<(), StoreError> {
        let limits = &self.limits;
        if entries.len() > limits.keys.max(keys) {
            return Err(StoreError::Keys {
                bucket: self.name().into(),
                max: limits.keys,
            });
        }
        if entries.bytes() > limits.size.max(bytes) {
            return Err(StoreError::Size {
                bucket: self.name().into(),
                max: limits.size,
            });
        }
        match self.shared.account(bytes, entries.bytes()) {
            true => Ok(()),
            false => {
                self.shared.account(entries.bytes(), bytes);
                let max = self.shared.limits.size;
                Err(StoreError::StoreSize { max })
            }
        }
    }
}

impl Shared {
    /// A bucket of `before` bytes has `after` bytes now. Returns whether all of them together have
    /// room for what it grew.
    pub(super) fn account(&self, before: usize, after: usize) -> bool {
        match after.checked_sub(before) {
            Some(0) => true,
            Some(grown) => {
                let all = self.bytes.fetch_add(grown, Ordering::Relaxed) + grown;
                all <= self.limits.size
            }
            None => {
                self.bytes.fetch_sub(before - after, Ordering::Relaxed);
                true
            }
        }
    }
}
