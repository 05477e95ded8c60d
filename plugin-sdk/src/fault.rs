//! Why a message was not handled, as its sender is told.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

use crate::Error;

/// Why a message was not handled: what a route of a [`Router`](crate::Router) returns instead of its answer.
///
/// The client gets `code`, `message` and `details` in the [standard envelope](crate::envelope); nothing that the message
/// did takes effect, and the connection stays open. Only what it wrote to the [store](crate::store) stays: so write last,
/// and refuse in the write itself, by [`Entry::try_change`](crate::store::Entry::try_change). Clients act on the code, so
/// keep it as it is: a few words in lower case, with hyphens. The message is for people.
///
/// Every error turns into a fault of the code `internal` by `?`. Its text goes to the gateway's log; the client is told
/// nothing of it. A fault does not turn into an [`Error`](crate::Error): what routes share with `on_timer` or `on_close`
/// returns the SDK's [`Result`](crate::Result), and `?` works in both.
///
/// ```
/// # use tidegate_sdk::Fault;
/// fn seat(room: &str, seats: &str) -> Result<u8, Fault> {
///     // A number that we have written ourselves: if it is none, that is our fault, not the client's.
///     let seats: u8 = seats.parse()?;
///     if room.len() > 32 {
///         return Err(Fault::field("room", "at most 32 characters"));
///     }
///     if seats == 0 {
///         return Err(Fault::new("room-full", "all seats are taken").with_details(&[room]));
///     }
///     Ok(seats)
/// }
/// assert_eq!(seat("tea", "0").unwrap_err().code(), "room-full");
/// assert_eq!(seat("tea", "many").unwrap_err().code(), "internal");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fault {
    code: Cow<'static, str>,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Value>,
    #[serde(skip)]
    log: Option<String>,
}

impl Fault {
    /// A fault of that code, with words for people. The codes of the SDK are in the [table](crate::envelope).
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            details: None,
            log: None,
        }
    }

    /// A fault of the code `invalid-message`: a field, such as `user.name` or `tags[2]`, is wrong for that reason.
    pub fn field(field: &str, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        let details = json!({"field": field, "reason": reason});
        Self {
            details: Some(details),
            ..Self::new("invalid-message", format!("{field}: {reason}"))
        }
    }

    /// Adds what a program can read; `null`, such as of `()`, is nothing. What does not become JSON is left out, and the
    /// log says why.
    pub fn with_details(mut self, details: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_value(details) {
            Ok(details) => self.details = Some(details).filter(|details| !details.is_null()),
            Err(error) => self.log = Some(format!("details of {:?}: {error}", self.code)),
        }
        self
    }

    /// Which fault it is.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// What people read.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What programs read beside the code.
    pub fn details(&self) -> Option<&Value> {
        self.details.as_ref()
    }

    /// The fault of several fields, each with its reason. The first is told as if it were alone.
    pub(crate) fn fields(mut wrong: impl Iterator<Item = (String, String)>) -> Self {
        let Some((field, reason)) = wrong.next() else {
            return Self::new("invalid-message", "the payload is not valid");
        };
        let mut fault = Self::field(&field, reason.clone());
        let mut fields = vec![json!({"field": field, "reason": reason})];
        for (field, reason) in wrong {
            fault.message.push_str(&format!("; {field}: {reason}"));
            fields.push(json!({"field": field, "reason": reason}));
        }
        if let (Some(details), 2..) = (&mut fault.details, fields.len()) {
            details["fields"] = fields.into();
        }
        fault
    }

    /// What only the log is told.
    pub(crate) fn for_log(&self) -> Option<&str> {
        self.log.as_deref()
    }

    /// Logs what only the log is told.
    pub(crate) fn log(&self, kind: &str) {
        if let Some(log) = &self.log {
            crate::log::error!("failed to handle a message of type {kind:?}: {log}");
        }
    }
}

impl<E: Into<Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self {
            log: Some(error.into().to_string()),
            ..Self::new("internal", "the server failed to handle this message")
        }
    }
}

impl fmt::Display for Fault {
    /// For a log: with the text that clients are not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.log.as_ref().unwrap_or(&self.message);
        write!(f, "{}: {text}", self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_for_the_log_only() {
        fn read() -> Result<u8, Fault> {
            Ok("secret".parse()?)
        }
        fn open() -> Result<u8, Fault> {
            Err(crate::error!("secret"))?
        }
        for fault in [read().unwrap_err(), open().unwrap_err()] {
            assert_eq!(fault.code(), "internal");
            let sent = serde_json::to_string(&fault).unwrap();
            assert!(
                !sent.contains("secret") && !sent.contains("digit"),
                "{sent}"
            );
            assert!(fault.to_string().len() > "internal: ".len());
        }
        assert_eq!(open().unwrap_err().to_string(), "internal: secret");
    }

    #[test]
    fn a_fault_crosses_with_what_it_has() {
        let bare = Fault::new("not-found", "no room called tea");
        assert_eq!(
            serde_json::to_value(&bare).unwrap(),
            json!({"code": "not-found", "message": "no room called tea"})
        );
        assert_eq!(bare.clone().with_details(&()), bare);
        let detailed = bare.with_details(&("tea", 1));
        assert_eq!(detailed.details(), Some(&json!(["tea", 1])));
        let field = Fault::field("user.name", "too long");
        assert_eq!(
            serde_json::to_value(&field).unwrap(),
            json!({"code": "invalid-message", "message": "user.name: too long",
                   "details": {"field": "user.name", "reason": "too long"}})
        );
    }

    #[test]
    fn details_that_are_no_json_are_left_out() {
        let unreadable = std::collections::BTreeMap::from([([1, 2], 3)]);
        let fault = Fault::new("odd", "odd").with_details(&unreadable);
        assert_eq!(fault.details(), None);
        assert!(
            fault.to_string().contains("key must be a string"),
            "{fault}"
        );
    }

    #[test]
    fn several_fields_are_told_at_once() {
        let wrong = |fields: &[&str]| {
            let fields = fields.iter();
            Fault::fields(fields.map(|field| ((*field).to_owned(), "too long".to_owned())))
        };
        assert_eq!(wrong(&["name"]), Fault::field("name", "too long"));
        let both = wrong(&["name", "row"]);
        let details = both.details().unwrap();
        assert_eq!(details["field"], "name");
        assert_eq!(details["fields"].as_array().unwrap().len(), 2);
        assert_eq!(details["fields"][1]["field"], "row");
        assert_eq!(both.message(), "name: too long; row: too long");
    }
}
