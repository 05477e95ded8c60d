//! Recurses without end on "recurse", echoes otherwise.

use std::hint::black_box;

use tidegate_sdk::{Connection, Handler, Message, Result};

struct Recurse;

impl Handler for Recurse {
    fn on_message(connection: &Connection, message: Message) -> Result {
        if message.as_text() == Some("recurse") {
            connection.send(dig(1).to_string());
        }
        connection.send(message);
        Ok(())
    }
}

/// Uses the result of its own call, and hides the way out from the optimizer, so that no loop can come of it.
fn dig(depth: u64) -> u64 {
    if black_box(depth) == 0 {
        return 0;
    }
    black_box(dig(depth + 1)) + 1
}

tidegate_sdk::export!(Recurse);
