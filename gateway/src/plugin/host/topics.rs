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
use crate::plugin::namespace::TopicUse;
use crate::topic::Topic;

/// The most members one call lists: a guest's memory and a lock are held for it.
const MEMBERS_MAX: u32 = 10_000;

pub(super) fn add_to_linker(host: &mut LinkerInstance<'_, Context>) -> Result<()> {
    host.func_wrap(
        "subscribe",
        |mut cx: Cx<'_>, (id, topic, label): (u64, String, Option<String>)| {
            let subscribed = subscribe(cx.data_mut(), id, &topic, label.as_deref());
            Ok((subscribed,))
        },
    )?;
    host.func_wrap(
        "unsubscribe",
        |mut cx: Cx<'_>, (id, topic): (u64, String)| Ok((unsubscribe(cx.data_mut(), id, &topic),)),
    )?;
    host.func_wrap("subscriber-count", |cx: Cx<'_>, (topic,): (String,)| {
        Ok((subscriber_count(cx.data(), &topic),))
    })?;
    host.func_wrap("members", |cx: Cx<'_>, (topic, limit): (String, u32)| {
        let limit = limit.min(MEMBERS_MAX) as usize;
        Ok((members(cx.data(), &topic, limit),))
    })
}

fn subscribe(
    context: &mut Context,
    id: u64,
    name: &str,
    label: Option<&str>,
) -> std::result::Result<(), TopicError> {
    let own = own_connection(context.event(), id)?;
    if !is_name(name) || label.is_some_and(|label| label.len() > NAME_MAX) {
        return Err(TopicError::InvalidTopic);
    }
    let topic = find(context, name).ok_or(TopicError::NotGranted)?;
    let effects_max = context.limits.effects;
    let event = context.event_mut();
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
    event.topics.insert(name.into(), Some(label.clone()));
    event.effects.push(Effect::Subscribe {
        owner: topic.owner,
        topic: name.into(),
        label,
    });
    Ok(())
}

fn unsubscribe(context: &mut Context, id: u64, name: &str) -> std::result::Result<(), TopicError> {
    let own = own_connection(context.event(), id)?;
    if !is_name(name) {
        return Err(TopicError::InvalidTopic);
    }
    let topic = find(context, name).ok_or(TopicError::NotGranted)?;
    let event = context.event_mut();
    if is_subscribed(event, own, topic) {
        event.topics_added -= 1;
        event.topics.insert(name.into(), None);
        event.effects.push(Effect::Unsubscribe {
            owner: topic.owner,
            topic: name.into(),
        });
    }
    Ok(())
}

/// The topic of that name, if the plugin may subscribe to it and see who is.
fn find<'a>(context: &Context, name: &'a str) -> Option<Topic<'a>> {
    context.topics.find(name, TopicUse::Subscribe)
}

/// Whether the event's connection is subscribed, this event's own changes included.
fn is_subscribed(event: &Event, own: ConnectionId, topic: Topic<'_>) -> bool {
    match event.topics.get(topic.name) {
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

fn subscriber_count(context: &Context, name: &str) -> u32 {
    let Some(topic) = find(context, name) else {
        return 0;
    };
    let event = context.event();
    let (committed, subscribed) = on_shard(|shard| {
        let own = event
            .connection()
            .is_some_and(|own| shard.is_subscribed(own, topic));
        (shard.directory().subscribers(topic), own)
    });
    match event.topics.get(name) {
        Some(Some(_)) if !subscribed => committed + 1,
        Some(None) if subscribed => committed - 1,
        _ => committed,
    }
}

fn members(context: &Context, name: &str, limit: usize) -> Vec<Member> {
    let Some(topic) = find(context, name) else {
        return Vec::new();
    };
    let event = context.event();
    let member = |id: ConnectionId, label: &str| Member {
        connection: id.0,
        label: label.to_owned(),
    };
    let changed = event.connection().zip(event.topics.get(name));
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
