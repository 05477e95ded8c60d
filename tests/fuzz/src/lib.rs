//! What the fuzz targets share. `tests/fuzz/run` builds and runs them.
//!
//! A target turns the fuzzer's bytes into an input by `arbitrary`: see [`stream`] for the format.
//! [`read`] reads it as a connection does and watches the memory, [`oracle`] asks tungstenite.
//!
//! `corpus/<target>` is kept in git. Its `seed-*` files come from `cargo run --example seeds`, the
//! others are what the fuzzer found beyond them; `run --grow` looks for more.

pub mod item;
pub mod oracle;
pub mod read;
pub mod stream;
pub mod wire;
