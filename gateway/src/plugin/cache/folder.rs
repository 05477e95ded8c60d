//! A folder that nobody else can write to, held open, and the files in it that are ours.
//!
//! A name proves nothing: whoever can write to a folder above puts another one in its place. So the
//! way down is walked from the root, one part at a time and through no link, and each part must be
//! ours or root's; and what is opened at the end stays open, and files are found through it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

/// Bits that let others write.
const WRITABLE: u32 = 0o022;
/// In such a folder only owners rename and delete, as in `/tmp`.
const STICKY: u32 = 0o1000;
const ACCESS: u32 = 0o777;
const READ: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC);

/// A folder that nobody else can write to.
pub(super) struct Folder {
    fd: OwnedFd,
}

impl Folder {
    /// Opens the folder, and makes what is missing of it for us alone. An error says who could
    /// write there, and what to do.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut at = PathBuf::from("/");
        let mut fd = rustix::fs::openat(
            CWD,
            &at,
            OFlags::PATH | OFlags::DIRECTORY | READ,
            Mode::empty(),
        )?;
        for name in resolve(path)?.components() {
            let Component::Normal(name) = name else {
                continue;
            };
            trust_above(&rustix::fs::fstat(&fd)?, &at)?;
            at.push(name);
            fd = step(&fd, Path::new(name)).map_err(|error| named(&at, error))?;
        }
        // What was walked through cannot be listed; the folder itself has to be.
        let fd = rustix::fs::openat(&fd, ".", OFlags::DIRECTORY | READ, Mode::empty())
            .map_err(|error| named(&at, error))?;
        trust_ours(&rustix::fs::fstat(&fd)?, &at)?;
        Ok(Self { fd })
    }

    /// The bytes of a file of ours; none if there is no such file. A file that somebody else made,
    /// may write to, or has another name for, is an error.
    pub(super) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        // Somebody may have opened the folder to others since.
        trust_ours(&rustix::fs::fstat(&self.fd)?, Path::new("the folder"))?;
        let flags = READ | OFlags::NONBLOCK;
        let file = match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let stat = rustix::fs::fstat(&file)?;
        let is_file = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
        if !is_file || !is_ours(&stat) || stat.st_nlink != 1 || mode(&stat) & 0o077 != 0 {
            return Err(io::Error::other("it is not a file of ours alone"));
        }
        let mut bytes = Vec::new();
        File::from(file).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Writes a file so that nobody ever sees half of it, by way of the file `unfinished`. With
    /// `replace` it takes the place of an earlier one; else that is an error.
    pub(super) fn write(
        &self,
        name: &str,
        unfinished: &str,
        parts: &[&[u8]],
        replace: bool,
    ) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | READ;
        let mode = Mode::RUSR | Mode::WUSR;
        let mut file = File::from(rustix::fs::openat(&self.fd, unfinished, flags, mode)?);
        let flags = match replace {
            true => RenameFlags::empty(),
            false => RenameFlags::NOREPLACE,
        };
        let written = parts
            .iter()
            .try_for_each(|part| file.write_all(part))
            .and_then(|()| file.sync_data())
            .and_then(|()| {
                let (from, to) = (unfinished, name);
                Ok(rustix::fs::renameat_with(
                    &self.fd, from, &self.fd, to, flags,
                )?)
            });
        if written.is_err() {
            // A disk that is full now should have room again.
            let _ = self.remove(unfinished);
        }
        written
    }

    /// Deletes a file.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// The regular files whose names are text, each with the second of its last write.
    pub(super) fn files(&self) -> io::Result<Vec<(i64, String)>> {
        let mut files = Vec::new();
        for entry in Dir::read_from(&self.fd)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            // One that is gone again is none.
            let Ok(stat) = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
                files.push((stat.st_mtime, name.to_owned()));
            }
        }
        Ok(files)
    }
}

/// The path without links, as far as it is there.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    for there in path.ancestors() {
        match there.canonicalize() {
            Ok(real) => {
                let missing = path.strip_prefix(there).unwrap_or(Path::new(""));
                return Ok(real.join(missing));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(named(there, error)),
        }
    }
    Ok(path)
}

/// Opens the folder `name` in another, or makes it for us alone.
fn step(above: &OwnedFd, name: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | READ;
    let open = || rustix::fs::openat(above.as_fd(), name, flags, Mode::empty());
    match open() {
        Err(Errno::NOENT) => match rustix::fs::mkdirat(above, name, Mode::RWXU) {
            // Another gateway that starts now may have been first.
            Ok(()) | Err(Errno::EXIST) => Ok(open()?),
            Err(error) => Err(error.into()),
        },
        opened => Ok(opened?),
    }
}

/// Whether nobody but us and root can exchange what is in a folder above ours.
fn trust_above(stat: &Stat, path: &Path) -> io::Result<()> {
    if !is_ours(stat) && stat.st_uid != 0 {
        return Err(io::Error::other(format!(
            "{path:?} above it belongs to user {}, who could put another folder in its place: set `engine.cache` to one below folders of yours",
            stat.st_uid
        )));
    }
    if mode(stat) & WRITABLE != 0 && mode(stat) & STICKY == 0 {
        return Err(io::Error::other(format!(
            "others can write to {path:?} above it (mode {:o}): run `chmod go-w` on that, or set `engine.cache` to another folder",
            mode(stat)
        )));
    }
    Ok(())
}

/// Whether nobody but us can write to our folder.
fn trust_ours(stat: &Stat, path: &Path) -> io::Result<()> {
    if is_ours(stat) && mode(stat) & WRITABLE == 0 {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "others can write to {path:?} (owner {}, mode {:o}): make it yours and run `chmod 700` on it, or set `engine.cache` to another",
        stat.st_uid,
        mode(stat)
    )))
}

fn is_ours(stat: &Stat) -> bool {
    stat.st_uid == rustix::process::geteuid().as_raw()
}

fn mode(stat: &Stat) -> u32 {
    stat.st_mode & (STICKY | ACCESS)
}

fn named(path: &Path, error: impl Into<io::Error>) -> io::Error {
    let error = error.into();
    io::Error::new(error.kind(), format!("{path:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    fn allow(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn refusal(path: &Path) -> String {
        Folder::open(path).err().expect("refused").to_string()
    }

    #[test]
    fn what_is_missing_is_made_for_us_alone() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        Folder::open(&path).unwrap();
        for made in [&*path, path.parent().unwrap()] {
            assert_eq!(fs::metadata(made).unwrap().mode() & 0o777, 0o700);
        }
        Folder::open(&path).unwrap();
    }

    #[test]
    fn a_folder_above_that_others_can_write_to_is_refused_and_named() {
        let root = tempfile::tempdir().unwrap();
        let open = root.path().join("open");
        fs::create_dir_all(open.join("between/code")).unwrap();
        for mode in [0o777, 0o775] {
            allow(&open, mode);
            let words = refusal(&open.join("between/code"));
            assert!(words.contains("chmod go-w"), "{words}");
            assert!(words.contains("open\" above"), "{words}");
        }
        allow(&open, 0o1777);
        Folder::open(&open.join("between/code")).unwrap();
    }

    #[test]
    fn the_folder_itself_must_be_ours_alone_even_if_sticky() {
        let root = tempfile::tempdir().unwrap();
        for mode in [0o777, 0o720, 0o1777] {
            allow(root.path(), mode);
            assert!(refusal(root.path()).contains("chmod 700"));
        }
    }

    #[test]
    fn a_link_on_the_way_is_resolved_first_and_its_own_parents_count() {
        let root = tempfile::tempdir().unwrap();
        let open = root.path().join("open");
        fs::create_dir_all(open.join("code")).unwrap();
        let link = root.path().join("link");
        std::os::unix::fs::symlink(open.join("code"), &link).unwrap();
        Folder::open(&link).unwrap();
        allow(&open, 0o777);
        assert!(refusal(&link).contains("chmod go-w"));
    }

    #[test]
    fn the_folder_stays_the_same_when_its_name_leads_elsewhere() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("code");
        let folder = Folder::open(&path).unwrap();
        folder.write("a", "a~", &[b"ours"], true).unwrap();
        fs::rename(&path, root.path().join("moved")).unwrap();
        fs::create_dir(&path).unwrap();
        fs::write(path.join("a"), "theirs").unwrap();
        assert_eq!(folder.read("a").unwrap().unwrap(), b"ours");
    }

    #[test]
    fn files_that_others_share_in_are_not_read() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        let at = |name: &str| root.path().join(name);
        folder.write("wide", "~", &[b"code"], true).unwrap();
        allow(&at("wide"), 0o640);
        folder.write("twice", "~", &[b"code"], true).unwrap();
        fs::hard_link(at("twice"), at("other-name")).unwrap();
        folder.write("whole", "~", &[b"co", b"de"], true).unwrap();
        std::os::unix::fs::symlink(at("whole"), at("link")).unwrap();
        rustix::fs::mkfifoat(CWD, at("fifo"), Mode::RUSR).unwrap();
        for name in ["wide", "twice", "link", "fifo"] {
            assert!(folder.read(name).is_err(), "{name}");
        }
        assert_eq!(folder.read("whole").unwrap().unwrap(), b"code");
        assert!(folder.read("none").unwrap().is_none());
        // Opened to others while we hold it.
        allow(root.path(), 0o777);
        assert!(folder.read("whole").is_err());
    }

    #[test]
    fn a_file_is_only_replaced_by_who_means_to() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        folder.write("a", "a~", &[b"1"], false).unwrap();
        assert!(folder.write("a", "a~", &[b"2"], false).is_err());
        assert_eq!(folder.read("a").unwrap().unwrap(), b"1");
        folder.write("a", "a~", &[b"3"], true).unwrap();
        assert_eq!(folder.read("a").unwrap().unwrap(), b"3");
        assert_eq!(folder.files().unwrap().len(), 1, "nothing unfinished stays");
    }
}
