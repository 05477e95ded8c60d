//! Watches: publishes each change to "changes", as "set K V" or "delete K". A key that begins with "trap" makes it panic
//! and one that begins with "err" fail, each after publishing; "echo" makes it set "echoed" there, and "slow" keeps it
//! busy for as many milliseconds as the value says. On a message it writes as told: "set K V", "delete K", and "burst N"
//! sets "n" to 1, 2, ... N.

use std::time::{Duration, Instant};

use tidegate_sdk::store::{self, Bucket};
use tidegate_sdk::{Connection, Handler, Message, Request, Result, Watcher, error, publish};

struct StoreWatch;

impl Handler for StoreWatch {
    fn on_open(connection: &Connection, _: Request) -> Result {
        Ok(connection.subscribe("changes")?)
    }

    fn on_message(connection: &Connection, message: Message) -> Result {
        let bucket = store::bucket("rooms")?;
        let words: Vec<_> = message.as_text().unwrap_or_default().split(' ').collect();
        match words[..] {
            ["set", key, value] => bucket.set(key, value)?,
            ["delete", key] => bucket.delete(key)?,
            ["burst", last] => {
                for number in 1..=last.parse::<u32>()? {
                    bucket.set("n", number.to_string())?;
                }
            }
            _ => return Err(error!("unknown command {words:?}")),
        }
        connection.send("ok");
        Ok(())
    }
}

impl Watcher for StoreWatch {
    fn on_set(bucket: &Bucket, key: &str, value: &[u8]) -> Result {
        let value = String::from_utf8_lossy(value);
        publish("changes", format!("set {key} {value}"))?;
        assert!(!key.starts_with("trap"), "as asked");
        match key {
            "echo" => bucket.set("echoed", value.as_bytes())?,
            "slow" => spin(Duration::from_millis(value.parse()?)),
            _ if key.starts_with("err") => return Err(error!("as asked")),
            _ => {}
        }
        Ok(())
    }

    fn on_delete(_: &Bucket, key: &str) -> Result {
        Ok(publish("changes", format!("delete {key}"))?)
    }
}

fn spin(duration: Duration) {
    let start = Instant::now();
    while start.elapsed() < duration {}
}

tidegate_sdk::export!(StoreWatch: watch);
