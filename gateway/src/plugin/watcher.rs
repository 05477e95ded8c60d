//! Reloads plugins whose files have changed.
//!
//! Folders are watched, not files: editors and deploys put a new file in the old one's place, and a
//! watch on a file would stay with the old one. Folders are replaced too, or are links that a deploy
//! swaps, so those in which that happens are watched as well. What an event says is not trusted
//! either; the file's own stamp is looked at.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
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
    _folders: Option<Rc<RefCell<Folders>>>,
}

/// Starts watching. Call in a local runtime; the loads themselves happen on the loader's thread.
pub fn watch(registry: &Arc<Registry>) -> notify::Result<Watch> {
    let (mut senders, mut files) = (Vec::new(), Vec::new());
    let plugins = registry.plugins().iter().enumerate();
    for (index, plugin) in plugins.filter(|(_, plugin)| plugin.is_watched()) {
        // One place is enough: what matters is that something happened, not how often.
        let (sender, events) = mpsc::channel(1);
        senders.push(sender);
        files.push((index, plugin.path().clone(), events));
    }
    if files.is_empty() {
        return Ok(Watch { _folders: None });
    }
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Our own reads of the file are no change.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            for sender in &senders {
                let _ = sender.try_send(());
            }
        }
    })?;
    let folders = Rc::new(RefCell::new(Folders {
        watcher,
        watched: HashMap::new(),
    }));
    for (index, path, events) in files {
        folders.borrow_mut().cover(&path)?;
        let folders = Rc::downgrade(&folders);
        let file = File { path, folders };
        tokio::task::spawn_local(follow(registry.clone(), index, file, events));
    }
    Ok(Watch {
        _folders: Some(folders),
    })
}

/// The folders with a watch.
struct Folders {
    watcher: RecommendedWatcher,
    /// Their inodes: one that was replaced needs another watch.
    watched: HashMap<PathBuf, u64>,
}

impl Folders {
    /// Watches all folders in which something can happen to the file.
    fn cover(&mut self, path: &Path) -> notify::Result<()> {
        for folder in folders(path) {
            let Ok(inode) = folder.metadata().map(|metadata| metadata.ino()) else {
                self.watched.remove(&folder);
                continue;
            };
            if self.watched.insert(folder.clone(), inode) != Some(inode) {
                // Of one that is watched for the first time there is nothing to end.
                let _ = self.watcher.unwatch(&folder);
                self.watcher.watch(&folder, RecursiveMode::NonRecursive)?;
            }
        }
        Ok(())
    }
}

/// The file's folder, the one that is in, and every folder on the way that holds a link or lacks
/// what should be there.
fn folders(path: &Path) -> Vec<PathBuf> {
    let named = |folder: &Path| match folder.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => folder.to_owned(),
    };
    let is_real = |path: &Path| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    let Some(folder) = path.parent() else {
        return Vec::new();
    };
    let replaceable = folder
        .ancestors()
        .filter(|part| *part == folder || !is_real(part));
    let above = replaceable.filter_map(Path::parent).map(named);
    std::iter::once(named(folder)).chain(above).collect()
}

/// A plugin's file.
struct File {
    path: PathBuf,
    folders: Weak<RefCell<Folders>>,
}

impl File {
    /// Its stamp now. Sees to it first that whatever happens after this is noticed.
    fn look(&self) -> Option<Stamp> {
        if let Some(folders) = self.folders.upgrade()
            && let Err(error) = folders.borrow_mut().cover(&self.path)
        {
            let path = self.path.display();
            tracing::warn!(%path, "failed to watch a folder: {error}; changes in it are not noticed");
        }
        Stamp::of(&self.path)
    }
}

/// Reloads one plugin whenever its file has changed and come to rest.
async fn follow(registry: Arc<Registry>, index: usize, file: File, mut events: mpsc::Receiver<()>) {
    let mut seen = file.look();
    while events.recv().await.is_some() {
        if file.look() == seen {
            continue;
        }
        seen = settle(&file, &mut events).await;
        let plugin = &*registry.plugins()[index].name().clone();
        if seen.is_none() {
            tracing::warn!(plugin, path = %file.path.display(), "the file is gone; the generation in place stays");
            continue;
        }
        // A refusal is in the log and the plugin's status.
        let _ = registry.reload(index, true).await;
    }
}

/// Waits until nothing has happened to the file for a while; returns its stamp then.
async fn settle(file: &File, events: &mut mpsc::Receiver<()>) -> Option<Stamp> {
    let begun = Instant::now();
    let (mut seen, mut since) = (file.look(), begun);
    while since.elapsed() < QUIET && begun.elapsed() < QUIET_MAX {
        // An event may be an old one of this file, or another file's: only the stamp tells.
        let _ = tokio::time::timeout_at(since + QUIET, events.recv()).await;
        let now = file.look();
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
        let folders = Weak::new();
        let file = File { path, folders };
        let seen = settle(&file, &mut events).await;
        assert!(begun.elapsed() >= QUIET);
        assert_eq!(seen, Stamp::of(&file.path));
    }

    #[test]
    fn folders_are_watched_in_which_a_part_of_the_path_may_be_replaced() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("a/releases/1/plugins")).unwrap();
        std::os::unix::fs::symlink("releases/1", root.join("a/current")).unwrap();
        let watched = |path: &str| {
            let found = folders(&root.join(path));
            let inside = found
                .iter()
                .filter_map(|folder| folder.strip_prefix(&root).ok());
            inside
                .map(|folder| folder.to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            watched("a/releases/1/chat.wasm"),
            ["a/releases/1", "a/releases"]
        );
        assert_eq!(
            watched("a/current/plugins/chat.wasm"),
            ["a/current/plugins", "a/current", "a"]
        );
        assert_eq!(
            watched("a/gone/too/chat.wasm"),
            ["a/gone/too", "a/gone", "a"]
        );
        assert_eq!(folders(Path::new("chat.wasm")), [Path::new(".")]);
    }
}
