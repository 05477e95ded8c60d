//! Who may not speak: in the store, so that it holds for all connections, also those to come.

use std::time::{Duration, SystemTime};

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_sdk::store::{self, Bucket};
use tidegate_sdk::{Call, Connection, Fault, Result, User};

/// A mute that holds.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(super) struct Muted {
    by: String,
    reason: Option<String>,
    /// In seconds since 1970.
    until: u64,
}

impl Muted {
    /// The record of the connection's user, if there is one.
    pub(super) fn of(connection: &Connection) -> Result<Option<Self>> {
        let Some(user) = User::of(connection) else {
            return Ok(None);
        };
        let muted = bucket()?.entry::<Self>(&user.id).get()?;
        let now = SystemTime::UNIX_EPOCH.elapsed()?.as_secs();
        Ok(muted.filter(|muted| now < muted.until))
    }
}

// Serde reads what there is on the wire and makes this of it, so that nothing else has to know of versions.
/// Version 2 has `seconds`, version 1 had `minutes`; both are understood.
#[derive(Deserialize, JsonSchema, Validate)]
#[serde(try_from = "MuteOfAnyVersion")]
pub(super) struct Mute {
    #[garde(length(min = 1, max = 200))]
    user: String,
    /// Up to a day.
    #[garde(range(min = 1, max = 86_400))]
    seconds: u64,
    #[garde(length(chars, max = 280))]
    reason: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
struct MuteOfAnyVersion {
    /// 1 if it is not there.
    #[serde(default = "first")]
    v: u32,
    user: String,
    /// In version 1.
    minutes: Option<u64>,
    /// In version 2.
    seconds: Option<u64>,
    /// In version 2.
    reason: Option<String>,
}

fn first() -> u32 {
    1
}

impl TryFrom<MuteOfAnyVersion> for Mute {
    type Error = String;

    fn try_from(mute: MuteOfAnyVersion) -> Result<Self, String> {
        let MuteOfAnyVersion {
            v,
            user,
            minutes,
            seconds,
            reason,
        } = mute;
        let seconds = match (v, minutes, seconds) {
            (1, Some(minutes), None) => minutes.saturating_mul(60),
            (2, None, Some(seconds)) => seconds,
            (1, ..) => return Err("a mute of version 1 has `minutes`".to_owned()),
            (2, ..) => return Err("a mute of version 2 has `seconds`".to_owned()),
            _ => return Err(format!("v is {v}: versions 1 and 2 are known")),
        };
        Ok(Self {
            user,
            seconds,
            reason,
        })
    }
}

/// Tells the user, on all connections. The answer is what they are told.
pub(super) fn mute(call: &Call, mute: Mute) -> Result<Muted, Fault> {
    let until = SystemTime::UNIX_EPOCH.elapsed()? + Duration::from_secs(mute.seconds);
    let muted = Muted {
        by: call.user()?.id,
        reason: mute.reason,
        until: until.as_secs(),
    };
    bucket()?.entry(&mute.user).set(&muted)?;
    for connection in super::connections(&mute.user) {
        connection.send_event("muted", &muted)?;
    }
    Ok(muted)
}

#[derive(Deserialize, JsonSchema, Validate)]
pub(super) struct Unmute {
    #[garde(length(min = 1, max = 200))]
    user: String,
}

pub(super) fn unmute(_: &Call, Unmute { user }: Unmute) -> Result<(), Fault> {
    bucket()?.entry::<Muted>(&user).delete()?;
    for connection in super::connections(&user) {
        connection.send_event("unmuted", &())?;
    }
    Ok(())
}

fn bucket() -> store::Result<Bucket> {
    store::bucket("mutes")
}
