//! On "fill N" sends up to N chunks of 64 KiB, until one is not sent at once; on drain sends "drained".

use tidegate_sdk::{Connection, Delivery, Handler, Message, Result};

struct Drain;

impl Handler for Drain {
    fn on_message(connection: &Connection, message: Message) -> Result {
        let text = message.as_text().unwrap_or_default();
        let count = text.strip_prefix("fill ").unwrap_or("0").parse()?;
        for _ in 0..count {
            if connection.send([0_u8; 64 << 10]) != Delivery::Sent {
                break;
            }
        }
        Ok(())
    }

    fn on_drain(connection: &Connection) -> Result {
        connection.send("drained");
        Ok(())
    }
}

tidegate_sdk::export!(Drain);
