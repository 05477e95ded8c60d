//! What a handler did in one event, in order, held back until the event returns `ok`.
//!
//! The payloads lie as encoded frames in one buffer, so that recording an effect copies the
//! message once and allocates nothing once the buffer has grown. The same type carries what one
//! shard publishes or sends to another.

use std::ops::Range;

use foldhash::HashMap;

use crate::close::CloseFrame;
use crate::codec::{self, Opcode};
use crate::event_stream;
use crate::message::{ConnectionId, Message};
use crate::shard::Schedule;
use crate::topic::{Topic, TopicOwner};

/// One thing a handler did.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// A frame for one connection.
    Send {
        /// The receiver; not necessarily the event's own connection.
        to: ConnectionId,
        /// Where its frame lies, see [`Effects::bytes`].
        frame: Range<usize>,
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
        /// Where the frame lies.
        frame: Range<usize>,
        /// The one subscriber that does not get it.
        except: Option<ConnectionId>,
        /// Whether it may be compressed.
        compress: bool,
        /// As that of a send.
        id: Range<usize>,
    },
    /// The event's connection subscribes.
    Subscribe {
        /// Whose the topic is.
        owner: TopicOwner,
        /// The topic's name.
        topic: Box<str>,
        /// Its name in the topic's list of members, if it wants to be there.
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
        /// Its name.
        name: Box<str>,
        /// When it fires.
        schedule: Schedule,
    },
    /// A timer is cleared.
    ClearTimer {
        /// The plugin that has set it.
        owner: usize,
        /// Whether it is the event's connection's, or the plugin's own.
        of_connection: bool,
        /// Its name.
        name: Box<str>,
    },
    /// The event's connection is closed.
    Close(CloseFrame),
    /// Another connection is closed.
    Kick {
        /// Which.
        to: ConnectionId,
        /// Its close frame.
        frame: CloseFrame,
        /// As that of a send.
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
    /// Frame bytes for the first connection sent to, which nearly always is the only one.
    first: Option<(ConnectionId, usize)>,
    /// Frame bytes for the others.
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
    pub fn bytes(&self, range: &Range<usize>) -> &[u8] {
        &self.bytes[range.clone()]
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
        self.bytes.len() + self.list.len() * ENTRY_COST
    }

    /// What a message of `len` bytes would add to the cost.
    pub fn cost_of(len: usize) -> usize {
        len + codec::HEAD_MAX + ENTRY_COST
    }

    /// Frame bytes recorded for `to` so far: they take room in its outbox too.
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

    /// Records a message for one connection.
    pub fn send(&mut self, to: ConnectionId, message: Message<'_>, options: Options<'_>) {
        let id = self.append_id(options.id);
        let frame = self.encode(message);
        match &mut self.first {
            Some((first, bytes)) if *first == to => *bytes += frame.len(),
            Some(_) => *self.others.entry(to).or_default() += frame.len(),
            first => *first = Some((to, frame.len())),
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
        self.list.push(Effect::Kick {
            to,
            frame,
            sender: None,
        });
    }

    /// Records an effect that carries no frame.
    pub fn push(&mut self, effect: Effect) {
        self.closes |= matches!(effect, Effect::Close(_));
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
                let (frame, id) = (self.append(from.bytes(frame)), self.append(from.bytes(id)));
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
                let topic = self.append(from.bytes(topic));
                let (frame, id) = (self.append(from.bytes(frame)), self.append(from.bytes(id)));
                self.list.push(Effect::Publish {
                    owner: *owner,
                    topic,
                    frame,
                    except: *except,
                    compress: *compress,
                    id,
                });
            }
            Effect::Kick { to, frame, .. } => self.list.push(Effect::Kick {
                to: *to,
                frame: frame.clone(),
                sender: Some(sender),
            }),
            Effect::SetTimer {
                owner,
                of_connection: false,
                name,
                schedule,
            } => self.list.push(Effect::SetTimer {
                owner: *owner,
                of_connection: false,
                name: name.clone(),
                schedule: *schedule,
            }),
            Effect::ClearTimer {
                owner,
                of_connection: false,
                name,
            } => self.list.push(Effect::ClearTimer {
                owner: *owner,
                of_connection: false,
                name: name.clone(),
            }),
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
        const KEEP: usize = 256 << 10;
        self.list.clear();
        self.bytes.clear();
        self.first = None;
        self.closes = false;
        if !self.others.is_empty() {
            self.others = HashMap::default();
        }
        if self.bytes.capacity() > KEEP {
            self.bytes = Vec::new();
        }
        if self.list.capacity() > KEEP / ENTRY_COST {
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

    fn encode(&mut self, message: Message<'_>) -> Range<usize> {
        let start = self.bytes.len();
        let opcode = match message {
            Message::Text(_) => Opcode::Text,
            Message::Binary(_) => Opcode::Binary,
        };
        codec::append(&mut self.bytes, opcode, message.payload());
        start..self.bytes.len()
    }
}
