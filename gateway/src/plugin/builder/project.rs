//! The package in a folder, as `cargo metadata` describes it.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{BuildError, TARGET, tool};
use crate::file;

/// Bytes of a manifest that are looked at for a suggestion.
const MANIFEST_MAX: u64 = 1 << 20;

/// The package in a folder, and its workspace.
#[derive(Clone, Debug)]
pub(super) struct Project {
    /// What the package becomes.
    pub(super) component: Component,
    /// What other packages of the workspace become.
    pub(super) neighbours: Vec<Component>,
    /// The package's folder; absolute, without links, as file events name it.
    pub(super) folder: PathBuf,
    /// Where cargo puts what it builds.
    pub(super) target_folder: PathBuf,
    /// Where it would unless told otherwise.
    pub(super) usual_target_folder: PathBuf,
}

/// A package that becomes a component.
#[derive(Clone, Debug)]
pub(super) struct Component {
    /// The package's name.
    pub(super) package: String,
    /// The name of its cdylib target, as file names have it.
    pub(super) library: String,
    /// The package's manifest.
    pub(super) manifest: PathBuf,
    /// The root of its source.
    pub(super) source: PathBuf,
    /// The package's folder, and the folders of the packages on this machine that it depends on.
    pub(super) roots: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    /// For a library its crate types; for an example, which may be a cdylib too, just that.
    kind: Vec<String>,
    src_path: PathBuf,
}

#[derive(Deserialize)]
struct Dependency {
    path: Option<PathBuf>,
}

impl Project {
    pub(super) fn find(folder: &Path) -> Result<Self, BuildError> {
        let not = |what: String| BuildError::NotAPackage {
            folder: folder.to_owned(),
            what,
        };
        let found = fs::canonicalize(folder)
            .map_err(|error| not(format!("cannot be opened: {error}; name a plugin's folder")))?;
        if !found.is_dir() {
            return Err(not(
                "is a file: name the folder of a plugin's source".to_owned()
            ));
        }
        let manifest = found.join("Cargo.toml");
        if !manifest.is_file() {
            return Err(not(format!("has no Cargo.toml: {}", advice(folder))));
        }
        let metadata = read(&found)?;
        Self::of(metadata, &found).unwrap_or_else(|| {
            Err(not(format!(
                "has a workspace, not a plugin: {}",
                advice(folder)
            )))
        })
    }

    /// The project of a folder; none if there is no package in that very folder.
    fn of(metadata: Metadata, folder: &Path) -> Option<Result<Self, BuildError>> {
        let manifest = folder.join("Cargo.toml");
        let package = metadata
            .packages
            .iter()
            .find(|package| package.manifest_path == manifest)?;
        let Some(component) = Component::of(package, &metadata.packages) else {
            return Some(Err(BuildError::NotACdylib {
                package: package.name.clone(),
                manifest,
            }));
        };
        let others = metadata
            .packages
            .iter()
            .filter(|other| other.manifest_path != manifest);
        let neighbours = others
            .filter_map(|other| Component::of(other, &metadata.packages))
            .collect();
        Some(Ok(Self {
            component,
            neighbours,
            folder: folder.to_owned(),
            target_folder: metadata.target_directory,
            usual_target_folder: metadata.workspace_root.join("target"),
        }))
    }
}

impl Component {
    /// The component of a package; none if the package has no cdylib target.
    fn of(package: &Package, packages: &[Package]) -> Option<Self> {
        let is_cdylib = |target: &&Target| target.kind.iter().any(|kind| kind == "cdylib");
        let target = package.targets.iter().find(is_cdylib)?;
        Some(Self {
            package: package.name.clone(),
            library: target.name.replace('-', "_"),
            manifest: package.manifest_path.clone(),
            source: target.src_path.clone(),
            roots: roots(packages, package),
        })
    }

    /// Where cargo puts it, below its folder for what it builds.
    pub(super) fn file(&self, target_folder: &Path) -> PathBuf {
        let file = format!("{}.wasm", self.library);
        target_folder.join(TARGET).join("release").join(file)
    }
}

/// The folders of a package and of what it depends on by path, as far as cargo names them: those in
/// the same workspace with theirs, those elsewhere without.
fn roots(packages: &[Package], package: &Package) -> Vec<PathBuf> {
    let mut roots: Vec<_> = package
        .manifest_path
        .parent()
        .map(Path::to_owned)
        .into_iter()
        .collect();
    let mut at = 0;
    while let Some(root) = roots.get(at) {
        let manifest = root.join("Cargo.toml");
        let known = packages
            .iter()
            .find(|package| package.manifest_path == manifest);
        let paths = known.into_iter().flat_map(|package| &package.dependencies);
        for path in paths.filter_map(|dependency| dependency.path.clone()) {
            if !roots.contains(&path) {
                roots.push(path);
            }
        }
        at += 1;
    }
    roots
}

fn read(folder: &Path) -> Result<Metadata, BuildError> {
    let output = tool("cargo", folder)
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--color",
            "never",
        ])
        .output()
        .map_err(|why| BuildError::Tool { tool: "cargo", why })?;
    let failed = |why: &str| BuildError::Metadata {
        folder: folder.to_owned(),
        why: why.to_owned(),
    };
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(&error.to_string()))
}

/// Names plugins that are nearby, for whoever gave the folder above or beside them.
fn advice(folder: &Path) -> String {
    let nearby = [folder.to_owned(), folder.join("plugins")];
    let mut packages: Vec<_> = nearby
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flat_map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())))
        .filter(|path| path.join("Cargo.toml").is_file() && builds_cdylib(path))
        .map(|path| path.display().to_string())
        .collect();
    packages.sort();
    match packages.split_last() {
        None => "name the folder of a plugin's source, the one with its Cargo.toml".to_owned(),
        Some((only, [])) => format!("did you mean {only}?"),
        Some((last, others)) => format!("did you mean {} or {last}?", others.join(", ")),
    }
}

/// A guess that needs no cargo; it only decides on what is suggested.
fn builds_cdylib(folder: &Path) -> bool {
    let manifest = file::read(&folder.join("Cargo.toml"), MANIFEST_MAX).unwrap_or_default();
    String::from_utf8_lossy(&manifest).contains("cdylib")
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#"{
        "target_directory": "/w/target",
        "workspace_root": "/w",
        "packages": [
            { "name": "my-chat", "manifest_path": "/w/chat/Cargo.toml",
              "targets": [{ "name": "my-chat", "kind": ["cdylib", "rlib"], "src_path": "/w/chat/src/lib.rs" }],
              "dependencies": [{ "name": "serde" }, { "name": "words", "path": "/w/words" }] },
            { "name": "words", "manifest_path": "/w/words/Cargo.toml",
              "targets": [{ "name": "words", "kind": ["lib"], "src_path": "/w/words/src/lib.rs" }],
              "dependencies": [{ "name": "more", "path": "/w/more" }, { "name": "my-chat", "path": "/w/chat" }] },
            { "name": "my-auth", "manifest_path": "/w/auth/Cargo.toml",
              "targets": [{ "name": "my-auth", "kind": ["cdylib"], "src_path": "/w/auth/src/lib.rs" }],
              "dependencies": [] }
        ]
    }"#;

    fn of(folder: &str) -> Option<Result<Project, BuildError>> {
        Project::of(serde_json::from_str(METADATA).unwrap(), Path::new(folder))
    }

    #[test]
    fn the_package_of_the_folder_is_found_in_its_workspace() {
        let project = of("/w/chat").unwrap().unwrap();
        let component = &project.component;
        assert_eq!(component.package, "my-chat");
        assert_eq!(component.library, "my_chat");
        assert_eq!(component.source, Path::new("/w/chat/src/lib.rs"));
        assert_eq!(
            component.roots,
            ["/w/chat", "/w/words", "/w/more"].map(PathBuf::from)
        );
        let neighbours: Vec<_> = project
            .neighbours
            .iter()
            .map(|other| &*other.package)
            .collect();
        assert_eq!(neighbours, ["my-auth"], "words is no component");
    }

    #[test]
    fn a_package_without_cdylib_is_told_how_to_have_one() {
        let error = of("/w/words").unwrap().unwrap_err().to_string();
        assert!(error.contains("crate-type = [\"cdylib\"]"), "{error}");
    }

    #[test]
    fn a_workspace_is_no_package() {
        assert!(of("/w").is_none());
    }

    #[test]
    fn a_folder_above_plugins_is_told_their_names() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["echo", "chat"] {
            let plugin = folder.path().join("plugins").join(name);
            fs::create_dir_all(&plugin).unwrap();
            fs::write(
                plugin.join("Cargo.toml"),
                "[lib]\ncrate-type = [\"cdylib\"]\n",
            )
            .unwrap();
        }
        let error = Project::find(folder.path()).unwrap_err().to_string();
        let nearby = folder.path().join("plugins");
        let expected = format!("did you mean {0}/chat or {0}/echo?", nearby.display());
        assert!(error.ends_with(&expected), "{error}");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = Project::find(Path::new("/no/such/folder"))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("\"/no/such/folder\" cannot be opened"),
            "{error}"
        );
    }
}
