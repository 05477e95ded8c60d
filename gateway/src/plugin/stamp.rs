//! What tells one state of a file from another without reading it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A file as it was last seen. Any write, rename or replacement changes it; the times of the last
/// write and the length can be what they were, the time of the last change of any kind cannot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp {
    modified: (i64, i64),
    changed: (i64, i64),
    len: u64,
    file: (u64, u64),
}

impl Stamp {
    /// Follows links, so that a swapped link counts as a change. None if there is no such file.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            len: metadata.len(),
            file: (metadata.dev(), metadata.ino()),
        })
    }
}
