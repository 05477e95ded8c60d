//! Why the store refuses a call.

use std::sync::Arc;

/// Why the store refuses a call. Nothing of it has happened then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The key is too long.
    #[error(
        "the key has {len} bytes, over the limit of {max} of bucket {bucket:?}: raise `key` of the bucket"
    )]
    Key {
        /// The bucket.
        bucket: Box<str>,
        /// Bytes of the key.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The value is too large.
    #[error(
        "the value has {len} bytes, over the limit of {max} of bucket {bucket:?}: raise `value` of the bucket"
    )]
    Value {
        /// The bucket.
        bucket: Box<str>,
        /// Bytes of the value.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// There are too many keys.
    #[error(
        "bucket {bucket:?} has as many keys as it may, {max}: delete some, or raise `keys` of the bucket"
    )]
    Keys {
        /// The bucket.
        bucket: Box<str>,
        /// The limit.
        max: usize,
    },
    /// The bucket is full.
    #[error(
        "bucket {bucket:?} would be over its limit of {max} bytes: delete some keys, or raise `size` of the bucket"
    )]
    Size {
        /// The bucket.
        bucket: Box<str>,
        /// The limit.
        max: usize,
    },
    /// The whole store is full.
    #[error(
        "all buckets together would be over their limit of {max} bytes: delete some keys, or raise `size` in [store]"
    )]
    StoreSize {
        /// The limit.
        max: usize,
    },
    /// The call names too many keys.
    #[error(
        "the call names {len} keys, over the limit of {max}: split it, or raise `batch` in [store]"
    )]
    Batch {
        /// How many it names.
        len: usize,
        /// Their limit.
        max: usize,
    },
    /// The disk does not keep up.
    #[error(
        "over {max} bytes of writes wait for the disk: try again later, or raise `queue` in [store]"
    )]
    Queue {
        /// Their limit.
        max: usize,
    },
    /// The file can't be written just now; it is tried again by itself.
    #[error("nothing can be written now: {0}: try again later, and see to the store's disk")]
    Disk(Arc<str>),
    /// The gateway is ending.
    #[error("the store is closed: the gateway is shutting down")]
    Closed,
    /// The value to add to is not a number.
    #[error(
        "the value of {key:?} in bucket {bucket:?} is not a whole number in decimal digits: it can't be incremented"
    )]
    NotANumber {
        /// The bucket.
        bucket: Box<str>,
        /// The key.
        key: Box<str>,
    },
    /// The sum does not fit.
    #[error("{key:?} in bucket {bucket:?} is {value}: adding {delta} is beyond what 64 bits hold")]
    Overflow {
        /// The bucket.
        bucket: Box<str>,
        /// The key.
        key: Box<str>,
        /// What it is.
        value: i64,
        /// What was to be added.
        delta: i64,
    },
}

impl StoreError {
    /// The names used in metrics: the limits, by their keys.
    pub(super) const NAMES: [&'static str; 9] = [
        "key",
        "value",
        "keys",
        "size",
        "store-size",
        "batch",
        "queue",
        "disk",
        "number",
    ];

    /// An index into [`StoreError::NAMES`].
    pub(super) fn kind(&self) -> usize {
        match self {
            Self::Key { .. } => 0,
            Self::Value { .. } => 1,
            Self::Keys { .. } => 2,
            Self::Size { .. } => 3,
            Self::StoreSize { .. } => 4,
            Self::Batch { .. } => 5,
            Self::Queue { .. } => 6,
            Self::Disk(_) | Self::Closed => 7,
            Self::NotANumber { .. } | Self::Overflow { .. } => 8,
        }
    }
}
