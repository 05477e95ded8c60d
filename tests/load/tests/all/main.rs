//! The generator and the checker against servers that behave and servers that do not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod command_line;
mod fake;
mod swap;
mod workloads;
