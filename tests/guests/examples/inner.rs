//! The end of a chain. USER is of the state of the plugin "guard". Refuses an upgrade with `?inner=no`, else its header
//! `x-inner` is USER; answers a plain request with "USER asks", and every message with "GENERATION MESSAGE by USER";
//! "set X" and "state" keep and tell its own state, "fail-open" in the query makes its `on_open` fail. Prints "inner
//! closed".

use tidegate_sdk::{
    Accept, CloseCause, Connection, Handler, HttpHandler, Message, Reject, Request, Result, error,
    generation, http,
};

struct Inner;

impl Handler for Inner {
    fn on_upgrade(request: Request) -> Result<Accept, Reject> {
        match request.query("inner").as_deref() {
            Some("no") => Err(Reject::new(403, "not here")),
            _ => Ok(Accept::default().header("x-inner", user(request.state_of("guard")))),
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
        let user = user(connection.state_of("guard"));
        let own = String::from_utf8(connection.state())?;
        connection.send(format!("{} {text} by {user} {own}", generation()));
        Ok(())
    }

    fn on_close(_connection: &Connection, _cause: CloseCause) -> Result {
        println!("inner closed");
        Ok(())
    }
}

impl HttpHandler for Inner {
    fn on_request(request: http::Incoming) -> Result<http::Response> {
        let user = user(request.state_of("guard"));
        Ok(http::Response::text(format!("{user} asks")))
    }
}

fn user(state: Option<Vec<u8>>) -> String {
    state.map_or_else(
        || "nobody".to_owned(),
        |state| String::from_utf8_lossy(&state).into_owned(),
    )
}

tidegate_sdk::export!(Inner: http);
