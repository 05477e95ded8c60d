//! Reloads by the watched file: every way a file changes, and what is no change.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::SystemTime;

use crate::WATCH;
use crate::client::Client;
use crate::gateway::Gateway;
use crate::guests;

/// A gateway that watches, and a client that stays connected.
async fn watching() -> (Gateway, Client) {
    let gateway = Gateway::with("generation").start().await;
    let mut client = gateway.connect("/").await;
    assert_eq!(client.ask("a").await, "1 a");
    (gateway, client)
}

fn variant(mark: u8) -> Vec<u8> {
    guests::variant("generation", mark)
}

#[tokio::test]
async fn a_file_written_in_place_is_loaded() {
    let (gateway, mut client) = watching().await;
    for generation in 2..=4 {
        fs::write(gateway.component(), variant(generation)).expect("it is ours");
        gateway.until_generation(generation.into()).await;
        assert_eq!(client.ask("a").await, format!("{generation} a"));
    }
}

#[tokio::test]
async fn a_file_written_with_a_pause_is_loaded_when_it_is_whole() {
    let (gateway, mut client) = watching().await;
    let bytes = variant(2);
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let mut file = File::create(gateway.component()).expect("it is ours");
    file.write_all(first).expect("it can be written");
    // The pause lasts until the half has been looked at, and refused.
    let status = gateway
        .until_status("refused", |status| status["last_error"].is_object())
        .await;
    assert_eq!(status["state"], "serving-last-good");
    assert_eq!(client.ask("a").await, "1 a");
    file.write_all(second).expect("it can be written");
    drop(file);
    gateway.until_generation(2).await;
    assert_eq!(client.ask("a").await, "2 a");
    let status = gateway.status().await;
    assert_eq!(status["last_error"], serde_json::Value::Null);
}

#[tokio::test]
async fn a_file_renamed_over_the_old_one_is_loaded() {
    let (gateway, mut client) = watching().await;
    for generation in 2..=4 {
        gateway.put(&variant(generation));
        gateway.until_generation(generation.into()).await;
        assert_eq!(client.ask("a").await, format!("{generation} a"));
    }
}

#[tokio::test]
async fn a_file_saved_as_editors_do_is_loaded() {
    let (gateway, mut client) = watching().await;
    for generation in 2..=4 {
        let backup = gateway.folder().join("plugin.wasm~");
        fs::rename(gateway.component(), backup).expect("it is there");
        fs::write(gateway.component(), variant(generation)).expect("its place is free");
        gateway.until_generation(generation.into()).await;
        assert_eq!(client.ask("a").await, format!("{generation} a"));
    }
}

#[tokio::test]
async fn a_link_that_is_swapped_is_loaded() {
    let (gateway, mut client) = watching().await;
    let versions = gateway.folder().join("versions");
    fs::create_dir(&versions).expect("its place is free");
    for generation in 2..=4_u8 {
        let version = versions.join(generation.to_string());
        fs::write(&version, variant(generation)).expect("its place is free");
        let link = gateway.folder().join("next");
        symlink(&version, &link).expect("its place is free");
        fs::rename(link, gateway.component()).expect("it is there");
        gateway.until_generation(generation.into()).await;
        assert_eq!(client.ask("a").await, format!("{generation} a"));
    }
}

/// A gateway that loads its plugin from another folder than its own.
async fn from(path: &Path) -> (Gateway, Client) {
    let path = path.to_str().expect("text");
    let setup = Gateway::with("generation").environment("TIDEGATE_PLUGIN__GENERATION__PATH", path);
    let gateway = setup.start().await;
    let client = gateway.connect("/").await;
    (gateway, client)
}

#[tokio::test]
async fn a_link_to_the_folder_that_is_swapped_is_loaded() {
    let root = tempfile::tempdir().expect("a folder can be made");
    let release = |generation: u8| {
        let release = root.path().join(format!("releases/{generation}"));
        fs::create_dir_all(release.join("plugins")).expect("its place is free");
        fs::write(release.join("plugins/p.wasm"), variant(generation)).expect("its place is free");
        symlink(&release, root.path().join("next")).expect("its place is free");
        fs::rename(root.path().join("next"), root.path().join("current")).expect("it is there");
    };
    release(1);
    let (gateway, mut client) = from(&root.path().join("current/plugins/p.wasm")).await;
    for generation in 2..=4 {
        release(generation);
        gateway.until_generation(generation.into()).await;
        assert_eq!(client.ask("a").await, format!("{generation} a"));
    }
    // The folder that the link leads to now is watched like the first.
    fs::write(root.path().join("releases/4/plugins/p.wasm"), variant(5)).expect("it is ours");
    gateway.until_generation(5).await;
}

#[tokio::test]
async fn a_folder_that_is_made_anew_is_watched_again() {
    let root = tempfile::tempdir().expect("a folder can be made");
    let folder = root.path().join("release/plugins");
    fs::create_dir_all(&folder).expect("its place is free");
    fs::write(folder.join("p.wasm"), variant(1)).expect("its place is free");
    let (gateway, mut client) = from(&folder.join("p.wasm")).await;
    for generation in 2..=4 {
        fs::remove_dir_all(root.path().join("release")).expect("it is there");
        let gone = "the file is gone; the generation in place stays";
        gateway
            .until_log_lines(gone, usize::from(generation) - 1)
            .await;
        fs::create_dir_all(&folder).expect("its place is free");
        fs::write(folder.join("p.wasm"), variant(generation)).expect("its place is free");
        gateway.until_generation(generation.into()).await;
        assert_eq!(client.ask("a").await, format!("{generation} a"));
    }
}

#[tokio::test]
async fn a_file_that_is_deleted_leaves_the_last_good_generation() {
    let (gateway, mut client) = watching().await;
    fs::remove_file(gateway.component()).expect("it is there");
    gateway
        .until_log("the file is gone; the generation in place stays")
        .await;
    assert_eq!(client.ask("a").await, "1 a");
    assert_eq!(gateway.admin("GET", "/readyz").await.status, 200);
    gateway.put(&variant(2));
    gateway.until_generation(2).await;
    assert_eq!(client.ask("a").await, "2 a");
}

#[tokio::test]
async fn a_file_that_comes_back_as_it_was_is_no_reload() {
    let (gateway, mut client) = watching().await;
    fs::remove_file(gateway.component()).expect("it is there");
    gateway.until_log("the file is gone").await;
    gateway.put(&guests::bytes("generation"));
    tokio::time::sleep(WATCH).await;
    assert_eq!(client.ask("a").await, "1 a");
    // The next change is the second generation, so there was no other.
    gateway.put(&variant(2));
    gateway.until_generation(2).await;
    assert_eq!(client.ask("a").await, "2 a");
}

#[tokio::test]
async fn what_leaves_the_bytes_as_they_are_is_no_reload() {
    let (gateway, mut client) = watching().await;
    let touched = File::options().append(true).open(gateway.component());
    touched
        .and_then(|file| file.set_modified(SystemTime::now()))
        .expect("it is ours");
    tokio::time::sleep(WATCH).await;
    fs::write(gateway.component(), guests::bytes("generation")).expect("it is ours");
    tokio::time::sleep(WATCH).await;
    fs::write(gateway.folder().join("other.wasm"), variant(9)).expect("its place is free");
    tokio::time::sleep(WATCH).await;
    assert_eq!(client.ask("a").await, "1 a");
    gateway.put(&variant(2));
    gateway.until_generation(2).await;
    assert_eq!(client.ask("a").await, "2 a");
}

#[tokio::test]
async fn a_bad_file_replaced_by_the_old_one_leaves_no_error() {
    let (gateway, mut client) = watching().await;
    gateway.put(b"not wasm");
    gateway
        .until_status("refused", |status| status["last_error"].is_object())
        .await;
    gateway.put(&guests::bytes("generation"));
    let status = gateway
        .until_status("mended", |status| status["last_error"].is_null())
        .await;
    assert_eq!(status["state"], "serving");
    assert_eq!(status["generation"], 1);
    assert_eq!(client.ask("a").await, "1 a");
}

#[tokio::test]
async fn touching_the_file_does_not_undo_a_rollback() {
    let (gateway, mut client) = watching().await;
    gateway.put(&variant(2));
    gateway.until_generation(2).await;
    let path = "/plugins/generation/rollback";
    assert_eq!(gateway.admin("POST", path).await.status, 200);
    fs::write(gateway.component(), variant(2)).expect("it is ours");
    tokio::time::sleep(WATCH).await;
    assert_eq!(client.ask("a").await, "1 a");
    // But the older file is a deployment, of the third generation.
    gateway.put(&guests::bytes("generation"));
    gateway.until_generation(3).await;
    assert_eq!(client.ask("a").await, "3 a");
}

#[tokio::test]
async fn a_file_that_is_not_watched_is_loaded_when_asked_for() {
    let gateway = Gateway::with("generation")
        .plugin("watch = false")
        .start()
        .await;
    let mut client = gateway.connect("/").await;
    gateway.put(&variant(2));
    tokio::time::sleep(WATCH).await;
    assert_eq!(client.ask("a").await, "1 a");
    assert_eq!(gateway.reload().await.json()["generation"], 2);
    assert_eq!(client.ask("a").await, "2 a");
}

#[tokio::test]
async fn a_file_of_the_same_length_and_time_is_loaded() {
    let (gateway, mut client) = watching().await;
    gateway.put(&variant(2));
    gateway.until_generation(2).await;
    let written = fs::metadata(gateway.component()).and_then(|file| file.modified());
    let file = File::options().write(true).open(gateway.component());
    let file = file.expect("it is ours");
    (&file).write_all(&variant(3)).expect("it can be written");
    let time = written.expect("the system keeps times");
    file.set_modified(time).expect("it is ours");
    drop(file);
    gateway.until_generation(3).await;
    assert_eq!(client.ask("a").await, "3 a");
}

#[tokio::test]
async fn a_link_within_the_target_of_a_link_is_loaded() {
    let root = tempfile::tempdir().expect("a folder can be made");
    let elsewhere = tempfile::tempdir().expect("a folder can be made");
    // current -> elsewhere/latest -> elsewhere/1: the path names no folder in which `latest` is.
    let release = |generation: u8| {
        let release = elsewhere.path().join(generation.to_string());
        fs::create_dir(&release).expect("its place is free");
        fs::write(release.join("p.wasm"), variant(generation)).expect("its place is free");
        symlink(&release, elsewhere.path().join("next")).expect("its place is free");
        let latest = elsewhere.path().join("latest");
        fs::rename(elsewhere.path().join("next"), latest).expect("it is there");
    };
    release(1);
    let current = root.path().join("current");
    symlink(elsewhere.path().join("latest"), &current).expect("its place is free");
    let (gateway, mut client) = from(&current.join("p.wasm")).await;
    for generation in 2..=3 {
        release(generation);
        gateway.until_generation(generation.into()).await;
        assert_eq!(client.ask("a").await, format!("{generation} a"));
    }
}

/// Whether this machine lets us have namespaces of our own.
fn can_unshare() -> bool {
    let tried = std::process::Command::new("unshare")
        .args(["-Urm", "true"])
        .status();
    let can = tried.is_ok_and(|status| status.success());
    if !can {
        eprintln!("not tested: `unshare -Urm` is not allowed here");
    }
    can
}

#[tokio::test]
async fn a_file_that_is_a_mount_of_its_own_is_loaded() {
    if !can_unshare() {
        return;
    }
    let host = tempfile::tempdir().expect("a folder can be made");
    let mounted = host.path().join("mounted.wasm");
    fs::write(&mounted, variant(1)).expect("its place is free");
    let script = format!("mount --bind {mounted:?} plugin.wasm && exec \"$@\"");
    let gateway = Gateway::with("generation")
        .within(&["unshare", "-Urm", "sh", "-c", &script, "sh"])
        .start()
        .await;
    let mut client = gateway.connect("/").await;
    // No event comes of this in the folder that is watched.
    fs::write(&mounted, variant(2)).expect("it is ours");
    gateway.until_generation(2).await;
    assert_eq!(client.ask("a").await, "2 a");
}

#[tokio::test]
async fn without_inotify_the_gateway_serves_says_so_and_looks() {
    if !can_unshare() {
        return;
    }
    let script = "echo 0 > /proc/sys/user/max_inotify_instances && exec \"$@\"";
    let gateway = Gateway::with("generation")
        .within(&["unshare", "-Ur", "sh", "-c", script, "sh"])
        .start()
        .await;
    gateway.until_log("fs.inotify.max_user_instances").await;
    gateway.until_log("`watch = false`").await;
    let mut client = gateway.connect("/").await;
    assert_eq!(client.ask("a").await, "1 a");
    gateway.put(&variant(2));
    gateway.until_generation(2).await;
    assert_eq!(client.ask("a").await, "2 a");
}

#[tokio::test]
async fn a_change_while_a_load_is_busy_is_not_lost() {
    let (gateway, mut client) = watching().await;
    // Callers in a loop, as many as the admin side has places for.
    let asked = (0..60).map(|_| gateway.reload());
    let busy = futures_util::future::join_all(asked);
    let change = async { gateway.put(&variant(9)) };
    tokio::join!(busy, change);
    let wanted = variant(9);
    let digest = <sha2::Sha256 as sha2::Digest>::digest(&wanted);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    gateway
        .until_status("the new file", |status| {
            status["digest"] == format!("sha256:{digest}")
        })
        .await;
    assert!(client.ask("a").await.ends_with(" a"));
}
