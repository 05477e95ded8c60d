//! Closes its own connection twice on "close", and sends before, between and after; echoes otherwise.

use tidegate_sdk::{Connection, Handler, Message, Result};

struct DoubleClose;

impl Handler for DoubleClose {
    fn on_message(connection: &Connection, message: Message) -> Result {
        if message.as_text() == Some("close") {
            connection.send("before");
            connection.close(4000, "first")?;
            connection.send("between");
            connection.close(4001, "second")?;
        }
        connection.send(message);
        Ok(())
    }
}

tidegate_sdk::export!(DoubleClose);
