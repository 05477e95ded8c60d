//! The peers that come from npm: installed into `target/peers`, at the versions of `peers/package-lock.json`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::server::Server;
use crate::gateway::workspace;

const PACKAGE: &str = include_str!("../../peers/package.json");
const LOCK: &str = include_str!("../../peers/package-lock.json");

/// The programs, by their path below `peers`.
const PROGRAMS: [(&str, &str); 10] = [
    ("bun/echo.js", include_str!("../../peers/bun/echo.js")),
    ("bun/chat.js", include_str!("../../peers/bun/chat.js")),
    ("elysia/echo.js", include_str!("../../peers/elysia/echo.js")),
    ("elysia/chat.js", include_str!("../../peers/elysia/chat.js")),
    ("ws/echo.js", include_str!("../../peers/ws/echo.js")),
    ("ws/chat.js", include_str!("../../peers/ws/chat.js")),
    (
        "workerd/echo.js",
        include_str!("../../peers/workerd/echo.js"),
    ),
    (
        "workerd/chat.js",
        include_str!("../../peers/workerd/chat.js"),
    ),
    (
        "workerd/echo.capnp",
        include_str!("../../peers/workerd/echo.capnp"),
    ),
    (
        "workerd/chat.capnp",
        include_str!("../../peers/workerd/chat.capnp"),
    ),
];

/// Names the lock of the last installation that succeeded.
const STAMP: &str = "installed.json";

/// The installed peers.
pub(super) struct Peers {
    folder: PathBuf,
}

/// What a server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    Echo,
    Chat,
}

impl Peers {
    /// Installs what is not installed yet.
    ///
    /// # Errors
    /// When npm is missing or fails, or a file cannot be written.
    pub(super) fn install() -> Result<Self> {
        let folder = workspace().join("target/peers");
        fs::create_dir_all(&folder)
            .with_context(|| format!("failed to create {}", folder.display()))?;
        // Without the dots: workerd resolves the places of its own files.
        let folder = folder
            .canonicalize()
            .with_context(|| format!("failed to find {}", folder.display()))?;
        let programs = PROGRAMS.iter().copied();
        let files = programs.chain([("package.json", PACKAGE), ("package-lock.json", LOCK)]);
        for (name, text) in files {
            write(&folder.join(name), text)?;
        }
        let stamp = folder.join(STAMP);
        if fs::read_to_string(&stamp).ok().as_deref() != Some(LOCK) {
            eprintln!("npm install in {} (once)", folder.display());
            npm_install(&folder)?;
            write(&stamp, LOCK)?;
        }
        Ok(Self { folder })
    }

    /// The command that runs `program` on `server`.
    ///
    /// # Errors
    /// When the server is none of the installed ones, or its executable is missing.
    pub(super) fn command(&self, server: Server, program: Program) -> Result<Command> {
        let name = match program {
            Program::Echo => "echo",
            Program::Chat => "chat",
        };
        let mut command = match server {
            Server::Bun => self.bun("bun", name)?,
            Server::Elysia => self.bun("elysia", name)?,
            Server::Ws => {
                let mut command = Command::new("node");
                command.arg(format!("ws/{name}.js"));
                command
            }
            Server::Workerd => {
                let mut command = self.executable("workerd", &["workerd/bin/workerd"])?;
                // Its way to say which port it was given: events on a descriptor, here standard output.
                command.args(["serve", "--control-fd=1"]);
                command.arg(format!("workerd/{name}.capnp"));
                command
            }
            Server::Tidegate | Server::TokioTungstenite | Server::Floor => {
                bail!("{} is no npm package", server.name())
            }
        };
        command
            .current_dir(&self.folder)
            .env("NODE_ENV", "production");
        Ok(command)
    }

    /// The installed version of a package.
    ///
    /// # Errors
    /// When it is not installed.
    pub(super) fn version(&self, package: &str) -> Result<String> {
        let path = self.modules().join(package).join("package.json");
        let text = fs::read_to_string(&path)
            .with_context(|| format!("failed to read {}", path.display()))?;
        let json: serde_json::Value = serde_json::from_str(&text)
            .with_context(|| format!("{} is not JSON", path.display()))?;
        let version = json["version"]
            .as_str()
            .context("a package without version")?;
        Ok(version.to_owned())
    }

    fn bun(&self, folder: &str, name: &str) -> Result<Command> {
        let mut command = self.executable("bun", &["bun/bin/bun.exe", "bun/bin/bun"])?;
        command.arg(format!("{folder}/{name}.js"));
        Ok(command)
    }

    /// The program itself and not a script around it: the process started is the one that is measured and ended.
    fn executable(&self, package: &str, places: &[&str]) -> Result<Command> {
        let mut paths = places.iter().map(|place| self.modules().join(place));
        let native = |path: &PathBuf| fs::metadata(path).is_ok_and(|file| file.len() > 1 << 20);
        let path = paths.find(native).with_context(|| {
            let stamp = self.folder.join(STAMP);
            format!(
                "npm did not install the executable of {package}: allow its install script, delete {} and try again",
                stamp.display()
            )
        })?;
        Ok(Command::new(path))
    }

    fn modules(&self) -> PathBuf {
        self.folder.join("node_modules")
    }
}

/// Writes `text` unless it is there already.
fn write(path: &Path, text: &str) -> Result<()> {
    let write = || -> io::Result<()> {
        if fs::read_to_string(path).is_ok_and(|found| found == text) {
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, text)
    };
    write().with_context(|| format!("failed to write {}", path.display()))
}

/// Not `npm ci`: it refuses a lock without the executables for other systems, which not every registry carries.
fn npm_install(folder: &Path) -> Result<()> {
    let mut command = Command::new("npm");
    command
        .args(["install", "--no-save", "--no-audit", "--no-fund"])
        .current_dir(folder);
    let output = match command.output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
            "npm is missing: install Node.js 20 or later, or leave the npm peers out with --servers tidegate,tokio-tungstenite,floor"
        ),
        output => output.context("failed to run npm")?,
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<_> = errors.lines().take(12).collect();
    ensure!(
        output.status.success(),
        "npm install failed in {}:\n{}",
        folder.display(),
        errors.join("\n")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_pins_every_package_and_names_no_registry() {
        let lock: serde_json::Value = serde_json::from_str(LOCK).unwrap();
        let package: serde_json::Value = serde_json::from_str(PACKAGE).unwrap();
        for (name, version) in package["dependencies"].as_object().unwrap() {
            let locked = &lock["packages"][format!("node_modules/{name}")]["version"];
            assert_eq!(locked, version, "{name}");
        }
        assert!(!LOCK.contains("resolved") && !LOCK.contains("://"));
    }
}
