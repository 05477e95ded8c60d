//! Who is still there: connect to `/?name=ann` and answer every `{"type": "ping", ..}` with `{"type": "pong"}`. The
//! answer to that tells the latency, as `{"latencyMs": 12.5}`.
//!
//! The gateway pings by itself, with frames that browsers answer without asking their page. These pings are messages:
//! they find the page that hangs behind a healthy socket. Any message is a sign of life; without one
//!
//! | after | what happens | `[plugin.config]` |
//! | --- | --- | --- |
//! | 30 s | the others hear `away`, and `back` with the next message: `{"name": "ann"}` | `away = "30s"` |
//! | 60 s | the connection is closed with [`SILENT`]; the others hear `left` | `close = "60s"` |
//!
//! Pings come every 15 s (`ping = "15s"`).

mod pace;

use std::time::SystemTime;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_sdk::{
    Call, CloseCause, Connection, Fault, Handler, Message, Request, Result, Router, Routes, State,
    Timer, publish_event,
};

use pace::Pace;

/// The code that one who was silent for too long is closed with. From 4000 on they are an application's own (RFC 6455
/// section 7.4.2).
pub const SILENT: u16 = 4002;

/// The topic of all that are here. Also, below, the names of timers.
const HERE: &str = "here";
const PING: &str = "ping";
const AWAY: &str = "away";
const CLOSE: &str = "close";

struct Heartbeat;

/// What is known of a connection.
#[derive(Default, Serialize, Deserialize)]
struct Life {
    name: String,
    is_away: bool,
    /// The ping that has no pong yet.
    pinged: Option<SystemTime>,
}

impl Handler for Heartbeat {
    fn on_load() -> Result {
        Pace::configured().map(drop)
    }

    fn on_open(connection: &Connection, request: Request) -> Result {
        let mut life = State::<Life>::of(connection)?;
        let guest = || format!("guest-{connection}");
        life.name = request.query("name").unwrap_or_else(guest);
        life.save()?;
        connection.subscribe(HERE)?;
        Timer::every(PING, Pace::configured()?.ping).on(connection)?;
        heard(connection)
    }

    fn on_message(connection: &Connection, message: Message) -> Result {
        Heartbeat::route(connection, &message)?;
        // A bad message is a sign of life too. It comes second, because a fault undoes what came before it.
        heard(connection)
    }

    fn on_timer(connection: Option<&Connection>, name: &str) -> Result {
        let Some(connection) = connection else {
            return Ok(());
        };
        let mut life = State::<Life>::of(connection)?;
        match name {
            PING => {
                connection.send_event("ping", &())?;
                life.pinged.get_or_insert_with(SystemTime::now);
            }
            AWAY => {
                life.is_away = true;
                connection.publish_event_to_others(HERE, "away", &Who { name: &life.name })?;
            }
            _ => connection.close(SILENT, "silent for too long")?,
        }
        life.save()
    }

    fn on_close(connection: &Connection, _cause: CloseCause) -> Result {
        let life = State::<Life>::of(connection)?;
        publish_event(HERE, "left", &Who { name: &life.name })
    }
}

/// Begins to wait anew: a timer that is set again forgets how long it has waited.
fn heard(connection: &Connection) -> Result {
    let pace = Pace::configured()?;
    Timer::after(AWAY, pace.away).on(connection)?;
    Timer::after(CLOSE, pace.close).on(connection)?;
    let mut life = State::<Life>::of(connection)?;
    if std::mem::take(&mut life.is_away) {
        connection.publish_event_to_others(HERE, "back", &Who { name: &life.name })?;
        life.save()?;
    }
    Ok(())
}

impl Routes for Heartbeat {
    fn routes(router: &mut impl Router) {
        router.on("pong", pong).sends::<()>("ping");
        router
            .sends::<Who>("away")
            .sends::<Who>("back")
            .sends::<Who>("left");
    }
}

/// Who an event is about.
#[derive(Serialize, JsonSchema)]
struct Who<'a> {
    name: &'a str,
}

/// The answer to a pong: how long it took after its ping, if one was waiting.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Latency {
    latency_ms: Option<f64>,
}

fn pong(call: &Call, (): ()) -> Result<Latency, Fault> {
    let mut life = State::<Life>::of(call)?;
    let waited = life.pinged.take().and_then(|pinged| pinged.elapsed().ok());
    life.save()?;
    Ok(Latency {
        latency_ms: waited.map(|waited| waited.as_secs_f64() * 1000.0),
    })
}

tidegate_sdk::export!(Heartbeat: describe);
