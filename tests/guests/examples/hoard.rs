//! Allocates and touches memory without end on "hoard", echoes otherwise.

use tidegate_sdk::{Connection, Handler, Message, Result};

struct Hoard;

impl Handler for Hoard {
    fn on_message(connection: &Connection, message: Message) -> Result {
        let mut hoard = Vec::new();
        while message.as_text() == Some("hoard") {
            hoard.push(std::hint::black_box(vec![1_u8; 1 << 20]));
        }
        connection.send(message);
        Ok(())
    }
}

tidegate_sdk::export!(Hoard);
