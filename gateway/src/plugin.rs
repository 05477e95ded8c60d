//! The plugin side: everything that knows WebAssembly.
//!
//! - [`engine`](Engine): wasmtime's settings, the clock of deadlines
//! - `contract`: the WIT contract in Rust types; `imports`: what guests may ask of the gateway, in
//!   `host`, `logging`, `keyvalue` and `outgoing`
//! - `load`: from a file to a [`Generation`]; `trial`: the check before it takes over; [`compiler`]: compiles in another process; `code` and
//!   `cache`: what it makes, and where it is kept on disk
//! - [`Registry`]: the plugins by name, their histories, the loader's thread
//! - [`Slot`]: where the current generation is found; [`Pool`]: its instances on one shard; `stock`: the
//!   places for all instances; `memory`: what they hold
//! - [`Guest`]: the [`Handler`](crate::handler::Handler) that connections call: a route's chain of
//!   plugins; `member`: one of them
//! - `call`: one call of a guest; `pace`: how long it has run; `turns`: whose slice is next
//! - [`watcher`]: files that change; [`builder`]: source that changes (`tidegate dev`)

mod budget;
pub mod builder;
mod cache;
mod call;
mod code;
pub mod compiler;
mod context;
mod contract;
mod engine;
mod generation;
mod guest;
mod host;
mod identity;
mod imports;
mod incoming;
mod instance;
mod keyvalue;
mod load;
mod log;
mod logging;
mod lower;
mod member;
mod memory;
mod namespace;
mod outgoing;
mod pace;
mod packed;
mod pool;
mod registry;
mod slot;
mod stamp;
mod stock;
mod trial;
mod turns;
mod version;
pub mod watcher;

pub use contract::ContractError;
pub use engine::{Engine, Reservation, Sizes};
pub use generation::Generation;
pub use guest::Guest;
pub use identity::Digest;
pub use instance::StartError;
pub use load::LoadError;
pub use log::dropped_lines;
pub use namespace::{Namespace, TopicUse};
pub use pool::Pool;
pub use registry::{Notice, Plugin, Registry, Reload, ReloadError, Status, UnknownTopic};
pub use slot::Slot;
pub use trial::{CheckError, DescribeError, describe};
