//! One connection, as a handler sees it.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::tidegate::plugin::host::{self, SendOptions};
use crate::envelope;
use crate::{
    AsMessage, CloseError, Delivery, Fault, Message, PublishError, Result, StateError, TimerError,
    TopicError,
};

/// One WebSocket after its handshake: an id, good for as long as the gateway process lives, with what can be done to it.
///
/// [`send`](Self::send) and [`close`](Self::close) reach any connection that this plugin serves. Everything else works
/// only on the connection whose event this is, the one that handlers are given: another may live on another core.
///
/// What a handler does takes effect when it returns `Ok`, in the order it was done; after an `Err`, a panic or a
/// missed deadline none of it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Connection {
    id: u64,
}

/// The connection with this id, for one that was remembered in a state or read in a message.
pub fn connection(id: u64) -> Connection {
    Connection { id }
}

impl Connection {
    /// Unique while the gateway process lives, never reused. A greater one need not have come later: for who came first,
    /// keep a list in the [store](crate::store).
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Sends a message, and says at once whether the peer keeps up.
    pub fn send(&self, message: impl AsMessage) -> Delivery {
        let options = SendOptions {
            compress: message.compress(),
            event_id: message.event_id(),
        };
        host::send(self.id, message.as_message().into(), options)
    }

    /// Sends a value as JSON text.
    pub fn send_json<T: Serialize + ?Sized>(&self, value: &T) -> Result<Delivery> {
        Ok(self.send(Message::from_json(value)?))
    }

    /// Sends an event in the [standard envelope](crate::envelope).
    pub fn send_event<T: Serialize + ?Sized>(&self, kind: &str, payload: &T) -> Result<Delivery> {
        Ok(self.send(crate::event(kind, payload)?))
    }

    /// Sends an error in the [standard envelope](crate::envelope), as a message of the type `error` that answers
    /// nothing; `&()` stands for no details. A route of a [`Router`](crate::Router) returns a [`Fault`] instead.
    pub fn send_error<D: Serialize + ?Sized>(
        &self,
        code: &str,
        message: &str,
        details: &D,
    ) -> Result<Delivery> {
        let fault = Fault::new(code.to_owned(), message).with_details(details);
        let refusal = envelope::refusal(envelope::ERROR, None, &fault)?;
        Ok(self.send(refusal))
    }

    /// Closes the connection with a close frame. What was sent before goes out first. The event's own connection takes
    /// nothing that is sent after; another one ends when its event under way has ended, and one that has gone already is
    /// no error. A client sees why by the code: 1000 to 1003 and 1007 to 1014 have a meaning (RFC 6455 section 7.4.1),
    /// 4000 to 4999 are the plugin's own.
    pub fn close(&self, code: u16, reason: &str) -> Result<(), CloseError> {
        Ok(host::close(self.id, code, reason)?)
    }

    /// Subscribes to a topic: from now on this connection receives what is published there, by this event too.
    ///
    /// A topic is a name and nothing else, there as soon as somebody says it. Another plugin's topic of the same name is
    /// another one, unless the configuration shares it; see [`publish`](crate::publish). Names that clients choose are
    /// best kept apart from a plugin's others by what they are: `room:tea`.
    pub fn subscribe(&self, topic: &str) -> Result<(), TopicError> {
        Ok(host::subscribe(self.id, topic, None)?)
    }

    /// Subscribes under a label, such as a user's name, that [`members`](crate::members) will show. Subscribing again
    /// replaces the label.
    pub fn subscribe_as(&self, topic: &str, label: &str) -> Result<(), TopicError> {
        Ok(host::subscribe(self.id, topic, Some(label))?)
    }

    /// Ends a subscription, if there is one. A connection that closes loses all of them before its `on_close`.
    pub fn unsubscribe(&self, topic: &str) -> Result<(), TopicError> {
        Ok(host::unsubscribe(self.id, topic)?)
    }

    /// Publishes to every subscriber of a topic but this connection.
    pub fn publish_to_others(
        &self,
        topic: &str,
        message: impl AsMessage,
    ) -> Result<(), PublishError> {
        crate::publish_except(topic, message, self)
    }

    /// Publishes an event in the [standard envelope](crate::envelope) to every subscriber of a topic but this
    /// connection.
    pub fn publish_event_to_others<T: Serialize + ?Sized>(
        &self,
        topic: &str,
        kind: &str,
        payload: &T,
    ) -> Result {
        Ok(self.publish_to_others(topic, crate::event(kind, payload)?)?)
    }

    /// Clears a [`Timer`](crate::Timer) of this connection, if there is one.
    pub fn clear_timer(&self, name: &str) -> Result<(), TimerError> {
        Ok(host::clear_timer(Some(self.id), name)?)
    }

    /// The bytes that another plugin of the route's chain keeps for this connection; `None` without `grants.state` for
    /// it, or if the chain has no such plugin.
    pub fn state_of(&self, plugin: &str) -> Option<Vec<u8>> {
        host::state_of(Some(self.id), plugin)
    }

    /// The bytes kept for this connection, as this event has left them so far; empty at first. They outlive instances
    /// and reloads, and can still be read in `on_close`.
    pub fn state(&self) -> Vec<u8> {
        host::state(self.id)
    }

    /// Replaces the bytes kept for this connection.
    pub fn set_state(&self, state: impl AsRef<[u8]>) -> Result<(), StateError> {
        Ok(host::set_state(self.id, state.as_ref())?)
    }

    /// The state that [`set_state_json`](Self::set_state_json) left, or `None` if there is none yet.
    /// [`State`](crate::State) reads it, lets it be changed in place, and keeps it.
    pub fn state_json<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let state = self.state();
        if state.is_empty() {
            return Ok(None);
        }
        Ok(Some(serde_json::from_slice(&state)?))
    }

    /// Replaces the state by a value. The next version of the plugin will have to read it: give new fields
    /// `#[serde(default)]`.
    pub fn set_state_json<T: Serialize + ?Sized>(&self, value: &T) -> Result {
        Ok(self.set_state(serde_json::to_vec(value)?)?)
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}
