//! An environment variable that stands for an entry of the configuration.

use toml_edit::Value;

/// A variable that was laid over the file.
pub(super) struct Variable {
    pub(super) name: String,
    /// Where its text begins.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) path: Path,
    /// The value as TOML rather than as text, for when its key wants no text.
    pub(super) reading: Option<Value>,
}

/// The entry a variable sets: keys, from the root or from one element of `plugin`, `bucket`, `route` or
/// `topic`.
#[derive(Clone)]
pub(super) struct Path {
    pub(super) element: Option<(&'static str, usize)>,
    pub(super) keys: Vec<String>,
}
