//! The cache of compiled code: what is used again, and what is never run.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::gateway::Gateway;
use crate::guests;

/// A gateway that keeps compiled code in that directory.
async fn cached(directory: &Path) -> Gateway {
    let directory = directory
        .to_str()
        .expect("a temporary folder's name is text");
    Gateway::with("generation")
        .plugin("watch = false")
        .environment("TIDEGATE_ENGINE__CACHE", directory)
        .start()
        .await
}

/// The one file of compiled code.
fn code(directory: &Path) -> PathBuf {
    let entries = fs::read_dir(directory).expect("the directory is there");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "cwasm"))
        .collect();
    assert_eq!(paths.len(), 1, "{paths:?}");
    paths.remove(0)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o777
}

#[tokio::test]
async fn a_second_start_uses_the_code_the_first_has_compiled() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let directory = folder.path().join("code");
    drop(cached(&directory).await);
    assert_eq!(mode(&directory), 0o700);
    let file = code(&directory);
    assert_eq!(mode(&file), 0o600);
    let inode = || fs::metadata(&file).expect("it is there").ino();
    let written = inode();
    let gateway = cached(&directory).await;
    // Whatever is compiled is written, as a new file.
    assert_eq!(inode(), written);
    let mut client = gateway.connect("/").await;
    assert_eq!(client.ask("a").await, "1 a");
    // Another component is another file.
    gateway.put(&guests::variant("generation", 1));
    assert_eq!(gateway.reload().await.status, 200);
    // And the key.
    assert_eq!(fs::read_dir(&directory).expect("it is there").count(), 3);
    assert_eq!(mode(&directory.join("key")), 0o600);
}

#[tokio::test]
async fn damaged_code_is_not_run_but_replaced() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    drop(cached(folder.path()).await);
    let file = code(folder.path());
    let whole = fs::read(&file).expect("it can be read");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [&flipped[..], &whole[..whole.len() / 2], b""] {
        fs::write(&file, damaged).expect("it is ours");
        let gateway = cached(folder.path()).await;
        gateway.until_log("cached code is damaged").await;
        let mut client = gateway.connect("/").await;
        assert_eq!(client.ask("a").await, "1 a");
        let mended = fs::read(code(folder.path())).expect("it can be read");
        assert_eq!(mended.len(), whole.len());
        let gateway = cached(folder.path()).await;
        assert!(!gateway.log().contains("damaged"));
    }
}

#[tokio::test]
async fn a_directory_that_others_can_write_to_is_not_used() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let open = fs::Permissions::from_mode(0o777);
    fs::set_permissions(folder.path(), open).expect("it is ours");
    let gateway = cached(folder.path()).await;
    gateway.until_log("compiled code is not cached").await;
    gateway.until_log("chmod 700").await;
    let mut client = gateway.connect("/").await;
    assert_eq!(client.ask("a").await, "1 a");
    assert_eq!(gateway.reload().await.json()["generation"], 2);
    assert_eq!(client.ask("a").await, "2 a");
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 0);
}

#[tokio::test]
async fn a_folder_below_one_that_others_can_write_to_is_not_used() {
    let above = tempfile::tempdir().expect("a folder can be made");
    fs::set_permissions(above.path(), fs::Permissions::from_mode(0o777)).expect("it is ours");
    let directory = above.path().join("code");
    let gateway = cached(&directory).await;
    gateway.until_log("compiled code is not cached").await;
    gateway.until_log("chmod go-w").await;
    assert!(!directory.exists());
    assert_eq!(gateway.connect("/").await.ask("a").await, "1 a");
}

#[tokio::test]
async fn code_that_was_not_written_with_our_key_is_not_run() {
    let root = tempfile::tempdir().expect("a folder can be made");
    let (ours, theirs) = (root.path().join("ours"), root.path().join("theirs"));
    drop(cached(&ours).await);
    drop(cached(&theirs).await);
    // Sound code, under the right name, of the right owner, from a folder with another key.
    fs::copy(code(&theirs), code(&ours)).expect("both are ours");
    let gateway = cached(&ours).await;
    gateway.until_log("it is not as we wrote it").await;
    assert_eq!(gateway.connect("/").await.ask("a").await, "1 a");
}

#[tokio::test]
async fn without_a_home_the_log_says_that_nothing_is_cached_and_what_to_set() {
    let gateway = Gateway::with("generation")
        .environment("HOME", "")
        .environment("XDG_CACHE_HOME", "")
        .start()
        .await;
    gateway.until_log("neither XDG_CACHE_HOME nor HOME").await;
    gateway.until_log("`engine.cache`").await;
}
