//! The end of a turn: all that the turn produced is written, each connection's part at once.

use std::rc::Rc;
use std::task::Poll;

use super::{Seat, Shard};
use crate::effects::Effects;

impl Shard {
    pub(super) fn wake_turn_end(&self) {
        if let Some(waker) = self.turn_end.take() {
            waker.wake();
        }
    }

    /// Writes all that this turn produced.
    fn end_turn(self: &Rc<Self>) {
        let blocked = self.table.borrow_mut().flush_dirty();
        for seat in blocked {
            let task = tokio::task::spawn_local(write_backlog(self.clone(), seat));
            self.table
                .borrow_mut()
                .set_writer(seat, task.abort_handle());
        }
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

/// Runs behind all tasks that were ready when the first of them produced something, and writes
/// what they produced together.
pub(super) async fn end_turns(shard: Rc<Shard>) {
    loop {
        std::future::poll_fn(|context| {
            if shard.is_turn_empty() {
                shard.turn_end.set(Some(context.waker().clone()));
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
        shard.end_turn();
        tokio::task::yield_now().await;
    }
}

/// Writes one blocked connection's backlog as its peer reads. Ends with the backlog or with the
/// connection.
async fn write_backlog(shard: Rc<Shard>, seat: Seat) {
    loop {
        let writable =
            std::future::poll_fn(|context| shard.table.borrow().poll_writable(seat, context));
        if !writable.await || !shard.table.borrow_mut().flush_blocked(seat) {
            return;
        }
    }
}
