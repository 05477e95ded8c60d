//! Control frames on their way to a connection: pongs, pings, and the close frame (RFC 6455 section 5.5).

use tidegate_codec::{self as codec, Opcode};

use super::slot::{flush, mark};
use super::{Encoding, Table};
use crate::close::{CloseCause, NO_STATUS};
use crate::event_stream;
use crate::message::{ConnectionId, Key};
use crate::outbox::{HIGH_WATER, Kind, Span};

impl Table {
    /// Answers a ping.
    pub(in crate::shard) fn push_pong(&mut self, key: Key, payload: &[u8]) {
        self.make_way(key);
        let pong = self.output.add(Kind::Pong, |bytes| {
            codec::append(bytes, Opcode::Pong, payload);
        });
        self.push_control(key, pong, Kind::Pong);
    }

    /// Shows the peer, and what lies between, that the connection lives. In a stream of events it is
    /// never answered: a lost one is noticed by what it does not take.
    pub(in crate::shard) fn push_ping(&mut self, id: ConnectionId) {
        let Some(key) = self.key(id) else {
            return;
        };
        self.make_way(key);
        let is_event_stream = self.is_event_stream(key);
        let ping = self.output.add(Kind::Ping, |bytes| match is_event_stream {
            true => bytes.extend_from_slice(event_stream::PING),
            false => codec::append(bytes, Opcode::Ping, &[]),
        });
        self.push_control(key, ping, Kind::Ping);
    }

    /// Returns whether the connection's messages go out as server-sent events.
    pub(super) fn is_event_stream(&self, key: Key) -> bool {
        let slot = self.slots[key as usize].as_ref();
        slot.is_some_and(|slot| matches!(slot.encoding, Encoding::EventStream))
    }

    /// Control frames have room always, so a flood of pings within one turn must not let their
    /// answers pile up: they are written, or the socket blocks and only the last one is kept.
    fn make_way(&mut self, key: Key) {
        self.make_room();
        if let Some(slot) = &mut self.slots[key as usize]
            && slot.outbox.queued() > HIGH_WATER
            && slot.outbox.may_flush()
        {
            flush(slot, key, &mut self.output, &mut self.due, &self.counters);
        }
    }

    /// Queues the ping or pong that was added to the output last.
    pub(super) fn push_control(&mut self, key: Key, span: Span, kind: Kind) {
        let Some(slot) = &mut self.slots[key as usize] else {
            return;
        };
        let aside = slot.outbox.is_blocked() || slot.outbox.is_closing();
        slot.outbox.push_control(span, kind, &self.output);
        if aside {
            // It was copied, or not taken: no one writes it from here.
            self.output.take_last();
        }
        mark(slot, key, &mut self.dirty);
    }

    /// Queues the close frame of a cause as the last thing.
    pub(in crate::shard) fn close(&mut self, key: Key, cause: &CloseCause) {
        let Some(slot) = &mut self.slots[key as usize] else {
            return;
        };
        let is_event_stream = matches!(slot.encoding, Encoding::EventStream);
        let span = cause.frame().map(|frame| {
            self.output.add(Kind::Message, |bytes| {
                if is_event_stream {
                    return event_stream::append_close(bytes, &frame);
                }
                let payload = match frame.code {
                    NO_STATUS => Vec::new(),
                    code => codec::close_payload(code, &frame.reason),
                };
                codec::append(bytes, Opcode::Close, &payload);
            })
        });
        let discard = matches!(cause, CloseCause::SlowConsumer | CloseCause::Lost(_));
        slot.outbox.close(span, discard);
        mark(slot, key, &mut self.dirty);
    }
}
