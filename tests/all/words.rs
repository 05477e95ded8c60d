//! The words of the source: documentation that says what it speaks of.

use std::path::Path;

use crate::guests::workspace;
use crate::rules::visit;

/// The beginnings that lean on a noun somewhere else.
const LEANING: [&str; 7] = ["That", "Those", "As that", "The same", "It", "Its", "They"];

/// Returns whether a doc block's first line leans on a noun somewhere else.
fn leans(line: &str) -> bool {
    LEANING.iter().any(|word| {
        let rest = line.strip_prefix(word);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', ',', ':']))
    })
}

#[test]
fn doc_blocks_begin_with_their_noun_or_a_verb() {
    let mut found = Vec::new();
    for folder in ["gateway", "plugin-sdk", "plugins", "tests", "wit"] {
        visit(&workspace().join(folder), &mut |path| {
            if is_source(path) {
                let text = std::fs::read_to_string(path).expect("source is text");
                let mut was_doc = false;
                for (number, line) in text.lines().enumerate() {
                    let doc = line.trim_start().strip_prefix("///");
                    if let Some(doc) = doc.filter(|doc| !was_doc && leans(doc.trim_start())) {
                        found.push(format!("{}:{}:{doc}", path.display(), number + 1));
                    }
                    was_doc = doc.is_some();
                }
            }
        });
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn beginnings_that_lean_are_known() {
    for line in [
        "That of a send.",
        "It, and more.",
        "The same in short.",
        "Its name.",
    ] {
        assert!(leans(line), "{line}");
    }
    for line in [
        "Thatched roofs.",
        "Items of a list.",
        "The name.",
        "As many as there are.",
    ] {
        assert!(!leans(line), "{line}");
    }
}

/// Returns whether a file is source of ours; `wit/deps` has the standards' own texts.
fn is_source(path: &Path) -> bool {
    let is_not_ours = path.components().any(|part| {
        ["target", "node_modules", "deps"]
            .map(AsRef::as_ref)
            .contains(&part.as_os_str())
    });
    let ending = path.extension().and_then(|ending| ending.to_str());
    !is_not_ours && matches!(ending, Some("rs" | "wit"))
}
