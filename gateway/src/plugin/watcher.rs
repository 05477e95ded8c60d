//! Reloads plugins whose files have changed.
//!
//! Folders are watched, not files: editors and deploys put a new file in the old one's place, and a
//! watch on a file would stay with the old one. What an event says is not trusted either; the
//! file's own stamp is looked at.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::registry::Registry;

/// A burst of events is one change: so long nothing must happen to the file.
const QUIET: Duration = Duration::from_millis(10);
/// A file that is written all the time is tried after this all the same.
const QUIET_MAX: Duration = Duration::from_secs(1);

/// A file as it was last seen. Any write, rename or replacement changes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
    inode: u64,
}

impl Stamp {
    /// Follows links, so that a swapped link counts as a change. None if there is no such file.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            modified: metadata.modified().ok(),
            len: metadata.len(),
            inode: metadata.ino(),
        })
    }
}

/// Watches the files of all plugins that ask for it, until dropped.
pub struct Watch {
    _watcher: Option<RecommendedWatcher>,
}

/// Starts watching. Call in a local runtime; the loads themselves happen on the loader's thread.
pub fn watch(registry: &Arc<Registry>) -> notify::Result<Watch> {
    let watched = || {
        registry
            .plugins()
            .iter()
            .enumerate()
            .filter(|(_, plugin)| plugin.is_watched())
    };
    if watched().next().is_none() {
        return Ok(Watch { _watcher: None });
    }
    let mut senders = Vec::new();
    for (index, plugin) in watched() {
        // One place is enough: what matters is that something happened, not how often.
        let (sender, events) = mpsc::channel(1);
        senders.push(sender);
        let (registry, path) = (registry.clone(), plugin.path().clone());
        tokio::task::spawn_local(follow(registry, index, path, events));
    }
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Our own reads of the file are no change.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            for sender in &senders {
                let _ = sender.try_send(());
            }
        }
    })?;
    let folders: HashSet<PathBuf> = watched()
        .filter_map(|(_, plugin)| folder(plugin.path()))
        .collect();
    for folder in folders {
        watcher.watch(&folder, RecursiveMode::NonRecursive)?;
    }
    Ok(Watch {
        _watcher: Some(watcher),
    })
}

fn folder(path: &Path) -> Option<PathBuf> {
    let folder = path.parent()?;
    Some(if folder.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        folder.to_owned()
    })
}

/// Reloads one plugin whenever its file has changed and come to rest.
async fn follow(
    registry: Arc<Registry>,
    index: usize,
    path: PathBuf,
    mut events: mpsc::Receiver<()>,
) {
    let mut seen = Stamp::of(&path);
    while events.recv().await.is_some() {
        if Stamp::of(&path) == seen {
            continue;
        }
        seen = settle(&path, &mut events).await;
        let plugin = &*registry.plugins()[index].name().clone();
        if seen.is_none() {
            tracing::warn!(plugin, path = %path.display(), "the file is gone; the generation in place stays");
            continue;
        }
        // A refusal is in the log and the plugin's status.
        let _ = registry.reload(index, true).await;
    }
}

/// Waits until nothing has happened to the file for a while; returns its stamp then.
async fn settle(path: &Path, events: &mut mpsc::Receiver<()>) -> Option<Stamp> {
    let begun = Instant::now();
    let (mut seen, mut since) = (Stamp::of(path), begun);
    while since.elapsed() < QUIET && begun.elapsed() < QUIET_MAX {
        // An event may be an old one of this file, or another file's: only the stamp tells.
        let _ = tokio::time::timeout_at(since + QUIET, events.recv()).await;
        let now = Stamp::of(path);
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn events_that_change_nothing_do_not_end_the_quiet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugin.wasm");
        fs::write(&path, "half").unwrap();
        let (sender, mut events) = mpsc::channel(1);
        sender.try_send(()).unwrap();
        let begun = Instant::now();
        let seen = settle(&path, &mut events).await;
        assert!(begun.elapsed() >= QUIET);
        assert_eq!(seen, Stamp::of(&path));
    }
}
