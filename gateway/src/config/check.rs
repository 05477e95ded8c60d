//! What types cannot say about a configuration: names that must agree, values that must fit each
//! other.

mod topics;

use std::collections::{BTreeSet, HashSet};

use matchit::InsertError;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::plugin::is_name;
use super::{Bucket, CLIENT_PATHS, CompressionMode, Config, Plugin, Route, SlowConsumer};

/// The longest chain: each member is a call for every message, so more is a mistake.
const CHAIN_MAX: usize = 16;

/// Something wrong with decoded values.
pub(super) struct Problem {
    /// Dotted paths of the values involved, elements of arrays by index; the one to change first.
    pub(super) paths: Vec<String>,
    pub(super) message: String,
}

fn problem(paths: &[&str], message: impl Into<String>) -> Problem {
    Problem {
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        message: message.into(),
    }
}

/// Everything wrong with `config`. A required value that is missing is one that is still empty.
pub(super) fn problems(config: &Config) -> Vec<Problem> {
    let mut found = Vec::new();
    found.extend(listeners(config));
    found.extend(drain(config));
    found.extend(instances(config));
    found.extend(pending(config));
    found.extend(level(&config.log.level));
    found.extend(plugins(&config.plugins));
    found.extend(buckets(&config.bucket_limits, &config.plugins));
    found.extend(config.plugins.iter().enumerate().flat_map(grants));
    found.extend(topics::declared(&config.topics, &config.plugins));
    found.extend(topics::granted(config));
    found.extend(routes(&config.routes, &config.plugins));
    found.extend(granted_states(config));
    found.extend(client(config));
    found
}

fn listeners(config: &Config) -> Option<Problem> {
    let admin = config.admin.listen?;
    let listen = config.server.listen;
    if admin == listen && listen.port() != 0 {
        let message =
            format!("[admin] and [server] both listen on {listen}: give [admin] a port of its own");
        return Some(problem(&["admin.listen", "server.listen"], message));
    }
    if !admin.ip().is_loopback() && config.admin.token.is_none() {
        let message = format!(
            "\"listen\" in [admin] is {admin}, which others can reach: set \"token\", or listen on 127.0.0.1"
        );
        return Some(problem(&["admin.listen", "admin.token"], message));
    }
    None
}

fn drain(config: &Config) -> Option<Problem> {
    let (window, deadline) = (config.server.drain_window, config.server.drain_deadline);
    (window > deadline).then(|| {
        let message = format!(
            "\"drain_window\" in [server] is {window:?}, longer than \"drain_deadline\" ({deadline:?}): lower it"
        );
        problem(&["server.drain_window", "server.drain_deadline"], message)
    })
}

/// A budget below the largest message would refuse it at any time, whoever else is there.
fn pending(config: &Config) -> Vec<Problem> {
    let pending = config.server.pending;
    let largest = |route: &Route| {
        let limits = &route.limits;
        let (message, times) = match route.compression.mode {
            CompressionMode::Off => (limits.message, ""),
            _ => (limits.message.saturating_mul(2), "twice "),
        };
        match message >= limits.body {
            true => ("message", message, times),
            false => ("body", limits.body, ""),
        }
    };
    let routes = config.routes.iter().enumerate();
    let routes = routes.map(|(index, route)| (index, route, largest(route)));
    routes
        .filter(|(.., (_, needed, _))| *needed > pending)
        .map(|(index, route, (key, needed, times))| {
            let message = format!(
                "\"pending\" in [server] is {pending} bytes, below {times}\"{key}\" of route {:?}: write at least {needed}, or lower \"{key}\"",
                route.path
            );
            problem(&["server.pending", &format!("route.{index}.limits.{key}")], message)
        })
        .collect()
}

/// Each shard keeps an instance of each plugin for itself, so that no plugin waits for others.
fn instances(config: &Config) -> Option<Problem> {
    let (plugins, shards) = (config.plugins.len(), config.server.shards().get());
    let (needed, instances) = (plugins * shards, config.engine.instances);
    ((instances as usize) < needed).then(|| {
        let message = format!(
            "\"instances\" in [engine] is {instances}, but each of {shards} \"shards\" in [server] keeps one of each plugin, of which there are {plugins}: write at least {needed}"
        );
        problem(&["engine.instances", "server.shards"], message)
    })
}

/// A route that only the browser client would answer for.
fn client(config: &Config) -> Vec<Problem> {
    let routes = config.routes.iter().enumerate();
    routes
        .filter(|(_, route)| config.server.client && CLIENT_PATHS.contains(&route.path.as_str()))
        .map(|(index, Route { path, .. })| {
            let message = format!(
                "route {path:?} is where the browser client is: choose another path, or write client = false in [server]"
            );
            problem(&[&format!("route.{index}.path"), "server.client"], message)
        })
        .collect()
}

/// `EnvFilter` takes a word that is no level for a module's name, and then logs nothing else: a
/// misspelt level would silence the gateway.
fn level(level: &str) -> Option<Problem> {
    // A filter's parser takes no word at all for a level.
    let is_level = |word: &str| !word.is_empty() && word.parse::<LevelFilter>().is_ok();
    let is_known = |word: &str| word.contains(['=', '[']) || is_level(word);
    let sound = level.split(',').all(is_known) && EnvFilter::try_new(level).is_ok();
    (!sound).then(|| {
        let message = format!(
            "\"level\" in [log] is {level:?}: write one of \"error\", \"warn\", \"info\", \"debug\", \"trace\" and \"off\", or for parts of it \"info,tidegate::plugin=debug\""
        );
        problem(&["log.level"], message)
    })
}

fn plugins(plugins: &[Plugin]) -> Vec<Problem> {
    let mut found = Vec::new();
    if plugins.is_empty() {
        let message = "no plugin: add [[plugin]] with a name and a path";
        found.push(problem(&["plugin"], message));
    }
    let mut names = HashSet::new();
    for (index, Plugin { name, path, .. }) in plugins.iter().enumerate() {
        let at_name = format!("plugin.{index}.name");
        if name.is_empty() {
            found.push(problem(
                &[&at_name],
                "plugin without a name: add one, like name = \"chat\"",
            ));
        } else if !names.insert(name) {
            let message = format!("a second plugin is named {name:?}: give it another name");
            found.push(problem(&[&at_name], message));
        }
        if path.as_os_str().is_empty() {
            let message =
                format!("plugin {name:?} has no path: add one, like path = \"{name}.wasm\"");
            found.push(problem(&[&format!("plugin.{index}.path")], message));
        }
    }
    found
}

fn buckets(buckets: &[Bucket], plugins: &[Plugin]) -> Vec<Problem> {
    let granted: Vec<_> = plugins
        .iter()
        .flat_map(|plugin| plugin.grants.store.iter().map(String::as_str))
        .collect();
    let mut found = Vec::new();
    let mut names = HashSet::new();
    for (index, Bucket { name, .. }) in buckets.iter().enumerate() {
        let at_name = format!("bucket.{index}.name");
        let message = if name.is_empty() {
            "bucket without a name: add one, like name = \"rooms\"".to_owned()
        } else if !names.insert(name) {
            format!("a second bucket is named {name:?}: give it another name")
        } else if granted.is_empty() {
            format!("no plugin may use bucket {name:?}: add grants.store = [{name:?}] to one")
        } else if !granted.contains(&name.as_str()) {
            let advice = super::wording::choose(name, &granted);
            format!("no plugin may use bucket {name:?}; of those in grants.store, {advice}")
        } else {
            continue;
        };
        found.push(problem(&[&at_name], message));
    }
    found
}

/// The buckets that a plugin is granted.
fn grants((index, plugin): (usize, &Plugin)) -> Vec<Problem> {
    let Plugin { name, grants, .. } = plugin;
    let at = |key: &str| format!("plugin.{index}.grants.{key}");
    let wrong = grants.store.iter().filter(|bucket| !is_name(bucket));
    let wrong = wrong.map(|bucket| {
        let message = format!(
            "plugin {name:?} has bucket {bucket:?} in grants.store: write 1 to 64 of the characters a-z, 0-9 and -"
        );
        problem(&[&at("store")], message)
    });
    let unreadable = grants
        .watch
        .iter()
        .filter(|bucket| !grants.store.contains(bucket));
    let unreadable = unreadable.map(|bucket| {
        let message = format!(
            "plugin {name:?} has bucket {bucket:?} in grants.watch, but not in grants.store: add it there"
        );
        problem(&[&at("watch"), &at("store")], message)
    });
    wrong.chain(unreadable).collect()
}

/// A plugin sees the states of those it shares a chain with; of any other it would never see one.
fn granted_states(config: &Config) -> Vec<Problem> {
    let names: Vec<_> = config.plugins.iter().map(|p| p.name.as_str()).collect();
    if names.contains(&"") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (index, Plugin { name, grants, .. }) in config.plugins.iter().enumerate() {
        let others: BTreeSet<_> = config
            .routes
            .iter()
            .filter(|route| route.plugins.contains(name))
            .flat_map(|route| &route.plugins)
            .map(String::as_str)
            .filter(|other| other != name && names.contains(other))
            .collect();
        let others: Vec<_> = others.into_iter().collect();
        let unknown = grants.state.iter().map(String::as_str);
        for granted in unknown.filter(|granted| !others.contains(granted)) {
            let what = match names.contains(&granted) {
                true => "which is in no chain with it",
                false => "which is no plugin",
            };
            let advice = match &others[..] {
                [] => "remove it, or name both in `plugins` of a route".to_owned(),
                others => super::wording::choose(granted, others),
            };
            let message =
                format!("plugin {name:?} is granted the state of {granted:?}, {what}: {advice}");
            let path = format!("plugin.{index}.grants.state");
            found.push(problem(&[&path, "route"], message));
        }
    }
    found
}

fn routes(routes: &[Route], plugins: &[Plugin]) -> Vec<Problem> {
    let mut found = Vec::new();
    if routes.is_empty() {
        let message = "no route: add [[route]] with a path and plugins";
        found.push(problem(&["route"], message));
    }
    let mut router = matchit::Router::new();
    for (index, route) in routes.iter().enumerate() {
        let at_path = format!("route.{index}.path");
        if route.path.is_empty() {
            let message = "route without a path: add one, like path = \"/rooms/{room}\"";
            found.push(problem(&[&at_path], message));
        } else if let Err(error) = router.insert(&route.path, ()) {
            let message = format!("route {:?} {}", route.path, conflict(&error));
            found.push(problem(&[&at_path], message));
        }
        let at_plugins = format!("route.{index}.plugins");
        if let Some(message) = chain(route, plugins) {
            found.push(problem(&[&at_plugins], message));
        }
        found.extend(heartbeat(index, route));
        found.extend(contexts(index, route));
    }
    found
}

fn conflict(error: &InsertError) -> String {
    match error {
        InsertError::Conflict { with } => {
            format!("takes the same requests as route {with:?}: change one of them")
        }
        InsertError::InvalidParamSegment => {
            "has two parameters in one segment: put a \"/\" between them".to_owned()
        }
        InsertError::InvalidCatchAll => {
            "goes on after a parameter with \"*\": put that at its end".to_owned()
        }
        _ => "has an unfinished parameter: write {name}, or {{ and }} for plain braces".to_owned(),
    }
}

fn chain(route: &Route, plugins: &[Plugin]) -> Option<String> {
    let (path, count) = (&route.path, route.plugins.len());
    if count == 0 {
        return Some(format!(
            "route {path:?} names no plugin: add one, like plugins = [\"chat\"]"
        ));
    }
    if count > CHAIN_MAX {
        return Some(format!(
            "route {path:?} names {count} plugins: a chain has at most {CHAIN_MAX}"
        ));
    }
    let mut named = HashSet::new();
    if let Some(twice) = route.plugins.iter().find(|name| !named.insert(*name)) {
        return Some(format!(
            "route {path:?} names plugin {twice:?} twice: name it once"
        ));
    }
    // A plugin whose own name was wrong or missing may be the one that is meant; that it is wrong
    // has been said.
    let nameless = plugins.is_empty() || plugins.iter().any(|plugin| plugin.name.is_empty());
    let is_known = |name: &String| plugins.iter().any(|plugin| plugin.name == *name);
    let name = route.plugins.iter().find(|name| !is_known(name));
    let name = name.filter(|_| !nameless)?;
    let known: Vec<_> = plugins.iter().map(|plugin| plugin.name.as_str()).collect();
    let advice = super::wording::choose(name, &known);
    Some(format!(
        "route {path:?} names an unknown plugin {name:?}: {advice}"
    ))
}

/// With contexts of its own a connection must get every message that was compressed for it.
fn contexts(index: usize, route: &Route) -> Option<Problem> {
    let drops = route.limits.slow_consumer == SlowConsumer::DropOldest;
    (drops && route.compression.mode == CompressionMode::Dedicated).then(|| {
        let path = &route.path;
        let message = format!(
            "route {path:?} has mode = \"dedicated\" in [route.compression] and slow_consumer = \"drop-oldest\": what comes behind a dropped message could not be read; use mode = \"shared\""
        );
        let paths = ["compression.mode", "limits.slow_consumer"];
        let paths = paths.map(|key| format!("route.{index}.{key}"));
        problem(&paths.each_ref().map(String::as_str), message)
    })
}

/// A ping that comes after the idle limit, or may be answered after it, would never matter.
fn heartbeat(index: usize, route: &Route) -> Option<Problem> {
    let limits = &route.limits;
    let (idle, path) = (limits.idle, &route.path);
    let (key, wait) = [("ping", limits.ping), ("pong", limits.pong)]
        .into_iter()
        .find(|(_, wait)| !limits.ping.is_zero() && *wait >= idle)?;
    let message = format!(
        "route {path:?} has {key} = {wait:?}, not shorter than idle = {idle:?}: lower it, or turn pings off with ping = \"0s\""
    );
    let paths = [key, "idle"].map(|key| format!("route.{index}.limits.{key}"));
    Some(problem(&paths.each_ref().map(String::as_str), message))
}
