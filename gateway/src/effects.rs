//! What a handler did in one event, in order, held back until the event returns `ok`.
//!
//! The payloads lie as encoded frames in one buffer, so that recording an effect copies the
//! message once and allocates nothing once the buffer has grown. Large ones lie by themselves: other
//! shards and those that have to wait share them. The same type carries what one shard publishes or
//! sends to another.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use foldhash::HashMap;
use tidegate_codec::{self as codec, Opcode};

use crate::close::CloseFrame;
use crate::event_stream;
use crate::message::{ConnectionId, Message};
use crate::topic::{Topic, TopicOwner};

/// Frames of this length lie by themselves: one more allocation is nothing beside copying them again,
/// and one event's memory is not kept beyond it.
const APART_MIN: usize = 256 << 10;

/// Where an encoded frame lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encoded {
    /// Among the event's other bytes.
    Here(Range<usize>),
    /// By itself.
    Apart(Bytes),
}

/// The times at which a timer fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Until it first does.
    pub delay: Duration,
    /// From then on between firings; none for once.
    pub every: Option<Duration>,
    /// Whether one of the same name stays as it is.
    pub keep: bool,
}

/// One thing a handler did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A frame for one connection.
    Send {
        /// The receiver; not necessarily the event's own connection.
        to: ConnectionId,
        /// The message's frame, see [`Effects::frame`].
        frame: Encoded,
        /// Whether it may be compressed.
        compress: bool,
        /// What it is called among server-sent events, see [`Effects::text`]; empty if nothing.
        id: Range<usize>,
        /// The plugin that sends, on the way to another shard: only there is it known whose
        /// connection the receiver is.
        sender: Option<usize>,
    },
    /// A frame for all subscribers of a topic.
    Publish {
        /// Whose the topic is.
        owner: TopicOwner,
        /// Where the topic's name lies, see [`Effects::topic`].
        topic: Range<usize>,
        /// The frame.
        frame: Encoded,
        /// The one subscriber that does not get it.
        except: Option<ConnectionId>,
        /// Whether it may be compressed.
        compress: bool,
        /// The event id, for server-sent events; empty if none.
        id: Range<usize>,
    },
    /// The event's connection subscribes.
    Subscribe {
        /// Whose the topic is.
        owner: TopicOwner,
        /// The topic's name.
        topic: Box<str>,
        /// The subscriber's name in the topic's list of members, if it wants to be there.
        label: Option<Box<str>>,
    },
    /// The event's connection unsubscribes.
    Unsubscribe {
        /// Whose the topic is.
        owner: TopicOwner,
        /// The topic's name.
        topic: Box<str>,
    },
    /// A timer is set.
    SetTimer {
        /// The plugin that is told when it fires.
        owner: usize,
        /// Whether it is the event's connection's, or the plugin's own.
        of_connection: bool,
        /// The timer's name.
        name: Box<str>,
        /// When it fires.
        schedule: Schedule,
        /// How many of its own the plugin may have.
        max: usize,
    },
    /// A timer is cleared.
    ClearTimer {
        /// The plugin that has set it.
        owner: usize,
        /// Whether it is the event's connection's, or the plugin's own.
        of_connection: bool,
        /// The timer's name.
        name: Box<str>,
    },
    /// The event's connection is closed.
    Close(CloseFrame),
    /// Another connection is closed.
    Kick {
        /// Which.
        to: ConnectionId,
        /// The peer's close frame.
        frame: CloseFrame,
        /// The plugin that did it, as an index into the configuration.
        sender: Option<usize>,
    },
    /// A connection did not take a message and is to be closed for it, as its route says.
    Overflow {
        /// Which; it lives on the event's shard.
        to: ConnectionId,
    },
}

/// How a message is sent or published.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Whether it may be compressed.
    pub compress: bool,
    /// What it is called among server-sent events. What can't be is left out.
    pub id: Option<&'a str>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            compress: true,
            id: None,
        }
    }
}

/// What an entry costs beside its bytes when it is counted against the limit: a flood of empty
/// messages must end too.
const ENTRY_COST: usize = 64;

/// The effects of one event.
#[derive(Debug, Default)]
pub struct Effects {
    list: Vec<Effect>,
    bytes: Vec<u8>,
    /// Bytes that lie elsewhere: large frames, and names.
    elsewhere: usize,
    /// Outbox bytes for the first connection sent to, which nearly always is the only one.
    first: Option<(ConnectionId, usize)>,
    /// Outbox bytes for the others.
    others: HashMap<ConnectionId, usize>,
    closes: bool,
}

impl Effects {
    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The effects in the order they were done.
    pub fn list(&self) -> &[Effect] {
        &self.list
    }

    /// The bytes of a frame.
    pub fn frame<'a>(&'a self, frame: &'a Encoded) -> &'a [u8] {
        match frame {
            Encoded::Here(range) => &self.bytes[range.clone()],
            Encoded::Apart(bytes) => bytes,
        }
    }

    /// The topic of a publish.
    pub fn topic(&self, owner: TopicOwner, name: &Range<usize>) -> Topic<'_> {
        Topic {
            owner,
            name: self.text(name),
        }
    }

    /// The name of a topic, or the id of an event.
    pub fn text(&self, range: &Range<usize>) -> &str {
        std::str::from_utf8(&self.bytes[range.clone()]).expect("it was recorded from a str")
    }

    /// What counts against `limits.effects`: bytes, and a fixed cost for each entry.
    pub fn cost(&self) -> usize {
        self.bytes.len() + self.elsewhere + self.list.len() * ENTRY_COST
    }

    /// What one of the effects would add to the cost of others.
    pub fn cost_in_mail(&self, effect: &Effect) -> usize {
        ENTRY_COST
            + match effect {
                Effect::Send { frame, id, .. } => self.frame(frame).len() + id.len(),
                Effect::Publish {
                    topic, frame, id, ..
                } => topic.len() + self.frame(frame).len() + id.len(),
                effect => names(effect),
            }
    }

    /// What a message of `len` bytes would add to the cost.
    pub fn cost_of(len: usize) -> usize {
        len + codec::HEAD_MAX + ENTRY_COST
    }

    /// Bytes that were recorded for `to` so far: they take room in its outbox too.
    pub fn bytes_for(&self, to: ConnectionId) -> usize {
        match self.first {
            Some((first, bytes)) if first == to => bytes,
            _ if self.others.is_empty() => 0,
            _ => self.others.get(&to).copied().unwrap_or(0),
        }
    }

    /// Whether the event's connection is closed by one of them.
    pub fn closes(&self) -> bool {
        self.closes
    }

    /// Records a message for one connection. It takes `room` bytes of the outbox there.
    pub fn send(
        &mut self,
        to: ConnectionId,
        message: Message<'_>,
        options: Options<'_>,
        room: usize,
    ) {
        let id = self.append_id(options.id);
        let frame = self.encode(message);
        match &mut self.first {
            Some((first, bytes)) if *first == to => *bytes += room,
            Some(_) => *self.others.entry(to).or_default() += room,
            first => *first = Some((to, room)),
        }
        self.list.push(Effect::Send {
            to,
            frame,
            compress: options.compress,
            id,
            sender: None,
        });
    }

    /// Records a message for a topic's subscribers.
    pub fn publish(
        &mut self,
        topic: Topic<'_>,
        message: Message<'_>,
        except: Option<ConnectionId>,
        options: Options<'_>,
    ) {
        let (owner, topic) = (topic.owner, self.append(topic.name.as_bytes()));
        let id = self.append_id(options.id);
        let frame = self.encode(message);
        self.list.push(Effect::Publish {
            owner,
            topic,
            frame,
            except,
            compress: options.compress,
            id,
        });
    }

    /// Records that another connection is closed.
    pub fn kick(&mut self, to: ConnectionId, frame: CloseFrame) {
        self.push(Effect::Kick {
            to,
            frame,
            sender: None,
        });
    }

    /// Records an effect that carries no frame.
    pub fn push(&mut self, effect: Effect) {
        self.closes |= matches!(effect, Effect::Close(_));
        self.elsewhere += names(&effect);
        self.list.push(effect);
    }

    /// Copies a send, a publish, a kick or a timer of the plugin's own from another event, of the
    /// plugin `sender`. Other effects belong to their own connection and shard and are not copied.
    pub fn copy(&mut self, from: &Effects, effect: &Effect, sender: usize) {
        match effect {
            Effect::Send {
                to,
                frame,
                compress,
                id,
                ..
            } => {
                let id = self.append(from.text(id).as_bytes());
                let frame = self.copy_frame(from, frame);
                self.list.push(Effect::Send {
                    to: *to,
                    frame,
                    compress: *compress,
                    id,
                    sender: Some(sender),
                });
            }
            Effect::Publish {
                owner,
                topic,
                frame,
                except,
                compress,
                id,
            } => {
                let topic = self.append(from.text(topic).as_bytes());
                let id = self.append(from.text(id).as_bytes());
                let frame = self.copy_frame(from, frame);
                self.list.push(Effect::Publish {
                    owner: *owner,
                    topic,
                    frame,
                    except: *except,
                    compress: *compress,
                    id,
                });
            }
            Effect::Kick { to, frame, .. } => self.push(Effect::Kick {
                to: *to,
                frame: frame.clone(),
                sender: Some(sender),
            }),
            Effect::SetTimer {
                of_connection: false,
                ..
            }
            | Effect::ClearTimer {
                of_connection: false,
                ..
            } => self.push(effect.clone()),
            Effect::SetTimer { .. }
            | Effect::ClearTimer { .. }
            | Effect::Subscribe { .. }
            | Effect::Unsubscribe { .. }
            | Effect::Close(_)
            | Effect::Overflow { .. } => {}
        }
    }

    /// Forgets everything. Keeps the memory unless one event made it unusually large.
    pub fn clear(&mut self) {
        self.list.clear();
        self.bytes.clear();
        self.elsewhere = 0;
        self.first = None;
        self.closes = false;
        if !self.others.is_empty() {
            self.others = HashMap::default();
        }
        if self.bytes.capacity() > APART_MIN {
            self.bytes = Vec::new();
        }
        if self.list.capacity() > APART_MIN / ENTRY_COST {
            self.list = Vec::new();
        }
    }

    fn append_id(&mut self, id: Option<&str>) -> Range<usize> {
        match id.filter(|id| event_stream::is_id(id)) {
            Some(id) => self.append(id.as_bytes()),
            None => 0..0,
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    fn encode(&mut self, message: Message<'_>) -> Encoded {
        let opcode = match message {
            Message::Text(_) => Opcode::Text,
            Message::Binary(_) => Opcode::Binary,
        };
        let payload = message.payload();
        if payload.len() >= APART_MIN {
            let mut frame = Vec::new();
            codec::append(&mut frame, opcode, payload);
            self.elsewhere += frame.len();
            return Encoded::Apart(frame.into());
        }
        let start = self.bytes.len();
        codec::append(&mut self.bytes, opcode, payload);
        Encoded::Here(start..self.bytes.len())
    }

    fn copy_frame(&mut self, from: &Effects, frame: &Encoded) -> Encoded {
        match frame {
            Encoded::Here(_) => Encoded::Here(self.append(from.frame(frame))),
            Encoded::Apart(bytes) => {
                self.elsewhere += bytes.len();
                Encoded::Apart(bytes.clone())
            }
        }
    }
}

/// The bytes of the names in an effect that has them by itself.
fn names(effect: &Effect) -> usize {
    match effect {
        Effect::Subscribe { topic, label, .. } => {
            topic.len() + label.as_ref().map_or(0, |label| label.len())
        }
        Effect::Unsubscribe { topic, .. } => topic.len(),
        Effect::SetTimer { name, .. } | Effect::ClearTimer { name, .. } => name.len(),
        Effect::Close(frame) | Effect::Kick { frame, .. } => frame.reason.len(),
        Effect::Send { .. } | Effect::Publish { .. } | Effect::Overflow { .. } => 0,
    }
}
