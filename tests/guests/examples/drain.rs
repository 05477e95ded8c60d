//! On "fill N" sends up to N chunks of 64 KiB, until one is not sent at once; on drain sends "drained". On "id" sends its
//! own id; on "push ID N" sends N chunks to another connection and answers what became of the last.

use tidegate_sdk::{Connection, Delivery, Handler, Message, Result};

static CHUNK: [u8; 64 << 10] = [0; 64 << 10];

struct Drain;

impl Handler for Drain {
    fn on_message(connection: &Connection, message: Message) -> Result {
        let text = message.as_text().unwrap_or_default();
        match text.split(' ').collect::<Vec<_>>()[..] {
            ["id"] => {
                connection.send(connection.to_string());
            }
            ["push", id, count] => {
                let to = tidegate_sdk::connection(id.parse()?);
                let last = (0..count.parse()?).fold(None, |_, _: u32| Some(to.send(CHUNK)));
                connection.send(format!("{last:?}"));
            }
            ["fill", count] => {
                for _ in 0..count.parse()? {
                    if connection.send(CHUNK) != Delivery::Sent {
                        break;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn on_drain(connection: &Connection) -> Result {
        connection.send("drained");
        Ok(())
    }
}

tidegate_sdk::export!(Drain);
