//! `tidegate types`: asks a component for its messages and prints them as TypeScript.

mod typescript;

use std::io::Write;
use std::path::Path;

use anyhow::anyhow;

use super::{Error, check_plugin};
use crate::plugin::{Registry, describe};

/// Prints the types of the messages of the component at `path`. Its own check is not run: what that
/// may look for, a grant or a setting, is not here.
pub fn run(path: &Path) -> Result<(), Error> {
    let bench = check_plugin::bench(path)?;
    let generation = bench
        .runtime
        .block_on(Registry::inspect(
            &bench.engine,
            super::program(),
            &bench.config,
            &bench.plugin,
            bench.store,
        ))
        .map_err(|error| anyhow!("{error}"))?;
    let description = bench
        .runtime
        .block_on(describe(&generation))
        .map_err(|error| anyhow!("{path:?} {error}"))?;
    let description = description.ok_or_else(|| {
        anyhow!(
            "{path:?} does not describe its messages: add `describe` to its export, \
             as in `tidegate_sdk::export!(Rooms: describe)`, and build it again"
        )
    })?;
    let types = typescript::types(&description).map_err(|error| {
        anyhow!("{path:?} describes its messages in another shape than the contract's: {error}")
    })?;
    let mut stdout = std::io::stdout().lock();
    let written = stdout
        .write_all(types.as_bytes())
        .and_then(|()| stdout.flush());
    written.map_err(|error| anyhow!("failed to write to stdout: {error}"))?;
    Ok(())
}
