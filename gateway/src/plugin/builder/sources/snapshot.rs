//! What is in the sources at one time.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::filter::Filter;
use crate::file;
use crate::plugin::identity::Digest;
use crate::plugin::stamp::Stamp;

/// Bytes of a file that are looked at; a larger one has changed when its stamp has.
const FILE_MAX: u64 = 16 << 20;
/// Files that are looked at: enough for any source, and an end to a folder of data beside it.
const FILES_MAX: usize = 100_000;

/// Each file with its contents.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    files: HashMap<PathBuf, (Stamp, Option<Digest>)>,
}

impl Snapshot {
    /// Looks at all sources. What has the stamp it had is not read again.
    pub(super) fn take(filter: &Filter, before: &Self) -> Self {
        let mut walk = Walk {
            filter,
            before,
            visited: HashSet::new(),
            now: Self::default(),
        };
        for root in &filter.roots {
            walk.folder(root);
        }
        walk.now
    }

    /// The files whose contents are others than they were, that are new, or that are gone.
    pub(super) fn changes(&self, before: &Self) -> BTreeSet<PathBuf> {
        let is_same = |path: &PathBuf| match (self.files.get(path), before.files.get(path)) {
            (Some((_, Some(now))), Some((_, Some(then)))) => now == then,
            (Some((now, None)), Some((then, None))) => now == then,
            _ => false,
        };
        let paths = self.files.keys().chain(before.files.keys());
        paths.filter(|path| !is_same(path)).cloned().collect()
    }
}

struct Walk<'a> {
    filter: &'a Filter,
    before: &'a Snapshot,
    /// By device and inode, as links may lead round in a circle.
    visited: HashSet<(u64, u64)>,
    now: Snapshot,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path) {
        let is_new = |visited: &mut HashSet<_>| {
            let metadata = folder.metadata().ok()?;
            Some(visited.insert((metadata.dev(), metadata.ino())))
        };
        // What can't be read now is gone as far as a build is concerned.
        if is_new(&mut self.visited) != Some(true) {
            return;
        }
        let entries = fs::read_dir(folder).into_iter().flatten();
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if self.now.files.len() >= FILES_MAX || !self.filter.is_source(&path) {
                continue;
            }
            match path.is_dir() {
                true => self.folder(&path),
                false => self.file(path),
            }
        }
    }

    fn file(&mut self, path: PathBuf) {
        let Some(stamp) = Stamp::of(&path) else {
            return;
        };
        let digest = match self.before.files.get(&path) {
            Some((before, digest)) if *before == stamp => *digest,
            _ => file::read(&path, FILE_MAX)
                .ok()
                .map(|bytes| Digest::of(&bytes)),
        };
        self.now.files.insert(path, (stamp, digest));
    }
}
