//! A connection's state as a value.

use std::ops::{Deref, DerefMut};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Connection, Result};

/// The state of a connection as a value, in JSON: set by [`Accept::state_json`](crate::Accept::state_json) or
/// [`new`](Self::new), read by [`of`](Self::of), changed in place, kept by [`save`](Self::save). It survives reloads.
///
/// ```no_run
/// # use serde::{Deserialize, Serialize};
/// # use tidegate_sdk::{Connection, Message, Result, State};
/// #[derive(Default, Serialize, Deserialize)]
/// struct Seat {
///     room: String,
///     #[serde(default)]
///     said: u32,
/// }
///
/// fn on_message(connection: &Connection, message: Message) -> Result {
///     let mut seat = State::<Seat>::of(connection)?;
///     seat.said += 1;
///     connection.send(format!("{} in {}", seat.said, seat.room));
///     seat.save()
/// }
/// ```
///
/// The plugin's next version will have to read what this one keeps: give new fields `#[serde(default)]`, and see
/// [`Migrator`](crate::Migrator) for changes beyond that.
#[derive(Clone, Debug)]
#[must_use = "what is changed is kept by `save`"]
pub struct State<T> {
    connection: Connection,
    value: T,
}

impl<T> State<T> {
    /// The value kept for the connection whose event this is; the default one if there is none yet.
    pub fn of(connection: &Connection) -> Result<Self>
    where
        T: Default + DeserializeOwned,
    {
        Ok(Self {
            connection: *connection,
            value: connection.state_json()?.unwrap_or_default(),
        })
    }

    /// A value for the connection whose event this is, whatever it had before.
    pub fn new(connection: &Connection, value: T) -> Self {
        Self {
            connection: *connection,
            value,
        }
    }

    /// Keeps the value. An error says that it does not become JSON, or is over `limits.state` of the route.
    pub fn save(&self) -> Result
    where
        T: Serialize,
    {
        self.connection.set_state_json(&self.value)
    }

    /// The value alone.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> Deref for State<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for State<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}
