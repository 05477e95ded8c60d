//! Live changes. Whoever changes something says so, in any JSON:
//!
//! ```sh
//! curl -d '{"id": 1, "title": "Tides"}' http://127.0.0.1:8080/changes/posts     # 202 {"id":7,"subscribers":3}
//! curl http://127.0.0.1:8080/stats                                              # {"last":7,"subscribers":{"posts":3}}
//! ```
//!
//! Who listens, at `/live?entities=posts,users` or to everything at `/live`, by WebSocket or as an `EventSource`, hears
//! `{"type": "changed", .., "payload": {"id": 7, "entity": "posts", "data": {"id": 1, "title": "Tides"}}}`.
//!
//! The last 100 changes are kept. An `EventSource` that comes back gets those it has missed, by the header field
//! `last-event-id`; a WebSocket asks for them with `&since=6`. If they are no longer there it is told `lost`, and has to
//! load everything anew. Around that moment a change may come twice, under the same `id`; and of two that are posted on
//! different cores, the later one may come first by a millisecond or so.
//!
//! The entities there are stand in `[plugin.config]`: `entities = "posts, users"`.

mod history;
mod requests;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_sdk::{
    Accept, Connection, Handler, Message, Reject, Request, Result, State, Timer, config, error,
};

use history::History;

const CATCH_UP: &str = "catch-up";

struct Live;

/// What a connection listens to, and the last change it has heard of before.
#[derive(Default, Serialize, Deserialize)]
struct Listener {
    entities: Vec<String>,
    since: Option<u64>,
}

#[derive(Serialize)]
struct Lost {
    since: u64,
}

impl Handler for Live {
    fn on_load() -> Result {
        entities().map(drop)
    }

    fn on_upgrade(request: Request) -> Result<Accept, Reject> {
        let known = entities()?;
        let entities = match request.query("entities") {
            None => known,
            Some(names) => {
                let names: Vec<_> = names.split(',').map(str::to_owned).collect();
                if let Some(name) = names.iter().find(|name| !known.contains(name)) {
                    return Err(Reject::new(400, unknown(name, &known)));
                }
                names
            }
        };
        // An EventSource comes back with its first query, and with the last id that it has seen.
        let since = request.header("last-event-id").map(str::to_owned);
        let since = since.or_else(|| request.query("since"));
        let since = since.map(|since| since.parse()).transpose();
        let since =
            since.map_err(|_| Reject::new(400, "since is the id of a change: a number\n"))?;
        Ok(Accept::default().state_json(&Listener { entities, since })?)
    }

    fn on_open(connection: &Connection, _request: Request) -> Result {
        let listener = State::<Listener>::of(connection)?;
        for entity in &listener.entities {
            connection.subscribe(&topic(entity))?;
        }
        if listener.since.is_some() {
            // In an event of its own, when the subscriptions are in force: nothing is missed in between.
            Timer::after(CATCH_UP, Duration::ZERO).on(connection)?;
        }
        Ok(())
    }

    fn on_timer(connection: Option<&Connection>, _catch_up: &str) -> Result {
        match connection {
            Some(connection) => catch_up(connection),
            None => Ok(()),
        }
    }

    fn on_message(connection: &Connection, _message: Message) -> Result {
        let fix = "nothing is said here: POST to /changes/{entity}";
        connection.send_error("receive-only", fix, &())?;
        Ok(())
    }
}

fn catch_up(connection: &Connection) -> Result {
    let Listener { entities, since } = State::<Listener>::of(connection)?.into_inner();
    let since = since.unwrap_or_default();
    let Some(missed) = History::open()?.since(since)? else {
        connection.send_event("lost", &Lost { since })?;
        return Ok(());
    };
    for change in missed
        .iter()
        .filter(|change| entities.contains(&change.entity))
    {
        connection.send(change.message()?);
    }
    Ok(())
}

/// The entities there are.
fn entities() -> Result<Vec<String>> {
    let entities = config::get("entities");
    let entities =
        entities.ok_or_else(|| error!("add entities = \"posts, users\" to [plugin.config]"))?;
    Ok(entities
        .split(',')
        .map(|name| name.trim().to_owned())
        .collect())
}

fn unknown(entity: &str, known: &[String]) -> String {
    format!(
        "no entity is called {entity:?}: there are {}\n",
        known.join(", ")
    )
}

fn topic(entity: &str) -> String {
    format!("changes:{entity}")
}

tidegate_sdk::export!(Live: http);
