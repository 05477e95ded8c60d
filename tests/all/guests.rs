//! The components the tests run: the real plugins, and a fixture for each way to misbehave.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The workspace.
pub fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Where the components are, built on first use.
static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
    tidegate::plugin::builder::ensure_target(workspace()).expect("the wasm target can be added");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(workspace())
        .args(["build", "--release", "--target", "wasm32-wasip2"]);
    cargo.args(["-p", "guests", "--lib", "--examples"]);
    for plugin in plugins() {
        cargo.args(["-p", &plugin]);
    }
    // What the outer `cargo test` sets for this package is not meant for that build.
    cargo
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS");
    let output = cargo.output().expect("cargo can be run");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| workspace().join("target"));
    target.join("wasm32-wasip2").join("release")
});

/// The names of the real plugins.
pub fn plugins() -> Vec<String> {
    let folders = std::fs::read_dir(workspace().join("plugins")).expect("it is there");
    let folders = folders.filter_map(|folder| folder.ok().map(|folder| folder.path()));
    folders
        .filter(|folder| folder.join("Cargo.toml").is_file())
        .filter_map(|folder| Some(folder.file_name()?.to_str()?.to_owned()))
        .collect()
}

/// The component of that name: a plugin's, or a fixture's.
pub fn path(name: &str) -> PathBuf {
    let file = format!("{}.wasm", name.replace('-', "_"));
    [BUILT.join(&file), BUILT.join("examples").join(&file)]
        .into_iter()
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("no plugin and no fixture is called {name:?}"))
}

/// The bytes of the component.
pub fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).expect("a component can be read")
}

/// The component's bytes with more core instances at the end, each with a linear memory of so many pages of 64 KiB.
pub fn with_memories(name: &str, count: usize, pages: u16) -> Vec<u8> {
    let mut bytes = bytes(name);
    let modules = modules(&bytes);
    for index in modules..modules + count {
        let pages = [
            pages as u8 | 0x80,
            (pages >> 7) as u8 | 0x80,
            (pages >> 14) as u8,
        ];
        // Section 1 is a core module, here of a memory section: one memory without a maximum.
        bytes.extend([1, 15, 0, b'a', b's', b'm', 1, 0, 0, 0, 5, 5, 1, 0]);
        bytes.extend(pages);
        // Section 2 is core instances, here one: of that module, without arguments.
        bytes.extend([2, 4, 1, 0, u8::try_from(index).unwrap(), 0]);
    }
    bytes
}

/// How many core modules a component has.
fn modules(component: &[u8]) -> usize {
    let mut rest = &component[8..];
    let mut modules = 0;
    while let [kind, after @ ..] = rest {
        let end = after.iter().position(|byte| byte & 0x80 == 0).unwrap();
        let (size, content) = after.split_at(end + 1);
        let size = size.iter().rev();
        let size = size.fold(0, |size, byte| size << 7 | usize::from(byte & 0x7f));
        modules += usize::from(*kind == 1);
        rest = &content[size..];
    }
    modules
}

/// The component's bytes with a custom section at the end: the same plugin under another digest.
pub fn variant(name: &str, mark: u8) -> Vec<u8> {
    let mut bytes = bytes(name);
    // Section 0 is custom: its size, then its name with a length, then anything.
    bytes.extend([0, 4, 2, b'n', b'o', mark]);
    bytes
}
