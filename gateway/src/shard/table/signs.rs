//! Signs of life on their way to the connections that asked for them.

use super::{Table, flush, mark};
use crate::codec::{self, Opcode};
use crate::event_stream;
use crate::heartbeat::Millis;
use crate::hub::Key;
use crate::shard::Seat;
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
        let start = self.turn.len();
        if self.is_event_stream(seat.key) {
            let text = format!(": every {}\n\n", wish.every);
            self.turn.extend_from_slice(text.as_bytes());
        } else {
            let text = format!("{} every {}", wish.word, wish.every);
            codec::append(&mut self.turn, Opcode::Text, text.as_bytes());
        }
        self.push_frame_at(seat.key, start);
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
            if !slot.is_some_and(|slot| slot.outbox.is_empty()) {
                continue;
            }
            self.make_room();
            let start = self.turn.len();
            if self.is_event_stream(key) {
                self.turn.extend_from_slice(event_stream::PING);
            } else if let Some(wish) = self.signs.wish(id) {
                codec::append(&mut self.turn, Opcode::Text, wish.word.as_bytes());
            }
            self.push_frame_at(key, start);
        }
        true
    }

    /// Says before a large message of `len` bytes how large it is, to a client that would else take
    /// the silence while it comes for a dead network. Written at once if nothing waits, because one
    /// message of any size has room only while nothing does.
    pub(super) fn announce(&mut self, key: Key, len: usize) {
        let slot = self.slots[key as usize].as_mut();
        let Some(slot) = slot.filter(|slot| slot.has_signs) else {
            return;
        };
        let Some(wish) = self.signs.wish(slot.id) else {
            return;
        };
        let text = format!("{} coming {len}", wish.word);
        let start = self.turn.len() as u32;
        codec::append(&mut self.turn, Opcode::Text, text.as_bytes());
        let span = start..self.turn.len() as u32;
        if !slot.outbox.has_room(0, span.len()) {
            return;
        }
        let was_empty = slot.outbox.is_empty();
        slot.outbox.push(span, &self.turn);
        if was_empty {
            flush(slot, key, &self.turn, &mut self.due, &self.counters);
        }
        mark(slot, key, &mut self.dirty);
    }
}
