//! Topics: named fan-out within this gateway process.
//!
//! Topics belong to their plugin: `news` of one and `news` of another never meet, unless the gateway's configuration
//! shares the name and grants it to both:
//!
//! ```toml
//! [[topic]]
//! name = "news:*"
//!
//! [[plugin]]
//! name = "newsroom"
//! path = "newsroom.wasm"
//! grants.topics = { publish = ["news:*"] }
//! ```

use serde::Serialize;

use crate::bindings::tidegate::plugin::host::{self, PublishOptions};
use crate::{AsMessage, Connection, PublishError, Result, connection};

/// One labelled subscription of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who is subscribed.
    pub connection: Connection,
    /// What it called itself in [`Connection::subscribe_as`].
    pub label: String,
}

/// Publishes to every subscriber of a topic: of this plugin's own, or of one that the configuration shares and
/// `grants.topics.publish` names. Never waits for a reader: one that is too slow meets its route's policy.
pub fn publish(topic: &str, message: impl AsMessage) -> Result<(), PublishError> {
    publish_with(topic, &message, None)
}

/// Publishes to every subscriber of a topic but one.
pub fn publish_except(
    topic: &str,
    message: impl AsMessage,
    except: &Connection,
) -> Result<(), PublishError> {
    publish_with(topic, &message, Some(except.id()))
}

/// Publishes an event in the [standard envelope](crate::envelope) to every subscriber of a topic;
/// [`Connection::publish_event_to_others`] leaves its own connection out.
pub fn publish_event<T: Serialize + ?Sized>(topic: &str, kind: &str, payload: &T) -> Result {
    Ok(publish(topic, crate::event(kind, payload)?)?)
}

fn publish_with(
    topic: &str,
    message: &impl AsMessage,
    except: Option<u64>,
) -> Result<(), PublishError> {
    let options = PublishOptions {
        except,
        compress: message.compress(),
        event_id: message.event_id(),
    };
    Ok(host::publish(topic, message.as_message().into(), options)?)
}

/// How many connections of this process are subscribed, this event's own changes included.
pub fn subscriber_count(topic: &str) -> u32 {
    host::subscriber_count(topic)
}

/// The labelled subscriptions of a topic, this event's own changes included, in no particular order: one for each
/// connection, so a name comes as often as it has connections. Those of other events are here when these have ended. The
/// gateway gives at most 10,000; in a large room ask for fewer with [`members_up_to`], since each one is copied.
pub fn members(topic: &str) -> Vec<Member> {
    members_up_to(topic, u32::MAX)
}

/// Like [`members`], but no more than `limit`.
pub fn members_up_to(topic: &str, limit: u32) -> Vec<Member> {
    host::members(topic, limit)
        .into_iter()
        .map(|member| Member {
            connection: connection(member.connection),
            label: member.label,
        })
        .collect()
}
