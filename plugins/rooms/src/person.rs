//! Who is in which rooms.

use serde::{Deserialize, Serialize};
use tidegate_sdk::{
    Connection, Fault, Member, Result, State, members, publish_event, subscriber_count,
};

use crate::messages::Room;
use crate::topic;

/// The topic of everybody, where each one's label lists the rooms they are in.
pub(crate) const EVERYBODY: &str = "everybody";
/// Rooms of one person: their names, of 32 bytes at most, fit into a label of 255.
const ROOMS_MAX: usize = 7;
/// People in one room, who are all listed whenever somebody comes or goes.
const PEOPLE_MAX: u32 = 200;

/// Who somebody is, and where. The last room is where text without a room goes.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) rooms: Vec<String>,
}

/// Joins a room.
pub(crate) fn enter(connection: &Connection, room: &str) -> Result<Room, Fault> {
    let mut person = State::<Person>::of(connection)?;
    let topic = crate::topic(room);
    let is_own = |member: &Member| member.label == person.name;
    let refuse = |code: &'static str, words: &str| Err(Fault::new(code, format!("{words} {room}")));
    if person.rooms.iter().any(|own| own == room) {
        return refuse("joined-already", "you are already in");
    }
    if person.rooms.len() == ROOMS_MAX {
        return refuse("too-many-rooms", "leave another room to join");
    }
    if members(&topic).iter().any(is_own) {
        return refuse("name-taken", "somebody has your name in");
    }
    if subscriber_count(&topic) >= PEOPLE_MAX {
        return refuse("room-full", "there is no place left in");
    }
    person.rooms.push(room.to_owned());
    person.save()?;
    connection.subscribe_as(EVERYBODY, &person.rooms.join(" "))?;
    connection.subscribe_as(&topic, &person.name)?;
    let entered = Room::of(room, &person.name);
    connection.publish_event_to_others(&topic, "joined", &entered)?;
    Ok(entered)
}

/// Leaves a room.
pub(crate) fn leave(connection: &Connection, room: &str) -> Result<(), Fault> {
    let mut person = State::<Person>::of(connection)?;
    let place = person.rooms.iter().position(|own| own == room);
    let place = place.ok_or_else(|| Fault::new("not-in-room", format!("you are not in {room}")))?;
    person.rooms.remove(place);
    person.save()?;
    connection.subscribe_as(EVERYBODY, &person.rooms.join(" "))?;
    connection.unsubscribe(&topic(room))?;
    let left = Room::of(room, &person.name);
    Ok(publish_event(&topic(room), "left", &left)?)
}
