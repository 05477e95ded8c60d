//! Loops forever in its self-check.

use tidegate_sdk::{Connection, Handler, Message, Result};

struct StartSpin;

impl Handler for StartSpin {
    fn on_message(connection: &Connection, message: Message) -> Result {
        connection.send(message);
        Ok(())
    }

    fn on_load() -> Result {
        loop {
            std::hint::spin_loop();
        }
    }
}

tidegate_sdk::export!(StartSpin);
