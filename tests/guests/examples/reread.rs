//! Reads its connection's state, which it fills with "fill BYTES", as often as "read TIMES" says; then answers how many bytes
//! those were.

use tidegate_sdk::{Connection, Handler, Message, Result};

struct Reread;

impl Handler for Reread {
    fn on_message(connection: &Connection, message: Message) -> Result {
        let text = message.as_text().unwrap_or_default();
        let (verb, number) = text.split_once(' ').unwrap_or_default();
        let number = number.parse()?;
        let bytes = match verb {
            "fill" => {
                connection.set_state(vec![1; number])?;
                number
            }
            _ => (0..number).map(|_| connection.state().len()).sum(),
        };
        connection.send(bytes.to_string());
        Ok(())
    }
}

tidegate_sdk::export!(Reread);
