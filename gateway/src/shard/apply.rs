//! Effects put into force: sends and publishes to this shard's connections, and on to the others.

use std::ops::Range;

use super::table::{Audience, Frame};
use super::{Shard, Whose};
use crate::close::{CloseCause, CloseFrame};
use crate::effects::{Effect, Effects, Encoded};
use crate::event::Event;
use crate::labels::DropReason;
use crate::message::{ConnectionId, Seat};
use crate::topic::Topic;

impl Shard {
    /// Puts into force what the handler of an event did: its state and its effects.
    pub fn commit(&self, event: &mut Event) {
        for mut earlier in std::mem::take(&mut event.earlier) {
            self.commit(&mut earlier);
        }
        event.keep_state();
        let kicked = self.apply(event.seat, event.owner, &event.effects);
        event.kicked = event.kicked.take().or(kicked);
        event.discard();
    }

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
                    let frame = self::frame(effects, frame, *compress, id);
                    self.send(seat, *to, frame);
                }
                Effect::Kick { to, frame, .. } if self.is_here(seat, *to) => {
                    self.kick(*to, owner, frame);
                }
                Effect::Send { to, .. } | Effect::Kick { to, .. } => {
                    self.post(to.shard(self.links.len()), effects, effect, owner);
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
                    let plain = self::frame(effects, frame, *compress, id);
                    self.publish_here(topic, plain, *except);
                    self.publish_elsewhere(topic, effects, effect, owner);
                }
                Effect::Subscribe {
                    owner,
                    topic: name,
                    label,
                } => {
                    if let Some(seat) = seat {
                        let owner = *owner;
                        let topic = Topic { owner, name };
                        let new = self.hub.borrow_mut().subscribe(seat.key, topic);
                        let label = label.as_deref();
                        self.directory
                            .subscribed(self.index, topic, seat.id, label, new);
                    }
                }
                Effect::Unsubscribe { owner, topic: name } => {
                    let owner = *owner;
                    let topic = Topic { owner, name };
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
                    let mut table = self.table.borrow_mut();
                    // Its sender was told `queued`, whatever becomes of it now.
                    if sender.is_some_and(|sender| table.owe_drain(*to, sender)) {
                        drop(table);
                        let frame = self::frame(effects, frame, *compress, id);
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
                    let frame = self::frame(effects, frame, *compress, id);
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
        let in_mail = !of_connection && home != self.index;
        if in_mail && !self.has_mail_room(home, 0, effects.cost_in_mail(effect)) {
            return self.counters.drops.count(DropReason::ShardQueue);
        }
        if let (false, Effect::SetTimer { name, max, .. }) = (of_connection, effect)
            && !self.directory.timers().add(owner, name, *max)
        {
            return self.counters.drops.count(DropReason::Timers);
        }
        if in_mail {
            return self.post(home, effects, effect, owner);
        }
        match effect {
            Effect::SetTimer { name, schedule, .. } => {
                self.set_timer(whose, owner, name, *schedule);
            }
            Effect::ClearTimer { name, .. } => self.clear_timer(whose, owner, name),
            _ => {}
        }
    }

    /// Whether the queue to a connection's shard has room for what is small, behind what the same event did
    /// before.
    pub fn reaches(&self, to: ConnectionId, before: &Effects) -> bool {
        self.reaches_shard(to.shard(self.links.len()), before)
    }

    /// Whether the queue to the shard on which a plugin's own timers live has room for one, behind what the
    /// same event did before.
    pub fn reaches_home(&self, owner: usize, before: &Effects) -> bool {
        self.reaches_shard(self.home(owner), before)
    }

    fn reaches_shard(&self, shard: usize, before: &Effects) -> bool {
        let reaches =
            shard == self.index || self.has_mail_room(shard, before.cost(), Effects::cost_of(0));
        if !reaches {
            self.counters.drops.count(DropReason::ShardQueue);
        }
        reaches
    }

    /// Whether effects of that cost have room on their way to another shard, behind others of the cost
    /// `before` that are not in force yet.
    pub(super) fn has_mail_room(&self, shard: usize, before: usize, cost: usize) -> bool {
        let ahead = self.outgoing.borrow()[shard].cost() + before;
        self.links[shard].has_room(ahead, cost)
    }

    /// Has an effect go to another shard at the end of the turn. One for which there is no room is
    /// dropped and counted: what the events of one turn were told they could do may together be more.
    fn post(&self, shard: usize, effects: &Effects, effect: &Effect, owner: usize) {
        if self.has_mail_room(shard, 0, effects.cost_in_mail(effect)) {
            self.outgoing.borrow_mut()[shard].copy(effects, effect, owner);
            self.wake_turn();
        } else {
            self.counters.drops.count(DropReason::ShardQueue);
        }
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
        owner: usize,
    ) {
        for shard in 0..self.links.len() {
            if shard != self.index && self.directory.subscribers_on(shard, topic) > 0 {
                self.post(shard, effects, effect, owner);
            }
        }
    }
}

/// A recorded frame, to be delivered.
fn frame<'a>(
    effects: &'a Effects,
    frame: &'a Encoded,
    compress: bool,
    id: &Range<usize>,
) -> Frame<'a> {
    let shared = match frame {
        Encoded::Apart(bytes) => Some(bytes),
        Encoded::Here(_) => None,
    };
    Frame::new(effects.frame(frame), shared, compress, effects.text(id))
}
