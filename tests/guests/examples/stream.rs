//! For connections that only receive. On opening sends "hello LAST", LAST being the header field `last-event-id` or "none",
//! under the id "first". A message "ID TEXT" is published under that id to all, binary messages without one; "lines" is
//! published as three lines. Refuses `?no`. Prints "closed CAUSE".

use tidegate_sdk::{
    Accept, CloseCause, Connection, Handler, Message, Reject, Request, Result, WithId, publish,
};

struct Stream;

impl Handler for Stream {
    fn on_upgrade(request: Request) -> Result<Accept, Reject> {
        match request.query("no") {
            Some(_) => Err(Reject::new(403, "not here\n")),
            None => Ok(Accept::default().header("x-stream", "yes").state("kept")),
        }
    }

    fn on_open(connection: &Connection, request: Request) -> Result {
        connection.subscribe("all")?;
        let last = request.header("last-event-id").unwrap_or("none");
        connection.send(WithId("first", format!("hello {last}")));
        Ok(())
    }

    fn on_message(_connection: &Connection, message: Message) -> Result {
        let Message::Text(text) = &message else {
            return Ok(publish("all", message)?);
        };
        match text.split_once(' ') {
            Some((id, text)) => publish("all", WithId(id, text))?,
            None => publish("all", "a\nb\r\nc")?,
        }
        Ok(())
    }

    fn on_close(connection: &Connection, cause: CloseCause) -> Result {
        println!(
            "closed {cause:?} {}",
            String::from_utf8(connection.state())?
        );
        Ok(())
    }
}

tidegate_sdk::export!(Stream);
