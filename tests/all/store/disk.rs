//! The store with a file: what was acknowledged outlives the process, whatever ends it.

use std::path::Path;
use std::process::Output;

use super::{granted, talk};
use crate::gateway::{Gateway, tidegate};
use crate::guests;

/// `[store]` with a file in that folder.
fn kept_in(folder: &Path) -> String {
    format!("[store]\npath = {:?}", folder.join("data.redb"))
}

async fn start_in(folder: &Path) -> Gateway {
    granted().more(&kept_in(folder)).start().await
}

/// Runs a second gateway with a store in that folder, which must end by itself.
fn refused_in(folder: &Path) -> Output {
    let config = folder.join("second.toml");
    let text = format!(
        "[[plugin]]\nname = \"store\"\npath = {:?}\ngrants.store = [\"rooms\"]\n\
         [[route]]\npath = \"/\"\nplugins = [\"store\"]\n{}\n",
        guests::path("store"),
        kept_in(folder)
    );
    std::fs::write(&config, text).unwrap();
    let ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let mut arguments = vec!["run".as_ref(), "--config".as_ref(), config.as_os_str()];
    arguments.extend(ports.iter().map(AsRef::<std::ffi::OsStr>::as_ref));
    tidegate(&arguments, &[])
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_restart_finds_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = start_in(folder.path()).await;
    let mut client = gateway.connect("/").await;
    let exchange = [
        ("rooms set a 1", "ok"),
        ("rooms set b 2", "ok"),
        ("rooms delete a", "ok"),
        ("rooms increment n 3", "3"),
        ("rooms append list x", "x after 1"),
        ("rooms set-many c 3 d 4", "ok"),
    ];
    talk(&mut client, &exchange).await;
    assert!(gateway.metric("store_commits_total{result=\"ok\"}").await >= 6);
    gateway.signal("-TERM");
    assert!(gateway.wait().await.success());
    let gateway = start_in(folder.path()).await;
    let mut client = gateway.connect("/").await;
    let exchange = [
        ("rooms keys", "b c d list n"),
        ("rooms get-many b c d n", "2 3 4 3"),
        ("rooms append list y", "x,y after 1"),
    ];
    talk(&mut client, &exchange).await;
}

#[tokio::test]
async fn a_kill_loses_nothing_that_was_acknowledged() {
    const CLIENTS: usize = 4;
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = start_in(folder.path()).await;
    let mut acknowledged = [0; CLIENTS];
    for round in 1..=3 {
        let mut writers = tokio::task::JoinSet::new();
        for (name, from) in acknowledged.into_iter().enumerate() {
            let mut client = gateway.connect("/").await;
            writers.spawn(async move {
                // The process is killed under whoever is still writing.
                let mut last = from;
                while last < from + 40 * (name + 1) {
                    assert_eq!(
                        client.ask(&format!("rooms set {name} {}", last + 1)).await,
                        "ok"
                    );
                    last += 1;
                }
                (name, last)
            });
        }
        // As soon as the first is done: the others are in the middle of it.
        let (name, last) = writers.join_next().await.unwrap().unwrap();
        gateway.signal("-KILL");
        gateway.wait().await;
        writers.abort_all();
        acknowledged[name] = last;
        gateway = start_in(folder.path()).await;
        let mut client = gateway.connect("/").await;
        for (name, acknowledged) in acknowledged.iter_mut().enumerate() {
            let kept = client.ask(&format!("rooms get {name}")).await;
            let kept = kept.parse().unwrap_or(0);
            assert!(
                kept >= *acknowledged,
                "round {round}: {kept} of {acknowledged}"
            );
            *acknowledged = kept;
        }
    }
}

#[tokio::test]
async fn a_second_gateway_is_kept_off_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = start_in(folder.path()).await;
    let mut client = gateway.connect("/").await;
    assert_eq!(client.ask("rooms set a 1").await, "ok");
    let output = refused_in(folder.path());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let error = stderr(&output);
    assert!(
        error.contains("another process has the store's file"),
        "{error}"
    );
    assert!(
        error.contains("data.redb\" open: stop it, or give this gateway a `path`"),
        "{error}"
    );
    // The first one goes on.
    assert_eq!(client.ask("rooms set b 2").await, "ok");
    assert_eq!(client.ask("rooms keys").await, "a b");
}

#[tokio::test]
async fn a_damaged_file_stops_the_start_and_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = start_in(folder.path()).await;
    let mut client = gateway.connect("/").await;
    assert_eq!(client.ask("rooms number 2000").await, "ok");
    gateway.signal("-TERM");
    assert!(gateway.wait().await.success());
    let path = folder.path().join("data.redb");
    let whole = std::fs::read(&path).unwrap();
    // Every page is hit, but for the head of the file.
    let mut damaged = whole.clone();
    for byte in damaged.iter_mut().skip(4096).step_by(1000) {
        *byte ^= 0xff;
    }
    for bytes in [&damaged[..], &whole[..whole.len() / 2], b"not a database"] {
        std::fs::write(&path, bytes).unwrap();
        let output = refused_in(folder.path());
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let error = stderr(&output);
        assert!(error.contains("data.redb\" is "), "{error}");
        assert!(error.contains("it was not changed"), "{error}");
        assert!(std::fs::read(&path).unwrap() == bytes, "it was changed");
    }
    std::fs::write(&path, whole).unwrap();
    let gateway = start_in(folder.path()).await;
    let mut client = gateway.connect("/").await;
    assert_eq!(client.ask("rooms count").await, "2001");
}
