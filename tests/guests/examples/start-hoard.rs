//! Allocates without end in its self-check.

use tidegate_sdk::{Connection, Handler, Message, Result};

struct StartHoard;

impl Handler for StartHoard {
    fn on_message(connection: &Connection, message: Message) -> Result {
        connection.send(message);
        Ok(())
    }

    fn on_load() -> Result {
        let mut hoard = Vec::new();
        loop {
            hoard.push(std::hint::black_box(vec![1_u8; 1 << 20]));
        }
    }
}

tidegate_sdk::export!(StartHoard);
