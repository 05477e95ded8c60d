//! Knows one type of message, and binary ones, and tells what it leaves to others: sends "next" for those.

use tidegate_sdk::{Call, Connection, Fault, Handler, Message, Result, Router, Routes, Verdict};

struct Half;

impl Handler<Verdict> for Half {
    fn on_message(connection: &Connection, message: Message) -> Result<Verdict> {
        let verdict = Half::route_or_next(connection, &message)?;
        if verdict == Verdict::Next {
            connection.send("next");
        }
        Ok(verdict)
    }
}

impl Routes for Half {
    fn routes(router: &mut impl Router) {
        router.on("double", double).binary(length);
    }
}

fn double(_: &Call, number: u32) -> Result<u32, Fault> {
    let doubled = number.checked_mul(2);
    doubled.ok_or_else(|| Fault::field("payload", "too large to double"))
}

fn length(_: &Call, bytes: &[u8]) -> Result<usize, Fault> {
    Ok(bytes.len())
}

tidegate_sdk::export!(Half);
