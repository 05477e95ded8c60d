//! The end of a chain. Refuses an upgrade with `?inner=no`. Answers every message with "GENERATION MESSAGE by USER", of
//! the state of the plugin "guard"; "set X" and "state" keep and tell its own state, "fail-open" in the query makes its
//! `on_open` fail. Prints "inner closed".

use tidegate_sdk::{
    Accept, CloseCause, Connection, Handler, Message, Reject, Request, Result, error, generation,
};

struct Inner;

impl Handler for Inner {
    fn on_upgrade(request: Request) -> Result<Accept, Reject> {
        match request.query("inner").as_deref() {
            Some("no") => Err(Reject::new(403, "not here")),
            _ => Ok(Accept::default().header("x-inner", "yes")),
        }
    }

    fn on_open(connection: &Connection, request: Request) -> Result {
        if request.query("fail-open").is_some() {
            return Err(error!("as asked"));
        }
        connection.send("open");
        Ok(())
    }

    fn on_message(connection: &Connection, message: Message) -> Result {
        let text = message.as_text().unwrap_or_default();
        if let Some(state) = text.strip_prefix("set ") {
            connection.set_state(state)?;
        }
        let user = match connection.state_of("guard") {
            Some(user) => String::from_utf8(user)?,
            None => "nobody".to_owned(),
        };
        let own = String::from_utf8(connection.state())?;
        connection.send(format!("{} {text} by {user} {own}", generation()));
        Ok(())
    }

    fn on_close(_connection: &Connection, _cause: CloseCause) -> Result {
        println!("inner closed");
        Ok(())
    }
}

tidegate_sdk::export!(Inner);
