//! Rooms to talk in: connect to `/rooms/tea?username=alice`, send text, receive JSON. Without a room it is the lobby,
//! without a name a guest's.

use serde::Serialize;
use tidegate_sdk::{Accept, CloseCause, Connection, Handler, Message, Reject, Request, Result};

struct Chat;

/// What clients receive. `members` are the names of all in the room, in order.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Event<'a> {
    Welcome { name: &'a str, members: Vec<String> },
    Join { name: &'a str },
    Message { from: &'a str, text: &'a str },
    Leave { name: &'a str, members: Vec<String> },
}

impl Handler for Chat {
    fn on_upgrade(request: Request) -> Result<Accept, Reject> {
        let (room, name) = (request.param("room"), request.query("username"));
        let mut given = [room, name.as_deref()].into_iter().flatten();
        if given.all(|word| (1..=32).contains(&word.chars().count())) {
            return Ok(Accept::default());
        }
        let fix = "room and username take 1 to 32 characters: /rooms/tea?username=alice\n";
        Err(Reject::new(400, fix))
    }

    fn on_open(connection: &Connection, request: Request) -> Result {
        // Its name is the client's choice; what it is called among topics is ours.
        let room = &format!("room:{}", request.param("room").unwrap_or("lobby"));
        let guest = || format!("guest-{connection}");
        let name = &request.query("username").unwrap_or_else(guest);
        connection.set_state_json(&(room, name))?;
        connection.subscribe_as(room, name)?;
        let members = members(room);
        connection.send_json(&Event::Welcome { name, members })?;
        let join = Message::from_json(&Event::Join { name })?;
        Ok(connection.publish_to_others(room, join)?)
    }

    fn on_message(connection: &Connection, message: Message) -> Result {
        if let (Some((room, from)), Some(text)) = (seat(connection)?, message.as_text()) {
            let event = Message::from_json(&Event::Message { from: &from, text })?;
            connection.publish_to_others(&room, event)?;
        }
        Ok(())
    }

    fn on_close(connection: &Connection, _cause: CloseCause) -> Result {
        if let Some((room, name)) = seat(connection)? {
            let (name, members) = (name.as_str(), members(&room));
            let leave = Message::from_json(&Event::Leave { name, members })?;
            tidegate_sdk::publish(&room, leave)?;
        }
        Ok(())
    }
}

/// The room's topic and the name of a connection, as `on_open` left them.
fn seat(connection: &Connection) -> Result<Option<(String, String)>> {
    connection.state_json()
}

fn members(room: &str) -> Vec<String> {
    let members = tidegate_sdk::members(room).into_iter();
    let mut names: Vec<_> = members.map(|member| member.label).collect();
    names.sort();
    names
}

tidegate_sdk::export!(Chat);
