//! The way from a file to a generation: read, compile or find compiled, link, check. Every step
//! has its own error, in words.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasmtime::component::Component;

use super::cache::Cache;
use super::contract::ContractError;
use super::engine::Engine;
use super::generation::{CheckError, Digest, Generation, Identity};

/// The largest component that is read. A Python guest with its interpreter has 40 MB.
const COMPONENT_MAX: u64 = 256 << 20;
/// First bytes of every WebAssembly binary, then version and layer: of a module, of a component.
const MAGIC: &[u8] = b"\0asm";
const MODULE: &[u8] = &[1, 0, 0, 0];
const COMPONENT: &[u8] = &[0x0d, 0, 1, 0];

/// Why a load did not become a generation. The last good one stays (G4).
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no such file.
    #[error("no file at {0:?}: build the plugin, or correct `path`")]
    Missing(PathBuf),
    /// It can't be read.
    #[error("failed to read {path:?}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It has no bytes: perhaps it is being written.
    #[error("{0:?} is empty: perhaps it is still being written; else build or copy it again")]
    Empty(PathBuf),
    /// It has too many.
    #[error(
        "{path:?} is larger than {max} bytes, the most that is read: build it without debug information"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        max: u64,
    },
    /// It is something else.
    #[error(
        "{0:?} is not WebAssembly: it should be a component, built for example with `cargo build --target wasm32-wasip2`"
    )]
    NotWasm(PathBuf),
    /// It is WebAssembly, but no component.
    #[error(
        "{0:?} is a core module, not a component: build it with `cargo build --target wasm32-wasip2`"
    )]
    CoreModule(PathBuf),
    /// It does not compile: damaged, cut short, or with features we do not have.
    #[error(
        "{path:?} is not a valid component: {why}: perhaps it was cut short; build or copy it again"
    )]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What wasmtime says.
        why: String,
    },
    /// It does not fit the contract.
    #[error("{path:?} {source}")]
    Contract {
        /// The file.
        path: PathBuf,
        /// Where it differs.
        source: ContractError,
    },
    /// It fits, but does not work.
    #[error("{path:?} {source}")]
    Check {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: CheckError,
    },
}

/// A plugin's bytes and their digest.
pub(super) struct Bytes {
    bytes: Vec<u8>,
    pub(super) digest: Digest,
}

/// Reads a plugin's file.
pub(super) fn read(path: &Path) -> Result<Bytes, LoadError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => LoadError::Missing(path.to_owned()),
        _ => LoadError::Read {
            path: path.to_owned(),
            source,
        },
    };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(COMPONENT_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.is_empty() {
        return Err(LoadError::Empty(path.to_owned()));
    }
    if bytes.len() as u64 > COMPONENT_MAX {
        return Err(LoadError::TooLarge {
            path: path.to_owned(),
            max: COMPONENT_MAX,
        });
    }
    let digest = Digest::of(&bytes);
    Ok(Bytes { bytes, digest })
}

/// Makes a generation of a plugin's bytes: compiled, linked, started once and checked.
pub(super) async fn load(
    engine: &Arc<Engine>,
    cache: &Cache,
    identity: Identity,
    number: u64,
    path: &Path,
    bytes: &Bytes,
) -> Result<Generation, LoadError> {
    let generation = link(engine, cache, identity, number, path, bytes)?;
    generation
        .check()
        .await
        .map_err(|source| LoadError::Check {
            path: path.to_owned(),
            source,
        })?;
    Ok(generation)
}

/// The same, neither started nor checked: to be looked at only.
pub(super) fn link(
    engine: &Arc<Engine>,
    cache: &Cache,
    identity: Identity,
    number: u64,
    path: &Path,
    bytes: &Bytes,
) -> Result<Generation, LoadError> {
    let component = match cache.get(engine.wasmtime(), bytes.digest) {
        Some(component) => component,
        None => {
            let component = compile(engine, path, &bytes.bytes)?;
            cache.put(bytes.digest, &component);
            component
        }
    };
    Generation::new(engine.clone(), identity, number, bytes.digest, &component).map_err(|source| {
        LoadError::Contract {
            path: path.to_owned(),
            source,
        }
    })
}

fn compile(engine: &Engine, path: &Path, bytes: &[u8]) -> Result<Component, LoadError> {
    let Some(version) = bytes.strip_prefix(MAGIC) else {
        return Err(LoadError::NotWasm(path.to_owned()));
    };
    if version.starts_with(MODULE) {
        return Err(LoadError::CoreModule(path.to_owned()));
    }
    let invalid = |why: String| LoadError::Invalid {
        path: path.to_owned(),
        why,
    };
    if !version.starts_with(COMPONENT) {
        return Err(invalid("its header is not that of a component".to_owned()));
    }
    engine
        .compile(bytes)
        .map_err(|error| invalid(format!("{error:#}")))
}
