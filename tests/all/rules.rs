//! The rules of ARCHITECTURE.md, read off the source: a rule that nothing checks is no rule.

use std::path::{Path, PathBuf};

use crate::guests::workspace;

/// The gateway's source files with their text, less comments and tests.
pub fn sources() -> Vec<(PathBuf, String)> {
    let root = workspace().join("gateway/src");
    let mut sources = Vec::new();
    visit(&root, &mut |path| {
        let name = path.strip_prefix(&root).expect("it is below").to_owned();
        let is_test = name
            .components()
            .any(|part| part.as_os_str().to_string_lossy().starts_with("tests"));
        if !is_test && path.extension().is_some_and(|ending| ending == "rs") {
            let text = std::fs::read_to_string(path).expect("source is text");
            let code = text
                .split("#[cfg(test)]\nmod tests {")
                .next()
                .unwrap_or_default();
            let is_code = |line: &&str| !line.trim_start().starts_with("//");
            sources.push((
                name,
                code.lines().filter(is_code).collect::<Vec<_>>().join("\n"),
            ));
        }
    });
    assert!(sources.len() > 40, "{sources:?}");
    sources
}

pub fn visit(folder: &Path, file: &mut impl FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).expect("a folder can be read") {
        let path = entry.expect("an entry can be read").path();
        match path.is_dir() {
            true => visit(&path, file),
            false => file(&path),
        }
    }
}

/// Checks that `word` is named only in files below `places`.
fn only_in(word: &str, places: &[&str]) {
    for (name, code) in sources() {
        let allowed = places.iter().any(|place| name.starts_with(place));
        assert!(
            allowed || !code.contains(word),
            "{word} is named in {}",
            name.display()
        );
    }
}

#[test]
fn wasmtime_is_named_on_the_plugin_side_only() {
    only_in("wasmtime", &["plugin.rs", "plugin"]);
}

#[test]
fn tungstenite_is_named_where_upgrades_are_answered_only() {
    only_in("tungstenite", &["server"]);
}

#[test]
fn redb_is_named_in_the_store_only() {
    only_in("redb::", &["store"]);
}

#[test]
fn sockets_are_named_on_the_connection_side_only() {
    let listeners = [
        "server",
        "server.rs",
        "connection",
        "connection.rs",
        "shard",
        "shard.rs",
    ];
    let others = ["admin.rs", "cli"];
    only_in("TcpStream", &[&listeners[..], &others[..]].concat());
}

#[test]
fn the_connection_knows_the_handler_and_not_the_plugin() {
    for (name, code) in sources() {
        let connection_side = [
            "connection",
            "shard",
            "outbox",
            "hub",
            "effects",
            "event",
            "handler",
            "store",
        ];
        let is_on_it = connection_side
            .iter()
            .any(|part| name.to_string_lossy().starts_with(part));
        assert!(
            !is_on_it || !code.contains("crate::plugin"),
            "{}",
            name.display()
        );
    }
}

#[test]
fn unsafe_stands_in_five_places_each_with_its_proof() {
    let with_unsafe: Vec<_> = sources()
        .into_iter()
        .filter(|(_, code)| code.contains("unsafe {"))
        .map(|(name, code)| (name, code.matches("unsafe {").count()))
        .collect();
    let expected = [
        ("allocator.rs", 1),
        ("plugin/code.rs", 1),
        ("plugin/contract.rs", 1),
        ("shard/poller.rs", 1),
        ("shard/table/intake.rs", 1),
    ];
    let expected = expected.map(|(name, count)| (PathBuf::from(name), count));
    assert_eq!(with_unsafe.len(), expected.len(), "{with_unsafe:?}");
    assert!(
        expected.iter().all(|place| with_unsafe.contains(place)),
        "{with_unsafe:?}"
    );
}

#[test]
fn tasks_and_threads_are_started_under_watch_only() {
    for start in [
        "spawn_local(",
        "tokio::spawn(",
        "task::spawn(",
        "thread::spawn(",
        "thread::Builder",
    ] {
        // A load's task is waited for, and its panic is a refused load; so is a read of the
        // configuration, before anything is served.
        let waited_for = ["plugin/registry/loader.rs", "config/source.rs"];
        only_in(start, &[&["supervise.rs"][..], &waited_for].concat());
    }
}

#[test]
fn nothing_is_written_that_panics_or_waits_when_nobody_reads_it() {
    for print in ["println!(", "eprintln!(", "print!(", "eprint!("] {
        only_in(print, &[]);
    }
    // The compile worker is a process of its own; its stderr is a pipe that the gateway reads.
    only_in(
        "stderr()",
        &["log.rs", "log", "supervise.rs", "cli/compile_worker.rs"],
    );
}

#[test]
fn every_fixture_is_used_by_a_test() {
    let mut text = String::new();
    for tests in ["tests/all", "tests/chaos"] {
        visit(&workspace().join(tests), &mut |path| {
            text.push_str(&std::fs::read_to_string(path).expect("source is text"))
        });
    }
    visit(&workspace().join("tests/guests/examples"), &mut |path| {
        let name = path
            .file_stem()
            .expect("it has a name")
            .to_string_lossy()
            .into_owned();
        assert!(
            text.contains(&format!("\"{name}\"")),
            "no test uses the fixture {name:?}"
        );
    });
}
