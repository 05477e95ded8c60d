//! `tidegate check`: says all that is wrong with a configuration.

use std::path::Path;

use super::Error;

/// Checks the configuration at `path`; all that is wrong is in the error.
pub fn run(path: &Path) -> Result<(), Error> {
    let config = super::load_config(path, |_| {})?;
    super::say(&format!(
        "{} is fine: plugins: {}, routes: {}",
        path.display(),
        config.plugins.len(),
        config.routes.len()
    ));
    Ok(())
}
