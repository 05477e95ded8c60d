//! Refuses to be loaded.

use tidegate_sdk::{Connection, Handler, Message, Result};

struct SelfCheckFails;

impl Handler for SelfCheckFails {
    fn on_message(connection: &Connection, message: Message) -> Result {
        connection.send(message);
        Ok(())
    }

    fn on_load() -> Result {
        Err(tidegate_sdk::error!("the self-check failed as asked"))
    }
}

tidegate_sdk::export!(SelfCheckFails);
