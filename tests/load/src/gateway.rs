//! Tidegate itself as the server of a run: its configuration and its process.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::child::ServerProcess;

/// Where the gateway and the plugins are.
#[derive(Clone, Debug, clap::Args)]
pub struct Built {
    /// The gateway's binary [default: beside this one, else target/release/tidegate].
    #[arg(long)]
    pub tidegate: Option<PathBuf>,
    /// The folder of the plugins, with fixtures there or in `examples` [default: target/wasm32-wasip2/release].
    #[arg(long)]
    pub plugins: Option<PathBuf>,
}

/// A configuration: what is not said here has its default.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Event loops.
    pub shards: usize,
    /// Names of plugins, each with lines of `[plugin.limits]`.
    pub plugins: Vec<(&'static str, String)>,
    /// Paths, the plugin of each, and lines of `[route.limits]`.
    pub routes: Vec<(&'static str, &'static str, String)>,
}

/// A running gateway.
pub struct Gateway {
    /// The gateway's process.
    pub process: ServerProcess,
    /// Where clients connect.
    pub address: SocketAddr,
    /// Health and metrics.
    pub admin: SocketAddr,
    /// Holds the configuration while it may be read.
    _folder: TempDir,
}

/// The root of the source tree this was built from.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

impl Built {
    /// The gateway's binary.
    ///
    /// # Errors
    /// When there is none.
    pub fn binary(&self) -> Result<PathBuf> {
        let own = std::env::current_exe().context("failed to find this program's own path")?;
        let beside = own.with_file_name("tidegate");
        let default = if beside.exists() {
            beside
        } else {
            workspace().join("target/release/tidegate")
        };
        let binary = self.tidegate.clone().unwrap_or(default);
        ensure!(
            binary.exists(),
            "there is no gateway at {}: build it with `cargo build --release --bin tidegate`, or name it with --tidegate",
            binary.display()
        );
        Ok(binary)
    }

    /// The component of the plugin or fixture `name`, if it has been built.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        let default = || workspace().join("target/wasm32-wasip2/release");
        let folder = self.plugins.clone().unwrap_or_else(default);
        let places = [folder.clone(), folder.join("examples")];
        let mut paths = places
            .map(|place| place.join(name).with_extension("wasm"))
            .into_iter();
        // The gateway takes a relative path from its configuration's folder, not from ours.
        paths.find_map(|path| path.canonicalize().ok())
    }

    fn component(&self, name: &str) -> Result<PathBuf> {
        self.find(name).with_context(|| {
            format!(
                "the component {name}.wasm is not built: run `cargo build --release --target wasm32-wasip2 -p echo -p chat` \
                 and `... -p guests --examples`, or name its folder with --plugins"
            )
        })
    }
}

impl Setup {
    /// Starts `built` with this configuration on `cpus`.
    ///
    /// # Errors
    /// When something is not built, or the gateway does not start.
    pub fn start(&self, built: &Built, cpus: &[usize]) -> Result<Gateway> {
        let folder = tempfile::tempdir().context("failed to create a temporary folder")?;
        let path = folder.path().join("tidegate.toml");
        std::fs::write(&path, self.toml(built)?)
            .with_context(|| format!("failed to write {}", path.display()))?;
        let mut command = Command::new(built.binary()?);
        command.arg("run").arg("--config").arg(&path);
        // What the caller's shell sets for another gateway is not meant for this one.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TIDEGATE_") {
                command.env_remove(name);
            }
        }
        let mut process = ServerProcess::start("tidegate", &mut command, cpus)?;
        let address = process.address()?;
        let admin = process.address()?;
        Ok(Gateway {
            process,
            address,
            admin,
            _folder: folder,
        })
    }

    fn toml(&self, built: &Built) -> Result<String> {
        let mut toml = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nshards = {}\n[admin]\nlisten = \"127.0.0.1:0\"\n",
            self.shards
        );
        for (name, limits) in &self.plugins {
            let path = built.component(name)?;
            // Debug text of a path is a TOML string as long as it holds no control characters.
            write!(
                toml,
                "[[plugin]]\nname = {name:?}\npath = {path:?}\n[plugin.limits]\n{limits}\n"
            )?;
        }
        for (path, plugin, limits) in &self.routes {
            write!(
                toml,
                "[[route]]\npath = {path:?}\nplugins = [{plugin:?}]\n[route.limits]\n{limits}\n"
            )?;
        }
        Ok(toml)
    }
}
