//! What goes from a bucket to the disk and back.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::clock::UnixMillis;
use super::entries::Entry;

/// One key's change.
pub(super) struct KeyRecord {
    pub(super) key: Arc<str>,
    pub(super) value: Option<Bytes>,
    pub(super) written: UnixMillis,
    /// What was there before.
    pub(super) before: Option<Entry>,
}

/// The records of one write; nearly always one.
pub(super) type Records = SmallVec<[KeyRecord; 1]>;

/// An entry as it is on disk: when it was written, its key and its value.
pub(super) type Stored = (UnixMillis, Arc<str>, Bytes);
