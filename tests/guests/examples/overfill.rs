//! On "overfill" sends 64 KiB to its own connection until that is dropped, then 100 times more, and puts the counts
//! into its state and on the topic "overfill". On "report" sends its state; on "watch" subscribes to the topic.

use tidegate_sdk::{Connection, Delivery, Handler, Message, Result, publish};

struct Overfill;

impl Handler for Overfill {
    fn on_message(connection: &Connection, message: Message) -> Result {
        match message.as_text() {
            Some("overfill") => {
                let report = overfill(connection);
                connection.set_state(&report)?;
                // What was sent may have used up the event's limit; the counts are in the state then.
                let _ = publish("overfill", report);
            }
            Some("watch") => connection.subscribe("overfill")?,
            Some("report") => {
                connection.send(String::from_utf8(connection.state())?);
            }
            _ => return Err(tidegate_sdk::error!("unknown command {message:?}")),
        }
        Ok(())
    }
}

fn overfill(connection: &Connection) -> String {
    let (mut sent, mut queued, mut dropped) = (0, 0, 0);
    while dropped <= 100 {
        match connection.send([0_u8; 64 << 10]) {
            Delivery::Sent => sent += 1,
            Delivery::Queued => queued += 1,
            Delivery::Dropped => dropped += 1,
        }
    }
    format!("sent {sent} queued {queued} dropped {dropped}")
}

tidegate_sdk::export!(Overfill);
