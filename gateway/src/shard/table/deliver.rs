//! A data frame on its way to one connection or to many, plain or compressed.

use smallvec::SmallVec;

use super::signs::ANNOUNCED_MIN;
use super::{Encoding, Table, flush, mark};
use crate::close::CloseCause;
use crate::codec;
use crate::event_stream;
use crate::hub::Key;
use crate::labels::DropReason;
use crate::outbox::{Push, Span};
use crate::shard::Seat;
use crate::shard::deflation::Form;

/// Data frames of this length are written at once, if nothing waits in front of them.
const THROUGH_MIN: usize = 8 << 10;

/// A data frame: put into the turn once in each form in which someone takes it.
pub(in crate::shard) struct Frame<'a> {
    bytes: &'a [u8],
    compress: bool,
    /// What it is called among server-sent events; empty if nothing.
    id: &'a str,
    plain: Option<Span>,
    event: Option<Span>,
    /// None where compressing it gained nothing.
    deflated: SmallVec<[(Form, Option<Span>); 1]>,
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
    /// An encoded frame, not compressed. `compress` says whether it may be, `id` what it is called
    /// among server-sent events.
    pub(in crate::shard) fn new(bytes: &'a [u8], compress: bool, id: &'a str) -> Self {
        Self {
            bytes,
            compress,
            id,
            plain: None,
            event: None,
            deflated: SmallVec::new(),
        }
    }
}

impl Table {
    /// Queues a frame for a connection, or writes it at once. Before the first delivery of a frame
    /// call [`Table::make_room`].
    pub(in crate::shard) fn deliver(&mut self, key: Key, frame: &mut Frame<'_>, to: Audience) {
        if frame.bytes.len() >= ANNOUNCED_MIN {
            self.announce(key, frame.bytes.len());
        }
        if let Some(span) = self.encoded(key, frame, to) {
            return self.push(key, span);
        }
        if self.push_through(key, frame.bytes) {
            return;
        }
        let plain = frame.plain.get_or_insert_with(|| {
            let start = self.turn.len() as u32;
            self.turn.extend_from_slice(frame.bytes);
            start..self.turn.len() as u32
        });
        self.push(key, plain.clone());
    }

    /// The frame as the connection takes it; none if that is as it is.
    fn encoded(&mut self, key: Key, frame: &mut Frame<'_>, to: Audience) -> Option<Span> {
        match self.slots[key as usize].as_ref()?.encoding {
            Encoding::Plain => None,
            Encoding::Deflated(_) => self.deflated(key, frame, to),
            Encoding::EventStream => {
                let span = frame.event.get_or_insert_with(|| {
                    let start = self.turn.len() as u32;
                    event_stream::append_message(&mut self.turn, frame.bytes, frame.id);
                    start..self.turn.len() as u32
                });
                Some(span.clone())
            }
        }
    }

    /// The frame compressed as the connection takes it; none if it takes it plain.
    fn deflated(&mut self, key: Key, frame: &mut Frame<'_>, to: Audience) -> Option<Span> {
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
        if to == Audience::One
            && slot.outbox.has_room(0, longest)
            && let Some(own) = deflation.own()
        {
            return Some(self.compressors.with(own, first, payload, &mut self.turn));
        }
        let form = deflation.form();
        let known = frame.deflated.iter().find(|(known, _)| *known == form);
        let span = match known {
            Some((_, span)) => span.clone(),
            None => {
                let span = self.compressors.alone(form, first, payload, &mut self.turn);
                frame.deflated.push((form, span.clone()));
                span
            }
        };
        if span.is_some() {
            deflation.forget();
        }
        span
    }

    /// Writes a large data frame to a connection that has nothing waiting, from where it lies. The
    /// turn would gain it nothing: the system call's cost is small beside that of another copy.
    /// Returns whether it was taken care of.
    fn push_through(&mut self, key: Key, frame: &[u8]) -> bool {
        let slot = self.slots[key as usize].as_mut();
        let Some(slot) = slot.filter(|slot| frame.len() >= THROUGH_MIN && slot.outbox.is_empty())
        else {
            return false;
        };
        // With nothing else pending, the frame is all of the turn that the outbox looks at.
        slot.outbox.push(0..frame.len() as u32, frame);
        self.counters.deliveries.add(1);
        flush(slot, key, frame, &mut self.due, &self.counters);
        true
    }

    /// Queues a data frame of this turn for a connection.
    fn push(&mut self, key: Key, span: Span) {
        let Some(slot) = &mut self.slots[key as usize] else {
            return;
        };
        if !slot.outbox.has_room(0, span.len()) && slot.outbox.may_flush() {
            // Nothing says that the reader is slow: only this turn has much for it.
            flush(slot, key, &self.turn, &mut self.due, &self.counters);
        }
        match slot.outbox.push(span, &self.turn) {
            Push::Taken => self.counters.deliveries.add(1),
            Push::Replaced(dropped) => {
                self.counters.deliveries.add(1);
                self.counters
                    .drops
                    .add(DropReason::DropOldest, dropped as u64);
            }
            Push::Dropped if slot.outbox.is_closing() => {
                self.counters.drops.count(DropReason::Closing)
            }
            Push::Dropped => self.counters.drops.count(DropReason::DropNewest),
            Push::Overflow => {
                self.counters.drops.count(DropReason::SlowConsumer);
                if slot.signal.request_close(CloseCause::SlowConsumer) {
                    self.due.push(Seat { id: slot.id, key });
                }
            }
        }
        mark(slot, key, &mut self.dirty);
    }
}
