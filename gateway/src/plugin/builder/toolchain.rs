//! The compiler's target for plugins. All is asked in the plugin's folder, so that its
//! `rust-toolchain.toml` counts.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::{BuildError, TARGET, tool};
use crate::log;

/// Installs the target for plugins unless it is there, for the toolchain that `folder` uses. The error says
/// what to run when that fails.
pub fn ensure_target(folder: &Path) -> Result<(), BuildError> {
    if is_installed(folder)? {
        return Ok(());
    }
    // It downloads some 20 MB. Its progress is for the terminal, so it goes there.
    log::print(&format!(
        "installing the target {TARGET}: rustup target add {TARGET}"
    ));
    let status = tool("rustup", folder)
        .args(["target", "add", TARGET])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    let failed = |why: String| {
        Err(BuildError::Target {
            folder: folder.to_owned(),
            why,
        })
    };
    match status {
        Err(error) => failed(format!("`rustup` did not start: {error}")),
        Ok(status) if !status.success() => {
            failed("`rustup target add` failed, see above".to_owned())
        }
        Ok(_) if !is_installed(folder)? => {
            failed("still could not once it was installed".to_owned())
        }
        Ok(_) => Ok(()),
    }
}

/// Whether the compiler has the target's standard library. A compiler that does not even know the
/// target is one that lacks it.
fn is_installed(folder: &Path) -> Result<bool, BuildError> {
    let output = tool("rustc", folder)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|why| BuildError::Tool { tool: "rustc", why })?;
    let printed = String::from_utf8_lossy(&output.stdout);
    Ok(output.status.success() && PathBuf::from(printed.trim()).is_dir())
}
