//! "set X" keeps X as the connection's state; everything is answered with "GENERATION STATE". Prints "closed STATE".

use tidegate_sdk::{CloseCause, Connection, Handler, Message, Result, generation};

struct Keeper;

impl Handler for Keeper {
    fn on_message(connection: &Connection, message: Message) -> Result {
        if let Some(state) = message.as_text().and_then(|text| text.strip_prefix("set ")) {
            connection.set_state(state)?;
        }
        connection.send(format!(
            "{} {}",
            generation(),
            String::from_utf8(connection.state())?
        ));
        Ok(())
    }

    fn on_close(connection: &Connection, _cause: CloseCause) -> Result {
        println!(
            "closed {} {}",
            generation(),
            String::from_utf8(connection.state())?
        );
        Ok(())
    }
}

tidegate_sdk::export!(Keeper);
