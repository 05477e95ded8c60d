//! Handlers for the Tidegate WebSocket gateway, written in Rust.
//!
//! A plugin is a crate of type `cdylib` that implements [`Handler`] and calls [`export!`]. This is a whole one:
//!
//! ```no_run
//! use tidegate_sdk::{Connection, Handler, Message, Request, Result};
//!
//! struct Chat;
//!
//! impl Handler for Chat {
//!     fn on_open(connection: &Connection, _request: Request) -> Result {
//!         Ok(connection.subscribe("lobby")?)
//!     }
//!
//!     fn on_message(connection: &Connection, message: Message) -> Result {
//!         Ok(connection.publish_to_others("lobby", message)?)
//!     }
//! }
//!
//! tidegate_sdk::export!(Chat);
//! # fn main() {}
//! ```
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! tidegate-sdk = "0.1"
//! ```
//!
//! Build it with `cargo build --release --target wasm32-wasip2`; the gateway loads
//! `target/wasm32-wasip2/release/<crate>.wasm` and swaps it in, while clients stay connected, when it is built anew.
//! What a plugin prints goes to the gateway's log under the plugin's name. It has no files, network or environment.
//!
//! A plugin compiles for other targets as well, so functions of its own can be tested with `cargo test`; what asks the
//! gateway for something panics there.
//!
//! # A chat with rooms
//!
//! The plugin in `plugins/chat`, as it is built and tested with every change: this page includes the file itself.
//!
//! ```no_run
#![cfg_attr(any(doc, doctest), doc = include_str!("../../plugins/chat/src/lib.rs"))]
//! # fn main() {}
//! ```

// The chat above and `../wit` lie outside this package. In the workspace that is what keeps them right: the doctest
// breaks with either. To publish the crate, both have to come in by symlinks, which cargo packages as files.

#[doc(hidden)]
pub mod bindings;
mod connection;
mod error;
#[doc(hidden)]
pub mod export;
mod handler;
mod message;
mod request;
pub mod store;
mod timer;
mod topic;
mod upgrade;

pub use bindings::tidegate::plugin::types::{CloseCause, CloseFrame, Delivery, Request, Verdict};
pub use connection::{Connection, connection};
pub use error::{CloseError, Error, PublishError, Result, StateError, TimerError, TopicError};
pub use handler::{Handler, Migrator, Watcher, discard, generation};
pub use message::{AsMessage, Message, MessageRef, Uncompressed, WithId};
pub use timer::{Timer, clear_timer};
pub use topic::{Member, members, members_up_to, publish, publish_except, subscriber_count};
pub use upgrade::{Accept, Reject};

/// The plugin in the README, compiled as a doctest.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
