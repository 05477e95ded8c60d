//! Does what it is told and sends the answer: "ok", a value, or "error: <why>".
//!
//! subscribe T [LABEL], unsubscribe T, publish T TEXT, others T TEXT, count T, members T [MAX] ("id=label ..." by id),
//! send ID TEXT, close CODE REASON, kick ID CODE [REASON], kick-and-fail ID, id, state, set-state TEXT, spin-ms N.

use std::time::{Duration, Instant};

use tidegate_sdk::{Connection, Delivery, Handler, Message, Result};

struct Directory;

impl Handler for Directory {
    fn on_message(connection: &Connection, message: Message) -> Result {
        let answer = obey(connection, message.as_text().unwrap_or_default());
        connection.send(answer.unwrap_or_else(|why| format!("error: {why}")));
        Ok(())
    }
}

fn obey(connection: &Connection, command: &str) -> Result<String> {
    let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
    let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
    match verb {
        "subscribe" if second.is_empty() => connection.subscribe(first)?,
        "subscribe" => connection.subscribe_as(first, second)?,
        "unsubscribe" => connection.unsubscribe(first)?,
        "publish" => tidegate_sdk::publish(first, second)?,
        "others" => connection.publish_to_others(first, second)?,
        "close" => connection.close(first.parse()?, second)?,
        "kick" => {
            let (code, reason) = second.split_once(' ').unwrap_or((second, ""));
            let other = tidegate_sdk::connection(first.parse()?);
            other.send("before");
            other.close(code.parse()?, reason)?;
        }
        "kick-and-fail" => {
            tidegate_sdk::connection(first.parse()?).close(4000, "never")?;
            tidegate_sdk::discard();
        }
        "set-state" => connection.set_state(rest)?,
        "spin-ms" => spin(Duration::from_millis(first.parse()?)),
        "count" => return Ok(tidegate_sdk::subscriber_count(first).to_string()),
        "members" if second.is_empty() => return Ok(members(first, u32::MAX)),
        "members" => return Ok(members(first, second.parse()?)),
        "send" => {
            return Ok(
                match tidegate_sdk::connection(first.parse()?).send(second) {
                    Delivery::Sent => "sent".to_owned(),
                    Delivery::Queued => "queued".to_owned(),
                    Delivery::Dropped => "dropped".to_owned(),
                },
            );
        }
        "id" => return Ok(connection.to_string()),
        "state" => return Ok(String::from_utf8(connection.state())?),
        _ => return Err(tidegate_sdk::error!("unknown command {command:?}")),
    }
    Ok("ok".to_owned())
}

fn members(topic: &str, max: u32) -> String {
    let mut members = tidegate_sdk::members_up_to(topic, max);
    members.sort_by_key(|member| member.connection);
    let words = members
        .iter()
        .map(|member| format!("{}={}", member.connection, member.label));
    words.collect::<Vec<_>>().join(" ")
}

fn spin(duration: Duration) {
    let start = Instant::now();
    while start.elapsed() < duration {}
}

tidegate_sdk::export!(Directory);
