//! A configuration as tables in which each value knows its place, so that one pass finds all
//! errors.
//!
//! Serde stops at the first error. So the entry that an error points at is taken out, which leaves
//! its default in place, and the rest is decoded again, until it decodes.

use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml_edit::{DocumentMut, Item, Key, Table};

use super::check::Problem;
use super::variable::Variable;
use super::{ConfigError, ConfigErrors, Place, wording};

/// Each round reports one error. Who made more than this has the wrong file, and reads no further
/// anyway.
const ROUNDS: usize = 100;

/// A configuration file with the environment laid over it, and what was found wrong so far.
///
/// A place is an offset into one long text: first the file, then what each variable added
/// ([`Document::overlay`]).
pub(super) struct Document<'a> {
    pub(super) text: &'a str,
    origin: &'a Path,
    pub(super) root: Table,
    pub(super) variables: Vec<Variable>,
    /// Dotted paths of the entries taken out.
    removed: Vec<String>,
    errors: Vec<(usize, ConfigError)>,
}

impl<'a> Document<'a> {
    /// Reads `text`. Of syntax errors only the first is told: what follows one is guesswork.
    pub(super) fn parse(text: &'a str, origin: &'a Path) -> Result<Self, ConfigErrors> {
        let mut document = Self {
            text,
            origin,
            root: Table::new(),
            variables: Vec::new(),
            removed: Vec::new(),
            errors: Vec::new(),
        };
        match toml_edit::Document::parse(text) {
            Ok(parsed) => {
                document.root = unfold(parsed.as_table().clone());
                Ok(document)
            }
            Err(error) => {
                let message = format!("not toml: {}", error.message());
                document.push(error.span().as_ref(), message);
                Err(document.into_errors())
            }
        }
    }

    /// Decodes the tables and notes every error on the way; `None` when it had to give up.
    pub(super) fn decode<T: DeserializeOwned>(&mut self) -> Option<T> {
        for _ in 0..ROUNDS {
            // `DocumentMut`, made from a table, keeps the places; parsed by itself it forgets them.
            let tables = DocumentMut::from(self.root.clone());
            let error = match toml_edit::de::from_document(tables) {
                Ok(decoded) => return Some(decoded),
                Err(error) => error,
            };
            let span = error.span();
            if span.as_ref().is_some_and(|span| self.reread(span.start)) {
                continue;
            }
            let removed = span.as_ref().and_then(|span| take(&mut self.root, span));
            let Some(path) = removed else {
                self.push(span.as_ref(), error.message().to_owned());
                return None;
            };
            self.push(span.as_ref(), wording::explain(error.message(), &path));
            self.removed.push(path.join("."));
        }
        None
    }

    /// Notes a problem of the decoded values, unless it follows from an entry that was taken out.
    pub(super) fn report(&mut self, problem: Problem) {
        let gone = |path: &String| self.removed.iter().any(|removed| lies_in(path, removed));
        if problem.paths.iter().any(gone) {
            return;
        }
        // The message is about all its paths; one that is written down is a better place than a
        // default.
        let mut spans = problem.paths.iter().map(|path| self.locate(path));
        let nearest = spans.clone().find(|(exact, _)| *exact).or(spans.next());
        let span = nearest.and_then(|(_, span)| span);
        self.push(span.as_ref(), problem.message);
    }

    pub(super) fn is_sound(&self) -> bool {
        self.errors.is_empty()
    }

    /// The errors in order of place; those of the file as a whole come first.
    pub(super) fn into_errors(mut self) -> ConfigErrors {
        self.errors.sort_by_key(|(offset, _)| *offset);
        let errors = self.errors.into_iter().map(|(_, error)| error).collect();
        ConfigErrors { errors }
    }

    /// Notes an error at `span`, or about the file as a whole.
    fn push(&mut self, span: Option<&Range<usize>>, message: String) {
        let place = span.map_or(Place::File(self.origin.to_owned()), |s| self.place(s.start));
        let offset = span.map_or(0, |span| span.start);
        self.errors.push((offset, ConfigError { place, message }));
    }

    /// Notes an error about a variable that has no place in the tables.
    pub(super) fn push_variable(&mut self, name: &str, message: String) {
        let place = Place::Variable(name.to_owned());
        self.errors
            .push((usize::MAX, ConfigError { place, message }));
    }

    /// The place of an offset.
    fn place(&self, offset: usize) -> Place {
        let after = |variable: &&Variable| variable.start <= offset;
        if let Some(variable) = self.variables.iter().rev().find(after) {
            return Place::Variable(variable.name.clone());
        }
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place::Line {
            file: self.origin.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// Where the entry at a dotted path is, or the nearest table around it; and whether it is there
    /// itself.
    fn locate(&self, path: &str) -> (bool, Option<Range<usize>>) {
        let (mut table, mut span) = (&self.root, None);
        let mut keys = path.split('.').peekable();
        while let Some(key) = keys.next() {
            let Some((entry, item)) = table.get_key_value(key) else {
                return (false, span);
            };
            span = item.span().or(entry.span());
            let inner = match item {
                Item::ArrayOfTables(array) => {
                    keys.next().and_then(|index| array.get(index.parse().ok()?))
                }
                item => item.as_table(),
            };
            match inner {
                Some(inner) => table = inner,
                None => return (keys.peek().is_none(), span),
            }
            span = table.span().or(span);
        }
        (true, span)
    }
}

fn lies_in(path: &str, removed: &str) -> bool {
    path.strip_prefix(removed)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Turns inline tables into plain ones, so that nobody else has to tell them apart.
fn unfold(mut table: Table) -> Table {
    for (_, item) in table.iter_mut() {
        let taken = std::mem::take(item).into_array_of_tables();
        *item = match taken.map_err(Item::into_table) {
            Ok(array) => Item::ArrayOfTables(array.into_iter().map(unfold).collect()),
            Err(Ok(inner)) => Item::Table(unfold(inner)),
            Err(Err(value)) => value,
        };
    }
    table
}

/// Takes out the innermost entry whose key or value is at `span`; its path, elements of arrays by
/// index.
fn take(table: &mut Table, span: &Range<usize>) -> Option<Vec<String>> {
    let covers = |at: Range<usize>| at.start <= span.start && span.end <= at.end;
    let keys: Vec<Key> = table
        .iter()
        .filter_map(|(key, _)| table.key(key))
        .cloned()
        .collect();
    for key in keys {
        let item = table.get_mut(&key)?;
        let at = item.span();
        let below = match item {
            Item::Table(inner) => take(inner, span),
            Item::ArrayOfTables(array) => {
                array.iter_mut().enumerate().find_map(|(index, inner)| {
                    let mut path = take(inner, span)?;
                    path.insert(0, index.to_string());
                    Some(path)
                })
            }
            _ => None,
        };
        if let Some(mut path) = below {
            path.insert(0, key.get().to_owned());
            return Some(path);
        }
        if key.span().is_some_and(covers) || at.is_some_and(covers) {
            table.remove(&key);
            return Some(vec![key.get().to_owned()]);
        }
    }
    None
}
