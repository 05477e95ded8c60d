//! The plugin side: everything that knows WebAssembly.
//!
//! - [`engine`](Engine): wasmtime's settings, the clock of deadlines, the linker
//! - `contract`: the WIT contract in Rust types; `host`, `logging` and
//!   `keyvalue`: what guests may ask of the gateway
//! - `load`: from a file to a [`Generation`]; [`compiler`]: compiles in another process; `code` and
//!   `cache`: what it makes, and where it is kept on disk
//! - [`Registry`]: the plugins by name, their histories, the loader's thread
//! - [`Slot`]: where the current generation is found; [`Pool`]: its instances on one shard; `stock`: the
//!   places for all instances; `memory`: what they hold
//! - [`Guest`]: the [`Handler`](crate::handler::Handler) that connections call: a route's chain of
//!   plugins; `member`: one of them
//! - `call`: one call of a guest; `pace`: how long it has run; `turns`: whose slice is next
//! - [`watcher`]: files that change; [`builder`]: source that changes (`tidegate dev`)

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
mod pins;
mod pool;
mod registry;
mod slot;
mod stamp;
mod stock;
mod turns;
pub mod watcher;

pub use contract::ContractError;
pub use engine::{Engine, Reservation, Sizes};
pub use generation::{CheckError, DescribeError, Digest, Generation, Identity};
pub use guest::Guest;
pub use instance::StartError;
pub use load::LoadError;
pub use log::dropped_lines;
pub use namespace::{Namespace, TopicUse, UnknownTopic};
pub use pool::Pool;
pub use registry::{Notice, Plugin, Registry, Reload, ReloadError, Status};
pub use slot::Slot;
