//! Definitions from two sides under one roof: where a type differs between what is read and what is written, it
//! becomes two.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

const PATH: &str = "#/$defs/";
/// What the name of a type gets that differs in what is written, which is what clients receive.
const SUFFIX: &str = "Received";

/// Names of what is written that mean something else in what is read, each with its new name.
#[derive(Debug, Default)]
pub(super) struct Renamed(BTreeMap<String, String>);

/// Finds the names under which both sides have different types.
pub(super) fn clashes(read: &Map<String, Value>, written: &Map<String, Value>) -> Renamed {
    let both = |name: &str| Some((read.get(name)?, written.get(name)?));
    let mut renamed = Renamed::default();
    loop {
        let clash = written.keys().find(|&name| {
            let is_new = !renamed.0.contains_key(name);
            // What refers to a type that differs differs too.
            let differs = |(read, written)| read != written || renamed.concerns(written);
            is_new && both(name).is_some_and(differs)
        });
        let Some(name) = clash else {
            return renamed;
        };
        let mut other = format!("{name}{SUFFIX}");
        while read.contains_key(&other) || written.contains_key(&other) {
            other.push_str(SUFFIX);
        }
        renamed.0.insert(name.clone(), other);
    }
}

impl Renamed {
    /// Has every reference in a schema name the right type.
    pub(super) fn apply(&self, schema: &mut Value) {
        match schema {
            Value::Array(items) => items.iter_mut().for_each(|item| self.apply(item)),
            Value::Object(fields) => {
                for (key, value) in fields {
                    match value {
                        Value::String(target) if key == "$ref" => {
                            if let Some(name) = self.renamed(target) {
                                *target = format!("{PATH}{name}");
                            }
                        }
                        value => self.apply(value),
                    }
                }
            }
            _ => {}
        }
    }

    /// The written definitions under their names.
    pub(super) fn names_of(&self, written: Value) -> Map<String, Value> {
        let Value::Object(written) = written else {
            return Map::new();
        };
        let name = |name: String| self.0.get(&name).cloned().unwrap_or(name);
        let renamed = written.into_iter();
        renamed.map(|(own, schema)| (name(own), schema)).collect()
    }

    /// Whether a schema refers to a type that is renamed.
    fn concerns(&self, schema: &Value) -> bool {
        match schema {
            Value::Array(items) => items.iter().any(|item| self.concerns(item)),
            Value::Object(fields) => fields.iter().any(|(key, value)| match value {
                Value::String(target) if key == "$ref" => self.renamed(target).is_some(),
                value => self.concerns(value),
            }),
            _ => false,
        }
    }

    fn renamed(&self, target: &str) -> Option<&String> {
        self.0.get(target.strip_prefix(PATH)?)
    }
}
