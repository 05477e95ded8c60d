//! The configuration: one TOML file, `tidegate.toml`, under environment variables, under flags.
//!
//! A file is read whole and everything wrong with it is said at once, each error with its place and
//! what to do about it, because a gateway is configured by people who would rather fix five lines
//! once than one line five times. Every key has a default; its documentation gives the reason.
//! Defaults live in the `Default` of each table.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

mod address;
mod check;
mod document;
mod environment;
mod gateway;
mod host;
mod origin;
mod plugin;
mod route;
mod source;
mod store;
mod topic;
mod units;
mod variable;
mod wording;

#[cfg(test)]
mod tests;

pub use address::AddressLimits;
pub use gateway::{Admin, CLIENT_PATHS, Cache, Engine, Log, LogFormat, Server, Token};
pub use host::HostName;
pub use origin::Origin;
pub use plugin::{OnRefusedState, Plugin, PluginGrants, PluginLimits};
pub use route::{
    Compression, CompressionMode, OnError, OnFailure, OnRate, Origins, Route, RouteLimits,
};
pub use store::{Bucket, Store};
pub use topic::{SharedTopic, TopicGrants};

pub use crate::outbox::SlowConsumer;

use document::Document;

/// The smallest configuration that does something, shown to whoever has none.
const EXAMPLE: &str = r#"
    [[plugin]]
    name = "chat"
    path = "chat.wasm"

    [[route]]
    path = "/"
    plugins = ["chat"]"#;

/// Everything a gateway is told before it starts.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub struct Config {
    /// The public listener, its shards and its shutdown.
    pub server: Server,
    /// The listener for operators: health, metrics, reloads.
    pub admin: Admin,
    /// What is logged, and how.
    pub log: Log,
    /// What all plugins share: instances, compilation, the cache of compiled code.
    pub engine: Engine,
    /// What plugins keep beyond their connections, and on which disk.
    pub store: Store,
    /// The limits of buckets, key `[[bucket]]`; see [`Config::buckets`].
    #[serde(rename = "bucket")]
    pub bucket_limits: Vec<Bucket>,
    /// The topics that plugins share, key `[[topic]]`. Default none: each plugin has its own.
    #[serde(rename = "topic")]
    pub topics: Vec<SharedTopic>,
    /// The plugins, key `[[plugin]]`; at least one. One that no route names is loaded all the same,
    /// so that a route can be pointed at it.
    #[serde(rename = "plugin")]
    pub plugins: Vec<Plugin>,
    /// The routes, key `[[route]]`; at least one. A request that matches none gets 404.
    #[serde(rename = "route")]
    pub routes: Vec<Route>,
}

impl Config {
    /// Reads the file at `path` and lays `environment` over it; see [`Config::parse`].
    pub fn load(
        path: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigErrors> {
        let text = source::read(path).map_err(|error| {
            let advice = match error.kind() {
                std::io::ErrorKind::NotFound => format!(": create it with at least\n{EXAMPLE}"),
                _ => String::new(),
            };
            let message = format!("failed to read the configuration: {error}{advice}");
            ConfigErrors::from(ConfigError {
                place: Place::File(path.to_owned()),
                message,
            })
        })?;
        Self::parse(&text, path, environment)
    }

    /// Reads a configuration from `text`, which came from the file `origin`: relative paths start
    /// from its folder.
    ///
    /// Every key is also an environment variable, which wins over the file:
    /// `TIDEGATE_SERVER__LISTEN` is `listen` in `[server]`, `TIDEGATE_PLUGIN__CHAT__LIMITS__MEMORY`
    /// a limit of the plugin `chat` (`-` in a name is `_`), `TIDEGATE_BUCKET__ROOMS__TTL` one of the
    /// bucket `rooms`, `TIDEGATE_ROUTE__0__LIMITS__IDLE` one of the first route, and
    /// `TIDEGATE_TOPIC__0__NAME` the first shared topic. Variables adjust the plugins, buckets, routes
    /// and topics of the file and add none. A
    /// variable without `__` is none of ours. Flags win over both: a caller sets them on the result
    /// and calls [`Config::check`].
    pub fn parse(
        text: &str,
        origin: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigErrors> {
        let mut document = Document::parse(text, origin)?;
        document.overlay(environment);
        if let Some(mut config) = document.decode::<Self>() {
            for problem in check::problems(&config) {
                document.report(problem);
            }
            if document.is_sound() {
                config.resolve_paths(origin);
                return Ok(config);
            }
        }
        Err(document.into_errors())
    }

    /// Checks what a type cannot say, such as a route that names an unknown plugin.
    /// [`Config::parse`] has done this; it is for callers who then changed something, as flags do.
    pub fn check(&self) -> Result<(), ConfigErrors> {
        let errors: Vec<_> = check::problems(self)
            .into_iter()
            .map(|problem| ConfigError {
                place: Place::Flags,
                message: problem.message,
            })
            .collect();
        if errors.is_empty() {
            Ok(())
        } else {
            Err(ConfigErrors { errors })
        }
    }

    /// Every bucket there is: those with a table, and those that plugins are granted by name only,
    /// which have the defaults.
    pub fn buckets(&self) -> Vec<Bucket> {
        let mut buckets = self.bucket_limits.clone();
        for name in self.plugins.iter().flat_map(|plugin| &plugin.grants.store) {
            if !buckets.iter().any(|bucket| bucket.name == *name) {
                buckets.push(Bucket {
                    name: name.clone(),
                    ..Bucket::default()
                });
            }
        }
        buckets
    }

    /// Makes paths independent of the folder the process happens to run in.
    fn resolve_paths(&mut self, origin: &Path) {
        // This fails only where there is no working folder to start from; then the path as written
        // is all we have.
        let origin = std::path::absolute(origin).unwrap_or_else(|_| origin.to_owned());
        let folder = origin.parent().unwrap_or(Path::new("/"));
        for plugin in &mut self.plugins {
            plugin.path = folder.join(&plugin.path);
        }
        if let Cache::Directory(path) = &mut self.engine.cache {
            *path = folder.join(&*path);
        }
        if let Some(path) = &mut self.store.path {
            *path = folder.join(&*path);
        }
    }
}

/// All that is wrong with a configuration, in the order of the file, then by variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(errors))]
pub struct ConfigErrors {
    /// The errors; never empty.
    pub errors: Vec<ConfigError>,
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self {
            errors: vec![error],
        }
    }
}

fn lines(errors: &[ConfigError]) -> String {
    let lines: Vec<_> = errors.iter().map(ConfigError::to_string).collect();
    lines.join("\n")
}

/// One thing that is wrong: `tidegate.toml:3:1: unknown key "lisen" in [server]: did you mean
/// "listen"?`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct ConfigError {
    /// Where to look.
    pub place: Place,
    /// What is wrong there and what to do.
    pub message: String,
}

/// Where a setting came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file as a whole: it cannot be read, or lacks something.
    File(PathBuf),
    /// A place in a file; both numbers start from one, columns count characters.
    Line {
        /// The file as it was named to us.
        file: PathBuf,
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// An environment variable, by name.
    Variable(String),
    /// The command line, found by [`Config::check`].
    Flags,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Line { file, line, column } => write!(f, "{}:{line}:{column}", file.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flags => f.write_str("command line"),
        }
    }
}
