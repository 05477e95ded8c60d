//! An event: what clients hear of without having asked.

use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::{Message, Result};

#[derive(Serialize)]
struct Event<'a, T: ?Sized> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: String,
    timestamp: u64,
    payload: &'a T,
}

/// An event in the [standard envelope](crate::envelope), to be sent or published; the ways that do both at once are
/// [`publish_event`](crate::publish_event), [`Connection::send_event`](crate::Connection::send_event) and
/// [`Connection::publish_event_to_others`](crate::Connection::publish_event_to_others).
///
/// ```
/// # use tidegate_sdk::{event, Message, Result};
/// #[derive(serde::Serialize)]
/// struct Joined { name: String }
///
/// let message: Message = event("joined", &Joined { name: "ann".to_owned() })?;
/// assert!(message.as_text().unwrap().starts_with(r#"{"type":"joined","id":""#));
/// # Ok::<(), tidegate_sdk::Error>(())
/// ```
pub fn event<T: Serialize + ?Sized>(kind: &str, payload: &T) -> Result<Message> {
    Message::from_json(&Event {
        kind,
        id: format!("{:016x}", next_id()),
        timestamp: now(),
        payload,
    })
}

/// The time in milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// The next of this instance's ids. They begin at random, so that those of two instances do not meet, and then cost an
/// addition.
fn next_id() -> u64 {
    thread_local! {
        static NEXT: Cell<u64> = Cell::new(RandomState::new().hash_one(0_u8));
    }
    NEXT.replace(NEXT.get().wrapping_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_its_type_an_id_of_its_own_and_the_time() {
        let before = now();
        let [first, second] = [1, 2].map(|payload| {
            let message = event("tick", &payload).unwrap();
            message.json::<serde_json::Value>().unwrap()
        });
        assert_eq!(
            (&first["type"], &first["payload"]),
            (&"tick".into(), &1.into())
        );
        let timestamp = first["timestamp"].as_u64().unwrap();
        assert!((before..=now()).contains(&timestamp), "{timestamp}");
        assert_eq!(first["id"].as_str().map(str::len), Some(16));
        assert_ne!(first["id"], second["id"]);
    }
}
