//! `tidegate run`: the gateway with a configuration file.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Error;
use crate::admin::{self, Admin};
use crate::config::{Config, PluginLimits};
use crate::counters::Family;
use crate::hosts::Hosts;
use crate::log;
use crate::plugin::{Engine, Guest, Registry, Sizes, watcher};
use crate::server::Server;
use crate::store::Store;
use crate::supervise;

/// Runs the gateway with the configuration at `path` until SIGTERM or SIGINT.
pub fn run(
    path: &Path,
    listen: Option<SocketAddr>,
    admin: Option<SocketAddr>,
) -> Result<(), Error> {
    let config = super::load_config(path, |config| {
        config.server.listen = listen.unwrap_or(config.server.listen);
        config.admin.listen = admin.or(config.admin.listen);
    })?;
    log::start(&config.log)?;
    let runtime = runtime()?;
    Ok(runtime.block_on(serve(config))?)
}

/// The control thread's runtime: signals, admin, watcher. No event runs on it.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::LocalRuntime> {
    crate::allocator::give_back_large_buffers();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .context("failed to start a runtime")
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let listener = listen(config.server.listen)?;
    let registry = registry(&config)?;
    // Before the first loads, so that no change falls in between.
    let _watch = watcher::watch(&registry).context("failed to watch the plugins' folders")?;
    let loaded = tokio::select! {
        loaded = registry.reload_all() => loaded,
        // Whoever ends it now need not wait for a compilation.
        () = signals.serve_until_end(&registry) => return Ok(()),
    };
    for (plugin, loaded) in registry.plugins().iter().zip(loaded) {
        loaded.map_err(|error| anyhow!("plugin {:?}: {error}", plugin.name()))?;
    }
    let config = Arc::new(config);
    let server = Server::start(listener, config.clone(), registry.clone(), None, Guest::new)
        .context("failed to start the shards")?;
    super::say(&format!("listening on http://{}", server.address()));
    serve_admin(&config, &server, &registry).await?;
    signals.serve_until_end(&registry).await;
    drain(server, &config).await;
    registry.store().close();
    Ok(())
}

/// The registry of the configured plugins, on an engine of their sizes, with their store.
pub(super) fn registry(config: &Config) -> anyhow::Result<Arc<Registry>> {
    let store = Store::open(config)?;
    let engine = Engine::new(sizes(config))
        .map_err(|error| anyhow!("failed to start the engine: {error:#}"))?;
    Registry::new(engine, super::program(), config, store).context("failed to start the loader")
}

/// What the configured plugins may need together.
fn sizes(config: &Config) -> Sizes {
    let plugins = &config.plugins;
    let memory = plugins.iter().map(|plugin| plugin.limits.memory).max();
    let shards = config.server.shards().get();
    Sizes {
        instances: config.engine.instances,
        kept: (plugins.len() * shards) as u32,
        shards,
        memory: memory.unwrap_or(PluginLimits::default().memory),
        total_memory: config.engine.memory,
    }
}

/// Opens the public listener.
pub(super) fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    open(address)
        .with_context(|| format!("failed to listen on {address}: choose another with --listen"))
}

/// Opens a listener. The backlog holds a burst of clients that all come back at once.
fn open(address: SocketAddr) -> std::io::Result<TcpListener> {
    const BACKLOG: i32 = 4096;
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Starts the admin side, unless it is off.
pub(super) async fn serve_admin(
    config: &Config,
    server: &Server,
    registry: &Arc<Registry>,
) -> anyhow::Result<()> {
    let Some(address) = config.admin.listen else {
        return Ok(());
    };
    let listener = open(address).with_context(|| {
        format!("failed to listen on {address}: choose another admin address with --admin")
    })?;
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    super::say(&format!("admin on http://{}", listener.local_addr()?));
    let closer = server.closer();
    let admin = Admin {
        registry: registry.clone(),
        counters: server.counters().to_vec(),
        pending: server.pending().clone(),
        oversize: server.oversize().clone(),
        draining: server.draining().clone(),
        token: config.admin.token.clone(),
        close: Box::new(move |connection, cause| closer.close(connection, cause)),
        publisher: server.publisher(),
        message_max: config.admin.message,
        hosts: Hosts::new(&config.admin.hosts, !address.ip().is_loopback()),
        publishes: Family::default(),
    };
    supervise::lasting("admin", admin::serve(listener, Rc::new(admin)));
    Ok(())
}

/// Closes all connections; returns when they are gone.
pub(super) async fn drain(server: Server, config: &Config) {
    tracing::info!(window = ?config.server.drain_window, "draining");
    server
        .drain(config.server.drain_window, config.server.drain_deadline)
        .await;
    tracing::info!("drained");
}

/// The signals the gateway listens to.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    pub(super) fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("failed to listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Reloads all plugins on SIGHUP; returns on SIGTERM and SIGINT.
    pub(super) async fn serve_until_end(&mut self, registry: &Arc<Registry>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    let registry = registry.clone();
                    // In a task of its own: a load that takes long must not keep a signal waiting.
                    // A refusal is in the log and the plugin's status.
                    supervise::passing("SIGHUP", async move { registry.reload_all().await });
                }
            }
        }
    }
}
