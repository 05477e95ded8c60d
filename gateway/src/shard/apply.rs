//! Effects put into force: sends and publishes to this shard's connections, and on to the others.

use super::table::{Audience, Frame};
use super::{Seat, Shard, Whose};
use crate::close::{CloseCause, CloseFrame};
use crate::effects::{Effect, Effects};
use crate::labels::DropReason;
use crate::message::ConnectionId;
use crate::topic::Topic;

impl Shard {
    /// Puts an event's effects into force, in order. Returns the close frame if the handler closed
    /// its connection. `seat` is the event's connection, an upgrade has none; `owner` is the plugin.
    pub fn apply(&self, seat: Option<Seat>, owner: usize, effects: &Effects) -> Option<CloseFrame> {
        let mut close = None;
        for effect in effects.list() {
            match effect {
                Effect::Send {
                    to,
                    frame,
                    compress,
                    id,
                    ..
                } if self.is_here(seat, *to) => {
                    let frame = Frame::new(effects.bytes(frame), *compress, effects.text(id));
                    self.send(seat, *to, frame);
                }
                Effect::Kick { to, frame, .. } if self.is_here(seat, *to) => {
                    self.kick(*to, owner, frame);
                }
                Effect::Send { to, .. } | Effect::Kick { to, .. } => {
                    let shard = to.shard(self.links.len());
                    self.outgoing.borrow_mut()[shard].copy(effects, effect, owner);
                    self.wake_turn();
                }
                Effect::Publish {
                    owner: topics,
                    topic,
                    frame,
                    except,
                    compress,
                    id,
                } => {
                    let topic = effects.topic(*topics, topic);
                    self.counters.publishes.add(1);
                    let plain = Frame::new(effects.bytes(frame), *compress, effects.text(id));
                    self.publish_here(topic, plain, *except);
                    self.publish_elsewhere(topic, effects, effect, frame.len(), owner);
                }
                Effect::Subscribe {
                    owner,
                    topic: name,
                    label,
                } => {
                    if let Some(seat) = seat {
                        let topic = Topic {
                            owner: *owner,
                            name,
                        };
                        let new = self.hub.borrow_mut().subscribe(seat.key, topic);
                        let label = label.as_deref();
                        self.directory
                            .subscribed(self.index, topic, seat.id, label, new);
                    }
                }
                Effect::Unsubscribe { owner, topic: name } => {
                    let topic = Topic {
                        owner: *owner,
                        name,
                    };
                    if let Some(seat) = seat
                        && self.hub.borrow_mut().unsubscribe(seat.key, topic)
                    {
                        self.directory.unsubscribed(self.index, topic, seat.id);
                    }
                }
                Effect::SetTimer { .. } | Effect::ClearTimer { .. } => {
                    self.apply_timer(seat, owner, effects, effect);
                }
                Effect::Close(frame) => close = close.or_else(|| Some(frame.clone())),
                Effect::Overflow { to } => {
                    self.request_close(*to, CloseCause::SlowConsumer);
                }
            }
        }
        close
    }

    /// Takes what another shard sent here: sends, publishes and kicks of this shard's connections.
    pub fn receive(&self, effects: &Effects) {
        for effect in effects.list() {
            match effect {
                Effect::Send {
                    to,
                    frame,
                    compress,
                    id,
                    sender,
                } => {
                    let is_served =
                        sender.is_some_and(|sender| self.table.borrow().is_served(*to, sender));
                    if is_served {
                        let frame = Frame::new(effects.bytes(frame), *compress, effects.text(id));
                        self.send(None, *to, frame);
                    } else {
                        self.counters.drops.count(DropReason::Closing);
                    }
                }
                Effect::Publish {
                    owner: topics,
                    topic,
                    frame,
                    except,
                    compress,
                    id,
                } => {
                    let frame = Frame::new(effects.bytes(frame), *compress, effects.text(id));
                    self.publish_here(effects.topic(*topics, topic), frame, *except);
                }
                Effect::Kick { to, frame, sender } => {
                    if let Some(sender) = sender {
                        self.kick(*to, *sender, frame);
                    }
                }
                Effect::SetTimer { owner, .. } | Effect::ClearTimer { owner, .. } => {
                    self.apply_timer(None, *owner, effects, effect);
                }
                // Not sent between shards: see `Effects::copy`.
                Effect::Subscribe { .. }
                | Effect::Unsubscribe { .. }
                | Effect::Close(_)
                | Effect::Overflow { .. } => {}
            }
        }
        self.wake_turn();
    }

    /// Sets or clears a timer, or hands that on to the shard on which the plugin's own live.
    fn apply_timer(&self, seat: Option<Seat>, owner: usize, effects: &Effects, effect: &Effect) {
        let (Effect::SetTimer { of_connection, .. } | Effect::ClearTimer { of_connection, .. }) =
            effect
        else {
            return;
        };
        let whose = match (of_connection, seat) {
            (true, Some(seat)) => Whose::Connection(seat),
            (true, None) => return,
            (false, _) => Whose::Plugin(owner),
        };
        let home = self.home(owner);
        if !of_connection && home != self.index {
            self.outgoing.borrow_mut()[home].copy(effects, effect, owner);
            return self.wake_turn();
        }
        match effect {
            Effect::SetTimer { name, schedule, .. } => {
                self.set_timer(whose, owner, name, *schedule);
            }
            Effect::ClearTimer { name, .. } => self.clear_timer(whose, owner, name),
            _ => {}
        }
    }

    /// Whether the queue to a connection's shard has room for what is small.
    pub fn reaches(&self, to: ConnectionId) -> bool {
        let shard = to.shard(self.links.len());
        let has_room = || self.links[shard].has_room(self.outgoing.borrow()[shard].cost());
        let reaches = shard == self.index || has_room();
        if !reaches {
            self.counters.drops.count(DropReason::ShardQueue);
        }
        reaches
    }

    /// Asks a connection of this shard to end, if the plugin `sender` serves it.
    fn kick(&self, to: ConnectionId, sender: usize, frame: &CloseFrame) {
        if self.table.borrow().is_served(to, sender) {
            self.request_close(to, CloseCause::Kicked(frame.clone()));
        }
    }

    /// Whether a connection lives on this shard, as that of the event does; most sends are to it, and
    /// a division is dear.
    fn is_here(&self, seat: Option<Seat>, id: ConnectionId) -> bool {
        seat.is_some_and(|seat| seat.id == id) || id.shard(self.links.len()) == self.index
    }

    fn send(&self, seat: Option<Seat>, to: ConnectionId, mut frame: Frame<'_>) {
        let mut table = self.table.borrow_mut();
        let key = match seat {
            Some(seat) if seat.id == to => Some(seat.key),
            _ => table.key(to),
        };
        let Some(key) = key else {
            return self.counters.drops.count(DropReason::Closing);
        };
        table.make_room();
        table.deliver(key, &mut frame, Audience::One);
        drop(table);
        self.wake_turn();
    }

    fn publish_here(&self, topic: Topic<'_>, mut frame: Frame<'_>, except: Option<ConnectionId>) {
        let (hub, mut table) = (self.hub.borrow(), self.table.borrow_mut());
        let subscribers = hub.subscribers(topic);
        if subscribers.is_empty() {
            return;
        }
        let except = except.and_then(|id| table.key(id));
        table.make_room();
        for &key in subscribers.iter().filter(|&&key| Some(key) != except) {
            table.deliver(key, &mut frame, Audience::Many);
        }
        drop(table);
        self.wake_turn();
    }

    fn publish_elsewhere(
        &self,
        topic: Topic<'_>,
        effects: &Effects,
        effect: &Effect,
        len: usize,
        owner: usize,
    ) {
        for (shard, link) in self.links.iter().enumerate() {
            if shard == self.index || self.directory.subscribers_on(shard, topic) == 0 {
                continue;
            }
            let outgoing = &mut self.outgoing.borrow_mut()[shard];
            if link.has_room(outgoing.cost() + len) {
                outgoing.copy(effects, effect, owner);
            } else {
                self.counters.drops.count(DropReason::ShardQueue);
            }
        }
        self.wake_turn();
    }
}
