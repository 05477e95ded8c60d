//! What the tests of the browser client talk to: routes of the SDK's, so that both ends speak the same. What is no
//! JSON object comes back as it is. `?topic=T` subscribes on opening, for those that only receive, and sends them an
//! event "welcome" with their `last-event-id`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_sdk::{
    Call, Connection, Fault, Handler, Message, Request, Result, Router, Routes, Unanswered, WithId,
    envelope::event, generation, publish, subscriber_count,
};

struct Envelope;

impl Handler for Envelope {
    fn on_open(connection: &Connection, request: Request) -> Result {
        if let Some(topic) = request.query("topic") {
            connection.subscribe(&topic)?;
            connection.send_event("welcome", &request.header("last-event-id"))?;
        }
        Ok(connection.set_state(request.query.unwrap_or_default())?)
    }

    fn on_message(connection: &Connection, message: Message) -> Result {
        if message.as_text().is_some_and(|text| text.starts_with('{')) {
            return Envelope::route(connection, &message);
        }
        connection.send(message);
        Ok(())
    }
}

impl Routes for Envelope {
    fn routes(router: &mut impl Router) {
        router.on("echo", |_, payload: Value| Ok(payload));
        router.on("never", |_, (): ()| Ok(Unanswered));
        router.on("refuse", refuse).on("who", who);
        router.on("subscribe", |call, topic: Topic| {
            Ok(call.subscribe(&topic.topic)?)
        });
        router.on("unsubscribe", |call, topic: Topic| {
            Ok(call.unsubscribe(&topic.topic)?)
        });
        router.on("subscribers", |_, topic: Topic| {
            Ok(subscriber_count(&topic.topic))
        });
        router.on("publish", tell).on("binary", binary);
        router.on("close", |call, frame: Frame| {
            Ok(call.close(frame.code, &frame.reason)?)
        });
        router.sends::<Option<String>>("welcome");
    }
}

#[derive(Deserialize, JsonSchema)]
struct Topic {
    topic: String,
}

#[derive(Deserialize, JsonSchema)]
struct Frame {
    code: u16,
    #[serde(default)]
    reason: String,
}

/// Who answers, and whom.
#[derive(Serialize, JsonSchema)]
struct Who {
    connection: u64,
    generation: u64,
    query: String,
}

fn who(call: &Call, (): ()) -> Result<Who, Fault> {
    Ok(Who {
        connection: call.connection().id(),
        generation: generation(),
        query: String::from_utf8(call.state())?,
    })
}

fn refuse(_: &Call, details: Value) -> Result<(), Fault> {
    Err(Fault::new("spoilt", "all in vain").with_details(&details))
}

#[derive(Deserialize, JsonSchema)]
struct Publication {
    topic: String,
    event: String,
    payload: Value,
    /// What it is called among server-sent events.
    #[serde(default)]
    id: String,
}

fn tell(_: &Call, told: Publication) -> Result<(), Fault> {
    let message = event(&told.event, &told.payload)?;
    Ok(publish(&told.topic, WithId(&told.id, message))?)
}

fn binary(_: &Call, topic: Topic) -> Result<(), Fault> {
    Ok(publish(&topic.topic, vec![0_u8, 1, 254, 255])?)
}

tidegate_sdk::export!(Envelope: describe);
