//! Does what it is told with a bucket and sends the answer: "ok", a value, or "error: <why>".
//!
//! `BUCKET get K`, `set K V`, `fill K LEN` (a value of so many bytes), `delete K`, `exists K`, `keys`, `count`,
//! `increment K N`, `get-many K..`, `set-many K V K V..`, `number N` (sets keys 0 to N, a batch each thousand),
//! `delete-many K..`, `append K V` (a typed update), `join K V` (a typed change, refused if V is there), `race K` (an
//! update during which somebody else writes), `stubborn K` (the same, every time), `hoard` (handles),
//! `spin-append K V MS`; `get-set TIMES`.

use std::time::{Duration, Instant};

use tidegate_sdk::store::{self, Bucket};
use tidegate_sdk::{Connection, Handler, Message, Result, error};

struct Store;

impl Handler for Store {
    fn on_load() -> Result {
        // Reads work here, writes do not; the log says so.
        let tried =
            store::bucket("rooms").map(|rooms| (rooms.exists("checked"), rooms.set("checked", "")));
        if let Ok((exists, set)) = tried {
            eprintln!("on-load: exists {exists:?}, set {set:?}");
        }
        Ok(())
    }

    fn on_message(connection: &Connection, message: Message) -> Result {
        let command = message.as_text().unwrap_or_default();
        if let Some(times) = command.strip_prefix("get-set ") {
            return get_set(times.parse()?);
        }
        let answer = obey(command).unwrap_or_else(|why| format!("error: {why}"));
        connection.send(answer);
        Ok(())
    }
}

/// For the benchmark.
fn get_set(times: u32) -> Result {
    let bucket = store::bucket("rooms")?;
    for _ in 0..times {
        let value = bucket.get("lobby")?.unwrap_or_else(|| vec![b'x'; 100]);
        bucket.set("lobby", value)?;
    }
    Ok(())
}

fn obey(command: &str) -> Result<String> {
    let words: Vec<_> = command.split(' ').collect();
    let [name, verb, rest @ ..] = &words[..] else {
        return Err(error!("no command in {command:?}"));
    };
    let bucket = store::bucket(name)?;
    match (*verb, rest) {
        ("get", [key]) => return Ok(shown(bucket.get(key)?)),
        ("set", [key, value]) => bucket.set(key, value)?,
        ("fill", [key, len]) => bucket.set(key, vec![b'x'; len.parse()?])?,
        ("delete", [key]) => bucket.delete(key)?,
        ("exists", [key]) => return Ok(bucket.exists(key)?.to_string()),
        ("keys", []) => return Ok(bucket.keys().collect::<store::Result<Vec<_>>>()?.join(" ")),
        ("count", []) => {
            return Ok(bucket
                .keys()
                .collect::<store::Result<Vec<_>>>()?
                .len()
                .to_string());
        }
        ("increment", [key, by]) => return Ok(bucket.increment(key, by.parse()?)?.to_string()),
        ("get-many", keys) => {
            let values = bucket.get_many(keys)?.into_iter().map(shown);
            return Ok(values.collect::<Vec<_>>().join(" "));
        }
        ("set-many", pairs) => {
            let pairs: Vec<_> = pairs
                .chunks(2)
                .map(|pair| (pair[0], pair[1].as_bytes()))
                .collect();
            bucket.set_many(&pairs)?;
        }
        ("number", [last]) => number(&bucket, last.parse()?)?,
        ("delete-many", keys) => bucket.delete_many(keys)?,
        ("append", [key, value]) => return append(&bucket, key, value, |_| Ok(())),
        ("join", [key, value]) => return join(&bucket, key, value),
        ("race", [key]) => {
            return append(&bucket, key, "mine", |tries| match tries {
                1 => bucket.entry(key).set(&vec!["theirs".to_owned()]),
                _ => Ok(()),
            });
        }
        ("stubborn", [key]) => {
            return append(&bucket, key, "mine", |tries| {
                bucket.entry(key).set(&vec![tries.to_string()])
            });
        }
        ("spin-append", [key, value, ms]) => {
            let ms = Duration::from_millis(ms.parse()?);
            return append(&bucket, key, value, |_| {
                spin(ms);
                Ok(())
            });
        }
        ("hoard", []) => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(store::bucket(name)?);
            }
        }
        _ => return Err(error!("unknown command {command:?}")),
    }
    Ok("ok".to_owned())
}

/// Appends to a list in JSON; `between` reading and writing it something else is done.
fn append(
    bucket: &Bucket,
    key: &str,
    value: &str,
    between: impl Fn(u32) -> store::Result,
) -> Result<String> {
    let mut tries = 0;
    let list = bucket
        .entry::<Vec<String>>(key)
        .try_update(|list| -> Result<_> {
            tries += 1;
            between(tries)?;
            let mut list = list.unwrap_or_default();
            list.push(value.to_owned());
            Ok(list)
        })?;
    Ok(format!("{} after {tries}", list.join(",")))
}

/// Adds a name to a list in JSON; who is there already is refused.
fn join(bucket: &Bucket, key: &str, name: &str) -> Result<String> {
    let list = bucket.entry::<Vec<String>>(key);
    let place = list.try_change(|list| -> Result<_> {
        // What is refused is not kept, whatever was done to it.
        list.push(name.to_owned());
        match list.iter().filter(|there| *there == name).count() {
            1 => Ok(list.len()),
            _ => Err(error!("{name} is there")),
        }
    })?;
    let names = list.change(|list| list.join(","))?;
    Ok(format!("{place} in {names}"))
}

fn number(bucket: &Bucket, last: u32) -> store::Result {
    let names: Vec<_> = (0..=last).map(|number| format!("{number:05}")).collect();
    for names in names.chunks(1000) {
        let pairs: Vec<_> = names
            .iter()
            .map(|name| (name.as_str(), name.as_bytes()))
            .collect();
        bucket.set_many(&pairs)?;
    }
    Ok(())
}

fn shown(value: Option<Vec<u8>>) -> String {
    value.map_or_else(
        || "none".to_owned(),
        |value| String::from_utf8_lossy(&value).into_owned(),
    )
}

fn spin(duration: Duration) {
    let start = Instant::now();
    while start.elapsed() < duration {}
}

tidegate_sdk::export!(Store);
