//! The plugins in `plugins/`, each with real clients through a gateway, and with a reload in the middle.

use crate::gateway::tidegate;
use crate::guests;

mod auth;
mod chat;
mod collab;
mod echo;
mod envelope;
mod events;
mod gallery;
mod heartbeat;
mod live;
mod modules;
mod presence;
mod pubsub;
mod quiz;
mod registry;
mod rooms;
mod rpc;
mod token;
mod transfer;

/// What `tidegate dev` uses is a configuration without a fault, and the table names every plugin.
#[test]
fn every_plugin_has_a_sound_configuration_and_a_row() {
    let plugins = guests::workspace().join("plugins");
    let table = std::fs::read_to_string(plugins.join("README.md")).unwrap();
    for plugin in guests::plugins() {
        let config = plugins.join(&plugin).join("tidegate.toml");
        if config.exists() {
            let arguments = ["check".as_ref(), "--config".as_ref(), config.as_os_str()];
            let output = tidegate(&arguments, &[]);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: {said}", config.display());
        }
        let row = format!("| [`{plugin}`]({plugin}/src/lib.rs) |");
        assert!(table.contains(&row), "no row begins with {row}");
    }
}
