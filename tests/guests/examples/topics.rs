//! Subscribes a connection to as many topics as its query `topics=N` says and echoes its messages; with a parameter
//! `{room}` in its route it subscribes to that instead, and forwards messages to the others there as they came.

use tidegate_sdk::{Accept, Connection, Handler, Message, Reject, Request, Result};

struct Topics;

impl Handler for Topics {
    fn on_upgrade(request: Request) -> Result<Accept, Reject> {
        Ok(Accept::default().state(request.param("room").unwrap_or_default()))
    }

    fn on_open(connection: &Connection, request: Request) -> Result {
        if let Some(room) = request.param("room") {
            return Ok(connection.subscribe(room)?);
        }
        let topics = request.query("topics").unwrap_or_default();
        for topic in 0..topics.parse::<u32>()? {
            connection.subscribe(&format!("topic-{topic}"))?;
        }
        Ok(())
    }

    fn on_message(connection: &Connection, message: Message) -> Result {
        let room = connection.state();
        if room.is_empty() {
            connection.send(message);
            return Ok(());
        }
        Ok(connection.publish_to_others(std::str::from_utf8(&room)?, message)?)
    }
}

tidegate_sdk::export!(Topics);
