//! The store: buckets of keys and values that outlive connections and reloads.
//!
//! A bucket is granted in the configuration, by `grants.store = ["rooms"]` of the plugin. It is one for the whole
//! gateway: what is written is there at once for every connection, on every core, and for every plugin that is
//! granted it. Where the gateway keeps its store on disk, a write returns when it is safe there.
//!
//! Writes act at once: unlike a send or a publish they stay done if the event fails after them, or if its message is
//! answered with a [`Fault`](crate::Fault). So write last; what was sent, published and set before is forgotten if the
//! write refuses. A read that is followed by a write of the same key should be a [`change`](Entry::change), so that no
//! other event comes in between; [`try_change`](Entry::try_change) is one that may refuse.
//!
//! ```no_run
//! use serde::{Deserialize, Serialize};
//! use tidegate_sdk::{Connection, Handler, Message, Result, store};
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct Room {
//!     last: String,
//!     messages: u64,
//! }
//!
//! struct Rooms;
//!
//! impl Handler for Rooms {
//!     fn on_message(connection: &Connection, message: Message) -> Result {
//!         let rooms = store::bucket("rooms")?;
//!         let messages = rooms.entry::<Room>("lobby").change(|room| {
//!             room.last = message.as_text().unwrap_or_default().to_owned();
//!             room.messages += 1;
//!             room.messages
//!         })?;
//!         connection.send(format!("{messages} messages so far"));
//!         Ok(())
//!     }
//! }
//!
//! tidegate_sdk::export!(Rooms);
//! # fn main() {}
//! ```

mod entry;
mod error;

use crate::bindings::wasi::keyvalue::{atomics, batch, store};

pub use entry::Entry;
pub use error::StoreError;

/// What most of the store's functions return.
pub type Result<T = (), E = StoreError> = std::result::Result<T, E>;

/// Opens a bucket that the configuration grants.
pub fn bucket(name: &str) -> Result<Bucket> {
    Ok(Bucket {
        handle: store::open(name)?,
    })
}

/// A bucket of the store: keys in order of their bytes, each with a value of bytes.
///
/// Limits are the bucket's, in `[[bucket]]` of the configuration: by default 100,000 keys of 255 bytes and values of
/// 1 MiB, 64 MiB in all. What would exceed one is refused with [`StoreError::Refused`], whose text names it.
#[derive(Debug)]
pub struct Bucket {
    handle: store::Bucket,
}

impl Bucket {
    /// The value of a key, if it has one.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.handle.get(key)?)
    }

    /// Sets the value of a key.
    pub fn set(&self, key: &str, value: impl AsRef<[u8]>) -> Result {
        Ok(self.handle.set(key, value.as_ref())?)
    }

    /// Removes a key; without it nothing happens.
    pub fn delete(&self, key: &str) -> Result {
        Ok(self.handle.delete(key)?)
    }

    /// Whether a key has a value.
    pub fn exists(&self, key: &str) -> Result<bool> {
        Ok(self.handle.exists(key)?)
    }

    /// All keys, in order of their bytes. They are fetched a thousand at a time; a key that is set or deleted meanwhile
    /// may be among them or not.
    ///
    /// ```no_run
    /// # fn list() -> tidegate_sdk::Result {
    /// for key in tidegate_sdk::store::bucket("rooms")?.keys() {
    ///     println!("{}", key?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn keys(&self) -> Keys<'_> {
        Keys {
            bucket: self,
            page: Vec::new().into_iter(),
            next: Next::Page(None),
        }
    }

    /// Adds to a number, which is kept as decimal text; a missing one counts as nought. Returns the sum. No other event
    /// comes in between. A value that is no whole number, and a sum beyond an `i64`, are
    /// [refused](StoreError::Refused).
    pub fn increment(&self, key: &str, by: i64) -> Result<i64> {
        Ok(atomics::increment(&self.handle, key, by)?)
    }

    /// The values of keys, in their order, as they were together at one time. At most as many as
    /// `batch` in the gateway's `[store]` says, 1,000 by default.
    pub fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<Vec<u8>>>> {
        let pairs = batch::get_many(&self.handle, keys)?;
        Ok(pairs.into_iter().map(|(_, value)| value).collect())
    }

    /// Sets keys, all or none; at most `batch` of them.
    pub fn set_many(&self, pairs: &[(&str, &[u8])]) -> Result {
        Ok(batch::set_many(&self.handle, pairs)?)
    }

    /// Removes keys, all or none; at most `batch` of them.
    pub fn delete_many(&self, keys: &[&str]) -> Result {
        Ok(batch::delete_many(&self.handle, keys)?)
    }

    /// A key whose value is a `T` in JSON.
    pub fn entry<'a, T>(&'a self, key: &'a str) -> Entry<'a, T> {
        Entry::new(self, key)
    }
}

impl From<store::Bucket> for Bucket {
    fn from(handle: store::Bucket) -> Self {
        Self { handle }
    }
}

/// The keys of a bucket. After an error it ends.
#[derive(Debug)]
pub struct Keys<'a> {
    bucket: &'a Bucket,
    page: std::vec::IntoIter<String>,
    next: Next,
}

#[derive(Debug)]
enum Next {
    /// The page behind a cursor, or the first.
    Page(Option<String>),
    End,
}

impl Iterator for Keys<'_> {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(key) = self.page.next() {
                return Some(Ok(key));
            }
            let Next::Page(cursor) = std::mem::replace(&mut self.next, Next::End) else {
                return None;
            };
            match self.bucket.handle.list_keys(cursor.as_deref()) {
                Ok(page) => {
                    self.page = page.keys.into_iter();
                    self.next = page
                        .cursor
                        .map_or(Next::End, |cursor| Next::Page(Some(cursor)));
                }
                Err(error) => return Some(Err(error.into())),
            }
        }
    }
}
