//! `tidegate types`: the messages of a plugin as TypeScript.

use std::path::Path;
use std::process::Output;

use crate::gateway::tidegate;
use crate::guests;

fn types(path: &Path) -> Output {
    tidegate(&["types".as_ref(), path.as_os_str()], &[])
}

/// Runs it on a component that has no types to print; returns its words.
fn refused(path: &Path) -> String {
    let output = types(path);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(output.stdout, b"", "{said}");
    said
}

#[test]
fn the_types_of_a_plugin_are_as_committed() {
    let output = types(&guests::path("router"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let file = guests::workspace().join("tests/all/types/router.d.ts");
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        printed == committed,
        "{} differs from what is printed:\n{printed}",
        file.display()
    );
}

#[test]
fn a_plugin_that_does_not_describe_itself_is_told_how() {
    let said = refused(&guests::path("chat"));
    assert!(said.contains("chat.wasm"), "{said}");
    assert!(said.contains("does not describe its messages"), "{said}");
    assert!(
        said.contains("tidegate_sdk::export!(Rooms: describe)"),
        "{said}"
    );
}

#[test]
fn what_is_no_plugin_is_refused_as_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let said = refused(&folder.path().join("missing.wasm"));
    assert!(said.contains("no file at"), "{said}");
    let said = refused(&guests::path("other-world"));
    assert!(
        said.contains("does not export tidegate:plugin/handler"),
        "{said}"
    );
}

#[test]
fn a_description_that_fails_is_told() {
    for (fixture, words) in [
        ("describe-trap", "failed to describe its messages"),
        ("describe-spin", "raise `limits.load`"),
        ("describe-nonsense", "in another shape than the contract's"),
    ] {
        let path = guests::path(fixture);
        let said = refused(&path);
        assert!(said.contains(words), "{said}");
        assert!(said.contains(&format!("{path:?}")), "{said}");
    }
}
