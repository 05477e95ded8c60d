//! Connections that are not read for a while, and when each is looked at again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Shard;
use crate::heartbeat::Millis;
use crate::message::Seat;

/// Delays of a shard, the shortest first.
pub(super) type Delays = BinaryHeap<Reverse<(Millis, Seat)>>;

impl Shard {
    /// Has a connection looked at when the coarse clock reaches `when`, up to a sweep late.
    pub fn wake_at(&self, seat: Seat, when: Millis) {
        self.delays.borrow_mut().push(Reverse((when, seat)));
    }

    /// Has those looked at whose delay is over.
    pub(super) fn end_delays(&self) {
        let (now, mut delays) = (self.now(), self.delays.borrow_mut());
        while let Some(&Reverse((when, seat))) = delays.peek() {
            if when > now {
                return;
            }
            delays.pop();
            // It may be gone, and another in its place, which then finds that nothing has come.
            self.set_due(seat);
        }
    }
}
