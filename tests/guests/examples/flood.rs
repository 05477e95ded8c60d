//! On "flood" publishes 1 KiB to the topic "flood" until that is refused; on "flood-self" sends 1 KiB to its own
//! connection until that is dropped; on "listen" subscribes to "flood"; echoes otherwise.

use tidegate_sdk::{Connection, Delivery, Handler, Message, Result, publish};

struct Flood;

impl Handler for Flood {
    fn on_message(connection: &Connection, message: Message) -> Result {
        let chunk = [0_u8; 1024];
        match message.as_text() {
            Some("flood") => while publish("flood", chunk).is_ok() {},
            Some("flood-self") => while connection.send(chunk) != Delivery::Dropped {},
            Some("listen") => connection.subscribe("flood")?,
            _ => {
                connection.send(message);
            }
        }
        Ok(())
    }
}

tidegate_sdk::export!(Flood);
