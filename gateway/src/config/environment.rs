//! Environment variables, laid over the file before it is decoded, so that both obey the same
//! rules.
//!
//! A variable becomes a line of TOML. Its text begins where the file's ends, after as many spaces,
//! so the offsets of its values are its own and an error finds its way back to the name.

use toml_edit::{Item, Key, Table, Value};

use super::document::Document;
use super::variable::{Path, Variable};

const PREFIX: &str = "TIDEGATE_";
const SEPARATOR: &str = "__";

impl Document<'_> {
    /// Lays the variables that are ours over the tables, in order of name. Each is text first,
    /// since that is what a token of digits must stay.
    pub(super) fn overlay(&mut self, environment: impl IntoIterator<Item = (String, String)>) {
        let mut ours: Vec<_> = environment
            .into_iter()
            .filter(|(name, _)| name.starts_with(PREFIX) && name.contains(SEPARATOR))
            .collect();
        ours.sort();
        for (name, value) in ours {
            match self.path(&name[PREFIX.len()..]) {
                Ok(path) => {
                    let reading = value.parse().ok().filter(|reading: &Value| {
                        reading.is_bool() || reading.is_integer() || reading.is_array()
                    });
                    self.lay(name, path, Value::from(value), reading);
                }
                Err(message) => self.push_variable(&name, message),
            }
        }
    }

    /// Lays the variable that wrote the text at `offset` anew, by its other reading; false when it
    /// has none.
    pub(super) fn reread(&mut self, offset: usize) -> bool {
        let wrote = |variable: &&mut Variable| (variable.start..variable.end).contains(&offset);
        let Some(variable) = self.variables.iter_mut().find(wrote) else {
            return false;
        };
        let Some(reading) = variable.reading.take() else {
            return false;
        };
        let (name, path) = (variable.name.clone(), variable.path.clone());
        self.lay(name, path, reading, None);
        true
    }

    /// The entry a variable means, from its name without the prefix.
    fn path(&mut self, name: &str) -> Result<Path, String> {
        let (section, below) = name.split_once(SEPARATOR).unwrap_or((name, ""));
        let (element, keys) = match section {
            "PLUGIN" => {
                let (index, keys) = self.named("plugin", below)?;
                (Some(("plugin", index)), keys)
            }
            "BUCKET" => {
                let (index, keys) = self.named("bucket", below)?;
                (Some(("bucket", index)), keys)
            }
            "ROUTE" => {
                let (index, keys) = below.split_once(SEPARATOR).unwrap_or((below, ""));
                (Some(("route", self.numbered("route", index)?)), keys)
            }
            "TOPIC" => {
                let (index, keys) = below.split_once(SEPARATOR).unwrap_or((below, ""));
                (Some(("topic", self.numbered("topic", index)?)), keys)
            }
            _ => (None, name),
        };
        if keys.is_empty() {
            let advice = "add the key's name, like __LIMITS__IDLE";
            return Err(format!("names no key: {advice}"));
        }
        let keys = keys.split(SEPARATOR).map(str::to_lowercase).collect();
        Ok(Path { element, keys })
    }

    /// The element of `array` whose name `below` begins with, and the rest. A name may contain the
    /// separator (`a--b`), so the longest that leaves a key is meant.
    fn named<'n>(&mut self, array: &str, below: &'n str) -> Result<(usize, &'n str), String> {
        let spelled = |element: &mut Table| {
            let name = element.get("name").and_then(Item::as_str);
            name.unwrap_or_default().to_uppercase().replace('-', "_")
        };
        let names: Vec<String> = self.elements(array).into_iter().map(spelled).collect();
        let fits = |(index, name): (usize, &String)| {
            let rest = below.strip_prefix(name.as_str())?;
            let keys = rest
                .strip_prefix(SEPARATOR)
                .or(rest.is_empty().then_some(""))?;
            Some((!keys.is_empty(), name.len(), index, keys))
        };
        match names.iter().enumerate().filter_map(fits).max() {
            Some((.., index, keys)) => Ok((index, keys)),
            None => Err(format!("names no {array} of the file, which has {names:?}")),
        }
    }

    /// The element of `array` with that number.
    fn numbered(&mut self, array: &str, index: &str) -> Result<usize, String> {
        let count = self.elements(array).len();
        let valid = index.parse().ok().filter(|index| *index < count);
        valid.ok_or_else(|| {
            format!("names {array} {index:?}, but the file has {count}, counted from 0")
        })
    }

    fn lay(&mut self, name: String, path: Path, value: Value, reading: Option<Value>) {
        let start = self.end();
        let keys: Vec<_> = path
            .keys
            .iter()
            .map(|key| Key::new(key).to_string())
            .collect();
        let line = format!("{:start$}{} = {value}", "", keys.join("."));
        let parsed = match toml_edit::Document::parse(line.as_str()) {
            Ok(parsed) => parsed,
            // Keys and values are quoted, but they may be nested beyond what the parser follows.
            Err(error) => return self.push_variable(&name, error.message().to_owned()),
        };
        let table = match path.element {
            None => Some(&mut self.root),
            Some((array, index)) => self.elements(array).into_iter().nth(index),
        };
        if let Some(table) = table {
            merge(table, parsed.as_table());
        }
        let end = line.len();
        self.variables.push(Variable {
            name,
            start,
            end,
            path,
            reading,
        });
    }

    /// Where the text ends so far.
    fn end(&self) -> usize {
        self.variables
            .last()
            .map_or(self.text.len() + 1, |variable| variable.end)
    }

    fn elements(&mut self, array: &str) -> Vec<&mut Table> {
        let array = self
            .root
            .get_mut(array)
            .and_then(Item::as_array_of_tables_mut);
        array
            .map(|array| array.iter_mut().collect())
            .unwrap_or_default()
    }
}

/// Sets what `over` has in `table`, keys and all, because a key knows its place too.
fn merge(table: &mut Table, over: &Table) {
    for (name, item) in over {
        let inner = table.get_mut(name).and_then(Item::as_table_mut);
        if let (Some(inner), Some(over)) = (inner, item.as_table()) {
            merge(inner, over);
        } else if let Some(key) = over.key(name) {
            table.insert_formatted(key, item.clone());
        }
    }
}
