//! The timers a guest sets and clears.

use std::time::Duration;

use wasmtime::Result;
use wasmtime::component::LinkerInstance;

use super::{Cx, is_name, on_shard};
use crate::effects::Effect;
use crate::event::Event;
use crate::message::ConnectionId;
use crate::plugin::context::Context;
use crate::plugin::contract::{TimerError, TimerOptions};
use crate::shard::Schedule;

pub(super) fn add_to_linker(host: &mut LinkerInstance<'_, Context>) -> Result<()> {
    host.func_wrap(
        "set-timer",
        |mut cx: Cx<'_>, (id, name, options): (Option<u64>, String, TimerOptions)| {
            Ok((set(cx.data_mut(), id, name, options),))
        },
    )?;
    host.func_wrap(
        "clear-timer",
        |mut cx: Cx<'_>, (id, name): (Option<u64>, String)| Ok((clear(cx.data_mut(), id, name),)),
    )
}

fn set(
    context: &mut Context,
    id: Option<u64>,
    name: String,
    options: TimerOptions,
) -> std::result::Result<(), TimerError> {
    let limits = context.limits.clone();
    let event = context.event_mut();
    let of_connection = check(event, id, &name)?;
    let every = options.every.map(Duration::from_millis);
    if every.is_some_and(|every| every < limits.timer) {
        return Err(TimerError::TooOften);
    }
    let (owner, added) = (event.owner, event.timers_added);
    let has_room = on_shard(|shard| match event.seat.filter(|_| of_connection) {
        Some(seat) => shard.has_timer_room(seat, owner, &name, added, event.timers_max),
        None => {
            let timers = shard.directory().timers();
            timers.has_room(owner, &name, added, limits.timers)
        }
    });
    if !has_room || event.effects.cost() > limits.effects {
        return Err(TimerError::TooMany);
    }
    event.timers_added += 1;
    event.effects.push(Effect::SetTimer {
        owner,
        of_connection,
        name: name.into(),
        schedule: Schedule {
            delay: Duration::from_millis(options.delay),
            every,
            keep: options.keep,
        },
    });
    Ok(())
}

fn clear(
    context: &mut Context,
    id: Option<u64>,
    name: String,
) -> std::result::Result<(), TimerError> {
    let effects_max = context.limits.effects;
    let event = context.event_mut();
    let of_connection = check(event, id, &name)?;
    if event.effects.cost() > effects_max {
        return Err(TimerError::TooMany);
    }
    event.effects.push(Effect::ClearTimer {
        owner: event.owner,
        of_connection,
        name: name.into(),
    });
    Ok(())
}

/// Whether the timer is the connection's.
fn check(event: &Event, id: Option<u64>, name: &str) -> std::result::Result<bool, TimerError> {
    if !is_name(name) {
        return Err(TimerError::InvalidName);
    }
    match id.map(ConnectionId) {
        None => Ok(false),
        Some(id) if event.connection() == Some(id) && !event.closed => Ok(true),
        Some(_) => Err(TimerError::NotThisConnection),
    }
}
