//! The messages of a plugin as a JSON Schema.

mod definitions;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::{Call, Fault, Next, Reply, Router, Routes};

/// The description that the contract's `describer` asks for: a JSON Schema (draft 2020-12) whose `$defs` are the types
/// of messages, with `x-requests` and `x-events`.
pub fn describe<R: Routes + ?Sized>() -> String {
    let mut description = Description::default();
    R::routes(&mut description);
    description.into_schema().to_string()
}

/// Collects the types of messages.
struct Description {
    /// What the plugin reads. A field with a default may be missing here, and not in what it writes: hence two.
    read: SchemaGenerator,
    written: SchemaGenerator,
    requests: Map<String, Value>,
    events: Map<String, Value>,
}

impl Default for Description {
    fn default() -> Self {
        let settings = SchemaSettings::draft2020_12;
        Self {
            read: settings().for_deserialize().into_generator(),
            written: settings().for_serialize().into_generator(),
            requests: Map::new(),
            events: Map::new(),
        }
    }
}

impl Description {
    fn into_schema(mut self) -> Value {
        let read = self.read.take_definitions(true);
        let written = self.written.take_definitions(true);
        let renamed = definitions::clashes(&read, &written);
        let mut schemas = Value::Object(written);
        renamed.apply(&mut schemas);
        for request in self.requests.values_mut() {
            renamed.apply(&mut request["reply"]);
        }
        let mut events = Value::Object(self.events);
        renamed.apply(&mut events);
        let mut all = renamed.names_of(schemas);
        all.extend(read);
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$defs": all,
            "x-requests": self.requests,
            "x-events": events,
        })
    }
}

impl Router for Description {
    fn on<T, R>(
        &mut self,
        kind: &'static str,
        _handle: impl Fn(&Call, T) -> Result<R, Fault>,
    ) -> &mut Self
    where
        T: DeserializeOwned + JsonSchema + 'static,
        R: Reply,
    {
        // The first route of a type is the one that is run.
        if !self.requests.contains_key(kind) {
            let request = json!({
                "payload": self.read.subschema_for::<T>(),
                "reply": R::schema(&mut self.written),
            });
            self.requests.insert(kind.to_owned(), request);
        }
        self
    }

    fn binary<R: Reply>(
        &mut self,
        _handle: impl Fn(&Call, &[u8]) -> Result<R, Fault>,
    ) -> &mut Self {
        self
    }

    fn with(
        &mut self,
        _middleware: impl Fn(&Call, Next) -> Result<(), Fault> + 'static,
    ) -> &mut Self {
        self
    }

    fn sends<T: JsonSchema>(&mut self, kind: &'static str) -> &mut Self {
        let payload = self.written.subschema_for::<T>().to_value();
        self.events.insert(kind.to_owned(), payload);
        self
    }
}

#[cfg(test)]
mod tests;
