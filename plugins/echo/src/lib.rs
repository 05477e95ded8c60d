//! Sends every message back to where it came from.

use tidegate_sdk::{Connection, Handler, Message, Result};

struct Echo;

impl Handler for Echo {
    fn on_message(connection: &Connection, message: Message) -> Result {
        connection.send(message);
        Ok(())
    }
}

tidegate_sdk::export!(Echo);
