//! The files a build is made of, watched for changes.
//!
//! An event only says that something may have happened; a change is other contents. And a build may
//! write among its own sources (a build script that generates code does): what changes in one build
//! after another, with nobody else at work, is the builds' own.

use std::collections::{BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::Builder;

mod filter;
mod snapshot;

use filter::Filter;
use snapshot::Snapshot;

/// Editors save in several steps and formatters follow: a save is over after so long without one.
const QUIET: Duration = Duration::from_millis(50);
/// A folder in which something happens all the time counts as changed after this all the same.
const QUIET_MAX: Duration = Duration::from_secs(1);
/// How often sources are looked at without an event: none comes from another machine's file system,
/// nor when the system has no watches left.
const POLL: Duration = Duration::from_secs(2);
/// Looks take at most this part of the time.
const POLL_SHARE: u32 = 50;
/// In how many builds without a pause a file changes before it is the builds' own.
const OWN_AFTER: u32 = 3;

/// The sources of all that a builder builds and of its dependencies on this machine, until dropped.
///
/// What matters is that something changed, not how often: changes during a build are one change
/// after it.
pub struct Sources {
    watcher: Option<RecommendedWatcher>,
    filter: Filter,
    /// Folders with a watch, by inode: one that was replaced, as git does, needs another.
    watched: HashMap<PathBuf, u64>,
    events: mpsc::Receiver<()>,
    /// Where no watcher has one, so that the events never end.
    _sender: mpsc::Sender<()>,
    /// What the last build began with.
    built: Arc<Snapshot>,
    /// In how many builds in a row each file has changed.
    streaks: HashMap<PathBuf, u32>,
    poll: Duration,
}

impl Sources {
    /// Starts watching what `builder` builds from. Where the system does not tell of changes, the log
    /// says so, and they are found a little later.
    pub fn watch(builder: &Builder) -> Self {
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
        let (relevant, to) = (filter.clone(), sender.clone());
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| relevant.is_change(&event)) {
                // A full channel already says that there is something to build.
                let _ = to.try_send(());
            }
        });
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!("the system tells of no saves ({error}): sources are looked at every few seconds instead: raise the sysctls fs.inotify.max_user_instances and fs.inotify.max_user_watches");
        });
        let mut sources = Self {
            watcher: watcher.ok(),
            built: Arc::new(Snapshot::take(&filter, &Snapshot::default())),
            filter,
            watched: HashMap::new(),
            events,
            _sender: sender,
            streaks: HashMap::new(),
            poll: POLL,
        };
        sources.cover();
        // What was saved before the watches stood is in the first build.
        sources.built = Arc::new(Snapshot::take(&sources.filter, &sources.built));
        sources
    }

    /// Waits, after a build, for the next save and for its end. One that came during the build counts.
    pub async fn changed(&mut self) {
        let during = self.look().await;
        if self.is_news(during) {
            return;
        }
        loop {
            self.may_have_changed().await;
            self.cover();
            let saved = self.look().await;
            if !saved.is_empty() {
                // Somebody is at work, so what builds did before proves nothing.
                self.streaks.clear();
                return;
            }
        }
    }

    /// Whether what changed during a build calls for another.
    fn is_news(&mut self, during: BTreeSet<PathBuf>) -> bool {
        self.streaks.retain(|path, _| during.contains(path));
        let mut is_news = false;
        for path in during {
            let streak = self.streaks.entry(path.clone()).or_default();
            *streak += 1;
            is_news |= *streak < OWN_AFTER;
            if *streak == OWN_AFTER {
                tracing::warn!(path = %path.display(), "the file changes in every build, so that is no reason for another one: let the build script write it to OUT_DIR");
            }
        }
        is_news
    }

    /// Waits until something may have been saved, and for the end of it.
    async fn may_have_changed(&mut self) {
        // No event in time is a reason to look too. The events never end, as the sender is here.
        if tokio::time::timeout(self.poll, self.events.recv())
            .await
            .is_err()
        {
            return;
        }
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < QUIET_MAX
            && tokio::time::timeout(QUIET, self.events.recv())
                .await
                .is_ok()
        {}
    }

    /// The files that changed since the last look.
    async fn look(&mut self) -> BTreeSet<PathBuf> {
        let (filter, before) = (self.filter.clone(), self.built.clone());
        let look = move || {
            let begun = Instant::now();
            let now = Snapshot::take(&filter, &before);
            let changes = now.changes(&before);
            (now, changes, begun.elapsed())
        };
        let Ok((now, changes, took)) = tokio::task::spawn_blocking(look).await else {
            // A panic in it has been told; the next look may go well.
            return BTreeSet::new();
        };
        self.built = Arc::new(now);
        self.poll = POLL.max(took * POLL_SHARE);
        changes
    }

    /// Watches all folders of sources. The folder for what cargo builds is often among them and
    /// has thousands of its own, so a root is watched by its parts.
    fn cover(&mut self) {
        for root in self.filter.roots.clone() {
            self.add(&root, RecursiveMode::NonRecursive);
            let entries = std::fs::read_dir(&root).into_iter().flatten();
            for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
                if path.is_dir() && self.filter.is_source(&path) {
                    self.add(&path, RecursiveMode::Recursive);
                }
            }
        }
    }

    fn add(&mut self, folder: &Path, mode: RecursiveMode) {
        // One that is gone again is no longer of interest.
        let (Some(watcher), Ok(metadata)) = (&mut self.watcher, folder.metadata()) else {
            return;
        };
        // One that cannot be watched is told of once.
        if self.watched.insert(folder.to_owned(), metadata.ino()) == Some(metadata.ino()) {
            return;
        }
        if let Err(error) = watcher.watch(folder, mode) {
            let folder = folder.display();
            tracing::warn!(%folder, "failed to watch a folder: {error}; saves in it are found a little later: raise the sysctl fs.inotify.max_user_watches");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::project::{Component, Project};
    use super::*;

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
        // Only an event can tell in time.
        sources.poll = Duration::from_secs(3600);
        std::fs::create_dir(root.join("src")).unwrap();
        sources.may_have_changed().await;
        sources.cover();
        std::fs::write(root.join("src/lib.rs"), "a").unwrap();
        sources.may_have_changed().await;
        assert_eq!(sources.look().await.len(), 1);
    }

    /// A package with a source, and what watches it.
    fn package() -> (tempfile::TempDir, PathBuf, Sources) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("src")).unwrap();
        std::fs::write(root.join("src/lib.rs"), "a").unwrap();
        let sources = sources_of(&root);
        (folder, root, sources)
    }

    #[tokio::test]
    async fn the_same_contents_are_no_change() {
        let (_folder, root, mut sources) = package();
        let source = root.join("src/lib.rs");
        std::fs::write(&source, "a").unwrap();
        assert!(sources.look().await.is_empty());
        std::fs::write(&source, "b").unwrap();
        assert_eq!(sources.look().await, [source.clone()].into());
        std::fs::remove_file(&source).unwrap();
        assert_eq!(sources.look().await, [source].into());
        assert!(sources.look().await.is_empty());
    }

    #[tokio::test]
    async fn what_every_build_writes_starts_no_more_builds() {
        let (_folder, root, mut sources) = package();
        let build = |number: u32| std::fs::write(root.join("src/made.rs"), number.to_string());
        let mut builds = 0;
        loop {
            builds += 1;
            build(builds).unwrap();
            let during = sources.look().await;
            if !sources.is_news(during) {
                break;
            }
        }
        assert_eq!(builds, OWN_AFTER);
        // What somebody saves during a build is built all the same.
        build(100).unwrap();
        std::fs::write(root.join("src/lib.rs"), "b").unwrap();
        let during = sources.look().await;
        assert!(sources.is_news(during));
    }

    #[tokio::test]
    async fn without_events_saves_are_found_by_looking() {
        let (_folder, root, mut sources) = package();
        sources.watcher = None;
        sources.poll = Duration::from_millis(1);
        assert!(sources.look().await.is_empty());
        let saved = tokio::spawn(async move {
            tokio::time::sleep(QUIET).await;
            std::fs::write(root.join("src/lib.rs"), "b").unwrap();
        });
        tokio::time::timeout(Duration::from_secs(60), sources.changed())
            .await
            .expect("it is found");
        saved.await.unwrap();
    }

    #[test]
    fn links_that_lead_round_have_an_end() {
        let (_folder, root, sources) = package();
        std::os::unix::fs::symlink(&root, root.join("src/round")).unwrap();
        let now = Snapshot::take(&sources.filter, &Snapshot::default());
        assert!(now.changes(&sources.built).is_empty());
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
        Sources::watch(&Builder { project, others })
    }
}
