//! A data message on its way to one connection or to many, in the encoding of each.

use bytes::Bytes;
use smallvec::SmallVec;
use tidegate_codec as codec;

use super::signs::ANNOUNCED_MIN;
use super::slot::write_large;
use super::{Encoding, Table, flush, mark};
use crate::close::CloseCause;
use crate::event_stream;
use crate::labels::DropReason;
use crate::message::Key;
use crate::message::Seat;
use crate::outbox::{Kind, LARGE_MIN, Large, Output, Push, Span};
use crate::shard::deflation::Form;

/// A data message: encoded once in each form in which someone takes it.
pub(in crate::shard) struct Frame<'a> {
    bytes: &'a [u8],
    /// The bytes once more, if they lie in memory that can be shared.
    shared: Option<&'a Bytes>,
    compress: bool,
    /// What it is called among server-sent events; empty if nothing.
    id: &'a str,
    plain: Option<Laid<'a>>,
    /// The length as an event, once someone may take it as one.
    event_len: Option<usize>,
    event: Option<Laid<'a>>,
    /// Compressed for its one receiver only.
    own: Option<Laid<'a>>,
    /// The compressed forms; none where compressing gained nothing.
    deflated: SmallVec<[(Form, Option<Laid<'a>>); 1]>,
}

/// Where an encoded message lies.
enum Laid<'a> {
    /// In the turn's output.
    Here(Span),
    /// By itself.
    Apart(Large<'a>),
}

/// Whom a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::shard) enum Audience {
    /// One connection: its own context may be used.
    One,
    /// All subscribers of a topic: it is compressed once, by itself.
    Many,
}

impl<'a> Frame<'a> {
    /// An encoded frame, not compressed; `shared` are its bytes again, if they can be shared.
    /// `compress` says whether it may be, `id` what it is called among server-sent events.
    pub(in crate::shard) fn new(
        bytes: &'a [u8],
        shared: Option<&'a Bytes>,
        compress: bool,
        id: &'a str,
    ) -> Self {
        Self {
            bytes,
            shared,
            compress,
            id,
            plain: None,
            event_len: None,
            event: None,
            own: None,
            deflated: SmallVec::new(),
        }
    }

    /// The frame as it is.
    fn plain(&mut self, output: &mut Output) -> &mut Laid<'a> {
        self.plain.get_or_insert_with(|| match self.shared {
            Some(shared) => Laid::Apart(Large::shared(shared.clone())),
            None if self.bytes.len() >= LARGE_MIN => Laid::Apart(Large::lent(self.bytes)),
            None => {
                let bytes = self.bytes;
                Laid::Here(output.add(Kind::Message, |out| out.extend_from_slice(bytes)))
            }
        })
    }

    /// The frame as a server-sent event, of this length.
    fn event(&mut self, len: usize, output: &mut Output) -> &mut Laid<'a> {
        self.event.get_or_insert_with(|| {
            let encode = |out: &mut Vec<u8>| event_stream::append_message(out, self.bytes, self.id);
            if len < LARGE_MIN {
                return Laid::Here(output.add(Kind::Message, encode));
            }
            let mut event = Vec::new();
            encode(&mut event);
            Laid::Apart(Large::shared(event.into()))
        })
    }
}

impl<'a> Laid<'a> {
    /// The message that was added to the output last, or by itself if it is large.
    fn last(span: Span, output: &mut Output) -> Self {
        match span.len() < LARGE_MIN {
            true => Self::Here(span),
            false => Self::Apart(Large::shared(output.take_last().into())),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Here(span) => span.len(),
            Self::Apart(large) => large.bytes().len(),
        }
    }

    fn is_held(&self) -> bool {
        matches!(self, Self::Apart(large) if large.is_held())
    }
}

impl Table {
    /// Queues a frame for a connection, or writes it at once. Before the first delivery of a frame
    /// call [`Table::make_room`].
    pub(in crate::shard) fn deliver(&mut self, key: Key, frame: &mut Frame<'_>, to: Audience) {
        let Some(slot) = &self.slots[key as usize] else {
            return;
        };
        match slot.encoding {
            Encoding::Plain => self.deliver_plain(key, frame),
            Encoding::Deflated(_) => match self.deflated(key, frame, to) {
                Some(laid) => {
                    if self.admit(key, laid.len(), laid.is_held()) {
                        self.push(key, laid);
                    }
                }
                None => self.deliver_plain(key, frame),
            },
            Encoding::EventStream => {
                let len = *frame
                    .event_len
                    .get_or_insert_with(|| event_stream::frame_len(frame.bytes, frame.id));
                let is_held = frame.event.as_ref().is_some_and(Laid::is_held);
                // Before it is encoded: an event can be far longer than its message.
                if self.admit(key, len, is_held) {
                    let laid = frame.event(len, &mut self.output);
                    self.push(key, laid);
                }
            }
        }
    }

    fn deliver_plain(&mut self, key: Key, frame: &mut Frame<'_>) {
        let is_held = frame.plain.as_ref().is_some_and(Laid::is_held);
        if self.admit(key, frame.bytes.len(), is_held) {
            let laid = frame.plain(&mut self.output);
            self.push(key, laid);
        }
    }

    /// The frame compressed as the connection takes it; none if it takes it plain.
    fn deflated<'f, 'a>(
        &mut self,
        key: Key,
        frame: &'f mut Frame<'a>,
        to: Audience,
    ) -> Option<&'f mut Laid<'a>> {
        let slot = self.slots[key as usize].as_mut()?;
        let Encoding::Deflated(deflation) = &mut slot.encoding else {
            return None;
        };
        let payload = codec::payload(frame.bytes);
        if !frame.compress || payload.len() < deflation.minimum() {
            return None;
        }
        let first = frame.bytes[0];
        // What refers to this frame must not come without it: its room is made sure of first.
        let longest = codec::longest_deflated(payload.len());
        let may_wait = longest < LARGE_MIN || self.oversize.has_room(longest);
        if to == Audience::One
            && slot.outbox.has_room(0, longest, may_wait)
            && let Some(own) = deflation.own()
        {
            let span = self.compressors.with(own, first, payload, &mut self.output);
            return Some(frame.own.insert(Laid::last(span, &mut self.output)));
        }
        let form = deflation.form();
        let known = frame.deflated.iter().position(|(known, _)| *known == form);
        let index = known.unwrap_or_else(|| {
            let span = self
                .compressors
                .alone(form, first, payload, &mut self.output);
            let laid = span.map(|span| Laid::last(span, &mut self.output));
            frame.deflated.push((form, laid));
            frame.deflated.len() - 1
        });
        let laid = frame.deflated[index].1.as_mut();
        if laid.is_some() {
            deflation.forget();
        }
        laid
    }

    /// Whether a message of `len` bytes gets room in a connection's outbox; if not, it is counted. One
    /// that `is_held` counts as oversize already.
    fn admit(&mut self, key: Key, len: usize, is_held: bool) -> bool {
        let Some(slot) = &mut self.slots[key as usize] else {
            return false;
        };
        let may_wait = len < LARGE_MIN || is_held || self.oversize.has_room(len);
        if !slot.outbox.has_room(0, len, may_wait) && slot.outbox.may_flush() {
            // Nothing says that the reader is slow: only this turn has much for it.
            flush(slot, key, &mut self.output, &mut self.due, &self.counters);
        }
        let is_oversize = len > slot.limits.outbox && !may_wait;
        let drops = &self.counters.drops;
        match slot.outbox.admit(len, may_wait, &mut self.output) {
            Push::Taken => {
                self.counters.deliveries.add(1);
                return true;
            }
            Push::Replaced(dropped) => {
                self.counters.deliveries.add(1);
                drops.add(DropReason::DropOldest, dropped as u64);
                return true;
            }
            Push::Dropped if slot.outbox.is_closing() => drops.count(DropReason::Closing),
            Push::Dropped if is_oversize => drops.count(DropReason::Oversize),
            Push::Dropped => drops.count(DropReason::DropNewest),
            Push::Overflow => {
                drops.count(if is_oversize {
                    DropReason::Oversize
                } else {
                    DropReason::SlowConsumer
                });
                if slot.signal.request_close(CloseCause::SlowConsumer) {
                    self.due.push(Seat { id: slot.id, key });
                }
            }
        }
        // What was pending may be in the backlog now.
        mark(slot, key, &mut self.dirty);
        false
    }

    /// Queues a message for a connection whose outbox has admitted it. A large one is written at once
    /// if nothing is in front of it that has to wait.
    fn push(&mut self, key: Key, laid: &mut Laid<'_>) {
        if laid.len() >= ANNOUNCED_MIN {
            self.announce(key, laid.len());
        }
        let Some(slot) = &mut self.slots[key as usize] else {
            return;
        };
        let large = match laid {
            Laid::Here(span) => {
                slot.outbox.push(span.clone());
                return mark(slot, key, &mut self.dirty);
            }
            Laid::Apart(large) => large,
        };
        if slot.outbox.may_flush() {
            flush(slot, key, &mut self.output, &mut self.due, &self.counters);
        }
        if !slot.outbox.is_closing() {
            let room = (&mut self.output, &self.oversize);
            write_large(slot, key, large, room, &mut self.due, &self.counters);
        }
    }
}
