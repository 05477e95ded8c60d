//! Answers "<generation> <value>" to a key of its configuration, and to "all" every key with its value. It does not load
//! with a `history` that is no number.

use tidegate_sdk::{Connection, Handler, Message, Result, config, generation};

struct Settings;

impl Handler for Settings {
    fn on_load() -> Result {
        config::parse::<u32>("history")?;
        Ok(())
    }

    fn on_message(connection: &Connection, message: Message) -> Result {
        let answer = match message.as_text().unwrap_or_default() {
            "all" => format!("{:?}", config::all()),
            key => config::get(key).unwrap_or_else(|| "nothing".to_owned()),
        };
        connection.send(format!("{} {answer}", generation()));
        Ok(())
    }
}

tidegate_sdk::export!(Settings);
