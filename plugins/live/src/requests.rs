//! Plain requests: changes come in, and numbers go out.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use tidegate_sdk::http::{Incoming, Response};
use tidegate_sdk::{HttpHandler, Result, publish, subscriber_count};

use crate::history::History;
use crate::{Live, entities, topic, unknown};

/// The answer to a change.
#[derive(Serialize)]
struct Taken {
    id: u64,
    subscribers: u32,
}

#[derive(Serialize)]
struct Stats {
    /// The id of the last change.
    last: u64,
    /// How many listen to each entity.
    subscribers: BTreeMap<String, u32>,
}

impl HttpHandler for Live {
    fn on_request(request: Incoming) -> Result<Response> {
        match (request.method(), &request.segments()[..]) {
            ("POST", ["changes", entity]) => change(entity, &request),
            ("GET" | "HEAD", ["stats"]) => stats(),
            (_, ["changes", _]) => Ok(only("POST")),
            (_, ["stats"]) => Ok(only("GET, HEAD")),
            (_, ["live"]) => {
                Ok(Response::text("connect a WebSocket or an EventSource\n").status(400))
            }
            _ => Ok(Response::text("there is nothing here\n").status(404)),
        }
    }
}

fn change(entity: &str, request: &Incoming) -> Result<Response> {
    let known = entities()?;
    if !known.iter().any(|name| name == entity) {
        return Ok(Response::text(unknown(entity, &known)).status(404));
    }
    let data = match request.json::<&RawValue>() {
        Ok(data) => data.to_owned(),
        Err(error) => {
            return Ok(Response::text(format!("the body is not JSON: {error}\n")).status(400));
        }
    };
    let change = History::open()?.add(entity, data)?;
    let topic = topic(entity);
    publish(&topic, change.message()?)?;
    let taken = Taken {
        id: change.id,
        subscribers: subscriber_count(&topic),
    };
    Ok(Response::json(&taken)?.status(202))
}

fn stats() -> Result<Response> {
    let count = |entity: String| (entity.clone(), subscriber_count(&topic(&entity)));
    Response::json(&Stats {
        last: History::open()?.last()?,
        subscribers: entities()?.into_iter().map(count).collect(),
    })
}

/// 405 with the methods there are.
fn only(allowed: &str) -> Response {
    let fix = format!("send this as {allowed}\n");
    Response::text(fix).status(405).header("allow", allowed)
}
