//! Who is there, and since when not: connect to `/?user=ann`, from as many devices as you like.
//!
//! | `type` | fields | answered with |
//! | --- | --- | --- |
//! | `set-status` | `status`: `online`, `away`, `busy`, or `offline` to be there unseen | |
//! | `watch`, `unwatch` | `users`: a list of 1 to 100 | how many one watches now, 100 at most |
//! | `who` | `user`: whose connections to count; oneself without | how many `users` are there, and the `connections` of one, unseen or not |
//!
//! Who watches hears at once how everybody watched is, and then of each change:
//! `{"type": "status", .., "payload": {"user": "ann", "status": "away", "lastSeen": 1767225600000, "revision": 7}}`. Changes on
//! two cores at once may be heard in either order; then that of the greater `revision` counts. `lastSeen`, in milliseconds
//! since 1970, is when the user last came, went or set a status; null if that was never.
//!
//! A user is `offline` when the last of their connections has closed, which watchers hear once; a reload closes none. What is
//! known of users is in the bucket `presence` of the store: `grants.store = ["presence"]`.

mod messages;
mod person;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_sdk::{
    Accept, Call, CloseCause, Connection, Fault, Handler, Message, Reject, Request, Result, Router,
    Routes, State, Timer, members, subscriber_count, valid,
};

use messages::{Headcount, SetStatus, Shown, Users, Who};
use person::Person;

/// Bytes of a user's name, and how many users one may watch: together they fit into `limits.state`.
const NAME_MAX: usize = 100;
const WATCHED_MAX: usize = 100;
/// The topic of all connections, labelled with their users.
const EVERYBODY: &str = "everybody";
/// Timers that fire at once: their events come when what was subscribed to before is in force on all cores.
const ARRIVED: &str = "arrived";
const WATCHING: &str = "watching";

struct Presence;

/// Whose connection it is, and whom it watches.
#[derive(Default, Serialize, Deserialize)]
struct Watcher {
    user: String,
    watched: BTreeSet<String>,
}

impl Handler for Presence {
    fn on_upgrade(request: Request) -> Result<Accept, Reject> {
        let user = request.query("user").unwrap_or_default();
        if !(1..=NAME_MAX).contains(&user.len()) {
            let fix = "say who you are, in 1 to 100 bytes: /?user=ann\n";
            return Err(Reject::new(400, fix));
        }
        let watched = BTreeSet::new();
        Ok(Accept::default().state_json(&Watcher { user, watched })?)
    }

    fn on_open(connection: &Connection, _request: Request) -> Result {
        let Watcher { user, .. } = State::<Watcher>::of(connection)?.into_inner();
        connection.subscribe_as(EVERYBODY, &user)?;
        connection.subscribe_as(&topic(&user), &user)?;
        Ok(Timer::after(ARRIVED, Duration::ZERO).on(connection)?)
    }

    fn on_message(connection: &Connection, message: Message) -> Result {
        Presence::route(connection, &message)
    }

    fn on_timer(connection: Option<&Connection>, name: &str) -> Result {
        let Some(connection) = connection else {
            return Ok(());
        };
        let Watcher { user, watched } = State::<Watcher>::of(connection)?.into_inner();
        match name {
            ARRIVED => person::arrived(&user, connection),
            _ => watched.iter().try_for_each(|user| {
                let person = Person::of(user)?;
                let sent = connection.send_event("status", &person.shown(user));
                sent.map(drop)
            }),
        }
    }

    fn on_close(connection: &Connection, _cause: CloseCause) -> Result {
        let Watcher { user, .. } = State::<Watcher>::of(connection)?.into_inner();
        person::left(&user, connection)
    }
}

impl Routes for Presence {
    fn routes(router: &mut impl Router) {
        router.on("set-status", set_status).on("who", who);
        router.on("watch", valid(watch));
        router.on("unwatch", valid(unwatch));
        router.sends::<Shown>("status");
    }
}

fn set_status(call: &Call, SetStatus { status }: SetStatus) -> Result<(), Fault> {
    let Watcher { user, .. } = State::<Watcher>::of(call)?.into_inner();
    Ok(person::set_status(&user, status)?)
}

/// Subscribes first and looks afterwards, in an event of its own: so no change is missed in between.
fn watch(call: &Call, Users { users }: Users) -> Result<usize, Fault> {
    let mut watcher = State::<Watcher>::of(call)?;
    for user in users {
        call.subscribe(&topic_of_watchers(&user))?;
        watcher.watched.insert(user);
    }
    if watcher.watched.len() > WATCHED_MAX {
        let fix = "at most 100 users: unwatch some first";
        return Err(Fault::new("too-many-watched", fix));
    }
    watcher.save()?;
    Timer::after(WATCHING, Duration::ZERO).on(call)?;
    Ok(watcher.watched.len())
}

fn unwatch(call: &Call, Users { users }: Users) -> Result<usize, Fault> {
    let mut watcher = State::<Watcher>::of(call)?;
    for user in users {
        call.unsubscribe(&topic_of_watchers(&user))?;
        watcher.watched.remove(&user);
    }
    watcher.save()?;
    Ok(watcher.watched.len())
}

/// Of more than 10,000 connections the users of that many are counted.
fn who(call: &Call, Who { user }: Who) -> Result<Headcount, Fault> {
    let own = State::<Watcher>::of(call)?.into_inner().user;
    let connections = subscriber_count(&topic(&user.unwrap_or(own)));
    let everybody = members(EVERYBODY).into_iter();
    let users: BTreeSet<_> = everybody.map(|member| member.label).collect();
    let users = users.len();
    Ok(Headcount { users, connections })
}

/// Where all connections of a user are.
fn topic(user: &str) -> String {
    format!("user:{user}")
}

fn topic_of_watchers(user: &str) -> String {
    format!("watchers:{user}")
}

tidegate_sdk::export!(Presence: describe);
