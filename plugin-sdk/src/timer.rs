//! Timers: `on_timer` after a while, or again and again.

use std::time::Duration;

use crate::bindings::tidegate::plugin::host::{self, TimerOptions};
use crate::{Connection, TimerError};

/// A timer to be set: by [`on`](Self::on) for a connection, or by [`of_plugin`](Self::of_plugin) for the plugin itself.
/// When it fires, [`Handler::on_timer`](crate::Handler::on_timer) is called with its name.
///
/// A connection's timers end with it. Those of the plugin are one set for the whole process, whichever connection's
/// event set them. Both outlive reloads, and end with the process. A timer that fires again before its last event was
/// handled fires once. Names are the plugin's own: no other plugin's timers have them.
///
/// A period is 10 ms at least, a connection has 16 timers at most and a plugin 1,024, enough for one in each of its rooms:
/// see [limits](crate#limits).
///
/// ```no_run
/// # use std::time::Duration;
/// # use tidegate_sdk::{Connection, Result, Timer};
/// # fn on_message(connection: &Connection) -> Result {
/// // Set anew with each message: fires when there has been none for a minute.
/// Timer::after("away", Duration::from_secs(60)).on(connection)?;
/// // Once for all connections, every hour; further calls leave it as it is.
/// Timer::every("tidy", Duration::from_secs(3600)).keep().of_plugin()?;
/// # Ok(())
/// # }
///
/// // In the handler:
/// fn on_timer(connection: Option<&Connection>, name: &str) -> Result {
///     match (connection, name) {
///         (Some(connection), "away") => Ok(connection.close(4000, "away")?),
///         (None, "tidy") => tidy(),
///         _ => Ok(()),
///     }
/// }
/// # fn tidy() -> Result { Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "it is set by `on` or `of_plugin`"]
pub struct Timer<'a> {
    name: &'a str,
    delay: Duration,
    every: Option<Duration>,
    keep: bool,
}

impl<'a> Timer<'a> {
    /// Fires once, after this time. Times count in milliseconds; [`Duration::ZERO`] is as soon as this event has ended,
    /// for what has to wait until others see what it did.
    pub fn after(name: &'a str, delay: Duration) -> Self {
        Self {
            name,
            delay,
            every: None,
            keep: false,
        }
    }

    /// Fires again and again, first after one period.
    pub fn every(name: &'a str, period: Duration) -> Self {
        Self {
            every: Some(period),
            ..Self::after(name, period)
        }
    }

    /// Leaves a timer of this name as it is, if there is one, instead of replacing it.
    pub fn keep(mut self) -> Self {
        self.keep = true;
        self
    }

    /// Sets it for the event's own connection.
    pub fn on(&self, connection: &Connection) -> Result<(), TimerError> {
        self.set(Some(connection.id()))
    }

    /// Sets it for the plugin itself. It works in every event, an upgrade or an HTTP request too.
    pub fn of_plugin(&self) -> Result<(), TimerError> {
        self.set(None)
    }

    fn set(&self, connection: Option<u64>) -> Result<(), TimerError> {
        let options = TimerOptions {
            delay: millis(self.delay),
            every: self.every.map(millis),
            keep: self.keep,
        };
        Ok(host::set_timer(connection, self.name, options)?)
    }
}

/// Clears a timer of the plugin itself, if there is one.
pub fn clear_timer(name: &str) -> Result<(), TimerError> {
    Ok(host::clear_timer(None, name)?)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
