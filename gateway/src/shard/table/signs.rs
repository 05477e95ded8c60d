//! Signs of life on their way to the connections that asked for them.

use tidegate_codec::{self as codec, Opcode};

use super::{Encoding, Table, mark};
use crate::event_stream;
use crate::heartbeat::Millis;
use crate::message::Key;
use crate::message::Seat;
use crate::outbox::{Kind, Span};
use crate::signs::Wish;

/// A message of as many bytes is announced: on a slow line it takes seconds, in which nothing else
/// can come.
pub(super) const ANNOUNCED_MIN: usize = 64 << 10;

impl Table {
    /// Grants a connection the signs of life it asked for, and tells it so before anything else.
    pub(in crate::shard) fn grant_signs(&mut self, seat: Seat, mut wish: Wish, now: Millis) {
        let Some(slot) = self.slot_mut(seat) else {
            return;
        };
        slot.has_signs = true;
        wish.every = wish.every.max(slot.limits.signs.as_millis() as Millis);
        self.make_room();
        let is_event_stream = self.is_event_stream(seat.key);
        let granted = self
            .output
            .add(Kind::Message, |bytes| match is_event_stream {
                true => bytes.extend_from_slice(format!(": every {}\n\n", wish.every).as_bytes()),
                false => {
                    let text = format!("{} every {}", wish.word, wish.every);
                    codec::append(bytes, Opcode::Text, text.as_bytes());
                }
            });
        self.push_sign(seat.key, granted);
        self.signs.grant(seat.id, wish, now);
    }

    /// Sends the signs that are due, at most `max`. Where bytes wait, those are the sign. Returns
    /// whether there may be more.
    pub(in crate::shard) fn push_signs(&mut self, now: Millis, max: usize) -> bool {
        for _ in 0..max {
            let Some(id) = self.signs.pop(now) else {
                return false;
            };
            let Some(key) = self.key(id) else {
                continue;
            };
            let slot = self.slots[key as usize].as_ref();
            if slot.is_none_or(|slot| slot.outbox.queued() > 0) {
                continue;
            }
            self.make_room();
            let is_event_stream = self.is_event_stream(key);
            let wish = self.signs.wish(id);
            let sign = self.output.add(Kind::Message, |bytes| match wish {
                _ if is_event_stream => bytes.extend_from_slice(event_stream::PING),
                Some(wish) => codec::append(bytes, Opcode::Text, wish.word.as_bytes()),
                None => {}
            });
            self.push_sign(key, sign);
        }
        true
    }

    /// Queues a sign that was added to the output, if it has room.
    fn push_sign(&mut self, key: Key, sign: Span) {
        if let Some(slot) = &mut self.slots[key as usize]
            && slot.outbox.has_room(0, sign.len(), true)
        {
            slot.outbox.push(sign);
            mark(slot, key, &mut self.dirty);
        }
    }

    /// Says before a large message of `len` bytes, which was admitted, how large it is, to a client that
    /// would else take the silence while it comes for a dead network. Who receives events sees their
    /// bytes come.
    pub(super) fn announce(&mut self, key: Key, len: usize) {
        let slot = self.slots[key as usize].as_mut();
        let Some(slot) = slot.filter(|slot| slot.has_signs) else {
            return;
        };
        let wish = self.signs.wish(slot.id);
        let Some(wish) = wish.filter(|_| !matches!(slot.encoding, Encoding::EventStream)) else {
            return;
        };
        let text = format!("{} coming {len}", wish.word);
        let announced = self.output.add(Kind::Message, |bytes| {
            codec::append(bytes, Opcode::Text, text.as_bytes());
        });
        slot.outbox.push(announced);
        mark(slot, key, &mut self.dirty);
    }
}
