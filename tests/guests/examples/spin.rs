//! Loops forever on "spin", echoes otherwise.

use tidegate_sdk::{Connection, Handler, Message, Result};

struct Spin;

impl Handler for Spin {
    fn on_message(connection: &Connection, message: Message) -> Result {
        while message.as_text() == Some("spin") {
            std::hint::spin_loop();
        }
        connection.send(message);
        Ok(())
    }
}

tidegate_sdk::export!(Spin);
