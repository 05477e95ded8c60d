//! Compiled code on disk, so that a component is compiled once for a machine.
//!
//! Loading compiled code is `unsafe`: it is run as it is. So it comes only from a directory that
//! belongs to us and that no one else can write to, from a file whose name holds the hash of the
//! component and of the engine's settings and whose end holds the hash of what is in it.

use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use wasmtime::component::Component;

use super::generation::Digest;
use crate::config;

/// How many components' code is kept; the least recently written go first. More than a gateway's
/// plugins times their history, at half a megabyte each.
const FILES_MAX: usize = 256;
const DIGEST_LEN: usize = 32;

/// The directory of compiled code; or none, and everything is compiled anew.
pub(super) struct Cache {
    directory: Option<PathBuf>,
    /// Stands for the engine's version and settings: other settings, other code.
    engine: u64,
}

impl Cache {
    /// Opens the cache the configuration names. A directory that can't be trusted is not used, and
    /// the log says why.
    pub(super) fn open(config: &config::Cache, engine: &wasmtime::Engine) -> Self {
        let directory = match config {
            config::Cache::Off => None,
            config::Cache::Directory(path) => Some(path.clone()),
            config::Cache::Default => default_directory(),
        };
        let trusted = directory.and_then(|path| match prepare(&path) {
            Ok(()) => Some(path),
            Err(error) => {
                tracing::warn!(path = %path.display(), "compiled code is not cached: {error}");
                None
            }
        });
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Self {
            directory: trusted,
            engine: hasher.finish(),
        }
    }

    /// The compiled code of the component with that digest, if it is here and whole.
    pub(super) fn get(&self, engine: &wasmtime::Engine, digest: Digest) -> Option<Component> {
        let path = self.path(digest)?;
        let bytes = fs::read(&path).ok()?;
        let component = bytes
            .split_last_chunk::<DIGEST_LEN>()
            .filter(|(code, end)| Digest::of(code).0 == **end)
            .and_then(|(code, _)| deserialize(engine, code));
        if component.is_none() {
            tracing::warn!(path = %path.display(), "cached code is damaged: compiling anew");
            let _ = fs::remove_file(&path);
        }
        component
    }

    /// Keeps a component's compiled code. A failure costs the next load a compilation and is only
    /// logged.
    pub(super) fn put(&self, digest: Digest, component: &Component) {
        let (Some(directory), Some(path)) = (&self.directory, self.path(digest)) else {
            return;
        };
        let kept = component
            .serialize()
            .map_err(io::Error::other)
            .and_then(|code| {
                write_whole(&path, &code)?;
                prune(directory)
            });
        if let Err(error) = kept {
            tracing::warn!(path = %path.display(), "failed to cache compiled code: {error}");
        }
    }

    fn path(&self, digest: Digest) -> Option<PathBuf> {
        let name = format!("{digest}-{:016x}.cwasm", self.engine);
        self.directory
            .as_ref()
            .map(|directory| directory.join(name))
    }
}

#[expect(unsafe_code, reason = "loading compiled code is what the cache is for")]
fn deserialize(engine: &wasmtime::Engine, code: &[u8]) -> Option<Component> {
    // SAFETY: `code` must come from `Component::serialize` of a compatible engine, unchanged.
    // `put` alone writes these files, whole or not at all; the directory is writable to our user
    // only (`prepare`); the trailing digest shows that the bytes are those written; and the name
    // holds the hash of engine version and settings, which wasmtime checks once more.
    let component = unsafe { Component::deserialize(engine, code) };
    component
        .inspect_err(|error| tracing::warn!("cached code was refused: {error:#}"))
        .ok()
}

fn default_directory() -> Option<PathBuf> {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let base = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    base.map(|base| base.join("tidegate"))
}

/// Makes the directory, for us alone, or checks that it is.
fn prepare(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let metadata = fs::metadata(path)?;
    let ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if !ours || metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other(
            "others can write to the directory: make it yours and run `chmod 700` on it, or set `engine.cache` to another",
        ));
    }
    Ok(())
}

/// Writes `code` and its digest under `path`, so that no one ever sees half a file there.
fn write_whole(path: &Path, code: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension(format!("tmp-{}", std::process::id()));
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(code)?;
    file.write_all(&Digest::of(code).0)?;
    file.sync_data()?;
    fs::rename(&unfinished, path)
}

fn prune(directory: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        files.push((entry.metadata()?.modified()?, entry.path()));
    }
    if files.len() > FILES_MAX {
        files.sort();
        for (_, path) in &files[..files.len() - FILES_MAX] {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
