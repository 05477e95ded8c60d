//! An event: what is handed to a handler, and what it did, held back until it returned `ok`.

use std::any::Any;
use std::sync::Arc;

use foldhash::HashMap;

use crate::close::CloseFrame;
use crate::effects::Effects;
use crate::message::{ConnectionId, Seat};

/// What one plugin keeps for a connection.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The bytes; at first there are none.
    pub bytes: Vec<u8>,
    /// The plugin's generation that left them.
    pub generation: u64,
    /// Holds that generation, if a later one has refused the state.
    pub pin: Option<Arc<dyn Any + Send + Sync>>,
}

/// What each plugin of a chain keeps for a connection, in the chain's order. Those at the end that
/// keep nothing may be missing.
#[derive(Clone, Debug, Default)]
pub struct States(Vec<State>);

impl States {
    /// The state of the plugin at a place in the chain, if it ever kept something.
    pub fn get(&self, member: usize) -> Option<&State> {
        self.0.get(member)
    }

    /// The state of the plugin at a place in the chain.
    pub fn get_mut(&mut self, member: usize) -> &mut State {
        if self.0.len() <= member {
            self.0.resize_with(member + 1, State::default);
        }
        &mut self.0[member]
    }

    /// The bytes of the largest.
    pub fn largest(&self) -> usize {
        let sizes = self.0.iter().map(|state| state.bytes.len());
        sizes.max().unwrap_or(0)
    }

    /// Replaces what the plugin at a place in the chain keeps: that generation has left it.
    pub fn set(&mut self, member: usize, bytes: Vec<u8>, generation: u64) {
        let kept = self.get_mut(member);
        kept.bytes = bytes;
        kept.generation = generation;
    }
}

/// What an event carries into the handler and what it brings back.
///
/// A connection has one only while it handles something; the state is moved in and out. Effects and
/// the new state count only when the handler returned `ok`:
/// [`Shard::commit`](crate::shard::Shard::commit).
#[derive(Debug, Default)]
pub struct Event {
    /// The event's own connection; none for an upgrade, a request, or a plugin's own timer.
    pub seat: Option<Seat>,
    /// What the plugins of the chain keep for it, as the last events left it.
    pub states: States,
    /// The names of the chain's plugins, if they are several.
    pub chain: Option<Arc<[Arc<str>]>>,
    /// Which of them handles the event.
    pub member: usize,
    /// The plugin, as an index into the configuration.
    pub owner: usize,
    /// The state this event has set.
    pub next_state: Option<Vec<u8>>,
    /// What the handler did, in order.
    pub effects: Effects,
    /// What this event has done to its connection's subscriptions, by topic: `None` ended it,
    /// `Some` made it, with or without a label.
    pub topics: HashMap<Box<str>, Option<Option<Box<str>>>>,
    /// By how much that changes their number.
    pub topics_added: isize,
    /// The timers that this event has set (`true`) or cleared, by whether they are the connection's,
    /// and by name.
    pub timers: HashMap<(bool, Box<str>), bool>,
    /// By how much that changes the number of the plugin's own timers, and of the connection's.
    pub timers_added: [isize; 2],
    /// The generation that handled the event.
    pub generation: u64,
    /// The largest state, in bytes.
    pub state_max: usize,
    /// The most topics the connection may be subscribed to.
    pub subscriptions_max: usize,
    /// The most timers the connection may have.
    pub timers_max: usize,
    /// Set from `on-close` on: the connection can no longer subscribe or set timers.
    pub closed: bool,
    /// The close frame with which the handler has closed the connection.
    pub kicked: Option<CloseFrame>,
    /// Messages of a batch whose events have ended with `ok`.
    pub handled: usize,
    /// Events of the plugins in front that take effect with this one, and before it.
    pub earlier: Vec<Event>,
}

impl Event {
    /// The event's own connection, if it has one.
    pub fn connection(&self) -> Option<ConnectionId> {
        self.seat.map(|seat| seat.id)
    }

    /// What the plugin that handles the event keeps for the connection, as the event has set it.
    pub fn state(&self) -> &[u8] {
        match (&self.next_state, self.states.get(self.member)) {
            (Some(state), _) => state,
            (None, Some(kept)) => &kept.bytes,
            (None, None) => &[],
        }
    }

    /// Keeps the state that the event has set, for the plugin that handled it.
    pub fn keep_state(&mut self) {
        if let Some(bytes) = self.next_state.take() {
            self.states.set(self.member, bytes, self.generation);
        }
    }

    /// Drops all that the handler did and that is not in force yet.
    pub fn discard(&mut self) {
        self.earlier.clear();
        self.next_state = None;
        self.effects.clear();
        self.forget_changes();
    }

    /// Makes it anyone's event, keeping the memory of its effects. It was committed or discarded.
    pub fn reset(&mut self) {
        self.seat = None;
        self.states = States::default();
        self.chain = None;
        self.closed = false;
        self.kicked = None;
        self.handled = 0;
    }

    fn forget_changes(&mut self) {
        if !self.topics.is_empty() {
            self.topics = HashMap::default();
        }
        if !self.timers.is_empty() {
            self.timers = HashMap::default();
        }
        self.topics_added = 0;
        self.timers_added = [0; 2];
    }
}
