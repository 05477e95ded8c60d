//! A message of a client's: its envelope read, its payload not yet.

use std::any::TypeId;
use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::Fault;

/// A message of a client's, borrowed from its text.
#[derive(Debug)]
pub(crate) struct Inbound<'a> {
    pub(crate) kind: Cow<'a, str>,
    /// A text or a number, in JSON.
    pub(crate) id: Option<&'a RawValue>,
    pub(crate) timestamp: Option<u64>,
    payload: Payload<'a>,
}

/// What a route reads, in JSON.
#[derive(Debug)]
enum Payload<'a> {
    Given(&'a RawValue),
    /// The fields beside the envelope's, as the object that they would be.
    Flat(String),
    /// There is neither.
    Missing,
}

/// A message whose envelope is wrong.
#[derive(Debug)]
pub(crate) struct Refused<'a> {
    pub(crate) kind: Option<Cow<'a, str>>,
    pub(crate) id: Option<&'a RawValue>,
    /// Boxed, so that a message that is well does not carry room for it.
    pub(crate) fault: Box<Fault>,
}

impl<'a> Inbound<'a> {
    /// Reads a text.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Refused<'a>> {
        let raw: Raw<'a> = serde_json::from_str(text).map_err(|error| Refused {
            kind: None,
            id: None,
            fault: Box::new(unreadable(&error)),
        })?;
        let kind = match raw.kind {
            Some(kind) => text_of(kind).map_err(|reason| Fault::field("type", reason)),
            None => Err(Fault::field("type", "missing field")),
        };
        let id = match raw.id {
            Some(id) if !matches!(id.get().as_bytes()[0], b'"' | b'-' | b'0'..=b'9') => {
                Err(Fault::field("id", "expected a text or a number"))
            }
            id => Ok(id),
        };
        let known = id.as_ref().ok().copied().flatten();
        let timestamp = raw.timestamp.map(millis).transpose();
        match (kind, id, timestamp) {
            (Ok(kind), Ok(id), Ok(timestamp)) => Ok(Self {
                kind,
                id,
                timestamp,
                payload: match raw.payload {
                    Some(payload) => Payload::Given(payload),
                    None if raw.fields.is_empty() => Payload::Missing,
                    None => Payload::Flat(raw.fields + "}"),
                },
            }),
            (Err(fault), ..) => Err(Refused {
                kind: None,
                id: known,
                fault: Box::new(fault),
            }),
            (Ok(kind), Err(fault), _) | (Ok(kind), _, Err(fault)) => Err(Refused {
                kind: Some(kind),
                id: known,
                fault: Box::new(fault),
            }),
        }
    }

    /// The reading of a message which is not text.
    pub(crate) fn binary() -> Self {
        Self {
            kind: Cow::Borrowed("binary"),
            id: None,
            timestamp: None,
            payload: Payload::Missing,
        }
    }

    /// Reads the payload. `()` takes any; to a type that an empty object is not, a missing one is `null`.
    pub(crate) fn payload<T: DeserializeOwned + 'static>(&self) -> Result<T, Fault> {
        if TypeId::of::<T>() == TypeId::of::<()>() {
            return read("null");
        }
        match &self.payload {
            Payload::Given(payload) => read(payload.get()),
            Payload::Flat(object) => read(object),
            Payload::Missing => read("{}").or_else(|fault| read("null").map_err(|_| fault)),
        }
    }
}

/// Keeping track of the path costs an allocation for each field, so only what is wrong is read with it, once more.
fn read<T: DeserializeOwned>(json: &str) -> Result<T, Fault> {
    if let Ok(value) = serde_json::from_str(json) {
        return Ok(value);
    }
    let mut deserializer = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| wrong(error.path(), error.inner()))
}

/// The envelope, each field still in JSON.
#[derive(Default)]
struct Raw<'a> {
    kind: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    timestamp: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
    /// The others: an object without its end, or nothing.
    fields: String,
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RawVisitor)
    }
}

impl Raw<'_> {
    fn add(&mut self, name: &str, value: &RawValue) {
        self.fields
            .push(if self.fields.is_empty() { '{' } else { ',' });
        // A text always becomes JSON.
        self.fields += &serde_json::to_string(name).unwrap_or_default();
        self.fields.push(':');
        self.fields += value.get();
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a `type`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw<'de>, A::Error> {
        let mut raw = Raw::default();
        while let Some(Text(name)) = map.next_key()? {
            let value: &RawValue = map.next_value()?;
            let given = (value.get() != "null").then_some(value);
            match &*name {
                "type" => raw.kind = Some(value),
                "id" => raw.id = given,
                "timestamp" => raw.timestamp = given,
                "payload" => raw.payload = Some(value),
                _ => raw.add(&name, value),
            }
        }
        Ok(raw)
    }
}

/// A text, borrowed unless it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn text_of(raw: &RawValue) -> Result<Cow<'_, str>, String> {
    let Text(text) = serde_json::from_str(raw.get()).map_err(|error| reason(&error))?;
    Ok(text)
}

fn millis(raw: &RawValue) -> Result<u64, Fault> {
    match serde_json::from_str::<f64>(raw.get()) {
        // What is too large ends at the largest.
        Ok(millis) if millis >= 0.0 => Ok(millis as u64),
        _ => Err(Fault::field(
            "timestamp",
            "expected milliseconds since 1970",
        )),
    }
}

/// The fault of a text that is no object in JSON.
fn unreadable(error: &serde_json::Error) -> Fault {
    match error.classify() {
        Category::Data => Fault::new(
            "invalid-message",
            format!("Invalid message format: {}", reason(error)),
        ),
        _ => Fault::new("invalid-json", format!("Invalid message format: {error}")),
    }
}

/// The fault of a payload that is not as its type asks.
fn wrong(path: &serde_path_to_error::Path, error: &serde_json::Error) -> Fault {
    let mut reason = reason(error);
    let mut field = match path.iter().len() {
        0 => String::new(),
        _ => path.to_string(),
    };
    // Serde finds a field missing when it is done with the object that should have it.
    let missing = reason.strip_prefix("missing field `");
    if let Some(name) = missing.and_then(|rest| rest.strip_suffix('`')) {
        if !field.is_empty() {
            field.push('.');
        }
        field.push_str(name);
        reason = "missing field".to_owned();
    }
    if field.is_empty() {
        field.push_str("payload");
    }
    Fault::field(&field, reason)
}

/// What is wrong, without where: the place counts from the payload's beginning, which a client does not know.
fn reason(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    if text.ends_with(&place) {
        text.truncate(text.len() - place.len());
    }
    text
}

#[cfg(test)]
mod tests;
