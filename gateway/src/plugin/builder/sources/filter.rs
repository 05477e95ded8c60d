//! What is source and what is not.

use std::path::{Path, PathBuf};

/// Tells sources from everything else in their folders.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub(super) roots: Vec<PathBuf>,
    pub(super) target_folder: PathBuf,
}

impl Filter {
    pub(super) fn is_change(&self, event: &notify::Event) -> bool {
        // The compiler reads these files. And when the system lost count of events, it names none.
        !event.kind.is_access()
            && (event.need_rescan() || event.paths.iter().any(|path| self.is_source(path)))
    }

    pub(super) fn is_source(&self, path: &Path) -> bool {
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
}
