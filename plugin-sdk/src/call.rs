//! A message under way through the router.

use std::cell::Cell;
use std::ops::Deref;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::envelope::{self, Inbound};
use crate::{Connection, Fault, Message, Ticket, User};

/// A message that a route handles: its connection, with all that can be done to it, and its envelope.
///
/// A call derefs to [`Connection`], so `call.subscribe("tea")?` works; only `id` is the message's, and the connection's is
/// `call.connection().id()`.
pub struct Call<'a> {
    connection: Connection,
    inbound: Inbound<'a>,
    answer: Cell<Option<Message>>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(connection: Connection, inbound: Inbound<'a>) -> Self {
        Self {
            connection,
            inbound,
            answer: Cell::new(None),
        }
    }

    pub(crate) fn into_parts(self) -> (Inbound<'a>, Option<Message>) {
        (self.inbound, self.answer.into_inner())
    }

    /// Who sent it.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The message's type.
    pub fn kind(&self) -> &str {
        &self.inbound.kind
    }

    /// The message's id, as the client wrote it in JSON: a text with its quotes, or a number.
    pub fn id(&self) -> Option<&str> {
        self.inbound.id.map(RawValue::get)
    }

    /// When the client says that it sent it, in milliseconds since 1970.
    pub fn timestamp(&self) -> Option<u64> {
        self.inbound.timestamp
    }

    /// Reads the payload; a fault names the field that is wrong. The route's function has been given it already: this
    /// is for middleware, and for a payload that has several forms.
    pub fn payload<T: DeserializeOwned + 'static>(&self) -> Result<T, Fault> {
        self.inbound.payload()
    }

    /// Makes this the answer, in place of what was there. A route returns its answer; this is for middleware that
    /// knows it without the route, or knows better.
    pub fn answer<T: Serialize + ?Sized>(&self, data: &T) -> Result<(), Fault> {
        let answer = envelope::answer(self.kind(), self.inbound.id, Ok(data))?;
        self.answer.set(Some(answer));
        Ok(())
    }

    /// The user of the connection: see [`User::of`]. Without one the fault is `unauthorized`.
    pub fn user(&self) -> Result<User, Fault> {
        User::of(&self.connection)
            .ok_or_else(|| Fault::new("unauthorized", "this needs a user: sign in first"))
    }

    /// The user of the connection, if it has that role. Without a user the fault is `unauthorized`, without the role
    /// `forbidden`.
    pub fn require_role(&self, role: &str) -> Result<User, Fault> {
        self.user()?.having(role)
    }

    /// What the answer needs, for an event that comes later: see [`Ticket`].
    pub fn ticket(&self) -> Ticket {
        Ticket::new(&self.connection, self.kind(), self.id())
    }
}

impl Deref for Call<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}
