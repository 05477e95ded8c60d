//! Loops forever on what begins with "spin", echoes otherwise.

use tidegate_sdk::{Connection, Handler, Message, Result};

struct Spin;

impl Handler for Spin {
    fn on_message(connection: &Connection, message: Message) -> Result {
        while message
            .as_text()
            .is_some_and(|text| text.starts_with("spin"))
        {
            std::hint::spin_loop();
        }
        connection.send(message);
        Ok(())
    }
}

tidegate_sdk::export!(Spin);
