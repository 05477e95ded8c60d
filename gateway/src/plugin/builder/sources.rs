//! The files a build is made of, watched for changes.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::Builder;

/// Editors save in several steps and formatters follow: a save is over after so long without one.
const QUIET: Duration = Duration::from_millis(50);
/// A folder in which something happens all the time counts as changed after this all the same.
const QUIET_MAX: Duration = Duration::from_secs(1);

/// The sources of all that a builder builds and of its dependencies on this machine, until dropped.
///
/// What matters is that something changed, not how often: changes during a build are one change
/// after it.
pub struct Sources {
    watcher: RecommendedWatcher,
    filter: Filter,
    /// Folders with a watch, by inode: one that was replaced, as git does, needs another.
    watched: HashMap<PathBuf, u64>,
    events: mpsc::Receiver<()>,
}

impl Sources {
    /// Starts watching what `builder` builds from.
    pub fn watch(builder: &Builder) -> notify::Result<Self> {
        let mut roots: Vec<_> = builder
            .components()
            .flat_map(|each| each.roots.clone())
            .collect();
        roots.sort();
        roots.dedup();
        let filter = Filter {
            roots,
            target_folder: builder.project.target_folder.clone(),
        };
        let (sender, events) = mpsc::channel(1);
        let relevant = filter.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| relevant.is_change(&event)) {
                // A full channel already says that there is something to build.
                let _ = sender.try_send(());
            }
        })?;
        let mut sources = Self {
            watcher,
            filter,
            watched: HashMap::new(),
            events,
        };
        sources.cover()?;
        Ok(sources)
    }

    /// Waits for the next save, and for its end. One that came while nobody waited counts.
    pub async fn changed(&mut self) {
        if self.events.recv().await.is_none() {
            // Only the watcher's end closes the channel, and we own the watcher.
            std::future::pending::<()>().await;
        }
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < QUIET_MAX
            && tokio::time::timeout(QUIET, self.events.recv())
                .await
                .is_ok()
        {}
        if let Err(error) = self.cover() {
            tracing::warn!("failed to watch a new folder: {error}; saves in it are not noticed");
        }
    }

    /// Watches all folders of sources. The folder for what cargo builds is often among them and
    /// has thousands of its own, so a root is watched by its parts.
    fn cover(&mut self) -> notify::Result<()> {
        for root in self.filter.roots.clone() {
            self.add(&root, RecursiveMode::NonRecursive)?;
            let entries = std::fs::read_dir(&root).into_iter().flatten();
            for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
                if path.is_dir() && self.filter.is_source(&path) {
                    self.add(&path, RecursiveMode::Recursive)?;
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, folder: &Path, mode: RecursiveMode) -> notify::Result<()> {
        // One that is gone again is no longer of interest.
        let Ok(metadata) = folder.metadata() else {
            return Ok(());
        };
        if self.watched.insert(folder.to_owned(), metadata.ino()) == Some(metadata.ino()) {
            return Ok(());
        }
        self.watcher.watch(folder, mode)
    }
}

/// Tells sources from everything else in their folders.
#[derive(Clone, Debug)]
struct Filter {
    roots: Vec<PathBuf>,
    target_folder: PathBuf,
}

impl Filter {
    fn is_change(&self, event: &notify::Event) -> bool {
        // The compiler reads these files. And when the system lost count of events, it names none.
        !event.kind.is_access()
            && (event.need_rescan() || event.paths.iter().any(|path| self.is_source(path)))
    }

    fn is_source(&self, path: &Path) -> bool {
        // Roots may lie in one another; the innermost counts.
        let inside = self
            .roots
            .iter()
            .filter_map(|root| path.strip_prefix(root).ok());
        let Some(inside) = inside.min_by_key(|inside| inside.components().count()) else {
            return false;
        };
        let mut names = inside
            .components()
            .map(|part| part.as_os_str().to_string_lossy());
        !path.starts_with(&self.target_folder)
            && !inside.starts_with("target")
            && !names.any(|name| is_hidden(&name) || is_of_an_editor(&name))
            // Cargo writes it in a plugin's first build, which would make a second of it.
            && inside != Path::new("Cargo.lock")
    }
}

fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
}

/// Whether an editor keeps such files beside those it edits: backups, Emacs's and JetBrains's
/// unsaved text, and what vim writes to see whether it may.
fn is_of_an_editor(name: &str) -> bool {
    name.ends_with('~')
        || name == "4913"
        || name.contains("___jb_")
        || (name.starts_with('#') && name.ends_with('#'))
}

#[cfg(test)]
mod tests {
    use notify::event::{AccessKind, CreateKind, EventKind};

    use super::super::project::{Component, Project};
    use super::*;

    fn filter() -> Filter {
        Filter {
            roots: vec!["/w/chat".into(), "/w".into()],
            target_folder: "/w/out".into(),
        }
    }

    #[test]
    fn what_a_build_is_made_of_is_source() {
        for path in [
            "Cargo.toml",
            "src/lib.rs",
            "build.rs",
            "src/target/mod.rs",
            "words.txt",
        ] {
            assert!(
                filter().is_source(&Path::new("/w/chat").join(path)),
                "{path}"
            );
        }
        assert!(filter().is_source(Path::new("/w/words/src/lib.rs")));
    }

    #[test]
    fn what_tools_leave_is_not() {
        for path in [
            "target/release/chat.wasm",
            ".git/index",
            "src/.lib.rs.swp",
            "src/.#lib.rs",
            "src/lib.rs~",
            "src/#lib.rs#",
            "src/4913",
            "src/lib.rs___jb_tmp___",
            "Cargo.lock",
        ] {
            assert!(
                !filter().is_source(&Path::new("/w/chat").join(path)),
                "{path}"
            );
        }
        assert!(!filter().is_source(Path::new("/w/out/release/chat.wasm")));
        assert!(!filter().is_source(Path::new("/elsewhere/src/lib.rs")));
    }

    #[test]
    fn reading_a_source_is_no_change() {
        let event = |kind| notify::Event::new(kind).add_path("/w/chat/src/lib.rs".into());
        assert!(filter().is_change(&event(EventKind::Create(CreateKind::File))));
        assert!(!filter().is_change(&event(EventKind::Access(AccessKind::Read))));
    }

    #[tokio::test]
    async fn a_save_in_several_steps_is_one_change() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("src")).unwrap();
        let mut sources = sources_of(&root);
        for text in ["a", "ab", "abc"] {
            std::fs::write(root.join("src/lib.rs~"), text).unwrap();
            std::fs::write(root.join("src/lib.rs"), text).unwrap();
        }
        sources.changed().await;
        let again = tokio::time::timeout(QUIET * 4, sources.changed()).await;
        assert!(again.is_err(), "one save, one build");
    }

    #[tokio::test]
    async fn a_new_folder_is_watched_too() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let mut sources = sources_of(&root);
        std::fs::create_dir(root.join("src")).unwrap();
        sources.changed().await;
        std::fs::write(root.join("src/lib.rs"), "a").unwrap();
        let noticed = tokio::time::timeout(Duration::from_secs(5), sources.changed()).await;
        assert!(noticed.is_ok());
    }

    fn sources_of(root: &Path) -> Sources {
        let component = Component {
            package: "chat".to_owned(),
            library: "chat".to_owned(),
            manifest: root.join("Cargo.toml"),
            source: root.join("src/lib.rs"),
            roots: vec![root.to_owned()],
        };
        let project = Project {
            component,
            neighbours: Vec::new(),
            folder: root.to_owned(),
            target_folder: root.join("target"),
            usual_target_folder: root.join("target"),
        };
        let others = Vec::new();
        Sources::watch(&Builder { project, others }).unwrap()
    }
}
