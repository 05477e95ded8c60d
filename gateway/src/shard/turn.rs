//! A turn of the shard's loop: what is ready is handled, then all that it produced is written,
//! each connection's part at once.

use std::task::{Context, Poll};

use super::Shard;
use super::poller::{READY_MAX, Ready};
use crate::effects::Effects;
use crate::message::Seat;

/// What a turn begins with.
#[derive(Debug, Default)]
pub struct Turn {
    /// Sockets that can do something.
    pub ready: Vec<Ready>,
    /// Connections that have to be told something, or were left with bytes unread.
    pub due: Vec<Seat>,
}

impl Turn {
    /// Whether more sockets may be ready than are in it.
    pub fn is_full(&self) -> bool {
        self.ready.len() >= READY_MAX
    }

    /// Writes on to the sockets that take more, and empties the turn of the connections that have
    /// something to handle.
    pub fn take<'a>(&'a mut self, shard: &'a Shard) -> impl Iterator<Item = Seat> + 'a {
        let ready = self.ready.drain(..).filter_map(|ready| {
            let seat = shard.seat(&ready)?;
            if ready.writable {
                shard.write_on(seat);
            }
            if ready.ended {
                shard.set_ended(seat);
            }
            ready.readable.then_some(seat)
        });
        ready.chain(self.due.drain(..))
    }
}

impl Shard {
    /// Ready when there is anything to do, which is then in `turn`, or anything to write. To be
    /// called by the one task that runs the shard's turns; it is woken for the next one.
    pub fn poll_turn(&self, context: &mut Context<'_>, turn: &mut Turn) -> Poll<()> {
        let sockets = match self.allowance.is_wanted() {
            // The runtime looks at its own poll only every so many tasks, each of which may be a
            // slice of long work here.
            true => self.poller.look(&mut turn.ready),
            false => self.poller.poll(context, &mut turn.ready),
        };
        self.table.borrow_mut().take_due(&mut turn.due);
        let is_idle = turn.due.is_empty() && self.is_turn_empty() && !self.allowance.is_wanted();
        if sockets.is_pending() && is_idle {
            self.turn_waker.set(Some(context.waker().clone()));
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Whether the next turn would begin at once. `was_full` says that of the sockets.
    pub fn has_turn(&self, was_full: bool) -> bool {
        let is_wanted = self.allowance.is_wanted();
        was_full || is_wanted || self.table.borrow().has_due() || !self.is_turn_empty()
    }

    /// Has a turn begin behind all tasks that are ready now.
    pub(super) fn wake_turn(&self) {
        if let Some(waker) = self.turn_waker.take() {
            waker.wake();
        }
    }

    /// Writes all that this turn produced.
    pub fn end_turn(&self) {
        self.table.borrow_mut().flush_dirty();
        self.allowance.renew();
        for (outgoing, link) in self.outgoing.borrow_mut().iter_mut().zip(&self.links) {
            if !outgoing.is_empty() {
                link.send(std::mem::take(outgoing));
            }
        }
    }

    fn is_turn_empty(&self) -> bool {
        !self.table.borrow().is_dirty() && self.outgoing.borrow().iter().all(Effects::is_empty)
    }
}
