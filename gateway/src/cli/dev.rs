//! `tidegate dev`: builds a plugin, runs it, and swaps it on every save. What its configuration has
//! beside it is built too, if it comes from the same workspace.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

use super::Error;
use super::run;
use crate::config::{Config, ConfigErrors};
use crate::console::{About, Console, Traced};
use crate::log;
use crate::plugin::builder::{BuildError, Builder, Sources};
use crate::plugin::{Guest, Registry, Reload, watcher};
use crate::server::Server;

/// Whoever presses Ctrl-C is waiting for the prompt: connections are closed all at once, and those
/// whose peers do not answer are cut after this.
const DRAIN_DEADLINE: Duration = Duration::from_secs(2);

/// Develops the plugin in `folder` until SIGTERM or SIGINT.
pub fn run(folder: &Path, listen: Option<SocketAddr>) -> Result<(), Error> {
    let mut builder = Builder::new(folder).map_err(anyhow::Error::from)?;
    let (config, plugin) = configure(&mut builder, listen)?;
    log::start(&config.log)?;
    let runtime = run::runtime()?;
    Ok(runtime.block_on(serve(&builder, config, plugin))?)
}

/// The folder's own `tidegate.toml`, or a configuration that brings every path to the plugin. Also
/// returns the index of the plugin under development: the one with the package's name.
fn configure(builder: &mut Builder, listen: Option<SocketAddr>) -> Result<(Config, usize), Error> {
    let name = plugin_name(builder.package());
    let file = builder.folder().join("tidegate.toml");
    let mut config = if file.is_file() {
        Config::load(&file, super::environment())?
    } else {
        Config::parse(&embedded(&name), &file, super::environment())?
    };
    let index = config
        .plugins
        .iter()
        .position(|plugin| plugin.name == name)
        .ok_or_else(|| {
            anyhow!(
                "{file:?} has no plugin {name:?}: add [[plugin]] with name = {name:?} and a path"
            )
        })?;
    for (at, plugin) in config.plugins.iter_mut().enumerate() {
        let built = if at == index {
            Some(builder.artifact())
        } else {
            builder.add(&plugin.path)
        };
        if let Some(artifact) = built {
            plugin.path = artifact;
            // Each of our builds is a reload already; a watch would make a second of it.
            plugin.watch = false;
        }
    }
    adapt(&mut config, listen)?;
    Ok((config, index))
}

/// A plugin's name may have less than a package's.
fn plugin_name(package: &str) -> String {
    package.to_lowercase().replace('_', "-")
}

fn embedded(name: &str) -> String {
    // Any free port for the admin side, so that a gateway that runs beside this one is no obstacle.
    format!(
        r#"
        [admin]
        listen = "127.0.0.1:0"

        [[plugin]]
        name = "{name}"
        path = "{name}.wasm"

        [[route]]
        path = "/"
        plugins = ["{name}"]

        [[route]]
        path = "/{{*path}}"
        plugins = ["{name}"]
        "#
    )
}

fn adapt(config: &mut Config, listen: Option<SocketAddr>) -> Result<(), ConfigErrors> {
    config.server.listen = listen.unwrap_or(config.server.listen);
    config.server.drain_window = Duration::ZERO;
    config.server.drain_deadline = DRAIN_DEADLINE;
    config.check()
}

async fn serve(builder: &Builder, config: Config, plugin: usize) -> anyhow::Result<()> {
    let mut signals = run::Signals::new()?;
    let listener = run::listen(config.server.listen)?;
    let registry = run::registry(&config)?;
    // Before the first build, so that no save falls in between.
    let sources = Sources::watch(builder);
    let _watch = watcher::watch(&registry).context("failed to watch the plugins' folders")?;
    let about = About {
        source: displayed(builder.source()),
        routes: config
            .routes
            .iter()
            .map(|route| route.path.clone())
            .collect(),
    };
    let console = Console::new(registry.clone(), plugin, about.clone());
    let config = Arc::new(config);
    let traced = console.clone();
    let handler = move |shard, chain| Traced::new(Guest::new(shard, chain), traced.clone());
    let shown = Some(console.clone());
    let server = Server::start(listener, config.clone(), registry.clone(), shown, handler)
        .context("failed to start the shards")?;
    greet(registry.plugins()[plugin].name(), server.address(), &about);
    run::serve_admin(&config, &server, &registry).await?;
    tokio::select! {
        () = follow(builder, sources, &registry, plugin, &console) => {}
        () = signals.serve_until_end(&registry) => {}
    }
    run::drain(server, &config).await;
    registry.store().close();
    Ok(())
}

/// Builds and loads the plugin and those beside it now and after every save. Never ends.
async fn follow(
    builder: &Builder,
    mut sources: Sources,
    registry: &Registry,
    plugin: usize,
    console: &Console,
) {
    loop {
        if let Some(problem) = console.read_samples(builder.folder()) {
            tracing::warn!("{problem}");
        }
        if build(builder, console).await {
            load_others(registry, plugin).await;
            if let Ok(Reload::Unchanged(generation)) = registry.reload(plugin, true).await {
                console.unchanged(generation);
            }
        }
        // A refusal is in the log and in the console: the registry has told them.
        sources.changed().await;
    }
}

/// Loads what the configuration has beside the plugin under development, if it has changed. One that
/// is refused must not keep anybody from working on this one.
async fn load_others(registry: &Registry, plugin: usize) {
    for other in (0..registry.plugins().len()).filter(|&other| other != plugin) {
        // A refusal is in the log.
        let _ = registry.reload(other, true).await;
    }
}

/// Whether there is a component to load. What cargo writes goes to the terminal as it comes.
async fn build(builder: &Builder, console: &Console) -> bool {
    console.building();
    let begun = Instant::now();
    match builder.build(log::print).await {
        Ok(_) => {
            console.built(begun.elapsed());
            true
        }
        Err(error) => {
            let plugin = builder.package();
            console.build_failed(match error {
                BuildError::Failed { output } => {
                    tracing::error!(plugin, "the build failed; what is in place stays");
                    output
                }
                other => {
                    tracing::error!(plugin, "{other}");
                    other.to_string()
                }
            });
            false
        }
    }
}

fn greet(plugin: &str, address: SocketAddr, about: &About) {
    let About { source, routes } = about;
    let route = routes.first().map_or("/", String::as_str);
    super::say(&format!(
        "\n  {plugin} on tidegate {}\n",
        env!("CARGO_PKG_VERSION")
    ));
    super::say(&format!("  console  http://{address}/"));
    super::say(&format!("  connect  ws://{address}{route}"));
    super::say(&format!(
        "  edit     {source}: a save swaps the code, connections stay\n"
    ));
}

/// A path as seen from the working folder, where it is inside it.
fn displayed(path: &Path) -> String {
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    let inside = here
        .ok()
        .and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    inside.as_deref().unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_configuration_is_sound() {
        for name in ["chat", "a-1"] {
            let config = Config::parse(&embedded(name), Path::new("tidegate.toml"), []);
            let mut config = config.unwrap();
            adapt(&mut config, None).unwrap();
            assert_eq!(config.routes.len(), 2);
        }
    }

    #[test]
    fn a_package_name_becomes_a_plugin_name() {
        assert_eq!(plugin_name("My_Chat"), "my-chat");
    }
}
