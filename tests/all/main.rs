//! Tests of the whole gateway: the real binary as a process, real sockets, real components.
//!
//! Nothing here is mocked and nothing is timed: a test waits for what must happen, and fails when
//! it has not happened after [`PATIENCE`].

#![expect(
    clippy::unwrap_used,
    reason = "a test's own steps may fail it where they stand"
)]
#![expect(
    unreachable_pub,
    reason = "what the tests share is `pub`; nothing is reached from outside a test binary"
)]

use std::time::Duration;

mod client;
mod gateway;
mod guests;

mod admin;
mod arrows;
mod batch;
mod bounds;
mod browser_client;
mod chain;
#[cfg(target_os = "linux")]
#[path = "../chaos/mod.rs"]
mod chaos;
mod code_cache;
mod compression;
mod config;
mod dev;
mod effects;
mod event_stream;
mod http;
mod inbound;
mod isolation;
mod lifecycle;
mod loads;
mod logging;
mod memory;
mod migrate;
mod outgoing;
mod output;
mod plugins;
mod protocol;
mod publish;
mod refused;
mod reload;
mod router;
mod rules;
mod settings;
mod shared_topics;
mod shutdown;
mod signs;
mod slow;
mod stderr;
mod store;
mod swap;
mod timers;
mod topics;
mod types;
mod upgrade;
mod watch;
mod words;

/// How long a test waits for what must happen. Far longer than it ever takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a test watches for what must not happen.
const WATCH: Duration = Duration::from_millis(200);
