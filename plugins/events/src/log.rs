//! What has happened, and what came of it.

use std::time::SystemTime;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The events that are kept one by one; of those before, only what came of them.
const KEPT: usize = 100;

/// The log of the counter: all events, of which the oldest have been folded into a snapshot.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Log {
    snapshot: State,
    pub events: Vec<Event>,
}

/// What has come of the first `version` events.
#[derive(Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct State {
    pub version: u64,
    pub value: i64,
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Event {
    /// The event's number: 1, 2, 3, ...
    pub version: u64,
    pub change: Change,
    /// When it was appended, in milliseconds since 1970.
    pub timestamp: u64,
}

#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Change {
    Increment { by: u32 },
    Decrement { by: u32 },
    Reset,
}

impl Log {
    pub(crate) fn state(&self) -> State {
        self.events.iter().fold(self.snapshot, State::after)
    }

    pub(crate) fn append(&mut self, change: Change) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        self.events.push(Event {
            version: self.state().version + 1,
            change,
            timestamp: now.map_or(0, |now| now.as_millis() as u64),
        });
        if self.events.len() > KEPT {
            let oldest = self.events.remove(0);
            self.snapshot = self.snapshot.after(&oldest);
        }
    }
}

impl State {
    /// What comes of it when that event happens.
    fn after(self, event: &Event) -> Self {
        let value = match event.change {
            Change::Increment { by } => self.value.saturating_add(by.into()),
            Change::Decrement { by } => self.value.saturating_sub(by.into()),
            Change::Reset => 0,
        };
        let version = event.version;
        Self { version, value }
    }
}
