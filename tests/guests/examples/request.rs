//! Sends what it is told of the request that opened the connection: a line a field, as "path ...", "param k=v",
//! "query ...", "header k: v", "peer ..." and "subprotocol ...". Bytes that are no UTF-8 are shown as "?".

use tidegate_sdk::{Connection, Handler, Message, Request, Result};

struct Describe;

impl Handler for Describe {
    fn on_open(connection: &Connection, request: Request) -> Result {
        let mut lines = vec![
            format!("path {}", request.path),
            format!("peer {}", request.peer),
        ];
        lines.extend(request.query.iter().map(|query| format!("query {query}")));
        lines.extend(
            request
                .params
                .iter()
                .map(|(name, value)| format!("param {name}={value}")),
        );
        lines.extend(
            request
                .subprotocols
                .iter()
                .map(|name| format!("subprotocol {name}")),
        );
        lines.extend(request.headers.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value).replace('\u{fffd}', "?");
            format!("header {name}: {value}")
        }));
        connection.send(lines.join("\n"));
        Ok(())
    }

    fn on_message(_connection: &Connection, _message: Message) -> Result {
        Ok(())
    }
}

tidegate_sdk::export!(Describe);
