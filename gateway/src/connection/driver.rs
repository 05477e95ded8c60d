//! Runs a shard's turns: hands each connection what has come for it.
//!
//! An idle connection is a place in a list, not a task. Handling what came is a future, which
//! nearly always ends at its first poll; its memory is then used for the next connection's. Only
//! one that waits (for an instance, for a guest that runs long) becomes a task.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::Connection;
use super::step::Step;
use crate::handler::Handler;
use crate::message::Seat;
use crate::shard::{Shard, Turn};
use crate::supervise;

/// How many futures' memory is kept for the next ones: as many as are under way at once, which is
/// one unless handlers wait.
const SPARE: usize = 4;

/// The connections of a shard, while nothing is handled for them.
pub struct Driver<H> {
    shard: Rc<Shard>,
    places: RefCell<Vec<DriverPlace<H>>>,
}

/// Where a connection is.
enum DriverPlace<H> {
    /// Nowhere: there is none.
    Empty,
    /// Here, with nothing to do.
    Idle(Connection<H>),
    /// In a future that handles something for it, or opens or ends it.
    Busy {
        /// More has come for it meanwhile.
        again: bool,
    },
}

impl<H: Handler> Driver<H> {
    /// A driver without connections.
    pub fn new(shard: Rc<Shard>) -> Rc<Self> {
        Rc::new(Self {
            shard,
            places: RefCell::default(),
        })
    }

    /// The shard.
    pub fn shard(&self) -> &Rc<Shard> {
        &self.shard
    }

    /// Keeps a place for a connection that is being opened.
    pub(super) fn reserve(&self, seat: Seat) {
        let mut places = self.places.borrow_mut();
        let index = seat.key as usize;
        if places.len() <= index {
            places.resize_with(index + 1, || DriverPlace::Empty);
        }
        places[index] = DriverPlace::Busy { again: false };
    }

    /// Takes a connection back whose step has ended.
    pub(super) fn settle(self: &Rc<Self>, connection: Connection<H>, step: Step) {
        let seat = connection.events.seat;
        if let Step::Ended(ended) = step {
            let driver = self.clone();
            supervise::passing("a connection", async move {
                // Boxed: a task's future is copied when it begins and when it ends.
                Box::pin(connection.end(ended)).await;
                driver.places.borrow_mut()[seat.key as usize] = DriverPlace::Empty;
                driver.shard.dismiss(seat);
            });
            return;
        }
        if connection.is_delayed() {
            self.shard.hold_pulse(seat);
        }
        let place = &mut self.places.borrow_mut()[seat.key as usize];
        let again = matches!(place, DriverPlace::Busy { again: true });
        *place = DriverPlace::Idle(connection);
        if again || matches!(step, Step::More) {
            self.shard.set_due(seat);
        }
    }

    /// The connection, if it is idle. If not, that something has come for it is remembered.
    fn take(&self, seat: Seat) -> Option<Connection<H>> {
        let place = &mut self.places.borrow_mut()[seat.key as usize];
        match std::mem::replace(place, DriverPlace::Busy { again: true }) {
            DriverPlace::Idle(connection) => {
                *place = DriverPlace::Busy { again: false };
                Some(connection)
            }
            DriverPlace::Busy { .. } => {
                self.shard.wake(seat);
                None
            }
            DriverPlace::Empty => {
                *place = DriverPlace::Empty;
                None
            }
        }
    }
}

/// Runs the turns of the driver's shard, for ever.
pub async fn drive<H: Handler>(driver: Rc<Driver<H>>) {
    run(&driver, Connection::step).await;
}

/// Drives as [`drive`] does; `step` is [`Connection::step`], whose future's type has no name to
/// keep it under.
async fn run<H, F>(driver: &Rc<Driver<H>>, step: impl Fn(Connection<H>) -> F)
where
    H: Handler,
    F: Future<Output = (Connection<H>, Step)> + 'static,
{
    let shard = &driver.shard;
    let mut turn = Turn::default();
    let mut spare: Vec<Pin<Box<Option<F>>>> = Vec::new();
    loop {
        poll_fn(|context| shard.poll_turn(context, &mut turn)).await;
        let was_full = turn.is_full();
        poll_fn(|context| {
            for seat in turn.take(shard) {
                if let Some(connection) = driver.take(seat) {
                    begin(driver, seat, || step(connection), &mut spare, context);
                }
            }
            Poll::Ready(())
        })
        .await;
        shard.end_turn();
        if shard.has_turn(was_full) {
            // Others on this thread, guests that yielded and handshakes, go first.
            tokio::task::yield_now().await;
        }
    }
}

/// Lets a connection handle what has come for it: at once if it can, else in a task of its own.
/// The future is made where it stays: it is too large to be handed around.
fn begin<H, F>(
    driver: &Rc<Driver<H>>,
    seat: Seat,
    step: impl FnOnce() -> F,
    spare: &mut Vec<Pin<Box<Option<F>>>>,
    context: &mut Context<'_>,
) where
    H: Handler,
    F: Future<Output = (Connection<H>, Step)> + 'static,
{
    let mut place = spare.pop().unwrap_or_else(|| Box::pin(None));
    place.set(Some(step()));
    let future = place.as_mut().as_pin_mut().expect("it was just set");
    match future.poll(context) {
        Poll::Ready((connection, step)) => {
            place.set(None);
            if spare.len() < SPARE {
                spare.push(place);
            }
            driver.settle(connection, step);
        }
        Poll::Pending => {
            let driver = driver.clone();
            driver.shard.hold_pulse(seat);
            supervise::passing("a connection", async move {
                if let Some(future) = place.as_mut().as_pin_mut() {
                    let (connection, step) = future.await;
                    driver.shard.release_pulse(seat);
                    driver.settle(connection, step);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ARCHITECTURE.md says what an idle connection holds.
    #[test]
    fn a_place_is_small() {
        assert_eq!(size_of::<DriverPlace<crate::plugin::Guest>>(), 144);
    }
}
