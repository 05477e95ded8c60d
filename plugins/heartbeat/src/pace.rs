//! How often to ask, and how long silence may last.

use std::time::Duration;

use tidegate_sdk::{Error, Result, config, error};

/// Periods, each longer than the one before.
pub(super) struct Pace {
    pub(super) ping: Duration,
    pub(super) away: Duration,
    pub(super) close: Duration,
}

impl Pace {
    /// What `[plugin.config]` says. It is read anew where it is needed: nothing in a plugin lasts but states.
    pub(super) fn configured() -> Result<Self> {
        let or = |key, seconds| {
            Ok::<_, Error>(config::duration(key)?.unwrap_or(Duration::from_secs(seconds)))
        };
        let pace = Self {
            ping: or("ping", 15)?,
            away: or("away", 30)?,
            close: or("close", 60)?,
        };
        match pace.ping < pace.away && pace.away < pace.close {
            true => Ok(pace),
            false => Err(error!("[plugin.config] has to have ping < away < close")),
        }
    }
}
