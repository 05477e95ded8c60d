//! Answers that come in a later event than their questions.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::envelope;
use crate::{Connection, Delivery, Fault, Result, connection};

/// What is needed to answer a message later: keep it in a state or in the store, and answer in whichever event knows the
/// answer, that of a timer or of another connection. The route itself returns [`Later`](crate::Later).
///
/// ```no_run
/// # use std::time::Duration;
/// # use schemars::JsonSchema;
/// # use serde::Deserialize;
/// # use tidegate_sdk::{Call, Connection, Fault, Later, Result, Ticket, Timer};
/// fn roll(call: &Call, (): ()) -> Result<Later<u8>, Fault> {
///     call.set_state_json(&call.ticket())?;
///     Timer::after("rolled", Duration::from_secs(2)).on(call)?;
///     Ok(Later::default())
/// }
///
/// // In `on_timer`:
/// fn rolled(connection: &Connection) -> Result {
///     if let Some(ticket) = connection.state_json::<Ticket>()? {
///         ticket.answer(&4)?;
///     }
///     Ok(())
/// }
/// ```
///
/// A connection that has closed in the meantime gets nothing. Connections are counted anew when the gateway starts, so a
/// ticket must not outlive it in a store on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    #[serde(rename = "type")]
    kind: String,
    /// In JSON.
    id: Option<String>,
    connection: u64,
}

impl Ticket {
    pub(crate) fn new(connection: &Connection, kind: &str, id: Option<&str>) -> Self {
        Self {
            kind: kind.to_owned(),
            id: id.map(str::to_owned),
            connection: connection.id(),
        }
    }

    /// The type of the message.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Who waits for the answer.
    pub fn connection(&self) -> Connection {
        connection(self.connection)
    }

    /// Answers with that data.
    pub fn answer<T: Serialize + ?Sized>(&self, data: &T) -> Result<Delivery> {
        let answer = envelope::answer(&self.kind, self.id()?, Ok(data))?;
        Ok(self.connection().send(answer))
    }

    /// Answers that it failed: with a [`Fault`], or with any error, which only the log is told. What else this event
    /// does is not undone.
    pub fn fail(&self, fault: impl Into<Fault>) -> Result<Delivery> {
        let fault = fault.into();
        fault.log(&self.kind);
        let answer = envelope::refusal(&self.kind, self.id()?, &fault)?;
        Ok(self.connection().send(answer))
    }

    fn id(&self) -> Result<Option<&RawValue>> {
        let id = self.id.as_deref().map(serde_json::from_str).transpose()?;
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_keeps_ids_of_both_kinds_as_they_were() {
        for id in [
            None,
            Some(r#""a\"b""#),
            Some("1.50"),
            Some("12345678901234567890123"),
        ] {
            let ticket = Ticket::new(&connection(7), "roll", id);
            let kept = serde_json::to_string(&ticket).unwrap();
            let ticket: Ticket = serde_json::from_str(&kept).unwrap();
            assert_eq!(ticket.id().unwrap().map(RawValue::get), id);
            assert_eq!((ticket.kind(), ticket.connection().id()), ("roll", 7));
        }
    }
}
