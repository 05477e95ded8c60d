//! What a guest keeps for its connection, and sees of what others keep.

use wasmtime::Result;
use wasmtime::component::{LinkerInstance, WasmList};

use super::Cx;
use crate::event::Event;
use crate::message::ConnectionId;
use crate::plugin::context::Context;
use crate::plugin::contract::StateError;

pub(super) fn add_to_linker(host: &mut LinkerInstance<'_, Context>) -> Result<()> {
    host.func_wrap("state", |cx: Cx<'_>, (id,): (u64,)| {
        let event = cx.data().event();
        let is_own = event.connection() == Some(ConnectionId(id));
        let state = if is_own { event.state() } else { &[] };
        Ok((state.to_vec(),))
    })?;
    host.func_wrap(
        "state-of",
        |cx: Cx<'_>, (id, plugin): (Option<u64>, String)| Ok((state_of(cx.data(), id, &plugin),)),
    )?;
    host.func_wrap(
        "set-state",
        |mut cx: Cx<'_>, (id, state): (u64, WasmList<u8>)| {
            let state = state.as_le_slice(&cx).to_vec();
            Ok((set_state(cx.data_mut().event_mut(), id, state),))
        },
    )
}

fn set_state(event: &mut Event, id: u64, state: Vec<u8>) -> std::result::Result<(), StateError> {
    if event.connection() != Some(ConnectionId(id)) {
        return Err(StateError::NotThisConnection);
    }
    if state.len() > event.state_max {
        return Err(StateError::TooLarge);
    }
    event.next_state = Some(state);
    Ok(())
}

/// The state that another plugin of the chain keeps. None without a grant, and none of a plugin
/// that is not in the event's chain.
fn state_of(context: &Context, id: Option<u64>, plugin: &str) -> Option<Vec<u8>> {
    let event = context.event();
    if id.is_some_and(|id| event.connection() != Some(ConnectionId(id)))
        || !context.grants.state.iter().any(|name| name == plugin)
    {
        return None;
    }
    let mut chain = event.chain.as_deref()?.iter();
    let place = chain.position(|name| &**name == plugin)?;
    let state = event.states.get(place);
    Some(state.map_or_else(Vec::new, |state| state.bytes.clone()))
}
