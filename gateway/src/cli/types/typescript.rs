//! A description of messages (`describer` of the contract) in TypeScript.

mod comment;
mod expression;
mod names;
mod schema;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use comment::comment;
use expression::Type;
use names::{Names, quoted};
use schema::type_of;

const HEAD: &str = "// The messages of a plugin, printed by `tidegate types`. Print them again rather than change them.\n";
const MESSAGES: &str = "
/** The messages by their `type`: what clients send, with the `data` of the answer, and what they hear of. */
export interface Messages {
";

/// What a plugin says of its messages: a JSON Schema with two fields more.
#[derive(Deserialize)]
struct Description {
    #[serde(rename = "$defs", default)]
    definitions: Map<String, Value>,
    #[serde(rename = "x-requests", default)]
    requests: BTreeMap<String, RequestDescription>,
    #[serde(rename = "x-events", default)]
    events: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct RequestDescription {
    payload: Value,
    /// The schema of the answer's data; none if there is never an answer.
    reply: Option<Value>,
}

/// The types of a plugin's messages: one for each definition, and `Messages`, which names them by the messages' types.
/// What has no counterpart in TypeScript becomes `unknown`.
pub(super) fn types(description: &str) -> serde_json::Result<String> {
    let description: Description = serde_json::from_str(description)?;
    let names = Names::new(description.definitions.keys());
    let mut text = HEAD.to_owned();
    for (name, schema) in &description.definitions {
        text.push('\n');
        text += &comment(schema, None, "");
        text += &definition(names.of(name), schema, &names);
    }
    text += MESSAGES;
    text += &messages("requests", &description.requests, |request| {
        let payload = type_of(&request.payload, &names);
        let reply = request.reply.as_ref();
        let reply = reply.map_or_else(Type::never, |reply| type_of(reply, &names));
        format!("{{ payload: {payload}; reply: {reply} }}")
    });
    text += &messages("events", &description.events, |payload| {
        type_of(payload, &names).to_string()
    });
    Ok(text + "}\n")
}

/// One type with a name: an interface if it is a plain object, so that editors show it as such.
fn definition(name: &str, schema: &Value, names: &Names) -> String {
    if let Some(properties) = schema::plain_object(schema) {
        let mut text = format!("export interface {name} {{\n");
        for property in properties {
            text += &comment(property.schema, property.default(), "  ");
            let of = type_of(property.schema, names);
            text += &format!("  {}: {of};\n", property.key());
        }
        return text + "}\n";
    }
    let Some(cases) = schema::cases(schema) else {
        return format!("export type {name} = {};\n", type_of(schema, names));
    };
    let mut text = format!("export type {name} =\n");
    for case in cases {
        text += &comment(case, None, "  ");
        text += &format!("  | {}\n", type_of(case, names));
    }
    text.pop();
    text + ";\n"
}

/// A property of `Messages`: these messages by their types.
fn messages<T>(
    name: &str,
    messages: &BTreeMap<String, T>,
    type_of: impl Fn(&T) -> String,
) -> String {
    let mut text = format!("  {name}: {{\n");
    for (kind, message) in messages {
        text += &format!("    {}: {};\n", quoted(kind), type_of(message));
    }
    text + "  };\n"
}

#[cfg(test)]
mod tests;
