//! Builds a plugin from its source: `cargo build` for `tidegate dev`.
//!
//! - `project`: the package in a folder, as cargo describes it
//! - `toolchain`: the compiler's target for plugins
//! - [`Sources`]: the files a build is made of

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

mod project;
mod sources;
mod toolchain;

pub use toolchain::ensure_target;

pub use sources::Sources;

use project::{Component, Project};

/// What plugins are compiled for.
const TARGET: &str = "wasm32-wasip2";
/// How much of the compiler's output is kept, from its beginning: the first error is the one to
/// mend, and a broken macro writes megabytes.
const OUTPUT_MAX: usize = 256 << 10;

/// Why a plugin can't be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The folder holds no package.
    #[error("{folder:?} {what}")]
    NotAPackage {
        /// The folder.
        folder: PathBuf,
        /// What is there instead, and what to do.
        what: String,
    },
    /// The package does not become a component.
    #[error(
        "package {package:?} has no cdylib target: add to {manifest:?}\n\n[lib]\ncrate-type = [\"cdylib\"]\n"
    )]
    NotACdylib {
        /// The package.
        package: String,
        /// The package's manifest.
        manifest: PathBuf,
    },
    /// A tool did not start.
    #[error("failed to start `{tool}`: {why}; install Rust from https://rustup.rs")]
    Tool {
        /// The tool.
        tool: &'static str,
        /// Why it did not.
        why: io::Error,
    },
    /// Cargo can't make sense of the folder.
    #[error("failed to read the package in {folder:?}: {why}")]
    Metadata {
        /// The folder.
        folder: PathBuf,
        /// Cargo's words.
        why: String,
    },
    /// The compiler can't build for WebAssembly yet.
    #[error(
        "the compiler of {folder:?} cannot build for {TARGET}, and {why}: run `rustup target add {TARGET}` there"
    )]
    Target {
        /// The folder, whose toolchain file decides on the compiler.
        folder: PathBuf,
        /// Why the target could not be installed.
        why: String,
    },
    /// The build failed.
    #[error("the build failed:\n{output}")]
    Failed {
        /// What cargo and the compiler wrote.
        output: String,
    },
    /// The build went well, but the component is not where it should be.
    #[error("cargo built no component at {expected:?} but {found:?}")]
    Elsewhere {
        /// Where it should be.
        expected: PathBuf,
        /// The files that were built.
        found: Vec<PathBuf>,
    },
}

/// Builds one plugin, and those beside which it runs.
#[derive(Debug)]
pub struct Builder {
    project: Project,
    others: Vec<Component>,
}

impl Builder {
    /// A builder for the package in `folder`. Installs the compiler's target if it is missing,
    /// which may take a while and is said on stderr.
    pub fn new(folder: &Path) -> Result<Self, BuildError> {
        let project = Project::find(folder)?;
        toolchain::ensure_target(&project.folder)?;
        let others = Vec::new();
        Ok(Self { project, others })
    }

    /// The package's name.
    pub fn package(&self) -> &str {
        &self.project.component.package
    }

    /// The package's folder; absolute.
    pub fn folder(&self) -> &Path {
        &self.project.folder
    }

    /// The file to edit; absolute.
    pub fn source(&self) -> &Path {
        &self.project.component.source
    }

    /// Where a build puts the component.
    pub fn artifact(&self) -> PathBuf {
        self.project.component.file(&self.project.target_folder)
    }

    /// If `file` is where a build puts what another package of the workspace becomes, builds that
    /// too from now on. Returns where that is put: elsewhere, if `CARGO_TARGET_DIR` says so.
    pub fn add(&mut self, file: &Path) -> Option<PathBuf> {
        let file = without_parents(file);
        let project = &self.project;
        let folders = [&project.target_folder, &project.usual_target_folder];
        let is_it = |other: &&Component| folders.iter().any(|folder| other.file(folder) == file);
        let other = project.neighbours.iter().find(is_it)?;
        self.others.push(other.clone());
        Some(other.file(&project.target_folder))
    }

    fn components(&self) -> impl Iterator<Item = &Component> {
        std::iter::once(&self.project.component).chain(&self.others)
    }

    /// Builds the component and those that were added. `progress` is given what cargo writes, line
    /// by line as it comes.
    ///
    /// Dropping the future kills cargo. Calls must not overlap; cargo would only make the second
    /// wait.
    pub async fn build(&self, progress: impl FnMut(&str)) -> Result<(), BuildError> {
        let mut command = tokio::process::Command::from(self.command());
        let tool = |why| BuildError::Tool { tool: "cargo", why };
        let mut cargo = command.kill_on_drop(true).spawn().map_err(tool)?;
        let (stdout, stderr) = (cargo.stdout.take(), cargo.stderr.take());
        let (mut found, mut output) = (
            Vec::new(),
            CargoOutput {
                text: String::new(),
                progress,
            },
        );
        let (listed, written, status) = tokio::join!(
            lines(stdout, |line| found.extend(artifacts(line))),
            lines(stderr, |line| output.line(line)),
            cargo.wait(),
        );
        if !status
            .and_then(|status| listed.and(written).map(|()| status))
            .map_err(tool)?
            .success()
        {
            return Err(BuildError::Failed {
                output: output.text,
            });
        }
        for component in self.components() {
            let expected = component.file(&self.project.target_folder);
            let built = (component.manifest.clone(), expected);
            if !found.contains(&built) {
                let (_, expected) = built;
                let found = found.into_iter().map(|(_, file)| file).collect();
                return Err(BuildError::Elsewhere { expected, found });
            }
        }
        Ok(())
    }

    /// What a developer would type, with artifacts listed on stdout. Messages are not coloured:
    /// they are shown in a page too.
    fn command(&self) -> std::process::Command {
        let mut command = tool("cargo", &self.project.folder);
        command
            .args([
                "build",
                "--release",
                "--lib",
                "--color",
                "never",
                "--target",
                TARGET,
            ])
            .args(["--message-format", "json-render-diagnostics"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for component in self.components() {
            command.args(["--package", &component.package]);
        }
        command
    }
}

/// A command that sees what a shell in `folder` would show it. Under `cargo run` we have been given
/// variables of another package. All others stay, also `RUSTFLAGS` and `CARGO_TARGET_DIR`: who set
/// them meant them.
fn tool(name: &str, folder: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(name);
    command.current_dir(folder);
    for (variable, _) in std::env::vars_os().filter(|(variable, _)| is_of_cargo_run(variable)) {
        command.env_remove(variable);
    }
    command
}

/// Whether cargo sets this variable for what it runs, and nobody else does.
fn is_of_cargo_run(variable: &OsStr) -> bool {
    const PREFIXES: [&str; 3] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
    const NAMES: [&str; 4] = [
        "CARGO",
        "CARGO_CRATE_NAME",
        "CARGO_PRIMARY_PACKAGE",
        "CARGO_TARGET_TMPDIR",
    ];
    variable.to_str().is_some_and(|name| {
        NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    })
}

/// What cargo has written to stderr.
struct CargoOutput<P> {
    text: String,
    progress: P,
}

impl<P: FnMut(&str)> CargoOutput<P> {
    fn line(&mut self, line: &str) {
        (self.progress)(line);
        if self.text.len() < OUTPUT_MAX {
            let room = OUTPUT_MAX - self.text.len();
            self.text.push_str(&line[..line.floor_char_boundary(room)]);
            self.text.push('\n');
            if self.text.len() >= OUTPUT_MAX {
                self.text.push_str("... and more, see the terminal\n");
            }
        }
    }
}

/// Reads lines to the end. Not UTF-8 is shown as it can be.
async fn lines(from: Option<impl AsyncRead + Unpin>, mut line: impl FnMut(&str)) -> io::Result<()> {
    let Some(from) = from else { return Ok(()) };
    let (mut from, mut bytes) = (BufReader::new(from), Vec::new());
    while from.read_until(b'\n', &mut bytes).await? > 0 {
        let text = String::from_utf8_lossy(&bytes);
        line(text.trim_end_matches(['\n', '\r']));
        bytes.clear();
    }
    Ok(())
}

/// A line of cargo's JSON. Of all the kinds of messages only the one about artifacts has files.
#[derive(Deserialize)]
struct CargoMessage {
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// The components that a line tells of, each with its package's manifest. What is no JSON was
/// printed by a build script.
fn artifacts(line: &str) -> Vec<(PathBuf, PathBuf)> {
    let Ok(message) = serde_json::from_str::<CargoMessage>(line) else {
        return Vec::new();
    };
    let is_component = |file: &PathBuf| file.extension().is_some_and(|ending| ending == "wasm");
    let components = message.filenames.into_iter().filter(is_component);
    components
        .map(|file| (message.manifest_path.clone(), file))
        .collect()
}

/// The path without `..`, as if no folder on it were a link.
fn without_parents(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut path, part| {
        if part == std::path::Component::ParentDir {
            path.pop();
        } else {
            path.push(part);
        }
        path
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(package: &str) -> Component {
        let folder = Path::new("/w").join(package);
        Component {
            package: package.to_owned(),
            library: package.replace('-', "_"),
            manifest: folder.join("Cargo.toml"),
            source: folder.join("src/lib.rs"),
            roots: vec![folder],
        }
    }

    fn builder(target_folder: &str) -> Builder {
        let project = Project {
            component: component("my-chat"),
            neighbours: vec![component("auth"), component("my-log")],
            folder: "/w/my-chat".into(),
            target_folder: target_folder.into(),
            usual_target_folder: "/w/target".into(),
        };
        let others = Vec::new();
        Builder { project, others }
    }

    #[test]
    fn the_component_is_found_among_what_cargo_reports() {
        let line = r#"{"reason":"compiler-artifact","package_id":"path+file:///w/my-chat#my-chat@0.1.0",
            "manifest_path":"/w/my-chat/Cargo.toml","target":{"kind":["cdylib"],"name":"my_chat"},
            "filenames":["/w/target/wasm32-wasip2/release/my_chat.wasm"],"executable":null,"fresh":true}"#;
        let manifest = PathBuf::from("/w/my-chat/Cargo.toml");
        let expected = builder("/w/target").artifact();
        assert_eq!(artifacts(line), [(manifest, expected)]);
    }

    #[test]
    fn other_messages_are_of_no_component() {
        let library = r#"{"reason":"compiler-artifact","manifest_path":"/w/chat/Cargo.toml",
            "filenames":["/w/target/wasm32-wasip2/release/libmy_chat.rlib"]}"#;
        let finished = r#"{"reason":"build-finished","success":true}"#;
        for line in [library, finished, "hello from a build script", ""] {
            assert_eq!(artifacts(line), Vec::new(), "{line}");
        }
    }

    #[test]
    fn neighbours_are_built_too_where_a_configuration_names_what_they_become() {
        let file = "/w/my-chat/../target/wasm32-wasip2/release/my_log.wasm";
        for target_folder in ["/w/target", "/elsewhere"] {
            let mut builder = builder(target_folder);
            let expected = Path::new(target_folder).join("wasm32-wasip2/release/my_log.wasm");
            assert_eq!(builder.add(Path::new(file)), Some(expected));
            let built: Vec<_> = builder.components().map(|each| &*each.package).collect();
            assert_eq!(built, ["my-chat", "my-log"]);
        }
        for other in [
            "/w/target/wasm32-wasip2/release/words.wasm",
            "/srv/my_log.wasm",
            "",
        ] {
            assert_eq!(builder("/w/target").add(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn only_variables_of_an_outer_cargo_are_removed() {
        for name in [
            "CARGO",
            "CARGO_PKG_NAME",
            "CARGO_MANIFEST_DIR",
            "CARGO_BIN_EXE_tidegate",
        ] {
            assert!(is_of_cargo_run(OsStr::new(name)), "{name}");
        }
        for name in [
            "CARGO_HOME",
            "CARGO_TARGET_DIR",
            "RUSTFLAGS",
            "CARGO_NET_OFFLINE",
            "PATH",
        ] {
            assert!(!is_of_cargo_run(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn the_output_is_kept_up_to_its_limit() {
        let mut seen = 0;
        let mut output = CargoOutput {
            text: String::new(),
            progress: |_: &str| seen += 1,
        };
        for _ in 0..3 {
            output.line(&"é".repeat(OUTPUT_MAX / 4));
        }
        assert!(output.text.len() < OUTPUT_MAX + 64);
        assert!(output.text.ends_with("see the terminal\n"));
        assert_eq!(seen, 3);
    }
}
