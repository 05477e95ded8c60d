//! The topics a guest subscribes to and looks at.

use wasmtime::Result;
use wasmtime::component::LinkerInstance;

use super::{Cx, is_name, on_shard};
use crate::directory::NAME_MAX;
use crate::effects::Effect;
use crate::event::Event;
use crate::message::ConnectionId;
use crate::plugin::context::Context;
use crate::plugin::contract::{Member, TopicError};

/// The most members one call lists: a guest's memory and a lock are held for it.
const MEMBERS_MAX: u32 = 10_000;

pub(super) fn add_to_linker(host: &mut LinkerInstance<'_, Context>) -> Result<()> {
    host.func_wrap(
        "subscribe",
        |mut cx: Cx<'_>, (id, topic, label): (u64, String, Option<String>)| {
            let effects_max = cx.data().limits.effects;
            let event = cx.data_mut().event_mut();
            let subscribed = subscribe(event, id, &topic, label.as_deref(), effects_max);
            Ok((subscribed,))
        },
    )?;
    host.func_wrap(
        "unsubscribe",
        |mut cx: Cx<'_>, (id, topic): (u64, String)| {
            Ok((unsubscribe(cx.data_mut().event_mut(), id, &topic),))
        },
    )?;
    host.func_wrap("subscriber-count", |cx: Cx<'_>, (topic,): (String,)| {
        Ok((subscriber_count(cx.data().event(), &topic),))
    })?;
    host.func_wrap("members", |cx: Cx<'_>, (topic, limit): (String, u32)| {
        let limit = limit.min(MEMBERS_MAX) as usize;
        Ok((members(cx.data().event(), &topic, limit),))
    })
}

fn subscribe(
    event: &mut Event,
    id: u64,
    topic: &str,
    label: Option<&str>,
    effects_max: usize,
) -> std::result::Result<(), TopicError> {
    let own = own_connection(event, id)?;
    if !is_name(topic) || label.is_some_and(|label| label.len() > NAME_MAX) {
        return Err(TopicError::InvalidTopic);
    }
    if !is_subscribed(event, own, topic) {
        let topics = on_shard(|shard| shard.subscriptions(own)) as isize + event.topics_added;
        if topics >= event.subscriptions_max as isize {
            return Err(TopicError::TooMany);
        }
        event.topics_added += 1;
    }
    if event.effects.cost() > effects_max {
        return Err(TopicError::TooMany);
    }
    let label: Option<Box<str>> = label.map(Into::into);
    event.topics.insert(topic.into(), Some(label.clone()));
    event.effects.push(Effect::Subscribe {
        topic: topic.into(),
        label,
    });
    Ok(())
}

fn unsubscribe(event: &mut Event, id: u64, topic: &str) -> std::result::Result<(), TopicError> {
    let own = own_connection(event, id)?;
    if !is_name(topic) {
        return Err(TopicError::InvalidTopic);
    }
    if is_subscribed(event, own, topic) {
        event.topics_added -= 1;
        event.topics.insert(topic.into(), None);
        event.effects.push(Effect::Unsubscribe {
            topic: topic.into(),
        });
    }
    Ok(())
}

/// Whether the event's connection is subscribed, this event's own changes included.
fn is_subscribed(event: &Event, own: ConnectionId, topic: &str) -> bool {
    match event.topics.get(topic) {
        Some(changed) => changed.is_some(),
        None => on_shard(|shard| shard.is_subscribed(own, topic)),
    }
}

fn own_connection(event: &Event, id: u64) -> std::result::Result<ConnectionId, TopicError> {
    let id = ConnectionId(id);
    match event.connection() {
        Some(own) if own == id && !event.closed => Ok(id),
        _ => Err(TopicError::NotThisConnection),
    }
}

fn subscriber_count(event: &Event, topic: &str) -> u32 {
    let (committed, subscribed) = on_shard(|shard| {
        let own = event
            .connection()
            .is_some_and(|own| shard.is_subscribed(own, topic));
        (shard.directory().subscribers(topic), own)
    });
    match event.topics.get(topic) {
        Some(Some(_)) if !subscribed => committed + 1,
        Some(None) if subscribed => committed - 1,
        _ => committed,
    }
}

fn members(event: &Event, topic: &str, limit: usize) -> Vec<Member> {
    let member = |id: ConnectionId, label: &str| Member {
        connection: id.0,
        label: label.to_owned(),
    };
    let changed = event.connection().zip(event.topics.get(topic));
    let mut members = Vec::new();
    if let Some((own, Some(Some(label)))) = changed {
        members.push(member(own, label));
    }
    let committed = on_shard(|shard| shard.directory().members(topic, limit));
    let others = committed
        .iter()
        .filter(|m| changed.is_none_or(|(own, _)| own != m.connection));
    members.extend(others.map(|m| member(m.connection, &m.label)));
    members.truncate(limit);
    members
}
