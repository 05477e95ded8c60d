//! What goes wrong with the store.

use std::error::Error as StdError;
use std::fmt;

use crate::bindings::wasi::keyvalue::store;

/// Why the store did not do what it was asked for. Nothing of it has happened then.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// The configuration has no such bucket.
    NoSuchBucket,
    /// There is such a bucket, but it is not in `grants.store` of this plugin.
    NotGranted,
    /// A limit, the disk, a write in `on_load`, or an increment of what is no number or beyond an `i64`; the text says
    /// which, and what to do.
    Refused(String),
    /// The value of the entry is no JSON of its type, or the other way round.
    Json(String),
    /// Others have changed the value between every one of so many tries to read and write it.
    Contended(u32),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchBucket => {
                f.write_str("there is no such bucket: name it in grants.store of the plugin")
            }
            Self::NotGranted => {
                f.write_str("the bucket is not granted: add it to grants.store of the plugin")
            }
            Self::Refused(why) => f.write_str(why),
            Self::Json(why) => write!(f, "the value is not what was expected: {why}"),
            Self::Contended(tries) => {
                write!(
                    f,
                    "others have changed the value in each of {tries} tries to update it"
                )
            }
        }
    }
}

impl StdError for StoreError {}

impl From<store::Error> for StoreError {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::NoSuchStore => Self::NoSuchBucket,
            store::Error::AccessDenied => Self::NotGranted,
            store::Error::Other(why) => Self::Refused(why),
        }
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error.to_string())
    }
}
