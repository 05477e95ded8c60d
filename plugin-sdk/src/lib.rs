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
//! # For messages in JSON:
//! serde = { version = "1", features = ["derive"] }
//! # For messages through a router:
//! schemars = "1"
//! garde = { version = "0.23", default-features = false, features = ["derive"] }
//! ```
//!
//! Build it with `cargo build --release --target wasm32-wasip2`; the gateway loads
//! `target/wasm32-wasip2/release/<crate>.wasm` and swaps it in, while clients stay connected, when it is built anew.
//! What a plugin prints goes to the gateway's log under the plugin's name; [`log`] has lines with levels, and [`config`]
//! what the gateway's configuration tells the plugin. It has no files and no environment, and of the network what
//! [`http`] reaches: the servers that it was granted.
//!
//! A plugin compiles for other targets as well, so functions of its own can be tested with `cargo test`; what asks the
//! gateway for something panics there.
//!
//! # Which part is for what
//!
//! **Connections**
//!
//! | I want to | use |
//! | --- | --- |
//! | let somebody in or not, by path, query, header or cookie | [`Handler::on_upgrade`] with [`Request`], [`Accept`], [`Reject`] or a [`Fault`] in JSON |
//! | greet who has come; tidy up after who has gone | [`Handler::on_open`], [`Handler::on_close`] with [`CloseCause`] |
//! | send to whose message this is, or to one whose id I have kept | [`Connection::send`], [`connection`] |
//! | send large amounts without filling the outbox | what [`Connection::send`] returns ([`Delivery`]), [`Handler::on_drain`] |
//! | throw somebody out, whose event this is or not | [`Connection::close`], with [`connection`] or [`members`] |
//! | know who it is, and what the user may do | [`User`], [`Call::user`], [`Request::user`] before there is a connection, [`Call::require_role`], [`require_user`], [`require_role`](require_role()) |
//!
//! **Messages**
//!
//! | I want to | use |
//! | --- | --- |
//! | handle messages by their type, with errors that name the field, and answers under the client's id | [`Routes`] and [`Router`] |
//! | have them checked: lengths, ranges, formats | [`valid`]; other values [`check`] |
//! | do something before or after routes: log, measure, refuse | [`Router::with`], [`Next`] |
//! | refuse a message, and undo what it did | return a [`Fault`]; by hand [`discard`], [`Connection::send_error`] |
//! | answer later, in the event of a timer or of another connection | [`Call::ticket`], [`Ticket`], [`Later`] |
//! | not answer | [`Unanswered`] |
//! | tell clients of something they did not ask for | [`Connection::send_event`], [`event`] |
//! | give TypeScript the types of all that | `export!(Rooms: describe)`, [`Router::sends`], then `tidegate types rooms.wasm` |
//! | read and write JSON of another shape | [`Message::json`], [`Message::from_json`], [`Connection::send_json`] |
//! | handle bytes | [`Message::Binary`], [`Router::binary`] |
//! | leave a message to the route's next plugin | [`Handler`] with [`Verdict`], [`Routes::route_or_next`] |
//! | not compress a message; give it an id for server-sent events | [`Uncompressed`], [`WithId`] |
//!
//! **Many at once**
//!
//! | I want to | use |
//! | --- | --- |
//! | have connections hear of a topic, such as a room or a user's name | [`Connection::subscribe`], [`Connection::unsubscribe`] |
//! | tell all who do | [`publish`], [`publish_event`] |
//! | tell all but the sender | [`Connection::publish_to_others`], [`Connection::publish_event_to_others`] |
//! | know who is there, by name; how many | [`Connection::subscribe_as`] with [`members`]; [`subscriber_count`] |
//! | know who came first | a list in the [store], kept in [`Handler::on_open`] and [`Handler::on_close`] |
//! | tell a newcomer what there is, and miss nothing that comes | a timer of no delay: [`Handler`](Handler#to-tell-a-newcomer-what-there-is-and-miss-nothing-that-comes) |
//! | reach a user on all of their connections | a topic of their own: subscribe each to `user:ann`, publish there |
//!
//! **What lasts, and time**
//!
//! | I want to | use |
//! | --- | --- |
//! | remember something of a connection | [`State`]; as bytes [`Connection::state`], [`Connection::set_state`] |
//! | read what another plugin of the chain remembers | [`Connection::state_of`], with `grants.state` |
//! | keep something for all connections, beyond any of them: rooms, scores, counters | [`store::bucket`], [`store::Entry::change`], with `grants.store` |
//! | have everybody count down, tidy up, or end a round | [`Timer::of_plugin`], one by the name of each room |
//! | hear when something of that changes | `export!(Scores: watch)`, [`Watcher`], with `grants.store` and `grants.watch` |
//! | change what the state looks like, from one version to the next | `#[serde(default)]` on new fields, else [`Migrator`] |
//! | do something after a while, or again and again | [`Timer`], [`Handler::on_timer`] |
//! | be configured | [`config`] |
//! | refuse to be loaded when something is missing | [`Handler::on_load`] |
//! | log, with a level | [`log`]; what is printed is logged as well |
//!
//! In all of them `?` takes any error: see [`Error`] and [`Fault`] for where it ends, and [`error!`] to make one. What an
//! event did takes effect when it has returned `Ok`, and not at all if it has not, but for writes to the [store], requests
//! by [`http`] and the [`log`]; [`Handler`] says more.
//!
//! # Limits
//!
//! What the gateway lets a plugin do, by default; the configuration can change each. What goes beyond is an error where it
//! is done, unless the table says otherwise.
//!
//! | in the configuration | | by default |
//! | --- | --- | --- |
//! | `plugin.limits.deadline`, `.deadline_per_kib` | running time of one event, host functions included, and what each KiB of its message adds; then it fails | 50 ms; 0.5 ms |
//! | `plugin.limits.wait` | time that it may wait for the store and [`http`]; then it fails | 5 s |
//! | `plugin.limits.memory` | memory of an instance; then it traps | 256 MiB |
//! | `plugin.limits.effects` | what one event sends, publishes and keeps | 16 MiB |
//! | `plugin.limits.timers`, `plugin.limits.timer` | timers of the plugin's own; the shortest period | 1,024; 10 ms |
//! | `route.limits.state` | state of a connection | 64 KiB |
//! | `route.limits.subscriptions` | topics of a connection | 1,024 |
//! | `route.limits.timers` | timers of a connection | 16 |
//! | `route.limits.message` | a message that comes in; then the connection is closed with 1009 | 16 MiB |
//! | `route.limits.outbox` | what a slow connection has not taken yet; then `slow_consumer` says | 1 MiB |
//! | `bucket.keys`, `.key`, `.value`, `.size` | what a bucket of the store holds | 100,000; 255 B; 1 MiB; 64 MiB |
//!
//! # Messages with types
//!
//! A poll: `{"type": "vote", "id": 1, "choice": "tea"}` is answered and everybody hears of it, `"choice": ""` is answered
//! with an error that names `choice`, and `"type": "veto"` with one that lists the types there are. What goes over the
//! wire is in [`envelope`], all that routes can do in [`Routes`].
//!
//! ```no_run
//! use garde::Validate;
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//! use tidegate_sdk::{
//!     Call, Connection, Fault, Handler, Message, Request, Result, Router, Routes, State, publish_event, valid,
//! };
//!
//! struct Poll;
//!
//! impl Handler for Poll {
//!     fn on_open(connection: &Connection, _request: Request) -> Result {
//!         Ok(connection.subscribe("poll")?)
//!     }
//!
//!     fn on_message(connection: &Connection, message: Message) -> Result {
//!         Poll::route(connection, &message)
//!     }
//! }
//!
//! impl Routes for Poll {
//!     fn routes(router: &mut impl Router) {
//!         router.on("vote", valid(vote)).sends::<Vote>("voted");
//!     }
//! }
//!
//! #[derive(Serialize, Deserialize, JsonSchema, Validate)]
//! struct Vote {
//!     #[garde(length(chars, min = 1, max = 32))]
//!     choice: String,
//! }
//!
//! /// What a connection has done so far.
//! #[derive(Default, Serialize, Deserialize)]
//! struct Voter {
//!     has_voted: bool,
//! }
//!
//! fn vote(call: &Call, vote: Vote) -> Result<(), Fault> {
//!     let mut voter = State::<Voter>::of(call)?;
//!     if voter.has_voted {
//!         return Err(Fault::new("voted-already", "one vote each"));
//!     }
//!     voter.has_voted = true;
//!     voter.save()?;
//!     Ok(publish_event("poll", "voted", &vote)?)
//! }
//!
//! tidegate_sdk::export!(Poll: describe);
//! # fn main() {}
//! ```
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
mod call;
pub mod config;
mod connection;
mod describe;
pub mod envelope;
mod error;
#[doc(hidden)]
pub mod export;
mod fault;
mod handler;
pub mod http;
pub mod log;
mod message;
mod request;
mod router;
mod state;
pub mod store;
mod ticket;
mod timer;
mod topic;
mod upgrade;
mod user;

pub use bindings::tidegate::plugin::types::{CloseCause, CloseFrame, Delivery, Request, Verdict};
pub use call::Call;
pub use connection::{Connection, connection};
pub use envelope::event;
pub use error::{CloseError, Error, PublishError, Result, StateError, TimerError, TopicError};
pub use fault::Fault;
pub use handler::{Handler, Migrator, Watcher, discard, generation};
pub use http::{HttpError, HttpHandler};
pub use message::{AsMessage, Message, MessageRef, Uncompressed, WithId};
pub use router::{
    Later, Next, Reply, Router, Routes, Unanswered, check, require_role, require_user, valid,
};
pub use state::State;
pub use ticket::Ticket;
pub use timer::{Timer, clear_timer};
pub use topic::{
    Member, members, members_up_to, publish, publish_event, publish_except, subscriber_count,
};
pub use upgrade::{Accept, Reject};
pub use user::User;

/// The plugin in the README, compiled as a doctest.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
