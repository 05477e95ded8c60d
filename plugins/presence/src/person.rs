//! What is known of a user.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tidegate_sdk::{Connection, Result, members, publish_event, store, subscriber_count};

use crate::messages::{Shown, Status};
use crate::{topic, topic_of_watchers};

/// The bucket of all users, by name.
const BUCKET: &str = "presence";

/// A user, as the store has them.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Person {
    /// The status as the person has set it.
    status: Status,
    connections: BTreeSet<u64>,
    /// In milliseconds since 1970.
    last_seen: Option<u64>,
    revision: u64,
}

impl Person {
    /// The user of that name, nobody's connections if there is none.
    pub(crate) fn of(user: &str) -> Result<Self> {
        let mut person = store::bucket(BUCKET)?
            .entry::<Self>(user)
            .get()?
            .unwrap_or_default();
        // A store on disk still has the connections of a gateway that was killed.
        if subscriber_count(&topic(user)) == 0 {
            person.connections.clear();
        }
        Ok(person)
    }

    /// The person as others see them.
    pub(crate) fn shown<'a>(&self, user: &'a str) -> Shown<'a> {
        let (status, last_seen, revision) = (self.seen_as(), self.last_seen, self.revision);
        Shown {
            user,
            status,
            last_seen,
            revision,
        }
    }

    fn seen_as(&self) -> Status {
        match self.connections.is_empty() {
            true => Status::Offline,
            false => self.status,
        }
    }
}

/// A connection of the user is there. It is in the user's topic already, as every other one was before the store had it:
/// what is not there is gone, or is of a gateway that was killed, and may have had the same id.
pub(crate) fn arrived(user: &str, connection: &Connection) -> Result {
    change(user, |person| {
        let here = members(&topic(user)).into_iter();
        let mut here: BTreeSet<_> = here.map(|member| member.connection.id()).collect();
        here.remove(&connection.id());
        person.connections.retain(|id| here.contains(id));
        let before = person.seen_as();
        person.connections.insert(connection.id());
        before
    })
}

/// The user wants to be seen so.
pub(crate) fn set_status(user: &str, status: Status) -> Result {
    change(user, |person| {
        let before = person.seen_as();
        person.status = status;
        before
    })
}

/// A connection of the user has closed. One event alone finds that it was the last, on whatever cores they close.
pub(crate) fn left(user: &str, connection: &Connection) -> Result {
    change(user, |person| {
        let before = person.seen_as();
        person.connections.remove(&connection.id());
        if person.connections.is_empty() {
            person.status = Status::Online;
        }
        before
    })
}

/// Makes a change, which says how the user was seen before, and tells the watchers if that is different now.
fn change(user: &str, mut change: impl FnMut(&mut Person) -> Status) -> Result {
    let mut before = Status::Offline;
    let bucket = store::bucket(BUCKET)?;
    let person = bucket.entry::<Person>(user).update(|person| {
        let mut person = person.unwrap_or_default();
        before = change(&mut person);
        person.last_seen = Some(now());
        person.revision += 1;
        person
    })?;
    if person.seen_as() == before {
        return Ok(());
    }
    publish_event(&topic_of_watchers(user), "status", &person.shown(user))
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
