//! A chat with many rooms at once: connect to `/rooms/tea?name=ann` and type.
//!
//! | typed | as a message | answered with |
//! | --- | --- | --- |
//! | `hello` | `say`: `text`, and a `room`, else the one joined last | |
//! | `/join cake` | `join`: `room` | the room, with its `members` |
//! | `/leave cake` | `leave`: `room` | |
//! | `/whisper bob psst` | `whisper`: `to`, `text`; to one who is in a room with you | |
//! | `/rooms` | `rooms` | all rooms, with how many are in each |
//!
//! Others hear `joined`, `left`, `said` and `whispered`; the first two with the `members` that there were at the event's
//! `timestamp` (what happens on two cores at once may be heard in either order). Within a room a name belongs to one: who
//! connects under a name that is taken is closed with 1008, and a `join` is refused, unless it is at the very same instant.
//! A room is there while somebody is in it.
//!
//! Text that begins with `{` is a message. Without a room in the path it is the lobby, without a name a guest's.

mod messages;
mod person;

use serde_json::json;
use tidegate_sdk::{
    Accept, Call, CloseCause, Connection, Fault, Handler, Message, Reject, Request, Result, Router,
    Routes, State, members, publish_event, valid,
};

use messages::{Headcount, Join, Leave, Room, Said, Say, Whisper, Whispered, is_word};
use person::{EVERYBODY, Person};

struct Rooms;

impl Handler for Rooms {
    fn on_upgrade(request: Request) -> Result<Accept, Reject> {
        let (room, name) = (request.param("room"), request.query("name"));
        let mut given = [room, name.as_deref()].into_iter().flatten();
        if given.all(|word| is_word(word, &()).is_ok()) {
            return Ok(Accept::default());
        }
        let fix = "room and name take 1 to 32 bytes without spaces: /rooms/tea?name=ann\n";
        Err(Reject::new(400, fix))
    }

    fn on_open(connection: &Connection, request: Request) -> Result {
        let guest = || format!("guest-{connection}");
        let name = request.query("name").unwrap_or_else(guest);
        let rooms = Vec::new();
        State::new(connection, Person { name, rooms }).save()?;
        match person::enter(connection, request.param("room").unwrap_or("lobby")) {
            Ok(room) => connection.send_event("joined", &room).map(drop),
            Err(fault) => Ok(connection.close(1008, fault.message())?),
        }
    }

    fn on_message(connection: &Connection, message: Message) -> Result {
        match message.as_text() {
            Some(line) if !line.starts_with('{') => Rooms::route(connection, &typed(line)?),
            _ => Rooms::route(connection, &message),
        }
    }

    fn on_close(connection: &Connection, _cause: CloseCause) -> Result {
        let Person { name, rooms } = State::<Person>::of(connection)?.into_inner();
        rooms
            .iter()
            .try_for_each(|room| publish_event(&topic(room), "left", &Room::of(room, &name)))
    }
}

impl Routes for Rooms {
    fn routes(router: &mut impl Router) {
        router.on("say", valid(say)).on("whisper", valid(whisper));
        router.on("join", valid(join)).on("leave", leave);
        router.on("rooms", list);
        router.sends::<Room>("joined").sends::<Room>("left");
        router.sends::<Said>("said").sends::<Whispered>("whispered");
    }
}

/// The message that a typed line stands for.
fn typed(line: &str) -> Result<Message> {
    let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (to, text) = rest.split_once(' ').unwrap_or((rest, ""));
    Message::from_json(&match command.strip_prefix('/') {
        None => json!({"type": "say", "text": line}),
        Some("whisper") => json!({"type": "whisper", "to": to, "text": text}),
        Some(command) => json!({"type": command, "room": rest.trim()}),
    })
}

fn say(call: &Call, Say { room, text }: Say) -> Result<(), Fault> {
    let Person { name, rooms } = State::<Person>::of(call)?.into_inner();
    let room = match &room {
        Some(room) => rooms.iter().find(|own| *own == room),
        None => rooms.last(),
    };
    let room = room.ok_or_else(|| Fault::new("not-in-room", "join the room first"))?;
    let (from, text) = (&*name, &*text);
    let said = Said { room, from, text };
    Ok(call.publish_event_to_others(&topic(room), "said", &said)?)
}

fn whisper(call: &Call, Whisper { to, text }: Whisper) -> Result<(), Fault> {
    let Person { name, rooms } = State::<Person>::of(call)?.into_inner();
    let mut near = rooms.iter().rev().flat_map(|room| members(&topic(room)));
    let Some(member) = near.find(|member| member.label == to) else {
        let nobody = format!("nobody called {to} is in a room with you");
        return Err(Fault::new("nobody", nobody));
    };
    let (from, text) = (&*name, &*text);
    let whispered = Whispered { from, text };
    member.connection.send_event("whispered", &whispered)?;
    Ok(())
}

fn join(call: &Call, Join { room }: Join) -> Result<Room, Fault> {
    person::enter(call, &room)
}

fn leave(call: &Call, Leave { room }: Leave) -> Result<(), Fault> {
    person::leave(call, &room)
}

/// Rooms in which somebody is; of more than 10,000 people those of the first.
fn list(_: &Call, (): ()) -> Result<Vec<Headcount>, Fault> {
    let everybody = members(EVERYBODY);
    let mut rooms: Vec<_> = everybody
        .iter()
        .flat_map(|member| member.label.split(' '))
        .filter(|room| !room.is_empty())
        .collect();
    rooms.sort_unstable();
    rooms.dedup();
    Ok(rooms.into_iter().map(Headcount::of).collect())
}

fn topic(room: &str) -> String {
    format!("room:{room}")
}

tidegate_sdk::export!(Rooms: describe);
