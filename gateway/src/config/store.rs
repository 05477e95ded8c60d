//! The tables `[store]` and `[[bucket]]`.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::plugin;
use super::units::{self, Scalar};

/// `[store]`: what plugins keep beyond their connections.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub struct Store {
    /// The file in which the store is kept, made if there is none. Default none: what is in memory
    /// is gone with the process. A relative path starts from the configuration file's folder. With
    /// a file a write is answered once it is safe on disk; reads never touch it.
    #[serde(deserialize_with = "path")]
    pub path: Option<PathBuf>,
    /// Bytes of all buckets together. Default `"512MiB"`: eight buckets full to their default, on a
    /// machine with some gigabytes. A write beyond it is refused.
    #[serde(deserialize_with = "units::size::<_, 1, 1_099_511_627_776>")]
    pub size: usize,
    /// Bytes of writes that may wait for the disk. Default `"16MiB"`: what a disk takes in some
    /// tenths of a second. A write beyond it is refused, so a disk that hangs fills no memory.
    #[serde(deserialize_with = "units::size::<_, 1, 1_073_741_824>")]
    pub queue: usize,
    /// How many keys one `get-many`, `set-many` or `delete-many` may name. Default 1000, as many as
    /// a page of `list-keys` has: nobody else reads the bucket while they are looked up. A longer
    /// call is refused.
    #[serde(deserialize_with = "units::count::<_, _, 1, 1_048_576>")]
    pub batch: usize,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            path: None,
            size: 512 << 20,
            queue: 16 << 20,
            batch: 1000,
        }
    }
}

/// `[[bucket]]`: the limits of one bucket. A bucket that is granted without a table of its own has
/// the defaults.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub struct Bucket {
    /// What plugins and their grants call it; required. 1 to 64 of `a-z`, `0-9` and `-`.
    #[serde(deserialize_with = "plugin::name")]
    pub name: String,
    /// How long an entry lives after it was last written. Default none: until it is deleted.
    #[serde(deserialize_with = "ttl")]
    pub ttl: Option<Duration>,
    /// How many keys it holds. Default 100 000: one for each connection of a full gateway. A write
    /// that would add one beyond it is refused.
    #[serde(deserialize_with = "units::count::<_, _, 1, 1_000_000_000>")]
    pub keys: usize,
    /// Bytes of a key. Default 255: a name, not a document, as with topics. A longer key is
    /// refused.
    #[serde(deserialize_with = "units::size::<_, 1, 65_536>")]
    pub key: usize,
    /// Bytes of a value. Default `"1MiB"`: a map of some ten thousand connections in JSON; it is copied
    /// with every read and write, so what grows further wants a key for each entry. A larger one is
    /// refused with an error that names this key.
    #[serde(deserialize_with = "units::size::<_, 1, 1_073_741_824>")]
    pub value: usize,
    /// Bytes of all keys and values, with 128 bytes for each entry's place. Default `"64MiB"`: 63
    /// of the largest values, or some 400 000 counters. A write beyond it is refused.
    #[serde(deserialize_with = "units::size::<_, 1, 1_099_511_627_776>")]
    pub size: usize,
}

impl Default for Bucket {
    fn default() -> Self {
        Self {
            name: String::new(),
            ttl: None,
            keys: 100_000,
            key: 255,
            value: 1 << 20,
            size: 64 << 20,
        }
    }
}

fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let expected = r#"the path of a file, like "data.redb""#;
    units::scalar(deserializer, expected, |value| match value {
        Scalar::Text(path) if !path.is_empty() => Some(Some(path.into())),
        _ => None,
    })
}

fn ttl<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    units::duration(deserializer).map(Some)
}
