//! Event sourcing: a counter that is the sum of what has happened to it. Who connects to `/` is told `init`: the `state`,
//! and the `history`, which is the last 100 events. Requests append one event each:
//!
//! | `type` | fields | |
//! | --- | --- | --- |
//! | `increment`, `decrement` | `by` (1) | 1 to 1,000,000 |
//! | `reset` | | back to 0 |
//!
//! All may say `expectedVersion`: if it is no longer that, nothing is appended and the fault is `conflict`, with the
//! `state` there is. The answer to the others is the new state, and everybody hears of it:
//! `{"type": "appended", .., "payload": {"event": {"version": 7, ..}, "state": {"version": 7, "value": 12}}}`.
//!
//! Events are numbered 1, 2, 3 without a gap. What comes from two cores may cross on its way, `init` too: the state of the
//! highest version is the one that counts.

mod log;

use std::time::Duration;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_sdk::{
    Call, Connection, Fault, Handler, Message, Request, Result, Router, Routes, Timer,
    publish_event, store, valid,
};

use log::{Change, Event, Log, State};

/// The bucket and the topic.
const EVENTS: &str = "events";
/// The key of the log, in that bucket.
const COUNTER: &str = "counter";
const INIT: &str = "init";

struct Events;

#[derive(Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
struct Step {
    /// 1 to 1,000,000.
    #[serde(default = "one")]
    #[garde(range(min = 1, max = 1_000_000))]
    by: u32,
    #[garde(skip)]
    expected_version: Option<u64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Reset {
    expected_version: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
struct Init {
    state: State,
    /// The last 100, the oldest first.
    history: Vec<Event>,
}

#[derive(Serialize, JsonSchema)]
struct Appended<'a> {
    event: &'a Event,
    state: State,
}

impl Handler for Events {
    fn on_open(connection: &Connection, _request: Request) -> Result {
        connection.subscribe(EVENTS)?;
        // Read in an event of its own, when the subscription is in force: nothing is missed in between.
        Ok(Timer::after(INIT, Duration::ZERO).on(connection)?)
    }

    fn on_timer(connection: Option<&Connection>, _init: &str) -> Result {
        let log = store::bucket(EVENTS)?.entry::<Log>(COUNTER).get()?;
        let log = log.unwrap_or_default();
        if let Some(connection) = connection {
            let (state, history) = (log.state(), log.events);
            connection.send_event(INIT, &Init { state, history })?;
        }
        Ok(())
    }

    fn on_message(connection: &Connection, message: Message) -> Result {
        Events::route(connection, &message)
    }
}

impl Routes for Events {
    fn routes(router: &mut impl Router) {
        router.on("increment", valid(increment));
        router.on("decrement", valid(decrement));
        router.on("reset", reset);
        router.sends::<Init>(INIT);
        router.sends::<Appended>("appended");
    }
}

fn increment(_: &Call, step: Step) -> Result<State, Fault> {
    append(Change::Increment { by: step.by }, step.expected_version)
}

fn decrement(_: &Call, step: Step) -> Result<State, Fault> {
    append(Change::Decrement { by: step.by }, step.expected_version)
}

fn reset(_: &Call, reset: Reset) -> Result<State, Fault> {
    append(Change::Reset, reset.expected_version)
}

/// Appends an event and tells everybody. If another one got in between, the store calls the closure again with that.
fn append(change: Change, expected: Option<u64>) -> Result<State, Fault> {
    let bucket = store::bucket(EVENTS)?;
    let log = bucket.entry::<Log>(COUNTER).try_update(|log| {
        let mut log = log.unwrap_or_default();
        let state = log.state();
        if expected.is_some_and(|expected| expected != state.version) {
            let message = format!("the version is {} by now", state.version);
            return Err(Fault::new("conflict", message).with_details(&state));
        }
        log.append(change);
        Ok(log)
    })?;
    let state = log.state();
    if let Some(event) = log.events.last() {
        publish_event(EVENTS, "appended", &Appended { event, state })?;
    }
    Ok(state)
}

fn one() -> u32 {
    1
}

tidegate_sdk::export!(Events: describe);
