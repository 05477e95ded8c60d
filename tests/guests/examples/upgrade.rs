//! Decides on an upgrade by its query, after `?sleep=` milliseconds: `?reject=403`, `?trap`, `?spin`, or an accept with any of `?subprotocol=x`,
//! `?header=value` (as `x-upgrade`), `?set=name` (a header of that name) and `?state=bytes`. Publishes every request's
//! path to "upgrades", to which `?watch` subscribes. On a message sends its state.

use tidegate_sdk::{Accept, Connection, Handler, Message, Reject, Request, Result, publish};

struct Upgrade;

impl Handler for Upgrade {
    fn on_upgrade(request: Request) -> Result<Accept, Reject> {
        publish("upgrades", &request.path)?;
        if let Some(millis) = request.query("sleep") {
            std::thread::sleep(std::time::Duration::from_millis(millis.parse()?));
        }
        if let Some(status) = request.query("reject") {
            return Err(
                Reject::new(status.parse()?, "refused as asked").header("x-reason", "asked")
            );
        }
        assert_eq!(request.query("trap"), None, "as asked");
        while request.query("spin").is_some() {}
        let mut accept = Accept::default();
        if let Some(subprotocol) = request.query("subprotocol") {
            accept = accept.subprotocol(subprotocol);
        }
        if let Some(value) = request.query("header") {
            accept = accept.header("x-upgrade", value);
        }
        if let Some(name) = request.query("set") {
            accept = accept.header(name, "set");
        }
        Ok(accept.state(request.query("state").unwrap_or_default()))
    }

    fn on_open(connection: &Connection, request: Request) -> Result {
        if request.query("watch").is_some() {
            connection.subscribe("upgrades")?;
        }
        Ok(())
    }

    fn on_message(connection: &Connection, _message: Message) -> Result {
        connection.send(String::from_utf8(connection.state())?);
        Ok(())
    }
}

tidegate_sdk::export!(Upgrade);
