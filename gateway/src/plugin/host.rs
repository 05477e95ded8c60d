//! What a guest may ask of the gateway: the functions of `tidegate:plugin/host`.
//!
//! Host functions record effects in the store's [`Event`]; the connection puts them into force when the
//! event has returned `ok` (G10). Messages are read in place in the guest's memory and encoded
//! straight into the effects: one copy.

mod state;
mod timers;
mod topics;

use std::borrow::Cow;

use tidegate_codec as codec;
use wasmtime::component::{Linker, WasmStr};
use wasmtime::{Result, StoreContextMut};

use super::context::Context;
use super::contract::{
    CloseError, Delivery, HOST, Outbound, PublishError, PublishOptions, SendOptions, Verdict,
};
use super::namespace::TopicUse;
use crate::close::{CloseFrame, REASON_MAX};
use crate::directory::NAME_MAX;
use crate::effects::{Effect, Effects, Options};
use crate::event::Event;
use crate::labels::DropReason;
use crate::message::{ConnectionId, Message};
use crate::shard::{self, Shard};

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
    topics::add_to_linker(&mut host)?;
    state::add_to_linker(&mut host)?;
    timers::add_to_linker(&mut host)?;
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
            let (delivery, room) = delivery(cx.data(), event, to, message, options.id);
            match delivery {
                shard::Delivery::Sent | shard::Delivery::Queued => {
                    event.effects.send(to, message, options, room);
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

/// What becomes of a message, and the room that it takes in the outbox.
fn delivery(
    context: &Context,
    event: &Event,
    to: ConnectionId,
    message: Message<'_>,
    id: Option<&str>,
) -> (shard::Delivery, usize) {
    let effects = &event.effects;
    let cost = Effects::cost_of(message.payload().len()) + id.map_or(0, str::len);
    if effects.cost() + cost > context.limits.effects {
        return dropped(DropReason::Effects);
    }
    let own = event.connection() == Some(to);
    if own && (event.closed || effects.closes()) {
        return dropped(DropReason::Closing);
    }
    shard::with_current(|shard| {
        shard.map_or((shard::Delivery::Dropped, 0), |shard| {
            shard.delivery(to, event.seat, event.owner, effects, (message, id))
        })
    })
}

/// A message that is not taken, and counted under that reason.
fn dropped(reason: DropReason) -> (shard::Delivery, usize) {
    on_shard(|shard| shard.counters().drops.count(reason));
    (shard::Delivery::Dropped, 0)
}

fn publish(
    mut cx: Cx<'_>,
    topic: &WasmStr,
    message: &Outbound,
    options: PublishOptions,
) -> Result<(Result<(), PublishError>,)> {
    let published = with_event(&mut cx, |cx, event| {
        let name = topic.to_str(cx)?;
        if !is_name(&name) {
            return Ok(Err(PublishError::InvalidTopic));
        }
        let Some(topic) = cx.data().topics.find(&name, TopicUse::Publish) else {
            return Ok(Err(PublishError::NotGranted));
        };
        let id = text(cx, options.event_id.as_ref())?;
        let sending = Options {
            compress: options.compress,
            id: id.as_deref(),
        };
        let except = options.except.map(ConnectionId);
        with_message(cx, message, |message| {
            let names = name.len() + sending.id.map_or(0, str::len);
            let cost = Effects::cost_of(message.payload().len()) + names;
            if event.effects.cost() + cost > cx.data().limits.effects {
                dropped(DropReason::Effects);
                return Err(PublishError::TooLarge);
            }
            event.effects.publish(topic, message, except, sending);
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
    let before = &event.effects;
    let reaches = shard::with_current(|shard| shard.is_none_or(|shard| shard.reaches(to, before)));
    if !reaches || event.effects.cost() > effects_max {
        return Err(CloseError::TooMany);
    }
    event.effects.kick(to, frame);
    Ok(())
}

pub(super) fn is_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len())
}

/// Asks this thread's shard. A check before a generation takes over runs elsewhere and sees none.
fn on_shard<R: Default>(f: impl FnOnce(&Shard) -> R) -> R {
    shard::with_current(|shard| shard.map_or_else(R::default, |shard| f(shard)))
}
