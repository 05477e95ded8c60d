//! Why a load fails, in words and by reason.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;

use crate::plugin::compiler::CompileError;
use crate::plugin::contract::ContractError;
use crate::plugin::trial::CheckError;

/// Why a load did not become a generation. The last good one stays (G4).
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no such file.
    #[error("no file at {0:?}: build the plugin, or correct `path`")]
    Missing(PathBuf),
    /// The path names no file that could be a component's.
    #[error("failed to read {path:?}: {why}: `path` must name a component's file")]
    NotAFile {
        /// The file.
        path: PathBuf,
        /// What it is.
        why: String,
    },
    /// The file can't be read.
    #[error("failed to read {path:?}: {source}: see to the file and its disk")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file's disk does not answer.
    #[error(
        "{path:?} was not read within {time:?}: see to its file system, or raise `engine.load_timeout`"
    )]
    Stuck {
        /// The file.
        path: PathBuf,
        /// How long it was waited for.
        time: Duration,
    },
    /// The file has no bytes: perhaps it is being written.
    #[error("{0:?} is empty: perhaps it is still being written; else build or copy it again")]
    Empty(PathBuf),
    /// The file has too many bytes.
    #[error(
        "{path:?} is larger than {max}, the most that is read: build it without debug information, or raise `engine.component`"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        max: ByteSize,
    },
    /// The file holds something else.
    #[error(
        "{0:?} is not WebAssembly: it should be a component, built for example with `cargo build --target wasm32-wasip2`"
    )]
    NotWasm(PathBuf),
    /// The file holds WebAssembly, but no component.
    #[error(
        "{0:?} is a core module, not a component: build it with `cargo build --target wasm32-wasip2`"
    )]
    CoreModule(PathBuf),
    /// The component was not compiled: damaged, cut short, with features we do not have, or too
    /// large.
    #[error("{path:?} {source}")]
    Compile {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: CompileError,
    },
    /// The component does not fit the contract.
    #[error("{path:?} {source}")]
    Contract {
        /// The file.
        path: PathBuf,
        /// Where it differs.
        source: ContractError,
    },
    /// The component fits the contract, but does not work.
    #[error("{path:?} {source}")]
    Check {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: CheckError,
    },
    /// Something in the gateway itself fell over.
    #[error("{path:?} made the gateway's loader fail, which is a bug: {why}; please report it")]
    Panicked {
        /// The file.
        path: PathBuf,
        /// What it said.
        why: String,
    },
}

impl LoadError {
    /// The reason's name, as metrics have it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing(_) | Self::NotAFile { .. } | Self::Read { .. } | Self::Empty(_) => "file",
            Self::Stuck { .. } => "stuck",
            Self::TooLarge { .. } => "too-large",
            Self::NotWasm(_) | Self::CoreModule(_) => "invalid",
            Self::Compile { source, .. } => match source {
                CompileError::Invalid(_) => "invalid",
                CompileError::Time(_) => "compile-time",
                CompileError::Memory(_) => "compile-memory",
                CompileError::Died { .. } | CompileError::Start { .. } => "compiler",
            },
            Self::Contract { .. } => "contract",
            Self::Check { .. } => "check",
            Self::Panicked { .. } => "bug",
        }
    }

    /// Whether the file may do as it is, later: what was wrong was not its contents.
    pub(in crate::plugin) fn may_pass(&self) -> bool {
        match self {
            Self::Stuck { .. } => true,
            Self::Read { source, .. } => source.kind() != io::ErrorKind::PermissionDenied,
            Self::Compile { source, .. } => matches!(source, CompileError::Start { .. }),
            _ => false,
        }
    }

    /// Every reason there is.
    pub const REASONS: [&str; 10] = [
        "file",
        "stuck",
        "too-large",
        "invalid",
        "compile-time",
        "compile-memory",
        "compiler",
        "contract",
        "check",
        "bug",
    ];
}
