//! Users with all their connections, and groups of them, as people know them from Socket.IO. Connect to
//! `/?user=ann&metadata={"device":"phone"}`, from as many devices as you like.
//!
//! | `type` | fields | answered with |
//! | --- | --- | --- |
//! | `online` | | all users, with the metadata of each of their connections |
//! | `set-metadata` | `metadata`: a small object | |
//! | `send-to-user` | `user`, `data`: any JSON | to how many `connections` it went |
//! | `broadcast` | `data`; `except`: users who do not get it | the same |
//! | `join-group`, `leave-group`, `group-size` | `group` | how many `users` and `connections` are in it now |
//! | `group-members` | `group` | the users in it |
//! | `send-to-group` | `group`, `data`, `except` | as of `broadcast`; one need not be in it |
//!
//! All but the sending connection hear `{"type": "message", .., "payload": {"from": "ann", "to": "group:devs", "data": ..}}`,
//! where `to` is one of three kinds of topics. They are all that there is: who is gone is in none of them.
//!
//! | topic | its members | labelled with |
//! | --- | --- | --- |
//! | `users` | everybody | their user |
//! | `user:ann` | the connections of a user | their metadata |
//! | `group:devs` | the connections in a group | their user |

mod groups;
mod messages;
mod metadata;

use std::collections::BTreeSet;

use serde_json::Value;
use tidegate_sdk::{
    Accept, Call, Connection, Delivery, Fault, Handler, Message, PublishError, Reject, Request,
    Result, Router, Routes, User, error, event, members, valid,
};

use messages::{Broadcast, Delivered, NAME_MAX, Online, Sent, SetMetadata, ToUser};

/// The topic of everybody.
const USERS: &str = "users";

struct Registry;

impl Handler for Registry {
    fn on_upgrade(request: Request) -> Result<Accept, Reject> {
        let id = request.query("user").unwrap_or_default();
        if !(1..=NAME_MAX).contains(&id.len()) {
            let fix = "say who you are, in 1 to 100 bytes: /?user=ann\n";
            return Err(Reject::new(400, fix));
        }
        metadata::label_of(&request)?;
        let user = User {
            id,
            ..User::default()
        };
        Ok(Accept::default().state_json(&user)?)
    }

    fn on_open(connection: &Connection, request: Request) -> Result {
        let User { id, .. } = User::of(connection).ok_or_else(|| error!("nobody has signed in"))?;
        let label = metadata::label_of(&request).map_err(|fault| error!("{fault}"))?;
        connection.subscribe_as(USERS, &id)?;
        Ok(connection.subscribe_as(&topic_of(&id), &label)?)
    }

    fn on_message(connection: &Connection, message: Message) -> Result {
        Registry::route(connection, &message)
    }
}

impl Routes for Registry {
    fn routes(router: &mut impl Router) {
        router.on("online", online);
        router.on("set-metadata", set_metadata);
        router.on("send-to-user", valid(send_to_user));
        router.on("broadcast", valid(broadcast));
        router.on("join-group", valid(groups::join));
        router.on("leave-group", valid(groups::leave));
        router.on("group-size", valid(groups::size));
        router.on("group-members", valid(groups::list));
        router.on("send-to-group", valid(groups::send));
        router.sends::<Sent>("message");
    }
}

fn online(_: &Call, (): ()) -> Result<Vec<Online>, Fault> {
    let users = users_in(USERS).into_iter().map(|user| {
        let members = members(&topic_of(&user)).into_iter();
        let metadata = members.map(|member| serde_json::from_str(&member.label));
        let connections = metadata.collect::<Result<_, _>>()?;
        Ok(Online { user, connections })
    });
    users.collect()
}

fn set_metadata(call: &Call, SetMetadata { metadata }: SetMetadata) -> Result<(), Fault> {
    Ok(call.subscribe_as(&topic_of(&call.user()?.id), &metadata::label(&metadata)?)?)
}

fn send_to_user(call: &Call, ToUser { user, data }: ToUser) -> Result<Delivered, Fault> {
    let delivered = deliver(call, &topic_of(&user), &data, &[])?;
    match delivered.connections {
        0 => Err(Fault::new(
            "offline",
            format!("nobody else is here as {user}"),
        )),
        _ => Ok(delivered),
    }
}

fn broadcast(call: &Call, Broadcast { data, except }: Broadcast) -> Result<Delivered, Fault> {
    deliver(call, USERS, &data, &except)
}

/// Sends to those of a topic who are meant. A publish costs the same for any number of connections, but leaves out one
/// and not users: with `except` each one gets a message of their own, within `limits.effects`. Of a topic with more than
/// 10,000 members only that many are counted, or told one by one.
fn deliver(call: &Call, topic: &str, data: &Value, except: &[String]) -> Result<Delivered, Fault> {
    let (from, to) = (&*call.user()?.id, topic);
    let message = event("message", &Sent { from, to, data })?;
    let own = call.connection();
    let mut meant = members(topic);
    meant.retain(|member| member.connection != *own && !except.contains(&member.label));
    if except.is_empty() {
        let too_large = |error: PublishError| Fault::new("too-large", error.to_string());
        call.publish_to_others(topic, &message).map_err(too_large)?;
    } else {
        meant.retain(|member| member.connection.send(&message) != Delivery::Dropped);
    }
    let connections = meant.len();
    Ok(Delivered { connections })
}

fn users_in(topic: &str) -> BTreeSet<String> {
    let members = members(topic).into_iter();
    members.map(|member| member.label).collect()
}

fn topic_of(user: &str) -> String {
    format!("user:{user}")
}

tidegate_sdk::export!(Registry: describe);
