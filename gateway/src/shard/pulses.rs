//! The heartbeats of a shard's connections, and the coarse clock by which they go.

use std::rc::Rc;
use std::time::Duration;

use super::Shard;
use crate::close::CloseCause;
use crate::heartbeat::{Due, Millis};
use crate::log::Rate;
use crate::message::Seat;
use crate::progress::Intake;

/// How often the coarse clock moves and due heartbeats are looked at. Timeouts are late by up to
/// this much.
const SWEEP: Duration = Duration::from_millis(100);

/// Heartbeats that are looked at in one go: when a shard has stood still, all may be due.
const LOOKS_MAX: usize = 256;

impl Shard {
    /// Something came from the peer. Returns whether its end is in sight: then a read that falls
    /// short has not emptied the socket.
    pub fn seen(&self, seat: Seat) -> bool {
        self.table.borrow_mut().seen(seat.key, self.now.get())
    }

    /// Whether the end of a connection's peer is in sight, though it may lie behind bytes unread.
    pub fn has_ended(&self, seat: Seat) -> bool {
        self.table.borrow().has_ended(seat)
    }

    pub(super) fn set_ended(&self, seat: Seat) {
        self.table.borrow_mut().set_ended(seat);
    }

    /// Has a connection's heartbeat stand still, because it is not read from now on.
    pub fn hold_pulse(&self, seat: Seat) {
        if let Some(pulse) = self.table.borrow_mut().pulse(seat) {
            pulse.hold(self.now.get());
        }
    }

    /// Has a connection's heartbeat go on, because it is read again.
    pub fn release_pulse(&self, seat: Seat) {
        if let Some(pulse) = self.table.borrow_mut().pulse(seat) {
            pulse.release(self.now.get());
        }
    }

    /// How far a connection's peer has come with what was sent to it. Asks the kernel.
    pub fn intake(&self, seat: Seat) -> Intake {
        self.table.borrow().intake(seat)
    }

    /// Pings and closes what is due at this tick of the coarse clock, and gives signs of life, as many as have their turn.
    /// Returns whether there may be more.
    fn look_at_heartbeats(&self) -> bool {
        let now = self.now.get();
        let mut heartbeats = self.heartbeats.borrow_mut();
        let mut looks = 0;
        while looks < LOOKS_MAX
            && let Some(id) = heartbeats.pop(now)
        {
            looks += 1;
            let mut table = self.table.borrow_mut();
            match table.check_pulse(id, now) {
                None => {}
                Some(Due::Close) => {
                    table.request_close(id, CloseCause::Idle);
                }
                Some(Due::Wait(until)) => heartbeats.schedule(until, id),
                Some(Due::Ping(until)) => {
                    table.push_ping(id);
                    heartbeats.schedule(until, id);
                }
            }
        }
        let has_signs = self.table.borrow_mut().push_signs(now, LOOKS_MAX);
        self.wake_turn();
        looks == LOOKS_MAX || has_signs
    }
}

/// Moves the shard's coarse clock and looks at the heartbeats that are due, for ever.
pub(super) async fn run(shard: Rc<Shard>) {
    let mut tick = tokio::time::interval(SWEEP);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let told = Rate::new(1);
    loop {
        tick.tick().await;
        shard.now.set(shard.started.elapsed().as_millis() as Millis);
        while shard.look_at_heartbeats() {
            // Others, and the writes of these, go first.
            tokio::task::yield_now().await;
        }
        shard.end_delays();
        if told.admits() {
            shard.tell_unlogged_failures();
        }
    }
}
