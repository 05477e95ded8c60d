//! Echoes "<generation> <message>", and subscribes every connection to "swap".

use tidegate_sdk::{Connection, Handler, Message, Request, Result, generation};

struct Generation;

impl Handler for Generation {
    fn on_open(connection: &Connection, _request: Request) -> Result {
        Ok(connection.subscribe("swap")?)
    }

    fn on_message(connection: &Connection, message: Message) -> Result {
        let text = message.as_text().unwrap_or_default();
        connection.send(format!("{} {text}", generation()));
        Ok(())
    }
}

tidegate_sdk::export!(Generation);
