//! Names of definitions as names in TypeScript.

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::percent_decode_str;

/// Where definitions are, as references name them.
const DEFINITIONS: &str = "#/$defs/";
/// What a type can't be called: words of the language, its own types, and the one name that is ours.
const TAKEN: &str = "Messages any as asserts async await bigint boolean break case catch class const continue debugger \
    declare default delete do else enum export extends false finally for function if implements import in infer \
    instanceof interface is keyof let never new null number object package private protected public readonly return \
    static string super switch symbol this throw true try type typeof undefined unknown var void while with yield";

/// The name in TypeScript of each definition.
pub(super) struct Names(BTreeMap<String, String>);

impl Names {
    pub(super) fn new<'a>(definitions: impl Iterator<Item = &'a String>) -> Self {
        let mut taken: BTreeSet<_> = TAKEN.split_whitespace().map(str::to_owned).collect();
        let names = definitions.map(|definition| {
            let mut name = identifier(definition);
            while !taken.insert(name.clone()) {
                name.push('_');
            }
            (definition.clone(), name)
        });
        Self(names.collect())
    }

    /// The TypeScript name of one of the definitions.
    pub(super) fn of(&self, definition: &str) -> &str {
        &self.0[definition]
    }

    /// The TypeScript name of the definition that a reference points at, if it points at one.
    pub(super) fn referred(&self, reference: &str) -> Option<&str> {
        let pointer = percent_decode_str(reference.strip_prefix(DEFINITIONS)?).decode_utf8_lossy();
        // Escapes of a JSON pointer (RFC 6901 section 4).
        let definition = pointer.replace("~1", "/").replace("~0", "~");
        self.0.get(&definition).map(String::as_str)
    }
}

/// The nearest identifier.
fn identifier(name: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
    let name = name.replace(|c| !is_part(c), "_");
    match name.chars().next() {
        Some(first) if !first.is_ascii_digit() => name,
        _ => format!("_{name}"),
    }
}

/// A property's name, in quotes if it has to be.
pub(super) fn key(name: &str) -> String {
    match identifier(name) == name {
        true => name.to_owned(),
        false => quoted(name),
    }
}

/// A text in quotes; what JSON escapes is escaped alike in TypeScript.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
