//! A load generator for WebSocket servers and the black-box checker of Tidegate's swaps.
//!
//! The generator is one thread over epoll with prebuilt frames, so that on a machine of two cores the
//! server, not the generator, is what a run measures. It speaks to loopback addresses only.
//!
//! The layers, bottom up:
//! - [`frame`], [`handshake`], [`payload`]: bytes of the protocol and of our own messages;
//! - [`fleet`]: many client connections on one epoll instance;
//! - [`pace`], [`histogram`], [`process`], [`measure`], [`report`]: when to send, what it cost, how to say it;
//! - [`echo`], [`fanout`], [`chat`], [`idle`], [`connect`]: the workloads;
//! - [`swap`], [`soak`]: checkers of a server whose handlers are replaced under load;
//! - [`floor`]: the cheapest possible server, to compare with.
//!
//! From an integration test the entry is [`swap::run`].

#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]

pub mod chat;
pub mod connect;
pub mod echo;
pub mod fanout;
pub mod fleet;
pub mod floor;
pub mod frame;
pub mod handshake;
pub mod histogram;
pub mod http;
pub mod idle;
pub mod measure;
pub mod metrics;
pub mod pace;
pub mod payload;
pub mod process;
pub mod report;
pub mod soak;
pub mod swap;
pub mod target;

pub use target::Target;
