//! Compiled code on disk, so that a component is compiled once for a machine.
//!
//! Code is run as it is, so only our own is taken: `folder` holds a folder that nobody else can
//! write to, and each file in it ends in a code (HMAC) made with a key that is in the folder too.
//! What was written there while the folder was open to others has no such end.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use rustix::rand::{GetRandomFlags, getrandom};
use sha2::Sha256;

use super::code::Code;
use super::identity::Digest;
use crate::config;

mod folder;

use folder::Folder;

/// How many components' code is kept; the least recently written go first. More than a gateway's
/// plugins times their history, at half a megabyte each.
const FILES_MAX: usize = 256;
/// The file of the key, and its bytes.
const KEY: &str = "key";
const KEY_LEN: usize = 32;
/// The bytes at the end of each file.
const END_LEN: usize = 32;
/// Files that were not finished after so many seconds never will be.
const UNFINISHED_MAX: i64 = 3600;

/// The folder of compiled code; or none, and everything is compiled anew.
pub(super) struct Cache {
    shelf: Option<Shelf>,
    /// Stands for the engine's version and settings: other settings, other code.
    engine: u64,
}

/// A folder with its key.
struct Shelf {
    folder: Folder,
    key: [u8; KEY_LEN],
}

impl Cache {
    /// Opens the cache the configuration names. A folder that can't be trusted is not used, and
    /// the log says why.
    pub(super) fn open(config: &config::Cache, engine: &wasmtime::Engine) -> Self {
        let path = match config {
            config::Cache::Off => None,
            config::Cache::Directory(path) => Some(path.clone()),
            config::Cache::Default => default_folder(),
        };
        let shelf = path.and_then(|path| {
            Shelf::open(&path)
                .inspect_err(|error| {
                    tracing::warn!(path = %path.display(), "compiled code is not cached: {error}");
                })
                .ok()
        });
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let engine = hasher.finish();
        Self { shelf, engine }
    }

    /// The compiled code of the component with that digest, if it is here and we wrote it.
    pub(super) fn get(&self, digest: Digest) -> Option<Code> {
        let shelf = self.shelf.as_ref()?;
        let name = self.name(digest);
        let found = shelf.folder.read(&name).map(|bytes| {
            let bytes = bytes?;
            Some(shelf.open_end(&name, bytes))
        });
        match found {
            Ok(None) => None,
            Ok(Some(Some(code))) => Some(Code::trusted(code)),
            Ok(Some(None)) => {
                self.refuse(digest, "it is not as we wrote it");
                None
            }
            Err(error) => {
                self.refuse(digest, &error.to_string());
                None
            }
        }
    }

    /// Forgets code that can't be used, and says why.
    pub(super) fn refuse(&self, digest: Digest, why: &str) {
        let name = self.name(digest);
        tracing::warn!(name, "cached code is damaged: {why}: compiling anew");
        if let Some(shelf) = &self.shelf {
            // What can't be deleted is refused again.
            let _ = shelf.folder.remove(&name);
        }
    }

    /// Keeps a component's compiled code. A failure costs the next load a compilation and is only
    /// logged.
    pub(super) fn put(&self, digest: Digest, code: &Code) {
        let Some(shelf) = &self.shelf else { return };
        let name = self.name(digest);
        let kept = shelf
            .put(&name, code.bytes())
            .and_then(|()| shelf.prune(now()));
        if let Err(error) = kept {
            tracing::warn!(name, "failed to cache compiled code: {error}");
        }
    }

    fn name(&self, digest: Digest) -> String {
        format!("{digest}-{:016x}.cwasm", self.engine)
    }
}

impl Shelf {
    fn open(path: &Path) -> io::Result<Self> {
        let folder = Folder::open(path)?;
        let key = key(&folder)?;
        Ok(Self { folder, key })
    }

    fn put(&self, name: &str, code: &[u8]) -> io::Result<()> {
        let end = self.end(name, code).finalize().into_bytes();
        let unfinished = unfinished(name)?;
        self.folder.write(name, &unfinished, &[code, &end], true)
    }

    /// The code of a file, if its end is ours.
    fn open_end(&self, name: &str, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
        let (code, end) = bytes.split_last_chunk::<END_LEN>()?;
        self.end(name, code).verify_slice(end).ok()?;
        bytes.truncate(bytes.len() - END_LEN);
        Some(bytes)
    }

    /// The name is in it too: code of another component, under this one's name, is not this one's.
    fn end(&self, name: &str, code: &[u8]) -> Hmac<Sha256> {
        Hmac::<Sha256>::new_from_slice(&self.key)
            .expect("a key may have any length")
            .chain_update(name)
            .chain_update(code)
    }

    /// Deletes what is beyond the limit, and what was never finished. A folder may hold other
    /// people's files too: only names that we give are looked at.
    fn prune(&self, now: i64) -> io::Result<()> {
        let files = self.folder.files()?;
        let (mut whole, others): (Vec<_>, Vec<_>) = files
            .into_iter()
            .partition(|(_, name)| is_ours(name, "cwasm"));
        whole.sort();
        let beyond = whole.len().saturating_sub(FILES_MAX);
        let stale = others.iter().filter(|(written, name)| {
            now - written > UNFINISHED_MAX
                && name
                    .rsplit_once(".tmp-")
                    .is_some_and(|(stem, end)| is_hex(end, 16) && is_ours(stem, "cwasm"))
        });
        for (_, name) in whole[..beyond].iter().chain(stale) {
            self.folder.remove(name)?;
        }
        Ok(())
    }
}

/// The folder's key; made if there is none that is ours.
fn key(folder: &Folder) -> io::Result<[u8; KEY_LEN]> {
    let known = || match folder.read(KEY) {
        Ok(bytes) => Ok(bytes.and_then(|bytes| bytes.try_into().ok())),
        Err(error) => Err(error),
    };
    if let Ok(Some(key)) = known() {
        return Ok(key);
    }
    // Whatever is there instead was made while the folder was not ours alone.
    let _ = folder.remove(KEY);
    let key: [u8; KEY_LEN] = random()?;
    match folder.write(KEY, &unfinished(KEY)?, &[&key], false) {
        Ok(()) => Ok(key),
        // Another gateway that starts now was first.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            known()?.ok_or_else(|| io::Error::other("the key is not ours"))
        }
        Err(error) => Err(error),
    }
}

/// A name beside `name` that nobody else uses.
fn unfinished(name: &str) -> io::Result<String> {
    let number = u64::from_ne_bytes(random()?);
    Ok(format!("{name}.tmp-{number:016x}"))
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let filled = getrandom(&mut bytes, GetRandomFlags::empty())?;
    match filled == N {
        true => Ok(bytes),
        false => Err(io::Error::other("the system gave too few random bytes")),
    }
}

/// Whether it is a name that we give: a digest, an engine, and that ending.
fn is_ours(name: &str, ending: &str) -> bool {
    let parts = name.strip_suffix(ending).and_then(|name| {
        let (digest, engine) = name.strip_suffix('.')?.split_once('-')?;
        Some(is_hex(digest, 64) && is_hex(engine, 16))
    });
    parts.unwrap_or(false)
}

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Seconds since 1970, as the file system counts.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs().cast_signed())
}

fn default_folder() -> Option<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    if base.is_none() {
        tracing::warn!(
            "compiled code is not cached, and each start compiles every plugin: neither XDG_CACHE_HOME nor HOME is set: set `engine.cache` to a folder, or to \"off\""
        );
    }
    base.map(|base| base.join("tidegate"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const NAME: &str =
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef-0123456789abcdef.cwasm";

    fn named(number: usize) -> String {
        format!("{number:064x}-0123456789abcdef.cwasm")
    }

    #[test]
    fn only_what_was_written_with_the_key_is_opened() {
        let root = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(root.path()).unwrap();
        shelf.put(NAME, b"code").unwrap();
        let bytes = shelf.folder.read(NAME).unwrap().unwrap();
        assert_eq!(shelf.open_end(NAME, bytes.clone()).unwrap(), b"code");
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert_eq!(shelf.open_end(NAME, other), None, "{at}");
        }
        assert_eq!(shelf.open_end(&named(1), bytes.clone()), None);
        assert_eq!(shelf.open_end(NAME, b"short".to_vec()), None);
        // The key stays over a restart; another folder has another one.
        let again = Shelf::open(root.path()).unwrap();
        assert!(again.open_end(NAME, bytes.clone()).is_some());
        let other = tempfile::tempdir().unwrap();
        let other = Shelf::open(other.path()).unwrap();
        assert_eq!(other.open_end(NAME, bytes), None);
    }

    #[test]
    fn a_key_that_others_could_read_is_replaced_and_its_code_refused() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(root.path()).unwrap();
        shelf.put(NAME, b"code").unwrap();
        let bytes = shelf.folder.read(NAME).unwrap().unwrap();
        let key = root.path().join(KEY);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let again = Shelf::open(root.path()).unwrap();
        assert_eq!(again.open_end(NAME, bytes), None);
    }

    #[test]
    fn files_of_others_are_never_deleted() {
        let root = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(root.path()).unwrap();
        let theirs = [
            "holiday.jpg",
            "module.cwasm",
            "notes.tmp-0123456789abcdef",
            "0123-4567.cwasm",
            &NAME.to_uppercase(),
            &format!("{NAME}.bak"),
            &format!("{NAME}.tmp-1"),
        ];
        for name in theirs {
            fs::write(root.path().join(name), "theirs").unwrap();
        }
        for number in 0..FILES_MAX + 3 {
            fs::write(root.path().join(named(number)), "ours").unwrap();
        }
        let stale = format!("{NAME}.tmp-0123456789abcdef");
        fs::write(root.path().join(&stale), "half").unwrap();
        shelf.prune(now() + UNFINISHED_MAX / 2).unwrap();
        let left = || {
            let files = shelf.folder.files().unwrap();
            files.into_iter().map(|(_, name)| name).collect::<Vec<_>>()
        };
        let whole = |names: &[String]| names.iter().filter(|name| is_ours(name, "cwasm")).count();
        assert_eq!(whole(&left()), FILES_MAX);
        assert!(left().contains(&stale), "it may still be written");
        shelf.prune(now() + UNFINISHED_MAX * 2).unwrap();
        assert!(!left().contains(&stale));
        for name in theirs {
            assert!(left().iter().any(|left| left == name), "{name}");
        }
    }
}
