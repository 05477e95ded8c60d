//! Panics in its self-check.

use tidegate_sdk::{Connection, Handler, Message, Result};

struct StartTrap;

impl Handler for StartTrap {
    fn on_message(connection: &Connection, message: Message) -> Result {
        connection.send(message);
        Ok(())
    }

    fn on_load() -> Result {
        panic!("trapped in on_load")
    }
}

tidegate_sdk::export!(StartTrap);
