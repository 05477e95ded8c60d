//! What a guest may ask of the gateway: the functions of `tidegate:plugin/host`.
//!
//! They record effects in the store's [`Event`]; the connection puts them into force when the
//! event has returned `ok` (G10). Messages are read in place in the guest's memory and encoded
//! straight into the effects: one copy.

mod timers;

use std::borrow::Cow;

use wasmtime::component::{Linker, WasmList, WasmStr};
use wasmtime::{Result, StoreContextMut};

use super::context::Context;
use super::contract::{
    CloseError, Delivery, HOST, Member, Outbound, PublishError, PublishOptions, SendOptions,
    StateError, TimerOptions, TopicError, Verdict,
};
use crate::close::{CloseFrame, REASON_MAX};
use crate::codec;
use crate::directory::NAME_MAX;
use crate::effects::{Effect, Effects, Options};
use crate::event::Event;
use crate::message::{ConnectionId, Message};
use crate::shard::{self, Shard};

/// The most members one call lists: a guest's memory and a lock are held for it.
const MEMBERS_MAX: u32 = 10_000;

type Cx<'a> = StoreContextMut<'a, Context>;

/// Offers the host interface to guests.
pub(super) fn add_to_linker(linker: &mut Linker<Context>) -> Result<()> {
    let mut host = linker.instance(HOST)?;
    host.func_wrap(
        "send",
        |cx: Cx<'_>, (to, message, options): (u64, Outbound, SendOptions)| {
            send(cx, to, &message, options)
        },
    )?;
    host.func_wrap(
        "publish",
        |cx: Cx<'_>, (topic, message, options): (WasmStr, Outbound, PublishOptions)| {
            publish(cx, &topic, &message, options)
        },
    )?;
    host.func_wrap(
        "close",
        |mut cx: Cx<'_>, (id, code, reason): (u64, u16, String)| {
            Ok((close(cx.data_mut(), id, code, reason),))
        },
    )?;
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
        Ok((members(
            cx.data().event(),
            &topic,
            limit.min(MEMBERS_MAX) as usize,
        ),))
    })?;
    host.func_wrap("state", |cx: Cx<'_>, (id,): (u64,)| {
        let event = cx.data().event();
        let own = event.connection() == Some(ConnectionId(id));
        Ok((if own {
            event.state().to_vec()
        } else {
            Vec::new()
        },))
    })?;
    host.func_wrap("state-of", |cx: Cx<'_>, (id, plugin): (u64, String)| {
        Ok((state_of(cx.data(), id, &plugin),))
    })?;
    host.func_wrap(
        "set-state",
        |mut cx: Cx<'_>, (id, state): (u64, WasmList<u8>)| {
            let state = state.as_le_slice(&cx).to_vec();
            Ok((set_state(cx.data_mut().event_mut(), id, state),))
        },
    )?;
    host.func_wrap(
        "set-timer",
        |mut cx: Cx<'_>, (id, name, options): (Option<u64>, String, TimerOptions)| {
            Ok((timers::set(cx.data_mut(), id, name, options),))
        },
    )?;
    host.func_wrap(
        "clear-timer",
        |mut cx: Cx<'_>, (id, name): (Option<u64>, String)| {
            Ok((timers::clear(cx.data_mut(), id, name),))
        },
    )?;
    host.func_wrap("discard", |mut cx: Cx<'_>, ()| {
        cx.data_mut().event_mut().discard();
        Ok(())
    })?;
    host.func_wrap("generation", |cx: Cx<'_>, ()| Ok((cx.data().generation,)))?;
    // The verdict is for a chain, in which messages do not come together.
    host.func_wrap("handled", |mut cx: Cx<'_>, (_verdict,): (Verdict,)| {
        let context = cx.data_mut();
        let goes_on =
            shard::with_current(|shard| shard.is_some_and(|shard| context.handled(shard)));
        Ok((goes_on,))
    })
}

/// Takes the event out of the store, so that it can be written while the guest's memory is read.
fn with_event<R>(cx: &mut Cx<'_>, f: impl FnOnce(&Cx<'_>, &mut Event) -> R) -> R {
    let mut event = cx.data_mut().take_event();
    let result = f(cx, &mut event);
    cx.data_mut().put_event(event);
    result
}

/// Runs `f` on a guest's message, in place in the guest's memory.
fn with_message<R>(cx: &Cx<'_>, message: &Outbound, f: impl FnOnce(Message<'_>) -> R) -> Result<R> {
    Ok(match message {
        Outbound::Text(text) => f(Message::Text(&text.to_str(cx)?)),
        Outbound::Binary(bytes) => f(Message::Binary(bytes.as_le_slice(cx))),
    })
}

fn send(mut cx: Cx<'_>, to: u64, message: &Outbound, options: SendOptions) -> Result<(Delivery,)> {
    let to = ConnectionId(to);
    let delivery = with_event(&mut cx, |cx, event| {
        let id = text(cx, options.event_id.as_ref())?;
        let options = Options {
            compress: options.compress,
            id: id.as_deref(),
        };
        with_message(cx, message, |message| {
            let delivery = delivery(cx.data(), event, to, message.payload().len());
            match delivery {
                shard::Delivery::Sent | shard::Delivery::Queued => {
                    event.effects.send(to, message, options);
                }
                shard::Delivery::Overflow => event.effects.push(Effect::Overflow { to }),
                shard::Delivery::Dropped => {}
            }
            match delivery {
                shard::Delivery::Sent => Delivery::Sent,
                shard::Delivery::Queued => Delivery::Queued,
                shard::Delivery::Dropped | shard::Delivery::Overflow => Delivery::Dropped,
            }
        })
    })?;
    Ok((delivery,))
}

/// An optional text of a guest, in place in its memory.
fn text<'a>(cx: &'a Cx<'_>, text: Option<&WasmStr>) -> Result<Option<Cow<'a, str>>> {
    text.map(|text| text.to_str(cx)).transpose()
}

fn delivery(context: &Context, event: &Event, to: ConnectionId, len: usize) -> shard::Delivery {
    let effects = &event.effects;
    if effects.cost() + Effects::cost_of(len) > context.limits.effects {
        return shard::Delivery::Dropped;
    }
    let own = event.connection() == Some(to);
    if own && (event.closed || effects.closes()) {
        return shard::Delivery::Dropped;
    }
    let ahead = effects.bytes_for(to);
    shard::with_current(|shard| {
        shard.map_or(shard::Delivery::Dropped, |shard| {
            shard.delivery(to, event.seat, event.owner, ahead, len)
        })
    })
}

fn publish(
    mut cx: Cx<'_>,
    topic: &WasmStr,
    message: &Outbound,
    options: PublishOptions,
) -> Result<(Result<(), PublishError>,)> {
    let published = with_event(&mut cx, |cx, event| {
        let topic = topic.to_str(cx)?;
        if !is_name(&topic) {
            return Ok(Err(PublishError::InvalidTopic));
        }
        let id = text(cx, options.event_id.as_ref())?;
        let sending = Options {
            compress: options.compress,
            id: id.as_deref(),
        };
        let except = options.except.map(ConnectionId);
        with_message(cx, message, |message| {
            let cost = Effects::cost_of(message.payload().len()) + topic.len();
            if event.effects.cost() + cost > cx.data().limits.effects {
                return Err(PublishError::TooLarge);
            }
            event.effects.publish(&topic, message, except, sending);
            Ok(())
        })
    })?;
    Ok((published,))
}

fn close(context: &mut Context, id: u64, code: u16, reason: String) -> Result<(), CloseError> {
    if !codec::close_code_allowed(code) {
        return Err(CloseError::InvalidCode);
    }
    if reason.len() > REASON_MAX {
        return Err(CloseError::InvalidReason);
    }
    let (to, frame) = (ConnectionId(id), CloseFrame { code, reason });
    let effects_max = context.limits.effects;
    let event = context.event_mut();
    if event.connection() == Some(to) {
        if !event.closed && !event.effects.closes() {
            event.effects.push(Effect::Close(frame));
        }
        return Ok(());
    }
    let reaches = shard::with_current(|shard| shard.is_none_or(|shard| shard.reaches(to)));
    if !reaches || event.effects.cost() > effects_max {
        return Err(CloseError::TooMany);
    }
    event.effects.kick(to, frame);
    Ok(())
}

fn subscribe(
    event: &mut Event,
    id: u64,
    topic: &str,
    label: Option<&str>,
    effects_max: usize,
) -> Result<(), TopicError> {
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

fn unsubscribe(event: &mut Event, id: u64, topic: &str) -> Result<(), TopicError> {
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

fn own_connection(event: &Event, id: u64) -> Result<ConnectionId, TopicError> {
    let id = ConnectionId(id);
    match event.connection() {
        Some(own) if own == id && !event.closed => Ok(id),
        _ => Err(TopicError::NotThisConnection),
    }
}

fn set_state(event: &mut Event, id: u64, state: Vec<u8>) -> Result<(), StateError> {
    if event.connection() != Some(ConnectionId(id)) {
        return Err(StateError::NotThisConnection);
    }
    if state.len() > event.state_max {
        return Err(StateError::TooLarge);
    }
    event.next_state = Some(state);
    Ok(())
}

/// None without a grant, and none of a plugin that is not in the event's chain.
fn state_of(context: &Context, id: u64, plugin: &str) -> Option<Vec<u8>> {
    let event = context.event();
    if event.connection() != Some(ConnectionId(id))
        || !context.grants.state.iter().any(|name| name == plugin)
    {
        return None;
    }
    let mut chain = event.chain.as_deref()?.iter();
    let place = chain.position(|name| &**name == plugin)?;
    let state = event.states.get(place);
    Some(state.map_or_else(Vec::new, |state| state.bytes.clone()))
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

pub(super) fn is_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len())
}

/// Asks this thread's shard. A check before a generation takes over runs elsewhere and sees none.
fn on_shard<R: Default>(f: impl FnOnce(&Shard) -> R) -> R {
    shard::with_current(|shard| shard.map_or_else(R::default, |shard| f(shard)))
}
