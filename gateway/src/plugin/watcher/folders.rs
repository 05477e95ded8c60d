//! The folders in which something can happen to the files.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

/// The folders with a watch.
pub(super) struct Folders(Mutex<WatchedFolders>);

struct WatchedFolders {
    /// The system's watcher; none if the system has none for us.
    watcher: Option<RecommendedWatcher>,
    /// Their devices and inodes: one that was replaced needs another watch.
    folders: HashMap<PathBuf, (u64, u64)>,
}

impl Folders {
    /// No folder yet; `happened` is called, on a thread of the watcher's, when something happens in
    /// one of them. Without a watcher nothing ever is, and the log says why.
    pub(super) fn new(happened: impl Fn() + Send + 'static) -> Self {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Our own reads of the file are no change.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                happened();
            }
        });
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!(
                "the system tells of no changes of files ({error}): plugins' files are looked at now and then instead (`poll`): raise the sysctls fs.inotify.max_user_instances and fs.inotify.max_user_watches, or write `watch = false`"
            );
        });
        Self(Mutex::new(WatchedFolders {
            watcher: watcher.ok(),
            folders: HashMap::new(),
        }))
    }

    /// Watches all folders in which something can happen to the file. Looks at the disk.
    pub(super) fn cover(&self, path: &Path) -> notify::Result<()> {
        // Looked at before the lock: a disk that hangs must not hold the other files.
        let now: Vec<_> = folders(path)
            .into_iter()
            .map(|folder| {
                let metadata = folder.metadata().ok();
                let identity = metadata.map(|metadata| (metadata.dev(), metadata.ino()));
                (folder, identity)
            })
            .collect();
        // A panic in the watcher leaves a folder without a watch at worst.
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let WatchedFolders { watcher, folders } = &mut *watched;
        let Some(watcher) = watcher else {
            return Ok(());
        };
        for (folder, identity) in now {
            let Some(identity) = identity else {
                folders.remove(&folder);
                continue;
            };
            if folders.get(&folder) != Some(&identity) {
                // Of one that is watched for the first time there is nothing to end.
                let _ = watcher.unwatch(&folder);
                watcher.watch(&folder, RecursiveMode::NonRecursive)?;
                folders.insert(folder, identity);
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

#[cfg(test)]
mod tests {
    use super::*;

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
