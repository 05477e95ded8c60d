//! Tidegate, a WebSocket gateway whose handlers are WebAssembly components, swapped while clients
//! stay connected. `ARCHITECTURE.md` shows the paths of a message and of a reload.
//!
//! The connection side:
//! - [`server`]: listener, shards, accept, drain; requests and upgrades
//! - [`connection`]: one connection: reads, events, close
//! - [`tidegate_codec`], a crate of its own: RFC 6455 frames and messages; [`event_stream`]: the same
//!   as server-sent events
//! - [`shard`]: one core's connections, and the turn of its loop
//! - [`outbox`], [`hub`], [`heartbeat`], [`signs`]: pure data structures the shard is made of
//! - [`pending`]: the process's budget for what has come in only in part; [`rate`]: how fast a client may send
//! - [`directory`]: what shards know of each other's topics; [`topic`]: whose a topic is
//!
//! The seam: [`handler`], with [`event`], [`effects`], [`message`] and [`close`] as its words;
//! [`dispatch`] says what becomes of an event that failed.
//!
//! The plugin side: [`plugin`], and nothing else knows WebAssembly.
//!
//! For plugins: [`store`], what they keep beyond their connections.
//!
//! Under all of them: [`log`] and [`excerpt`], [`supervise`].
//!
//! Around them: `file`, what is read of the disk; [`config`], [`hosts`], [`counters`] and their
//! [`labels`], [`admin`], [`console`], [`client`], [`cli`]; [`allocator`] has memory go back.

pub mod admin;
pub mod allocator;
pub mod change;
pub mod cli;
pub mod client;
pub mod close;
pub mod config;
pub mod connection;
pub mod console;
pub mod counters;
pub mod directory;
pub mod dispatch;
pub mod effects;
pub mod event;
pub mod event_stream;
pub mod excerpt;
mod file;
pub mod handler;
pub mod heartbeat;
pub mod hosts;
mod http_body;
pub mod hub;
pub mod labels;
pub mod log;
pub mod message;
pub mod outbox;
pub mod pending;
pub mod pieces;
pub mod plugin;
pub mod progress;
pub mod rate;
pub mod server;
pub mod shard;
pub mod signs;
pub mod store;
pub mod supervise;
pub mod topic;
