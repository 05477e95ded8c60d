//! Asks a server before it takes over: one that is not there.

use tidegate_sdk::{Connection, Handler, HttpError, Message, Result, error, http};

struct FetchOnLoad;

impl Handler for FetchOnLoad {
    fn on_load() -> Result {
        match http::get("http://127.0.0.1:9/") {
            Err(HttpError::Unreachable(_)) => Ok(()),
            other => Err(error!("{other:?}")),
        }
    }

    fn on_message(connection: &Connection, message: Message) -> Result {
        connection.send(message);
        Ok(())
    }
}

tidegate_sdk::export!(FetchOnLoad);
