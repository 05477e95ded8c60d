//! The timers a guest sets and clears.

use std::time::Duration;

use wasmtime::Result;
use wasmtime::component::LinkerInstance;

use super::{Cx, is_name, on_shard};
use crate::effects::{Effect, Schedule};
use crate::event::Event;
use crate::message::ConnectionId;
use crate::plugin::context::Context;
use crate::plugin::contract::{TimerError, TimerOptions};
use crate::shard;

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
    let owner = event.owner;
    if !is_set(event, of_connection, &name) {
        let added = event.timers_added[usize::from(of_connection)];
        let has_room = on_shard(|shard| match event.seat.filter(|_| of_connection) {
            Some(seat) => shard.has_timer_room(seat, added, event.timers_max),
            None => {
                let timers = shard.directory().timers();
                timers.has_room(owner, added, limits.timers)
            }
        });
        if !has_room {
            return Err(TimerError::TooMany);
        }
    }
    let reaches = of_connection || on_shard(|shard| shard.reaches_home(owner, &event.effects));
    if !reaches || event.effects.cost() > limits.effects {
        return Err(TimerError::TooMany);
    }
    change(event, of_connection, &name, true);
    event.effects.push(Effect::SetTimer {
        owner,
        of_connection,
        name: name.into(),
        schedule: Schedule {
            delay: Duration::from_millis(options.delay),
            every,
            keep: options.keep,
        },
        max: limits.timers,
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
    // A check before a generation takes over runs on no shard.
    let reaches = of_connection
        || shard::with_current(|shard| {
            shard.is_none_or(|shard| shard.reaches_home(event.owner, &event.effects))
        });
    if !reaches || event.effects.cost() > effects_max {
        return Err(TimerError::TooMany);
    }
    change(event, of_connection, &name, false);
    event.effects.push(Effect::ClearTimer {
        owner: event.owner,
        of_connection,
        name: name.into(),
    });
    Ok(())
}

/// Whether the timer is set, this event's own changes included.
fn is_set(event: &Event, of_connection: bool, name: &str) -> bool {
    // Looked up by an owned name: timers are set far less often than messages come.
    if let Some(&set) = event.timers.get(&(of_connection, name.into())) {
        return set;
    }
    on_shard(|shard| match event.seat.filter(|_| of_connection) {
        Some(seat) => shard.is_timer_set(seat, event.owner, name),
        None => shard.directory().timers().is_set(event.owner, name),
    })
}

/// Remembers that the event has set or cleared a timer. One that is set again is still one.
fn change(event: &mut Event, of_connection: bool, name: &str, set: bool) {
    let before = is_set(event, of_connection, name);
    event.timers_added[usize::from(of_connection)] += isize::from(set) - isize::from(before);
    event.timers.insert((of_connection, name.into()), set);
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
