//! Publish and subscribe in JSON. Every request is confirmed, or answered with an error that says what to mend:
//!
//! | `type` | fields | confirmed with |
//! | --- | --- | --- |
//! | `subscribe`, `unsubscribe` | `topic` | `topic`, and how many `subscribers` it has now |
//! | `publish` | `topic`, `data`: any JSON; `includeSender`: whether one gets it oneself (no); `compress` (yes) | the same |
//! | `publish-many` | `messages`: 1 to 100 like that, of which all are published or none | a list of the same |
//!
//! Subscribers receive `{"type": "message", .., "payload": {"topic": "news", "data": ..}}`. A topic is there while it has
//! subscribers; publishing to others than those is no error. Who connects to `/?topic=pictures` may send bytes: they are
//! published to the others of that topic as they are.

mod messages;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tidegate_sdk::{
    Accept, AsMessage, Call, Connection, Fault, Handler, Message, PublishError, Reject, Request,
    Result, Router, Routes, State, Uncompressed, event, publish, subscriber_count, valid,
};

use messages::{Listeners, Publish, PublishMany, Published, TOPIC_MAX, Topic};

/// Topics of one connection. Their names, all of the longest, fit into `limits.state`.
const TOPICS_MAX: usize = 100;

struct PubSub;

/// What a connection listens to, and where its bytes go.
#[derive(Default, Serialize, Deserialize)]
struct Subscriptions {
    topics: BTreeSet<String>,
    bytes_to: Option<String>,
}

impl Handler for PubSub {
    fn on_upgrade(request: Request) -> Result<Accept, Reject> {
        let bytes_to = request.query("topic");
        let mut given = bytes_to.iter();
        if !given.all(|topic| (1..=TOPIC_MAX).contains(&topic.len())) {
            let fix = "topics are 1 to 100 bytes long: /?topic=pictures\n";
            return Err(Reject::new(400, fix));
        }
        let topics = BTreeSet::new();
        Ok(Accept::default().state_json(&Subscriptions { topics, bytes_to })?)
    }

    fn on_message(connection: &Connection, message: Message) -> Result {
        PubSub::route(connection, &message)
    }
}

impl Routes for PubSub {
    fn routes(router: &mut impl Router) {
        router.on("subscribe", valid(subscribe));
        router.on("unsubscribe", valid(unsubscribe));
        router.on("publish", valid(publish_one));
        router.on("publish-many", valid(publish_many));
        router.binary(publish_bytes);
        router.sends::<Published>("message");
    }
}

fn subscribe(call: &Call, Topic { topic }: Topic) -> Result<Listeners, Fault> {
    let mut own = State::<Subscriptions>::of(call)?;
    own.topics.insert(topic.clone());
    if own.topics.len() > TOPICS_MAX {
        let fix = "at most 100 topics: unsubscribe from one first";
        return Err(Fault::new("too-many-topics", fix));
    }
    own.save()?;
    call.subscribe(&named(&topic))?;
    Ok(listeners(topic))
}

fn unsubscribe(call: &Call, Topic { topic }: Topic) -> Result<Listeners, Fault> {
    let mut own = State::<Subscriptions>::of(call)?;
    if !own.topics.remove(&topic) {
        return Err(Fault::new(
            "not-subscribed",
            format!("not subscribed to {topic:?}"),
        ));
    }
    own.save()?;
    call.unsubscribe(&named(&topic))?;
    Ok(listeners(topic))
}

fn publish_one(call: &Call, given: Publish) -> Result<Listeners, Fault> {
    let published = Published {
        topic: &given.topic,
        data: &given.data,
    };
    let message = event("message", &published)?;
    let message: &dyn AsMessage = match given.compress {
        Some(false) => &Uncompressed(&message),
        _ => &message,
    };
    let topic = named(&given.topic);
    match given.include_sender {
        true => publish(&topic, message),
        false => call.publish_to_others(&topic, message),
    }
    .map_err(too_large)?;
    Ok(listeners(given.topic))
}

/// What an event does takes effect as a whole, and not at all after a fault: so these are published together.
fn publish_many(call: &Call, many: PublishMany) -> Result<Vec<Listeners>, Fault> {
    many.messages
        .into_iter()
        .map(|given| publish_one(call, given))
        .collect()
}

fn publish_bytes(call: &Call, bytes: &[u8]) -> Result<Listeners, Fault> {
    let no_topic = || Fault::new("no-topic", "bytes go to the topic of /?topic=NAME");
    let topic = State::<Subscriptions>::of(call)?
        .into_inner()
        .bytes_to
        .ok_or_else(no_topic)?;
    call.publish_to_others(&named(&topic), bytes)
        .map_err(too_large)?;
    Ok(listeners(topic))
}

fn listeners(topic: String) -> Listeners {
    let subscribers = subscriber_count(&named(&topic));
    Listeners { topic, subscribers }
}

/// What the gateway calls a topic that a client has named: whatever else this plugin comes to publish, no client can name
/// it.
fn named(topic: &str) -> String {
    format!("topic:{topic}")
}

/// Topics are checked before, so that it can only be the size.
fn too_large(error: PublishError) -> Fault {
    Fault::new("too-large", error.to_string())
}

tidegate_sdk::export!(PubSub: describe);
