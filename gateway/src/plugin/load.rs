//! The way from a file to a generation: read, compile or find compiled, link, check. Every step
//! has its own error, in words.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytesize::ByteSize;
use tokio::sync::Semaphore;
use wasmtime::component::Component;

use super::cache::Cache;
use super::compiler::{CompileError, Compiler};
use super::engine::Engine;
use super::generation::Generation;
use super::identity::{Digest, Identity};
use super::imports::Imports;
use super::trial;
use crate::config;
use crate::file::{self, Unread};

mod error;

pub use error::LoadError;

/// How long a load waits for the cache's disk; then it compiles, which is what the cache saves.
const CACHE_WAIT: Duration = Duration::from_secs(2);
/// Visits to the cache at once. If its disk hangs, these are the threads that hang with it.
const CACHE_VISITS: usize = 4;

/// First bytes of every WebAssembly binary, then version and layer: of a module, of a component.
const MAGIC: &[u8] = b"\0asm";
const MODULE: &[u8] = &[1, 0, 0, 0];
const COMPONENT: &[u8] = &[0x0d, 0, 1, 0];

/// A plugin's bytes and their digest.
pub(super) struct Source {
    bytes: Vec<u8>,
    pub(super) digest: Digest,
}

/// What makes generations of files: the engine, the compiler, and the cache of compiled code.
///
/// Whatever may hang, a file or the cache's disk, is waited for on a thread of its own and only so
/// long. The numbers of threads that may be left hanging are bounded.
pub(super) struct Maker {
    engine: Arc<Engine>,
    imports: Imports,
    compiler: Compiler,
    /// Opened at its first use, on a thread that may hang.
    cache: Arc<OnceLock<Cache>>,
    visits: Arc<Semaphore>,
    config: config::Engine,
}

impl Maker {
    /// A maker with the program that compiles; see [`Compiler::new`].
    pub(super) fn new(engine: Arc<Engine>, program: PathBuf, config: &config::Engine) -> Self {
        let compiler = Compiler::new(program, engine.reservation(), config);
        Self {
            imports: Imports::of(&engine),
            engine,
            compiler,
            cache: Arc::default(),
            visits: Arc::new(Semaphore::new(CACHE_VISITS)),
            config: config.clone(),
        }
    }

    /// How many threads may hang in the cache's disk.
    pub(super) const THREADS: usize = CACHE_VISITS;

    /// Reads a plugin's file, on a thread that has the plugin's one `place`: while an earlier read
    /// hangs there is none.
    pub(super) async fn read(
        &self,
        path: &Path,
        place: &Arc<Semaphore>,
    ) -> Result<Source, LoadError> {
        let (time, max) = (self.config.load_timeout, self.config.component as u64);
        let reading = async {
            let place = place.clone().acquire_owned().await;
            let path = path.to_owned();
            tokio::task::spawn_blocking(move || {
                let source = read(&path, max);
                drop(place);
                source
            })
            .await
        };
        match tokio::time::timeout(time, reading).await {
            Ok(Ok(source)) => source,
            Ok(Err(panic)) => Err(LoadError::Panicked {
                path: path.to_owned(),
                why: panic.to_string(),
            }),
            Err(_) => Err(LoadError::Stuck {
                path: path.to_owned(),
                time,
            }),
        }
    }

    /// Makes a generation of a plugin's bytes: compiled, linked, started once and checked.
    pub(super) async fn load(
        &self,
        identity: Identity,
        number: u64,
        path: &Path,
        source: Source,
    ) -> Result<Generation, LoadError> {
        let generation = self.link(identity, number, path, source).await?;
        let checked = trial::check(&generation).await;
        checked.map_err(|source| LoadError::Check {
            path: path.to_owned(),
            source,
        })?;
        Ok(generation)
    }

    /// Makes a generation that is neither started nor checked: to be looked at only.
    pub(super) async fn link(
        &self,
        identity: Identity,
        number: u64,
        path: &Path,
        source: Source,
    ) -> Result<Generation, LoadError> {
        let digest = source.digest;
        let component = match self.cached(digest).await {
            Some(component) => component,
            None => self.compile(path, source).await?,
        };
        let of = (digest, &component);
        let linked = Generation::new(self.engine.clone(), &self.imports, identity, number, of);
        linked.map_err(|source| LoadError::Contract {
            path: path.to_owned(),
            source,
        })
    }

    async fn cached(&self, digest: Digest) -> Option<Component> {
        let code = self.visit(move |cache| cache.get(digest)).await??;
        match code.load(self.engine.wasmtime()) {
            Ok(component) => Some(component),
            Err(error) => {
                self.visit(move |cache| cache.refuse(digest, &format!("{error:#}")))
                    .await;
                None
            }
        }
    }

    async fn compile(&self, path: &Path, source: Source) -> Result<Component, LoadError> {
        recognize(path, &source.bytes)?;
        let failed = |source| LoadError::Compile {
            path: path.to_owned(),
            source,
        };
        let code = self.compiler.compile(&source.bytes).await.map_err(failed)?;
        let Source { bytes, digest } = source;
        drop(bytes);
        let component = code
            .load(self.engine.wasmtime())
            .map_err(|error| failed(CompileError::Invalid(format!("{error:#}"))))?;
        self.visit(move |cache| cache.put(digest, &code)).await;
        Ok(component)
    }

    /// Does something with the cache; none if its disk does not answer in time.
    async fn visit<T: Send + 'static>(
        &self,
        what: impl FnOnce(&Cache) -> T + Send + 'static,
    ) -> Option<T> {
        let (cache, config) = (self.cache.clone(), self.config.cache.clone());
        let engine = self.engine.wasmtime().clone();
        let visit = async {
            let place = self.visits.clone().acquire_owned().await;
            tokio::task::spawn_blocking(move || {
                let done = what(cache.get_or_init(|| Cache::open(&config, &engine)));
                drop(place);
                done
            })
            .await
            .ok()
        };
        let done = tokio::time::timeout(CACHE_WAIT, visit).await;
        done.unwrap_or_else(|_| {
            tracing::warn!(
                "the cache of compiled code does not answer: loads go on without it: see to its disk, or set `engine.cache`"
            );
            None
        })
    }
}

fn read(path: &Path, max: u64) -> Result<Source, LoadError> {
    let bytes = file::read(path, max).map_err(|unread| match unread {
        Unread::Io(error) if error.kind() == io::ErrorKind::NotFound => {
            LoadError::Missing(path.to_owned())
        }
        Unread::TooLarge(max) => LoadError::TooLarge {
            path: path.to_owned(),
            max: ByteSize(max),
        },
        Unread::Io(source) => LoadError::Read {
            path: path.to_owned(),
            source,
        },
        Unread::Kind(kind) => LoadError::NotAFile {
            path: path.to_owned(),
            why: format!("it is {kind}, not a regular file"),
        },
    })?;
    if bytes.is_empty() {
        return Err(LoadError::Empty(path.to_owned()));
    }
    let digest = Digest::of(&bytes);
    Ok(Source { bytes, digest })
}

/// Whether the bytes begin as a component's do; says what they are instead.
fn recognize(path: &Path, bytes: &[u8]) -> Result<(), LoadError> {
    let Some(version) = bytes.strip_prefix(MAGIC) else {
        return Err(LoadError::NotWasm(path.to_owned()));
    };
    if version.starts_with(MODULE) {
        return Err(LoadError::CoreModule(path.to_owned()));
    }
    if !version.starts_with(COMPONENT) {
        return Err(LoadError::Compile {
            path: path.to_owned(),
            source: CompileError::Invalid("its header is not that of a component".to_owned()),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::engine::Sizes;

    fn maker(load_timeout: Duration) -> Maker {
        let sizes = Sizes {
            instances: 1,
            kept: 0,
            shards: 1,
            memory: 1 << 20,
            total_memory: 1 << 20,
        };
        let config = config::Engine {
            cache: config::Cache::Off,
            load_timeout,
            ..config::Engine::default()
        };
        let engine = Engine::new(sizes).unwrap();
        Maker::new(engine, "/no/such/program".into(), &config)
    }

    #[tokio::test]
    async fn while_one_read_hangs_the_next_is_told_so_and_takes_no_thread() {
        let maker = maker(Duration::from_millis(50));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plugin.wasm");
        std::fs::write(&path, COMPONENT).unwrap();
        let place = Arc::new(Semaphore::new(1));
        let hangs = place.clone().acquire_owned().await.unwrap();
        for _ in 0..3 {
            let stuck = maker.read(&path, &place).await.err().unwrap();
            assert!(matches!(stuck, LoadError::Stuck { .. }), "{stuck}");
            assert!(stuck.may_pass());
        }
        drop(hangs);
        assert!(maker.read(&path, &place).await.is_ok());
    }

    #[tokio::test]
    async fn a_cache_whose_disk_hangs_is_done_without() {
        let maker = maker(Duration::from_secs(60));
        let hangs = maker.visits.clone();
        let hangs = hangs.acquire_many_owned(CACHE_VISITS as u32).await.unwrap();
        assert!(maker.visit(|_| ()).await.is_none());
        drop(hangs);
        assert!(maker.visit(|_| ()).await.is_some());
    }

    #[test]
    fn every_reason_is_listed_once() {
        let mut reasons = LoadError::REASONS.to_vec();
        reasons.sort_unstable();
        reasons.dedup();
        assert_eq!(reasons.len(), LoadError::REASONS.len());
        let path = PathBuf::new;
        for error in [
            LoadError::Missing(path()),
            LoadError::Empty(path()),
            LoadError::NotWasm(path()),
            LoadError::CoreModule(path()),
        ] {
            assert!(LoadError::REASONS.contains(&error.reason()), "{error}");
        }
    }
}
