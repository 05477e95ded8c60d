//! Does everything an event can do and then fails, on "fail", fails with a text, on "say TEXT", panics, on "trap", loops forever, on "spin", or does
//! nothing of it, on "succeed". On "state" sends its state, on "count" the number of subscribers of "late". All
//! connections are subscribed to "fail".

use tidegate_sdk::{Connection, Handler, Message, Request, Result, publish, subscriber_count};

struct Fail;

impl Handler for Fail {
    fn on_open(connection: &Connection, _request: Request) -> Result {
        Ok(connection.subscribe("fail")?)
    }

    fn on_message(connection: &Connection, message: Message) -> Result {
        match message.as_text() {
            Some("fail") => {
                do_everything(connection)?;
                return Err(tidegate_sdk::error!("failed as asked"));
            }
            Some(text) if text.starts_with("say ") => {
                return Err(tidegate_sdk::error!("{}", text.trim_start_matches("say ")));
            }
            Some("trap") => {
                do_everything(connection)?;
                panic!("trapped as asked");
            }
            Some("spin") => {
                do_everything(connection)?;
                loop {
                    std::hint::spin_loop();
                }
            }
            Some("succeed") => do_everything(connection)?,
            Some("count") => {
                connection.send(subscriber_count("late").to_string());
            }
            _ => {
                connection.send(String::from_utf8(connection.state())?);
            }
        }
        Ok(())
    }
}

fn do_everything(connection: &Connection) -> Result {
    connection.send("sent");
    publish("fail", "published")?;
    connection.subscribe("late")?;
    connection.set_state("set")?;
    Ok(connection.close(4000, "closed")?)
}

tidegate_sdk::export!(Fail);
