//! Files that are no plugin, or none that works: each is told apart, in words that help.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::gateway::tidegate;
use crate::guests;

/// A folder with a component in it, or with what is said to be one.
struct Candidate {
    folder: TempDir,
}

impl Candidate {
    /// One with these bytes.
    fn of(bytes: &[u8]) -> Self {
        let candidate = Self::missing();
        std::fs::write(candidate.path(), bytes).unwrap();
        candidate
    }

    /// A fixture.
    fn fixture(name: &str) -> Self {
        Self::of(&guests::bytes(name))
    }

    /// One that is not there.
    fn missing() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("plugin.wasm")
    }

    /// Both commands must refuse it with all of these words and the file's name. Returns what
    /// `check-plugin` says.
    fn is_refused_with(&self, words: &[&str]) -> String {
        let said = [self.check_plugin(), self.run()];
        for said in &said {
            let name = format!("{:?}", self.path());
            for words in words.iter().chain([&name.as_str()]) {
                assert!(said.contains(words), "not in it: {words}\n{said}");
            }
        }
        let [checked, _] = said;
        checked
    }

    fn check_plugin(&self) -> String {
        refused(&["check-plugin".as_ref(), self.path().as_os_str()])
    }

    fn run(&self) -> String {
        let config = self.folder.path().join("tidegate.toml");
        let text = "[engine]\ncache = \"off\"\n[[plugin]]\nname = \"candidate\"\npath = \"plugin.wasm\"\n\
                    [[route]]\npath = \"/\"\nplugins = [\"candidate\"]\n";
        std::fs::write(&config, text).unwrap();
        let any = "127.0.0.1:0".as_ref();
        let said = refused(&[
            "run".as_ref(),
            "--config".as_ref(),
            config.as_os_str(),
            "--listen".as_ref(),
            any,
            "--admin".as_ref(),
            any,
        ]);
        let last = said.lines().last().unwrap_or_default();
        assert!(
            last.starts_with("plugin \"candidate\": \"/") || last.contains("no file at"),
            "{said}"
        );
        said
    }
}

/// Runs a command that must fail with 1 and start nothing; returns its words.
fn refused(arguments: &[&std::ffi::OsStr]) -> String {
    let output = tidegate(arguments, &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    assert_eq!(output.stdout, b"", "{arguments:?}");
    said
}

#[test]
fn a_plugin_is_called_one() {
    for name in ["echo", "chat"] {
        let path = guests::path(name);
        let output = tidegate(&["check-plugin".as_ref(), path.as_os_str()], &[]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said}");
        assert!(
            said.contains(&format!("{} is a plugin: sha256:", path.display())),
            "{said}"
        );
    }
}

#[test]
fn a_file_that_is_not_there() {
    Candidate::missing().is_refused_with(&["no file at", "build the plugin, or correct `path`"]);
}

#[test]
fn a_folder() {
    let candidate = Candidate::missing();
    std::fs::create_dir(candidate.path()).unwrap();
    let said = candidate.check_plugin();
    assert!(said.contains("failed to read"), "{said}");
    assert!(
        said.contains("it is a folder, not a regular file"),
        "{said}"
    );
}

#[test]
fn an_empty_file() {
    Candidate::of(b"").is_refused_with(&["is empty", "build or copy it again"]);
}

#[test]
fn a_file_that_was_cut_short() {
    let whole = guests::bytes("echo");
    for len in [whole.len() / 2, whole.len() - 1, 8, 5] {
        let candidate = Candidate::of(&whole[..len]);
        let said = candidate.check_plugin();
        // Eight bytes are a whole component with nothing in it.
        let words = match len {
            8 => "does not export tidegate:plugin/handler@0.1.0; it exports nothing",
            _ => "is not a valid component",
        };
        assert!(said.contains(words), "{len}: {said}");
    }
    Candidate::of(&whole[..whole.len() / 2]).is_refused_with(&[
        "is not a valid component",
        "cut short; build or copy it again",
    ]);
}

#[test]
fn a_damaged_file() {
    let mut bytes = guests::bytes("echo");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].fill(0xff);
    Candidate::of(&bytes).is_refused_with(&["is not a valid component", "build or copy it again"]);
}

#[test]
fn a_file_that_is_no_webassembly() {
    for bytes in [
        &b"export default function () {}\n"[..],
        b"\x7fELF\x02\x01\x01",
        b"\0as",
    ] {
        Candidate::of(bytes)
            .is_refused_with(&["is not WebAssembly", "cargo build --target wasm32-wasip2"]);
    }
}

#[test]
fn a_core_module() {
    Candidate::of(b"\0asm\x01\0\0\0").is_refused_with(&[
        "is a core module, not a component",
        "cargo build --target wasm32-wasip2",
    ]);
}

#[test]
fn a_component_of_another_world() {
    Candidate::fixture("other-world").is_refused_with(&[
        "does not export tidegate:plugin/handler@0.1.0",
        "it exports greet",
        "`tidegate_sdk::export!`",
    ]);
}

#[test]
fn a_plugin_for_another_version() {
    Candidate::fixture("future").is_refused_with(&[
        "exports tidegate:plugin/handler@0.2.0",
        "this gateway speaks tidegate:plugin@0.1.0",
        "rebuild it against that version",
    ]);
}

#[test]
fn a_plugin_of_another_shape() {
    Candidate::fixture("wrong-shape").is_refused_with(&[
        "lacks the function on-close of tidegate:plugin@0.1.0",
        "rebuild it against that version",
    ]);
}

#[test]
fn a_plugin_that_traps_when_it_is_started() {
    let said = Candidate::fixture("start-trap")
        .is_refused_with(&["failed its self-check (on-load)", "trap: "]);
    assert!(
        said.contains("trapped in on_load"),
        "its last words are shown: {said}"
    );
}

#[test]
fn a_plugin_that_never_ends_to_start() {
    Candidate::fixture("start-spin").is_refused_with(&[
        "failed its self-check (on-load)",
        "ran longer than 2s",
        "raise `limits.load` of the plugin",
    ]);
}

#[test]
fn a_plugin_that_takes_too_much_memory_to_start() {
    Candidate::fixture("start-hoard").is_refused_with(&[
        "failed its self-check (on-load)",
        "over its limit of 268435456",
        "raise `limits.memory` of the plugin",
    ]);
}

#[test]
fn a_plugin_that_refuses_itself() {
    Candidate::fixture("self-check-fails").is_refused_with(&[
        "failed its self-check (on-load)",
        "the self-check failed as asked",
    ]);
}

#[test]
fn a_plugin_that_imports_what_nobody_offers() {
    Candidate::fixture("other-import").is_refused_with(&[
        "imports what this gateway does not offer: ",
        "example:files/files@1.0.0",
        ": rebuild it against tidegate:plugin@0.1.0, or remove the import",
    ]);
}

/// Each of them is within the limit, all together are not.
#[test]
fn many_memories_that_are_together_over_the_limit() {
    let candidate = Candidate::of(&guests::with_memories("echo", 7, 600));
    candidate.is_refused_with(&["failed to start", "`limits.memory`"]);
}

#[test]
fn more_memories_than_a_plugin_may_have() {
    let candidate = Candidate::of(&guests::with_memories("echo", 8, 1));
    candidate.is_refused_with(&["9 linear memories", "build it of fewer modules"]);
}
