//! A load generator for WebSocket servers and the black-box checker of Tidegate's swaps.
//!
//! The generator is one thread over epoll with prebuilt frames, so that on a machine of two cores the
//! server, not the generator, is what a run measures. It speaks to loopback addresses only.
//!
//! The layers, bottom up:
//! - [`frame`], [`handshake`], [`payload`]: bytes of the protocol and of our own messages;
//! - [`fleet`], [`crowd`]: many client connections on one epoll instance, and those that only are there;
//! - [`pace`], [`histogram`], [`process`], [`measure`], [`report`]: when to send, what it cost, how to say it;
//! - [`echo`], [`fanout`], [`chat`], [`posts`], [`idle`], [`connect`]: the workloads;
//! - [`swap`], [`soak`]: checkers of a server whose handlers are replaced under load;
//! - [`cpu`], [`child`], [`gateway`], [`machine`], [`median`], [`chart`]: servers as processes, and what is written down of a run;
//! - [`compare`], [`growth`], [`stall`]: Tidegate beside its peers, as things grow, and beside readers that stop;
//! - [`floor`], [`naive`]: the cheapest possible server and the plainest one, to compare with.
//!
//! From an integration test the entry is [`swap::run`].

#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]

pub mod chart;
pub mod chat;
pub mod child;
pub mod compare;
pub mod connect;
pub mod cpu;
pub mod crowd;
pub mod echo;
pub mod fanout;
pub mod fleet;
pub mod floor;
pub mod frame;
pub mod gateway;
pub mod growth;
pub mod handshake;
pub mod histogram;
pub mod http;
pub mod idle;
pub mod machine;
pub mod measure;
pub mod median;
pub mod metrics;
pub mod naive;
pub mod pace;
pub mod payload;
pub mod posts;
pub mod process;
pub mod report;
pub mod soak;
pub mod stall;
pub mod swap;
pub mod target;
pub mod timers;
mod workload;

pub use target::Target;
