//! Panics on a text with "trap" in it, echoes otherwise.

use tidegate_sdk::{Connection, Handler, Message, Result};

struct Trap;

impl Handler for Trap {
    fn on_message(connection: &Connection, message: Message) -> Result {
        let is_trap = message.as_text().is_some_and(|text| text.contains("trap"));
        assert!(!is_trap, "as asked");
        connection.send(message);
        Ok(())
    }
}

tidegate_sdk::export!(Trap);
