//! The last changes, in the store.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tidegate_sdk::store::{self, Bucket};
use tidegate_sdk::{Message, Result, WithId, event};

/// Changes that are kept, each in the place of one before it.
const KEPT: u64 = 100;
/// The key of the id of the last one.
const LAST: &str = "last";

/// The history: what is added costs two writes, however much is kept.
pub(crate) struct History {
    bucket: Bucket,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Change {
    /// 1, 2, 3, ...
    pub id: u64,
    pub entity: String,
    /// The data as it was posted.
    pub data: Box<RawValue>,
}

impl History {
    pub(crate) fn open() -> Result<Self> {
        let bucket = store::bucket("live")?;
        Ok(Self { bucket })
    }

    pub(crate) fn add(&self, entity: &str, data: Box<RawValue>) -> Result<Change> {
        let change = Change {
            id: self.bucket.increment(LAST, 1)?.try_into()?,
            entity: entity.to_owned(),
            data,
        };
        self.bucket.entry(&place(change.id)).set(&change)?;
        Ok(change)
    }

    /// The id of the last one; 0 if there is none yet.
    pub(crate) fn last(&self) -> Result<u64> {
        Ok(self.bucket.entry(LAST).get()?.unwrap_or_default())
    }

    /// The changes behind the one with this id; none if some of them are not kept, or it has not been there.
    pub(crate) fn since(&self, id: u64) -> Result<Option<Vec<Change>>> {
        let last = self.last()?;
        if last.checked_sub(id).is_none_or(|missed| missed > KEPT) {
            return Ok(None);
        }
        let places: Vec<_> = (id + 1..=last).map(place).collect();
        let places: Vec<_> = places.iter().map(String::as_str).collect();
        let mut missed = Vec::with_capacity(places.len());
        for change in self.bucket.get_many(&places)?.iter().flatten() {
            missed.push(serde_json::from_slice(change)?);
        }
        // One that is being added has its id before it has its place, where there is still another.
        missed.retain(|change: &Change| change.id > id);
        Ok(Some(missed))
    }
}

impl Change {
    /// What listeners hear, under its id.
    pub(crate) fn message(&self) -> Result<WithId<String, Message>> {
        Ok(WithId(self.id.to_string(), event("changed", self)?))
    }
}

/// The key of the change with this id.
fn place(id: u64) -> String {
    format!("change:{}", id % KEPT)
}
