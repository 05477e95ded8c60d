//! The tables of the gateway itself: `[server]`, `[admin]`, `[log]`, `[engine]`.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::address::AddressLimits;
use super::host::HostName;
use super::units::{self, Scalar};

/// The paths that are the browser client's while `client` in `[server]` is on.
pub const CLIENT_PATHS: [&str; 2] = ["/tidegate.js", "/tidegate.d.ts"];

/// `[server]`: the public listener, its shards and its shutdown.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub struct Server {
    /// The address clients connect to. Default `"127.0.0.1:8080"`: a gateway is not open to the
    /// network until someone says so.
    #[serde(deserialize_with = "units::address")]
    pub listen: SocketAddr,
    /// How many event loops run, 1 to 64. Default: one per core, since a shard is one thread that
    /// never waits. More only adds switching between threads.
    #[serde(deserialize_with = "units::some_count::<_, _, 1, 64>")]
    pub shards: Option<NonZeroUsize>,
    /// How many connections the whole process holds. Default 100 000: about 400 MB with the
    /// kernel's buffers, well within one machine. At the limit an upgrade gets 503 and is counted as `limit`. The
    /// system's limit on open files, which is raised as far as it goes, should be above it: a start warns if not. Of
    /// that limit 128 descriptors, or a quarter if it is low, are kept for the gateway itself; sockets beyond are closed
    /// and counted as `descriptors`.
    #[serde(deserialize_with = "units::count::<_, _, 1, 10_000_000>")]
    pub connections: usize,
    /// How long a client may take from connecting to the end of its request's head. Default
    /// `"10s"`: slow phones make it, and sockets that say nothing do not pile up. Then the socket
    /// is closed; so is one that takes nothing of an HTTP response for as long.
    #[serde(deserialize_with = "units::duration")]
    pub handshake_timeout: Duration,
    /// How long bytes of ours may stay unacknowledged before a socket counts as lost (`TCP_USER_TIMEOUT`). Default
    /// `"60s"`: a phone comes out of a tunnel in that time, while the system would try for a quarter of an hour. A client
    /// that stops reading is cut after it too. Then the connection is lost, and its handler told so. `"0s"` leaves it to
    /// the system.
    #[serde(deserialize_with = "units::duration_or_zero")]
    pub unacknowledged: Duration,
    /// Bytes of a request's head. Default `"16KiB"`: room for large cookies, as most servers give;
    /// below `"8KiB"` the HTTP parser does not work. A longer head gets 431.
    #[serde(deserialize_with = "units::size::<_, 8192, 1_048_576>")]
    pub headers: usize,
    /// The time over which a drain spreads its closes (1001). Default `"5s"`, so that clients do
    /// not all reconnect in the same instant; `"0s"` closes all at once.
    #[serde(deserialize_with = "units::duration_or_zero")]
    pub drain_window: Duration,
    /// When a drain ends, finished or not. Default `"30s"`: when Kubernetes, unless told otherwise,
    /// kills the process. Connections that are still there are cut.
    #[serde(deserialize_with = "units::duration_or_zero")]
    pub drain_deadline: Duration,
    /// How many bytes of messages may wait on their way to one shard from the others. Default
    /// 32 MiB: one message of the largest default size beside others, or milliseconds of a busy shard's
    /// work. Beyond it messages are dropped and counted; no publisher waits.
    #[serde(deserialize_with = "units::size::<_, 1, 1_073_741_824>")]
    pub queue: usize,
    /// Bytes of messages and bodies that have come in part, or wait to be handled, of all connections together.
    /// Default `"256MiB"`: sixteen messages of the largest default size at once, where a limit for each would allow
    /// them to every connection. It must hold the largest message of any route, and twice that where messages are compressed.
    /// Beyond it the connection that asks for more is closed with 1013, a plain request gets 503, and both are
    /// counted. The metric `pending_bytes` says how much is taken.
    #[serde(deserialize_with = "units::size::<_, 65_536, 1_099_511_627_776>")]
    pub pending: usize,
    /// How many bytes of messages that are longer than their route's `outbox` may wait for slow clients, in
    /// the whole process. An empty outbox takes one message of any length, or that could never be sent.
    /// Default 256 MiB: sixteen of the largest default size; a publish counts once on each shard, however
    /// many wait for it, and once more for event streams, where a message of line ends is seven times as long.
    /// Beyond it such messages are dropped, or their clients closed, as `slow_consumer` says, and counted. The
    /// metric `oversize_bytes` says how much is taken.
    #[serde(deserialize_with = "units::size::<_, 1, 1_099_511_627_776>")]
    pub oversize: usize,
    /// Whether `GET /tidegate.js` and `GET /tidegate.d.ts` are answered with the browser client.
    /// Default `true`: a page needs it from somewhere, and from here it speaks what this gateway
    /// speaks. They come before the routes; `false` leaves both paths to them.
    pub client: bool,
    /// The names under which the gateway is asked (`Host`), beside those of loopback: `["gate.example.com"]`. Default
    /// none, which takes any name; for `tidegate dev` on a loopback address only that machine's. With names, a page whose
    /// own name was made to lead here (DNS rebinding) is not taken for one of ours. Others get 421 and are counted as
    /// `host`.
    pub hosts: Vec<HostName>,
    /// `[server.address]`: what one client address may take.
    pub address: AddressLimits,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            shards: None,
            connections: 100_000,
            handshake_timeout: Duration::from_secs(10),
            unacknowledged: Duration::from_secs(60),
            headers: 16 << 10,
            drain_window: Duration::from_secs(5),
            drain_deadline: Duration::from_secs(30),
            queue: 32 << 20,
            pending: 256 << 20,
            oversize: 256 << 20,
            client: true,
            hosts: Vec::new(),
            address: AddressLimits::default(),
        }
    }
}

impl Server {
    /// How many event loops run: one per core, unless it is said.
    pub fn shards(&self) -> NonZeroUsize {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.shards.unwrap_or_else(cores)
    }
}

/// `[admin]`: the listener for operators. It is never the public one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub struct Admin {
    /// The address of health, metrics and the API. Default `"127.0.0.1:9090"`: what it can do,
    /// reload a plugin among it, is for this machine alone. `"off"` opens none.
    #[serde(deserialize_with = "units::address_or_off")]
    pub listen: Option<SocketAddr>,
    /// What a request must bear to be served. Default none, which only a loopback address allows:
    /// off it, a missing token is a configuration error.
    pub token: Option<Token>,
    /// Bytes of a message to publish (`POST /publish`), up to 1 GiB. Default `"1MiB"`: the outbox of
    /// a connection holds that much by default, and 64 requests may each bring as much at once. More
    /// gets 413.
    #[serde(deserialize_with = "units::size::<_, 1, 1_073_741_824>")]
    pub message: usize,
    /// The names under which the admin side is asked (`Host`), beside those of loopback: `["gate.internal"]`. Default
    /// none: on a loopback address only that machine's own names, because a web page can give its own name an address of
    /// loopback (DNS rebinding); elsewhere any, because the token is asked for. Others get 421.
    pub hosts: Vec<HostName>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9090))),
            token: None,
            message: 1 << 20,
            hosts: Vec::new(),
        }
    }
}

/// A secret. It shows in no log: neither its `Debug` nor an error about it contains it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The secret itself, to compare with.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Token {
    fn from(secret: String) -> Self {
        Self(secret)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Serde's own error would quote the value.
        match String::deserialize(deserializer) {
            Ok(secret) if !secret.is_empty() => Ok(Self(secret)),
            _ => Err(serde::de::Error::custom(
                "write a string in quotes that is not empty",
            )),
        }
    }
}

/// `[log]`: what is logged to stderr, and how.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub struct Log {
    /// A level, or directives as of `tracing`'s `EnvFilter`: `"info,tidegate::plugin=debug"`.
    /// Default `"info"`: starts, reloads and trouble, nothing for each connection.
    pub level: String,
    /// The form of a line. Default `"text"`: people read it first, machines are told to.
    pub format: LogFormat,
    /// Bytes of lines that may wait for whoever reads stderr, up to 1 GiB. Default `"1MiB"`: some
    /// thousands of lines, while a collector is restarted or a disk is slow. At the limit lines are
    /// dropped and counted (`log_lines_lost`), and one line says how many when there is room again:
    /// nothing waits for the log.
    #[serde(deserialize_with = "units::size::<_, 65_536, 1_073_741_824>")]
    pub queue: usize,
    /// Lines that one source may log in a second, 1 to 1 000 000: what a plugin's guests print and
    /// log, and on each shard the failures of a plugin's handlers. Default 100: enough to see what is
    /// wrong, and half a megabyte a second at most. More are dropped and counted
    /// (`guest_log_lines_dropped`), failures are counted anyway (`failures`); other sources have their
    /// own.
    #[serde(deserialize_with = "units::count::<_, _, 1, 1_000_000>")]
    pub rate: u32,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::default(),
            queue: 1 << 20,
            rate: 100,
        }
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// `[engine]`: what all plugins share.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub struct Engine {
    /// How many instances the process holds at once, over all plugins and generations, 1 to 10 000.
    /// Default 1000: each reserves gigabytes of address space and some of the kernel's
    /// `vm.max_map_count` mappings (65 530 by default), so this fits an untuned machine. Where there is less address
    /// space there are fewer, and a line in the log says how many. One for each plugin on each shard is kept for it, so
    /// there must be as many at least; a plugin of several linear memories takes as many instances. A load has one of
    /// its own. At the limit events wait for an instance, as at a plugin's own limit.
    #[serde(deserialize_with = "units::count::<_, _, 1, 10_000>")]
    pub instances: u32,
    /// Bytes of memory that all instances hold together. Default `"4GiB"`: sixteen of the largest by default, or
    /// thousands of small ones, on a machine with some gigabytes. At the limit a guest that asks for more traps, as at
    /// its own limit.
    #[serde(deserialize_with = "units::size::<_, 1_048_576, 1_099_511_627_776>")]
    pub memory: usize,
    /// How many threads a compilation has, 1 to 64. Default: one per core, because a reload is
    /// watched by whoever made it; fewer leave more to the shards meanwhile. They run at low
    /// priority.
    #[serde(deserialize_with = "units::some_count::<_, _, 1, 64>")]
    pub compile_threads: Option<NonZeroUsize>,
    /// How many components are compiled at once, 1 to 64, each in a process of its own. Default 4:
    /// one that takes long leaves places for the other plugins, and all together hold no more than
    /// four times `compile_memory`. A compilation beyond them waits, and no longer than
    /// `load_timeout` lets those before it run.
    #[serde(deserialize_with = "units::count::<_, _, 1, 64>")]
    pub compiles: usize,
    /// Bytes of memory that one compilation may take, from 64 MiB. Default `"1GiB"`: a Python guest
    /// with its interpreter takes a third of it. Beyond it the load is refused and the last good
    /// generation stays.
    #[serde(deserialize_with = "units::size::<_, 67_108_864, 68_719_476_736>")]
    pub compile_memory: usize,
    /// How long a component may take to be read, and how long to be compiled. Default `"30s"`: a
    /// Python guest takes five seconds on two cores, and six times that on a machine that is busy.
    /// Then the load is refused and the last good generation stays.
    #[serde(deserialize_with = "units::duration")]
    pub load_timeout: Duration,
    /// Bytes of a component's file, up to 1 GiB. Default `"64MiB"`: a Python guest with its
    /// interpreter has 18 to 40 MB. A larger file is not read; the load is refused.
    #[serde(deserialize_with = "units::size::<_, 1, 1_073_741_824>")]
    pub component: usize,
    /// The directory of compiled code, so that a restart compiles nothing twice. Default: the
    /// user's cache directory. `"off"` keeps none. A relative path starts from the configuration
    /// file's folder. Code is run as it is, so a directory that others could write to, or exchange
    /// by a folder above it, is not used, and the log says so.
    pub cache: Cache,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            instances: 1000,
            memory: 4 << 30,
            compile_threads: None,
            compiles: 4,
            compile_memory: 1 << 30,
            load_timeout: Duration::from_secs(30),
            component: 64 << 20,
            cache: Cache::default(),
        }
    }
}

/// Where compiled code is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Cache {
    /// `$XDG_CACHE_HOME/tidegate`, or `~/.cache/tidegate`.
    #[default]
    Default,
    /// Nowhere: every start compiles every plugin.
    Off,
    /// In this directory; absolute once loaded.
    Directory(PathBuf),
}

impl<'de> Deserialize<'de> for Cache {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        units::scalar(
            deserializer,
            r#"a directory, or "off""#,
            |value| match value {
                Scalar::Text("off") => Some(Self::Off),
                Scalar::Text("") | Scalar::Integer(_) => None,
                Scalar::Text(path) => Some(Self::Directory(path.into())),
            },
        )
    }
}
