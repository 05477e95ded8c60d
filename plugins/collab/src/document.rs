//! A document, and how it is edited.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_sdk::Fault;

/// Characters of a document. Even if JSON takes six bytes for each, it fits into 64 KiB of a value in the store.
pub(crate) const TEXT_MAX: usize = 10_000;

/// The code of the fault that the base of an edit is no longer current.
pub(crate) const CONFLICT: &str = "conflict";

#[derive(Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Document {
    /// How many edits have made it.
    pub version: u64,
    pub text: String,
}

/// Replaces `delete` characters from `position` on by `insert`. Characters are those of Unicode: `[...text].length` in
/// JavaScript.
#[derive(Serialize, Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Edit {
    /// The version of the document that is edited.
    #[garde(skip)]
    #[serde(skip_serializing)]
    base_version: u64,
    #[garde(skip)]
    position: usize,
    #[garde(skip)]
    #[serde(default)]
    delete: usize,
    #[garde(length(chars, max = TEXT_MAX))]
    #[serde(default)]
    insert: String,
}

/// What the others hear of an edit.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Edited {
    /// The version that came of it.
    pub version: u64,
    /// The user's id.
    pub by: u64,
    #[serde(flatten)]
    pub edit: Edit,
}

impl Document {
    pub(crate) fn apply(&mut self, edit: &Edit) -> Result<(), Fault> {
        if edit.base_version != self.version {
            let message = format!("the version is {} by now", self.version);
            return Err(Fault::new(CONFLICT, message));
        }
        let Some(start) = self.byte(edit.position) else {
            return Err(Fault::field("position", "past the end of the document"));
        };
        let Some(end) = self.byte(edit.position.saturating_add(edit.delete)) else {
            return Err(Fault::field(
                "delete",
                "more characters than there are from there",
            ));
        };
        self.text.replace_range(start..end, &edit.insert);
        if self.text.chars().count() > TEXT_MAX {
            return Err(Fault::field(
                "insert",
                "a document has at most 10000 characters",
            ));
        }
        self.version += 1;
        Ok(())
    }

    /// Where the character of that number begins, or the text ends.
    fn byte(&self, number: usize) -> Option<usize> {
        let starts = self.text.char_indices().map(|(start, _)| start);
        starts.chain([self.text.len()]).nth(number)
    }
}
