//! Publishes "open <id>" and "close <id> <cause>" to "audit"; a connection with `?audit` subscribes to that instead.
//! On "trap" panics, on "kick" closes; "wait N" is echoed after N ms on the clock, "large N" answered with N bytes, "part N" with
//! N bytes and a close; all else is echoed. With `?trap-open` panics in `on_open`.

use std::thread;
use std::time::Duration;

use tidegate_sdk::{CloseCause, Connection, Handler, Message, Request, Result, publish};

struct Lifecycle;

impl Handler for Lifecycle {
    fn on_open(connection: &Connection, request: Request) -> Result {
        assert_eq!(request.query("trap-open"), None, "as asked");
        if request.query("audit").is_some() {
            connection.set_state("auditor")?;
            return Ok(connection.subscribe("audit")?);
        }
        Ok(publish("audit", format!("open {connection}"))?)
    }

    fn on_message(connection: &Connection, message: Message) -> Result {
        let text = message.as_text().unwrap_or_default();
        match text.split_once(' ').unwrap_or((text, "")) {
            ("trap", _) => panic!("as asked"),
            ("kick", _) => return Ok(connection.close(4000, "as asked")?),
            ("wait", time) => thread::sleep(Duration::from_millis(time.parse()?)),
            ("large", len) => {
                connection.send(vec![7; len.parse()?]);
                return Ok(());
            }
            ("part", len) => {
                connection.send(vec![7; len.parse()?]);
                return Ok(connection.close(4000, "as asked")?);
            }
            _ => {}
        }
        connection.send(message);
        Ok(())
    }

    fn on_close(connection: &Connection, cause: CloseCause) -> Result {
        if !connection.state().is_empty() {
            return Ok(());
        }
        let cause = match cause {
            CloseCause::Peer(frame) => format!("peer {} {}", frame.code, frame.reason),
            CloseCause::Lost(why) => format!("lost {why}"),
            CloseCause::Idle => "idle".to_owned(),
            CloseCause::SlowConsumer => "slow-consumer".to_owned(),
            CloseCause::ProtocolError(why) => format!("protocol-error {why}"),
            CloseCause::Failed(why) => format!("failed {why}"),
            CloseCause::Kicked(frame) => format!("kicked {} {}", frame.code, frame.reason),
            CloseCause::Drained => "drained".to_owned(),
        };
        // On the log too: a gateway that drains has no auditor any more.
        eprintln!("close {connection} {cause}");
        Ok(publish("audit", format!("close {connection} {cause}"))?)
    }
}

tidegate_sdk::export!(Lifecycle);
