//! Lines for the gateway's log, with a level. The gateway adds the plugin, its generation and the event's connection.
//!
//! ```no_run
//! # use tidegate_sdk::log;
//! # let (user, left) = ("ann", 3);
//! log::info!("{user} has joined");
//! log::warn!(context: "quota", "{user} has {left} messages left");
//! ```
//!
//! A message of several lines is several lines of the log. A message is cut at 4096 bytes, and an instance may log 100
//! lines a second, what it prints among them; the gateway drops and counts the rest. It logs `info` and above unless its
//! `[log]` says otherwise: `level = "info,guest=debug"`. What is logged stays logged when the event fails.
//!
//! In a test on the machine itself, outside the gateway, lines go to stderr.

use std::fmt;

use crate::bindings::wasi::logging::logging;

#[doc(inline)]
pub use crate::{
    __log_critical as critical, __log_debug as debug, __log_error as error, __log_info as info,
    __log_trace as trace, __log_warn as warn,
};

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Every step.
    Trace,
    /// What helps to find a fault.
    Debug,
    /// What is worth knowing.
    Info,
    /// What may be wrong.
    Warn,
    /// What is wrong.
    Error,
    /// What is wrong for everybody. The gateway logs it as an error.
    Critical,
}

/// Logs a message: what the macros call. `context` says what it belongs to and may be empty; it is cut at 256 bytes.
pub fn log(level: Level, context: &str, message: fmt::Arguments<'_>) {
    if cfg!(not(target_family = "wasm")) {
        eprintln!("{level:?} {context}: {message}");
        return;
    }
    let level = match level {
        Level::Trace => logging::Level::Trace,
        Level::Debug => logging::Level::Debug,
        Level::Info => logging::Level::Info,
        Level::Warn => logging::Level::Warn,
        Level::Error => logging::Level::Error,
        Level::Critical => logging::Level::Critical,
    };
    match message.as_str() {
        Some(text) => logging::log(level, context, text),
        None => logging::log(level, context, &message.to_string()),
    }
}

// The macros stand at the crate's root under names of their own, because `error!` there makes an
// [`Error`](crate::Error), and are given out by this module under their proper ones.

#[doc(hidden)]
#[macro_export]
macro_rules! __log {
    ($level:ident, context: $context:expr, $($format:tt)+) => {
        $crate::log::log($crate::log::Level::$level, $context, ::std::format_args!($($format)+))
    };
    ($level:ident, $($format:tt)+) => {
        $crate::log::log($crate::log::Level::$level, "", ::std::format_args!($($format)+))
    };
}

/// Logs every step: `log::trace!("no room called {name}")`, with `context: "rooms",` before the text if need be.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_trace {
    ($($line:tt)+) => {
        $crate::__log!(Trace, $($line)+)
    };
}

/// Logs what helps to find a fault: `log::debug!("no room called {name}")`, with `context: "rooms",` before the text if need be.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_debug {
    ($($line:tt)+) => {
        $crate::__log!(Debug, $($line)+)
    };
}

/// Logs what is worth knowing: `log::info!("no room called {name}")`, with `context: "rooms",` before the text if need be.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_info {
    ($($line:tt)+) => {
        $crate::__log!(Info, $($line)+)
    };
}

/// Logs what may be wrong: `log::warn!("no room called {name}")`, with `context: "rooms",` before the text if need be.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_warn {
    ($($line:tt)+) => {
        $crate::__log!(Warn, $($line)+)
    };
}

/// Logs what is wrong: `log::error!("no room called {name}")`, with `context: "rooms",` before the text if need be.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_error {
    ($($line:tt)+) => {
        $crate::__log!(Error, $($line)+)
    };
}

/// Logs what is wrong for everybody: `log::critical!("no room called {name}")`, with `context: "rooms",` before the text if need be.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_critical {
    ($($line:tt)+) => {
        $crate::__log!(Critical, $($line)+)
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_test_outside_the_gateway_may_log() {
        let name = "tea";
        crate::log::error!("no room called {name}");
        crate::log::info!(context: "rooms", "{name} has {} members", 3);
    }
}
