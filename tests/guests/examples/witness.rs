//! Answers "<generation> <message>", after N ms on the clock for "wait N". Prints "closed <id>" for every connection
//! that ends.

use std::thread;
use std::time::Duration;

use tidegate_sdk::{CloseCause, Connection, Handler, Message, Result, generation};

struct Witness;

impl Handler for Witness {
    fn on_message(connection: &Connection, message: Message) -> Result {
        let text = message.as_text().unwrap_or_default();
        if let Some(wait) = text.strip_prefix("wait ") {
            thread::sleep(Duration::from_millis(wait.parse()?));
        }
        connection.send(format!("{} {text}", generation()));
        Ok(())
    }

    fn on_close(connection: &Connection, _cause: CloseCause) -> Result {
        println!("closed {connection}");
        Ok(())
    }
}

tidegate_sdk::export!(Witness);
