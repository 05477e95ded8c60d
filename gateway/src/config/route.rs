//! The table `[[route]]`.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use super::origin::Origin;
use super::units::{self, Scalar};
use crate::outbox::SlowConsumer;

/// `[[route]]`: which plugin handles the connections of a path, and within which limits.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub struct Route {
    /// The path, required: `/rooms/{room}` takes one segment as a parameter, `/{*rest}` all that
    /// remain. The most exact route wins, whatever the order of the file.
    #[serde(deserialize_with = "path")]
    pub path: String,
    /// The plugins that handle the route's connections, required: a chain of 1 to 16. Each message goes to
    /// one after another until one is done with it.
    pub plugins: Vec<String>,
    /// Which web pages may connect, and read and write by plain requests. Default `"same"`: only pages
    /// of the same host, because browsers send cookies along with any page's WebSocket. Others get
    /// 403, are counted, and logged now and then with their origin and `Host`.
    pub origins: Origins,
    /// Whether a `GET` with `Accept: text/event-stream` opens a connection that only receives
    /// (server-sent events). Default `true`: where WebSockets are blocked it is what still works, with the
    /// same handler and the same limits.
    pub event_stream: bool,
    /// What becomes of a connection after a trap, a missed deadline or a memory limit. Default
    /// `"close"` (1011): its client cannot know what the lost event did, and a new connection
    /// starts clean.
    pub on_failure: OnFailure,
    /// Whether the gateway answers a message that failed and left its connection open: if it is a JSON object with
    /// `type` and `id` in its first 64 KiB, as the SDK's router and the browser client speak, then with that id,
    /// `success: false` and the code `internal`. Default `true`: who numbers a message waits for its answer.
    pub failure_reply: bool,
    /// What becomes of a connection when its handler returned an error. Default `"keep"`: the
    /// plugin saw the error, none of the event took effect, and it could have closed. It is logged
    /// and counted.
    pub on_error: OnError,
    /// `[route.limits]`.
    pub limits: RouteLimits,
    /// `[route.compression]`.
    pub compression: Compression,
}

impl Default for Route {
    fn default() -> Self {
        Self {
            path: String::new(),
            plugins: Vec::new(),
            origins: Origins::default(),
            event_stream: true,
            on_failure: OnFailure::default(),
            failure_reply: true,
            on_error: OnError::default(),
            limits: RouteLimits::default(),
            compression: Compression::default(),
        }
    }
}

/// `[route.compression]`: permessage-deflate (RFC 7692), for clients that offer it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub struct Compression {
    /// Whether messages are compressed, and in whose memory. Default `"off"`: it costs three to ten
    /// times the CPU of sending them as they are, which pays on thin lines only.
    pub mode: CompressionMode,
    /// zlib's level, 1 to 9. Default 1: of JSON it leaves little more than level 6, at a quarter of
    /// the time.
    #[serde(deserialize_with = "units::count::<_, _, 1, 9>")]
    pub level: u8,
    /// Shorter messages are sent as they are. Default `"128B"`: below it there is nothing to find
    /// twice.
    #[serde(deserialize_with = "units::size::<_, 0, 1_073_741_824>")]
    pub minimum: usize,
    /// Bytes that the contexts of this route's `"dedicated"` connections may take, 210 KiB each.
    /// Default `"64MiB"`: some 300 connections. Those beyond it are served as with `"shared"`, and
    /// counted.
    #[serde(deserialize_with = "units::size::<_, 0, 1_099_511_627_776>")]
    pub memory: usize,
}

impl Default for Compression {
    fn default() -> Self {
        Self {
            mode: CompressionMode::Off,
            level: 1,
            minimum: 128,
            memory: 64 << 20,
        }
    }
}

/// Whether messages are compressed, and in whose memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CompressionMode {
    /// Messages are never compressed.
    #[default]
    Off,
    /// Each message by itself, with one compressor for all connections of a core. A publish is
    /// compressed once, however many get it.
    Shared,
    /// Each connection has contexts of its own, so that what a message has in common with those
    /// before it costs nothing (context takeover): for long conversations of small messages that
    /// are alike. A publish is still compressed once, by itself.
    Dedicated,
}

/// Which web pages may connect, by the `Origin` of the upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Origins {
    /// `"same"`: the origin's host and port must be those of `Host`; a port that is not written is the
    /// scheme's own. Requests without an origin pass: they are not from browsers.
    #[default]
    Same,
    /// `"any"`: not checked; for services without cookies.
    Any,
    /// A list of origins: `["https://example.com"]`. Requests without an origin pass.
    List(Vec<Origin>),
}

/// What becomes of a connection after a guest's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// The connection is closed with 1011.
    #[default]
    Close,
    /// The connection stays, and its next event gets a fresh instance.
    Keep,
}

/// What becomes of a connection after its handler returned an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// The connection stays; the error is logged and counted.
    #[default]
    Keep,
    /// The connection is closed with 1011.
    Close,
}

/// What becomes of what a client sends too fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnRate {
    /// The connection is not read until time has paid for it. Nothing is lost.
    #[default]
    Delay,
    /// Messages are dropped and pings not answered. Both are counted.
    Drop,
    /// The connection is closed with 1008.
    Close,
}

/// `[route.limits]`: what one connection may take.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub struct RouteLimits {
    /// Bytes of one message from the client. Default `"16MiB"`: what most servers take; it must fit
    /// the plugin's memory. A larger one closes the connection with 1009.
    #[serde(deserialize_with = "units::size::<_, 1, 1_073_741_824>")]
    pub message: usize,
    /// How long the next 32 KiB of a message may take, or its rest if that is less. Default `"30s"`: 1 KiB a second,
    /// slower than any line that is in use, so that a message of any size arrives over a slow one, but one that drips
    /// holds no memory. Then the connection is closed with 1013.
    #[serde(deserialize_with = "units::duration")]
    pub message_time: Duration,
    /// Frames of one message. Default 262144: the largest default message in pieces of 64 bytes. One more closes the
    /// connection with 1008.
    #[serde(deserialize_with = "units::count::<_, _, 1, 16_777_216>")]
    pub fragments: u32,
    /// How many times its size a compressed message may inflate to, once that is over 1 MiB. Default 200: JSON of
    /// repeated rows comes to some 100, and the most that deflate can is 1032. A message beyond it closes the
    /// connection with 1009.
    #[serde(deserialize_with = "units::count::<_, _, 1, 2_000>")]
    pub inflation: usize,
    /// Messages a second, like `"100/s"`. Default `"100000/s"`: more than a client that waits for answers can use,
    /// so that only floods meet it. `"off"` is no limit. Beyond it `on_rate` decides.
    #[serde(deserialize_with = "units::rate")]
    pub rate: Option<u32>,
    /// How many messages may come at once, beyond which `rate` holds. Default: what comes in two seconds.
    #[serde(deserialize_with = "units::some_count::<_, _, 1, 4_000_000>")]
    pub burst: Option<u32>,
    /// Bytes a second, like `"1MiB/s"`: as they came, and once more as they were inflated. Default `"512MiB/s"`: half
    /// of what a core inflates, and more than a line of 2.5 Gbit/s brings. `"off"` is no limit. Beyond it
    /// `on_rate` decides.
    #[serde(deserialize_with = "units::byte_rate")]
    pub byte_rate: Option<u32>,
    /// How many bytes may come at once, beyond which `byte_rate` holds. Default: what comes in two seconds.
    #[serde(deserialize_with = "units::some_size::<_, 1, 1_073_741_824>")]
    pub byte_burst: Option<usize>,
    /// Pings and pongs a second, of which twice as many may come at once. Default `"50/s"`: clients ping every few
    /// seconds. `"off"` is no limit. Beyond it `on_rate` decides.
    #[serde(deserialize_with = "units::rate")]
    pub control_rate: Option<u32>,
    /// What becomes of what comes faster than `rate`, `byte_rate` or `control_rate`. Default `"delay"`: nothing is
    /// lost, and the client's own sends wait.
    pub on_rate: OnRate,
    /// How many events of one connection may miss their deadline, trap or hit the memory limit within a minute, where
    /// `on_failure` is `"keep"`. Default 16: a fault now and then is kept, but each costs up to a deadline of a core.
    /// The last of them closes the connection with 1011.
    #[serde(deserialize_with = "units::count::<_, _, 1, 65_535>")]
    pub failures: u16,
    /// Bytes that may wait for one client. Default `"1MiB"`: seconds of a slow line, and 1000 such
    /// clients are a gigabyte, not more. At the limit `slow_consumer` decides.
    #[serde(deserialize_with = "units::size::<_, 1, 1_073_741_824>")]
    pub outbox: usize,
    /// Bytes of the body of a plain HTTP request. Default `"1MiB"`: a form or a document; it is held while it comes in,
    /// and must fit the plugin's memory. A larger one is refused with 413.
    #[serde(deserialize_with = "units::size::<_, 0, 1_073_741_824>")]
    pub body: usize,
    /// How long such a body may take. Default `"30s"`: the default size on a slow line. Then the request is refused
    /// with 408.
    #[serde(deserialize_with = "units::duration")]
    pub body_timeout: Duration,
    /// How long a connection may send nothing, pongs included, and take nothing. Default `"120s"`: several pings'
    /// worth, so only a lost peer is silent that long. Then it is closed. The time does not run while it is
    /// not read, because a handler runs for it.
    #[serde(deserialize_with = "units::duration")]
    pub idle: Duration,
    /// How long a connection is quiet before it is sent a ping. Default `"30s"`: below the 60
    /// seconds after which common proxies drop a quiet connection. `"0s"` sends none.
    #[serde(deserialize_with = "units::duration_or_zero")]
    pub ping: Duration,
    /// How long the answer to a ping may take. Default `"20s"`: a phone wakes up in that time. Then
    /// the connection is closed as idle, unless it has taken something of what was sent before the ping: a slow
    /// reader has this time again and again until it comes to the ping. An event stream, which answers none, must
    /// have taken something.
    #[serde(deserialize_with = "units::duration")]
    pub pong: Duration,
    /// How often a client that asks for signs of life is given one at most. Default `"5s"`: noticed soon
    /// enough, and of 100 000 connections it is still a small part of a core. Who asks for more of them
    /// is given these; common proxies want one within 60 s, so that is how seldom they come at most.
    #[serde(deserialize_with = "units::duration")]
    pub signs: Duration,
    /// How long we wait for the peer's close frame after ours is written, and for a reader that takes nothing of
    /// what is queued before it. Default `"5s"`: a round trip on a bad line; `"0s"` does not wait. Then the socket is
    /// closed. The metric `tidegate_closing_handshakes_total` counts how they end.
    #[serde(deserialize_with = "units::duration_or_zero")]
    pub close: Duration,
    /// How long an ended connection may go on reading what was queued before the close frame, as long as it takes
    /// something within each `close`. Default `"120s"`: the default outbox at 9 KiB/s, or 20 MiB at 180 KiB/s. Then
    /// the socket is closed without the rest.
    #[serde(deserialize_with = "units::duration_or_zero")]
    pub linger: Duration,
    /// Bytes of state a plugin may keep for one connection. Default `"64KiB"`: a session, not a
    /// document; times the connections it is memory that stays. `set-state` beyond it is an error
    /// in the guest.
    #[serde(deserialize_with = "units::size::<_, 0, 16_777_216>")]
    pub state: usize,
    /// How many topics one connection may listen to. Default 1024: more rooms than a person has
    /// open. `subscribe` beyond it is an error in the guest; 0 forbids it.
    #[serde(deserialize_with = "units::count::<_, _, 0, 1_048_576>")]
    pub subscriptions: usize,
    /// How many timers one connection may have, of all plugins of the chain together. Default 16: a
    /// heartbeat, a typing notice, and room to spare. `set-timer` beyond it is an error in the guest; 0 forbids it.
    #[serde(deserialize_with = "units::count::<_, _, 0, 65_536>")]
    pub timers: usize,
    /// What becomes of a message for a client whose outbox is full. Default `"close"`: the only
    /// policy that hides nothing from the client.
    pub slow_consumer: SlowConsumer,
}

impl Default for RouteLimits {
    fn default() -> Self {
        Self {
            message: 16 << 20,
            message_time: Duration::from_secs(30),
            fragments: 1 << 18,
            inflation: 200,
            rate: Some(100_000),
            burst: None,
            byte_rate: Some(512 << 20),
            byte_burst: None,
            control_rate: Some(50),
            on_rate: OnRate::default(),
            failures: 16,
            outbox: 1 << 20,
            body: 1 << 20,
            body_timeout: Duration::from_secs(30),
            idle: Duration::from_secs(120),
            ping: Duration::from_secs(30),
            pong: Duration::from_secs(20),
            signs: Duration::from_secs(5),
            close: Duration::from_secs(5),
            linger: Duration::from_secs(120),
            state: 64 << 10,
            subscriptions: 1024,
            timers: 16,
            slow_consumer: SlowConsumer::default(),
        }
    }
}

fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let expected = r#"a path that begins with "/", like "/rooms/{room}""#;
    units::scalar(deserializer, expected, |value| match value {
        Scalar::Text(path) if path.starts_with('/') => Some(path.to_owned()),
        _ => None,
    })
}

impl<'de> Deserialize<'de> for Origins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OriginsVisitor)
    }
}

struct OriginsVisitor;

impl<'de> Visitor<'de> for OriginsVisitor {
    type Value = Origins;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#""same", "any" or a list like ["https://example.com"]"#)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Origins, E> {
        match text {
            "same" => Ok(Origins::Same),
            "any" => Ok(Origins::Any),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Origins, A::Error> {
        let mut origins = Vec::new();
        while let Some(origin) = sequence.next_element::<Listed>()? {
            origins.push(origin.0);
        }
        if origins.is_empty() {
            let found = Unexpected::Other("an empty list");
            return Err(A::Error::invalid_value(found, &self));
        }
        Ok(Origins::List(origins))
    }
}

/// One origin as browsers send it. They leave out a path and a slash at the end, so one written with
/// them would match nobody.
struct Listed(Origin);

impl<'de> Deserialize<'de> for Listed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "scheme://host or scheme://host:port, without a path";
        units::scalar(deserializer, expected, |value| match value {
            Scalar::Text(origin) => Origin::parse(origin).map(Self),
            Scalar::Integer(_) => None,
        })
    }
}
