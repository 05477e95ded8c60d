//! A change in the store, as a plugin hears of it.

use std::sync::Arc;

use bytes::Bytes;

/// A key was set or removed.
#[derive(Clone, Debug)]
pub struct Change {
    /// The name of its bucket.
    pub bucket: Arc<str>,
    /// Which.
    pub key: Arc<str>,
    /// What it was set to; none if it was removed, or its time was over.
    pub value: Option<Bytes>,
}
