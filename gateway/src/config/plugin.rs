//! The table `[[plugin]]`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer};

use super::origin::Origin;
use super::topic::TopicGrants;
use super::units::{self, Scalar};

/// `[[plugin]]`: a component and what it may use.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub struct Plugin {
    /// What routes, logs and metrics call it; required. 1 to 64 of `a-z`, `0-9` and `-`, so that it
    /// needs no quoting in a URL or a metric and maps to one environment variable.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// The component's file; required. A relative path starts from the configuration file's folder.
    #[serde(deserialize_with = "path")]
    pub path: PathBuf,
    /// Whether a change of the file is a reload. Default `true`: replacing the file is the simplest
    /// deployment. With `false` only the admin API and a signal reload.
    pub watch: bool,
    /// How often the watched file is looked at although the system tells of no change. Default `"2s"`:
    /// it tells of none for a file that is a mount of its own, or that another machine changes, and a
    /// look costs microseconds. `"0s"` looks only when told.
    #[serde(deserialize_with = "units::duration_or_zero")]
    pub poll: Duration,
    /// How many generations are kept for a rollback, 1 to 32. Default 5: an afternoon's mistakes,
    /// at some megabytes of code each. The oldest beyond them is freed.
    #[serde(deserialize_with = "units::count::<_, _, 1, 32>")]
    pub history: usize,
    /// What becomes of a connection whose state a new generation refuses to take over (`migrate-state`).
    /// Default `"keep"`: it stays with the generation it has until it closes.
    pub on_refused_state: OnRefusedState,
    /// `[plugin.limits]`.
    pub limits: PluginLimits,
    /// `[plugin.grants]`.
    pub grants: PluginGrants,
    /// `[plugin.config]`: what the plugin reads through `wasi:config/store`. Texts, numbers and booleans, given
    /// to it as text.
    #[serde(deserialize_with = "settings")]
    pub config: BTreeMap<String, String>,
}

impl Default for Plugin {
    fn default() -> Self {
        Self {
            name: String::new(),
            path: PathBuf::new(),
            watch: true,
            poll: Duration::from_secs(2),
            history: 5,
            on_refused_state: OnRefusedState::default(),
            limits: PluginLimits::default(),
            grants: PluginGrants::default(),
            config: BTreeMap::new(),
        }
    }
}

/// What becomes of a connection whose state was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnRefusedState {
    /// The connection stays with the generation it has, within `limits.pinned`.
    #[default]
    Keep,
    /// The connection is closed with 1012: its client comes back to the new generation.
    Close,
}

/// `[plugin.grants]`: what a plugin may use beside its own connections. Nothing by default.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub struct PluginGrants {
    /// The buckets of the store it may open, by name.
    pub store: Vec<String>,
    /// The buckets whose changes it is told, if it exports `wasi:keyvalue/watcher`, its own changes
    /// among them. They must be granted by `store` too.
    pub watch: Vec<String>,
    /// The origins it may send HTTP requests to, like `"https://api.example.com"`: scheme, host and port must be the
    /// same.
    pub http: Vec<Origin>,
    /// The plugins of its chains whose state of a connection it may read, by name.
    pub state: Vec<String>,
    /// The topics it shares with other plugins, see [`SharedTopic`](super::SharedTopic). Its own topics need no grant.
    pub topics: TopicGrants,
}

/// `[plugin.limits]`: what one event, one instance and one plugin may take.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub struct PluginLimits {
    /// How long the guest may run in one event, the host functions that it calls included; what it waits, in a host
    /// function or for its turn, does not count. Default `"50ms"`: thousands of times what an event needs. Then the
    /// event fails and its instance is thrown away. A guest that runs past a millisecond takes turns with the others.
    #[serde(deserialize_with = "units::duration")]
    pub deadline: Duration,
    /// How much longer the guest may run for each KiB of the message, request body, state or value that the event
    /// brings. Default `"500us"`: several times what a router needs to decode small JSON values and answer, so that
    /// the largest message by default (16 MiB) is not refused for its size; it then has 8 s. `"0s"` allows nothing.
    #[serde(deserialize_with = "units::duration_or_zero")]
    pub deadline_per_kib: Duration,
    /// How long one event may be suspended in host functions (a store, outgoing HTTP); waiting for its turn does not
    /// count. Default `"5s"`: a slow backend answers by then, and the connection is not read meanwhile. Then the event
    /// fails like a missed deadline.
    #[serde(deserialize_with = "units::duration")]
    pub wait: Duration,
    /// How long a new generation's start and its `on-load` may take together. Default `"2s"`: it
    /// may read a table, and runs before anything depends on it. Then the reload fails and the last
    /// good generation stays.
    #[serde(deserialize_with = "units::duration")]
    pub load: Duration,
    /// Bytes of one instance's linear memories and tables together, up to the 4 GiB a 32-bit guest can address. Default
    /// `"256MiB"`: the largest message by default (16 MiB), decoded and copied several times. Growing beyond it traps in
    /// the guest, and a component that begins with more is not loaded. An instance that one event has made much larger
    /// is replaced after it; what all instances hold together is bounded by `memory` in `[engine]`.
    #[serde(deserialize_with = "units::size::<_, 65_536, 4_294_967_296>")]
    pub memory: usize,
    /// How many instances one shard keeps of this plugin, 1 to 10 000. Default 64: only events that
    /// wait in the host overlap on a shard, so this many waits at once. Events beyond them wait for
    /// an instance, which stops the reads.
    #[serde(deserialize_with = "units::count::<_, _, 1, 10_000>")]
    pub instances: u32,
    /// How long an event waits for an instance, because all of this plugin's are in use, or others hold all that the
    /// engine has. Default `"10s"`: twice `wait`, so that those in front of it that wait in the host have been given up
    /// by then. Then the event fails and is counted as `busy`; a request gets 503. An `on-close` waits on.
    #[serde(deserialize_with = "units::duration")]
    pub queue_wait: Duration,
    /// Bytes of sends, publishes and state that one event may hold until it returns. Default
    /// `"17MiB"`: one message of the largest size by default can be sent on, with its frame, and a
    /// megabyte beside it; raise it with `message` of the routes. The call that would exceed it fails in
    /// the guest, and is counted.
    #[serde(deserialize_with = "units::size::<_, 1, 1_073_741_824>")]
    pub effects: usize,
    /// How many timers of its own a plugin may have, beside those of its connections. Default 1024: one
    /// for each of many rooms or games. `set-timer` beyond it is an error in the guest; 0 forbids it.
    #[serde(deserialize_with = "units::count::<_, _, 0, 1_048_576>")]
    pub timers: usize,
    /// The shortest period of a repeating timer. Default `"10ms"`: a hundred events a second for each
    /// are already a stream. A shorter one is an error in the guest.
    #[serde(deserialize_with = "units::duration")]
    pub timer: Duration,
    /// How many changes of the buckets that it watches may wait for it. Default 1024: a burst that
    /// an event each works off in milliseconds. Beyond it the oldest are dropped and counted, so
    /// that what it hears last is how things are. They hold their values until then.
    #[serde(deserialize_with = "units::count::<_, _, 1, 1_048_576>")]
    pub changes: usize,
    /// How many connections may stay with earlier generations because their state was refused. Default 1024: enough to see the fault and mend it, at some instances of old code. Those
    /// beyond it are closed with 1012.
    #[serde(deserialize_with = "units::count::<_, _, 0, 1_048_576>")]
    pub pinned: usize,
    /// How many HTTP requests of this plugin one shard may have under way. Default 32: half of `instances`, so that
    /// a server that hangs does not take all of them. Those beyond it fail in the guest; 0 forbids them.
    #[serde(deserialize_with = "units::count::<_, _, 0, 10_000>")]
    pub http_requests: usize,
    /// How long an outgoing HTTP request may take to find and reach its server. Default `"2s"`: time for one packet
    /// that is lost and sent again. Then the request fails in the guest, which may ask for less, as with the next two.
    #[serde(deserialize_with = "units::duration")]
    pub http_connect: Duration,
    /// How long its server may then take to begin its response. Default `"3s"`: what is slower than that is as good
    /// as down for whoever waits in a conversation.
    #[serde(deserialize_with = "units::duration")]
    pub http_first_byte: Duration,
    /// How long it may take in all, until the last byte of the response. Default `"4s"`: less than `wait`, so that the
    /// guest hears of it and can answer, before its event is given up.
    #[serde(deserialize_with = "units::duration")]
    pub http_timeout: Duration,
    /// Bytes of the body of an outgoing HTTP request. Default `"1MiB"`: a document, not an archive. A larger one
    /// fails in the guest.
    #[serde(deserialize_with = "units::size::<_, 0, 1_073_741_824>")]
    pub http_request_body: usize,
    /// Bytes of the body of a response to it. Default `"4MiB"`: a long list of JSON, which takes several times that
    /// once read and must fit `memory`. The read that would exceed it fails in the guest.
    #[serde(deserialize_with = "units::size::<_, 0, 1_073_741_824>")]
    pub http_response_body: usize,
}

impl Default for PluginLimits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_millis(50),
            deadline_per_kib: Duration::from_micros(500),
            wait: Duration::from_secs(5),
            load: Duration::from_secs(2),
            memory: 256 << 20,
            instances: 64,
            effects: 17 << 20,
            queue_wait: Duration::from_secs(10),
            timers: 1024,
            timer: Duration::from_millis(10),
            changes: 1024,
            pinned: 1024,
            http_requests: 32,
            http_connect: Duration::from_secs(2),
            http_first_byte: Duration::from_secs(3),
            http_timeout: Duration::from_secs(4),
            http_request_body: 1 << 20,
            http_response_body: 4 << 20,
        }
    }
}

pub(super) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let expected = "1 to 64 of the characters a-z, 0-9 and -";
    units::scalar(deserializer, expected, |value| match value {
        Scalar::Text(name) if is_name(name) => Some(name.to_owned()),
        _ => None,
    })
}

pub(super) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    let expected = r#"the path of a component, like "chat.wasm""#;
    units::scalar(deserializer, expected, |value| match value {
        Scalar::Text(path) if !path.is_empty() => Some(path.into()),
        _ => None,
    })
}

/// Scalars of any kind, as text.
fn settings<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let settings = BTreeMap::<String, Setting>::deserialize(deserializer)?;
    Ok(settings
        .into_iter()
        .map(|(key, Setting(text))| (key, text))
        .collect())
}

struct Setting(String);

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SettingVisitor)
    }
}

struct SettingVisitor;

impl Visitor<'_> for SettingVisitor {
    type Value = Setting;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string in quotes, a number, or true or false")
    }

    fn visit_str<E>(self, text: &str) -> Result<Setting, E> {
        Ok(Setting(text.to_owned()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Setting, E> {
        Ok(Setting(number.to_string()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Setting, E> {
        Ok(Setting(number.to_string()))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Setting, E> {
        Ok(Setting(flag.to_string()))
    }
}
