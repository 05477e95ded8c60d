//! Panics on "trap", echoes otherwise.

use tidegate_sdk::{Connection, Handler, Message, Result};

struct Trap;

impl Handler for Trap {
    fn on_message(connection: &Connection, message: Message) -> Result {
        assert_ne!(message.as_text(), Some("trap"), "as asked");
        connection.send(message);
        Ok(())
    }
}

tidegate_sdk::export!(Trap);
