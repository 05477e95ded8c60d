//! The middle of a chain of three, `plugins = ["auth", "modules", "chat"]`: `auth` says who it is, this one who may do what,
//! and `chat` is for everything else. Each is a plugin by itself, and is reloaded by itself.
//!
//! Connect to `/rooms/tea?username=ann&token=..`, with the name that the token has. Messages of these types end here, and
//! those of others who are not muted go on to `chat`, which takes any text:
//!
//! | `type` | who may | |
//! | --- | --- | --- |
//! | `me` | everybody | answers with one's own id, roles, and mute |
//! | `kick` | admins | closes all connections of `user` with [`KICKED`] and the `reason` |
//! | `mute` | admins | keeps what `user` says from `chat` for that many `seconds`, here or coming back |
//! | `unmute` | admins | ends that |
//!
//! The plugin needs `grants.state = ["auth"]` to know the user, and `grants.store = ["mutes"]`.

mod mute;

use std::time::Instant;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_sdk::{
    Accept, Call, Connection, Fault, Handler, Message, Next, Reject, Request, Result, Router,
    Routes, User, Verdict, log, members, require_role, require_user, valid,
};

use mute::{Muted, mute, unmute};

/// The code that a kicked connection is closed with. From 4000 on they are an application's own (RFC 6455 section 7.4.2).
pub const KICKED: u16 = 4003;

struct Modules;

impl Handler<Verdict> for Modules {
    fn on_upgrade(request: Request) -> Result<Accept, Reject> {
        let user = request
            .user()
            .ok_or_else(|| Reject::new(401, "sign in first\n"))?;
        if request.query("username").as_ref() != Some(&user.id) {
            return Err(Reject::new(403, "username has to be that of the token\n"));
        }
        Ok(Accept::default())
    }

    /// Without a user the token has run out on the way, and `auth` closes the connection.
    fn on_open(connection: &Connection, _request: Request) -> Result {
        let Some(user) = User::of(connection) else {
            return Ok(());
        };
        Ok(connection.subscribe_as(&topic(&user.id), &user.id)?)
    }

    fn on_message(connection: &Connection, message: Message) -> Result<Verdict> {
        if Modules::route_or_next(connection, &message)? == Verdict::Done {
            return Ok(Verdict::Done);
        }
        let Some(muted) = Muted::of(connection)? else {
            return Ok(Verdict::Next);
        };
        connection.send_error("muted", "this is not passed on", &muted)?;
        Ok(Verdict::Done)
    }
}

impl Routes for Modules {
    fn routes(router: &mut impl Router) {
        router.with(logged).with(require_user).on("me", me);
        let admin = router.with(require_role("admin"));
        admin
            .on("kick", valid(kick))
            .on("mute", valid(mute))
            .on("unmute", valid(unmute));
        router.sends::<Muted>("muted").sends::<()>("unmuted");
    }
}

/// Around every route: who did what, what came of it, and how long it took.
fn logged(call: &Call, next: Next) -> Result<(), Fault> {
    let start = Instant::now();
    let outcome = next.run(call);
    let (kind, took) = (call.kind(), start.elapsed());
    let user = call
        .user()
        .map_or_else(|_| "nobody".to_owned(), |user| user.id);
    match &outcome {
        Ok(()) => log::info!("{kind} by {user} took {took:?}"),
        Err(fault) => log::warn!("{kind} by {user} took {took:?} and failed: {fault}"),
    }
    outcome
}

/// The answer to `me`.
#[derive(Serialize, JsonSchema)]
struct Me {
    id: String,
    roles: Vec<String>,
    muted: Option<Muted>,
}

fn me(call: &Call, (): ()) -> Result<Me, Fault> {
    let User { id, roles, .. } = call.user()?;
    let muted = Muted::of(call)?;
    Ok(Me { id, roles, muted })
}

#[derive(Deserialize, JsonSchema, Validate)]
struct Kick {
    #[garde(length(min = 1, max = 200))]
    user: String,
    /// At most 100 bytes: it is what the close frame says.
    #[serde(default = "reason")]
    #[garde(length(min = 1, max = 100))]
    reason: String,
}

fn reason() -> String {
    "kicked".to_owned()
}

/// Answers with how many connections that were.
fn kick(_: &Call, Kick { user, reason }: Kick) -> Result<usize, Fault> {
    let connections = connections(&user);
    if connections.is_empty() {
        return Err(Fault::new(
            "not-here",
            format!("{user:?} has no connection"),
        ));
    }
    for connection in &connections {
        connection.close(KICKED, &reason)?;
    }
    Ok(connections.len())
}

/// The topic of a user's connections, to find them by.
fn topic(user: &str) -> String {
    format!("user:{user}")
}

fn connections(user: &str) -> Vec<Connection> {
    let members = members(&topic(user)).into_iter();
    members.map(|member| member.connection).collect()
}

tidegate_sdk::export!(Modules: describe);
