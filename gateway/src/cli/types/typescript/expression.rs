//! Types as they are written, put together from others.

use std::fmt;

/// A type as it is written, and how tight its outermost part binds.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Type {
    text: String,
    binding: Binding,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Union,
    Intersection,
    Tight,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Type {
    /// One whose text can stand anywhere.
    pub(super) fn tight(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            binding: Binding::Tight,
        }
    }

    pub(super) fn never() -> Self {
        Self::tight("never")
    }

    pub(super) fn unknown() -> Self {
        Self::tight("unknown")
    }

    /// An object's.
    pub(super) fn braces(content: impl fmt::Display) -> Self {
        Self::tight(format!("{{ {content} }}"))
    }

    /// Any of these.
    pub(super) fn union(cases: impl Iterator<Item = Self>) -> Self {
        Self::joined(distinct(cases), " | ", Binding::Union).unwrap_or_else(Self::never)
    }

    /// All of these at once.
    pub(super) fn intersection(parts: impl Iterator<Item = Self>) -> Self {
        let parts = parts.filter(|part| *part != Self::unknown());
        Self::joined(distinct(parts), " & ", Binding::Intersection).unwrap_or_else(Self::unknown)
    }

    /// A list of these.
    pub(super) fn list(&self) -> Self {
        Self::tight(format!("{}[]", self.within(Binding::Tight)))
    }

    /// An item of a tuple that may be missing.
    pub(super) fn optional(&self) -> String {
        format!("{}?", self.within(Binding::Tight))
    }

    fn joined(mut parts: Vec<Self>, with: &str, binding: Binding) -> Option<Self> {
        if parts.len() < 2 {
            return parts.pop();
        }
        let parts: Vec<_> = parts.iter().map(|part| part.within(binding)).collect();
        Some(Self {
            text: parts.join(with),
            binding,
        })
    }

    /// The text for a place where only what binds as tight as that may stand bare.
    fn within(&self, binding: Binding) -> String {
        match self.binding >= binding {
            true => self.text.clone(),
            false => format!("({})", self.text),
        }
    }
}

/// Each of these once, in their order.
fn distinct(types: impl Iterator<Item = Type>) -> Vec<Type> {
    let mut distinct = Vec::new();
    for one in types {
        if !distinct.contains(&one) {
            distinct.push(one);
        }
    }
    distinct
}
