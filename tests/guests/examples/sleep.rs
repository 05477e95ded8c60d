//! Waits on the clock: 300 ms on "sleep", a minute on "sleep-long"; then echoes.

use std::thread;
use std::time::Duration;

use tidegate_sdk::{Connection, Handler, Message, Result};

struct Sleep;

impl Handler for Sleep {
    fn on_message(connection: &Connection, message: Message) -> Result {
        match message.as_text() {
            Some("sleep") => thread::sleep(Duration::from_millis(300)),
            Some("sleep-long") => thread::sleep(Duration::from_secs(60)),
            _ => {}
        }
        connection.send(message);
        Ok(())
    }
}

tidegate_sdk::export!(Sleep);
