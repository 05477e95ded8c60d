//! Passes every message on to the plugins behind it.

use tidegate_sdk::{Connection, Handler, Message, Result, Verdict};

struct Pass;

impl Handler<Verdict> for Pass {
    fn on_message(_connection: &Connection, _message: Message) -> Result<Verdict> {
        Ok(Verdict::Next)
    }
}

tidegate_sdk::export!(Pass);
