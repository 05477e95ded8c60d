//! As `keeper`, and takes over states: "X" becomes "X from GENERATION". Refuses "refuse", traps on "trap", and makes a
//! megabyte of "grow". What it sends meanwhile must not arrive.

use tidegate_sdk::{
    CloseCause, Connection, Handler, Message, Migrator, Result, error, generation, publish,
};

struct Later;

impl Handler for Later {
    fn on_open(connection: &Connection, _request: tidegate_sdk::Request) -> Result {
        Ok(connection.subscribe("all")?)
    }

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

impl Migrator for Later {
    fn migrate_state(state: Vec<u8>, from: u64) -> Result<Vec<u8>> {
        publish("all", "never")?;
        match String::from_utf8(state)?.as_str() {
            "refuse" => Err(error!("as asked")),
            "trap" => panic!("as asked"),
            "grow" => Ok(vec![b'x'; 1 << 20]),
            state => Ok(format!("{state} from {from}").into_bytes()),
        }
    }
}

tidegate_sdk::export!(Later: migrate);
