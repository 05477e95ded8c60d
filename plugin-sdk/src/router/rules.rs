//! Payloads that have rules of their own.

use garde::{Report, Validate};
use serde_json::Value;

use crate::{Call, Fault};

/// Checks a payload by its own rules, those of [`garde`](https://docs.rs/garde), before the function gets it:
/// `router.on("join", valid(join))`. All fields that are wrong are told at once, by the names that they had in the
/// message. What a rule can't say is for the function, by [`Fault::field`]:
///
/// ```no_run
/// # use garde::Validate;
/// # use schemars::JsonSchema;
/// # use serde::Deserialize;
/// # use tidegate_sdk::{Call, Fault};
/// #[derive(Deserialize, JsonSchema, Validate)]
/// struct Ask {
///     #[garde(length(min = 2, max = 6), inner(length(chars, min = 1, max = 100)))]
///     answers: Vec<String>,
///     /// Which is right, from 0.
///     #[garde(skip)]
///     correct: usize,
/// }
///
/// fn ask(call: &Call, ask: Ask) -> Result<(), Fault> {
///     if ask.correct >= ask.answers.len() {
///         return Err(Fault::field("correct", "there is no such answer"));
///     }
///     // ...
/// #   Ok(())
/// }
/// ```
pub fn valid<T, R>(
    handle: impl Fn(&Call, T) -> Result<R, Fault>,
) -> impl Fn(&Call, T) -> Result<R, Fault>
where
    T: Validate<Context: Default>,
{
    move |call, payload| {
        if let Err(report) = payload.validate() {
            return Err(broken(&report, &call.payload()?));
        }
        handle(call, payload)
    }
}

/// Checks a value by its own rules, as [`valid`] does with a payload: for what came in another way, such as the query of a
/// request. Fields are called as they are in Rust.
///
/// ```
/// # use tidegate_sdk::check;
/// #[derive(garde::Validate)]
/// struct Query {
///     #[garde(range(min = 1, max = 100))]
///     page: u32,
/// }
///
/// let fault = check(&Query { page: 0 }).unwrap_err();
/// assert_eq!(fault.details().unwrap()["field"], "page");
/// ```
pub fn check<T: Validate<Context: Default>>(value: &T) -> Result<(), Fault> {
    let checked = value.validate();
    checked.map_err(|report| broken(&report, &Value::Null))
}

/// The fault of a payload that breaks these rules.
fn broken(report: &Report, payload: &Value) -> Fault {
    Fault::fields(report.iter().map(|(path, error)| {
        let field = match path.is_empty() {
            true => "payload".to_owned(),
            false => named(&path.to_string(), payload),
        };
        (field, error.to_string())
    }))
}

/// A path as the message has it: garde knows the names that fields have in Rust, but serde may call them otherwise, such
/// as `userName`.
fn named(path: &str, payload: &Value) -> String {
    let mut at = Some(payload);
    let parts = path.split('.').map(|part| {
        let (name, indices) = part.split_at(part.find('[').unwrap_or(part.len()));
        let fields = at.and_then(Value::as_object);
        let own = fields.and_then(|fields| {
            let mut fields = fields.iter();
            let exact = fields.clone().find(|(own, _)| *own == name);
            exact.or_else(|| fields.find(|(own, _)| letters(own).eq(letters(name))))
        });
        at = own.map(|(_, value)| value);
        for index in indices.split(['[', ']']).filter(|index| !index.is_empty()) {
            at = at.and_then(|list| list.get(index.parse::<usize>().ok()?));
        }
        own.map_or(name, |(own, _)| own.as_str()).to_owned() + indices
    });
    parts.collect::<Vec<_>>().join(".")
}

/// What all ways to write a name share.
fn letters(name: &str) -> impl Iterator<Item = char> {
    let letters = name.chars().filter(|c| !matches!(c, '_' | '-'));
    letters.flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Validate)]
    struct Order {
        #[garde(length(min = 1))]
        user_name: String,
        #[garde(dive)]
        seats: Vec<Seat>,
    }

    #[derive(Validate)]
    struct Seat {
        #[garde(range(max = 9))]
        row_number: u8,
    }

    fn order(user_name: &str, rows: &[u8]) -> Order {
        let seats = rows.iter().map(|&row_number| Seat { row_number });
        Order {
            user_name: user_name.to_owned(),
            seats: seats.collect(),
        }
    }

    #[test]
    fn every_rule_that_is_broken_is_told() {
        assert!(order("ann", &[1]).validate().is_ok());
        let report = order("", &[1, 10]).validate().unwrap_err();
        let sent = json!({"userName": "", "Seats": [{}, {"row-number": 10}]});
        let fault = broken(&report, &sent);
        let details = fault.details().unwrap();
        assert_eq!(details["fields"][0]["field"], "Seats[1].row-number");
        assert_eq!(details["fields"][0]["reason"], "greater than 9");
        assert_eq!(details["fields"][1]["field"], "userName");
    }

    #[test]
    fn what_the_message_does_not_have_keeps_its_own_name() {
        for payload in [json!({}), json!(null), json!({"seats": []}), json!([1])] {
            let path = "seats[1].row_number";
            assert_eq!(named(path, &payload), path);
        }
        assert_eq!(named("a_b", &json!({"a_b": 1, "aB": 2})), "a_b");
    }
}
