//! Turns of the guests that run long: one slice of one guest in each round of a thread's loop.
//!
//! A guest that has run past a tick waits here for its next slice. Plugins take turns, however many
//! guests one of them has, and sockets and other plugins' events come between two slices. A plugin
//! that has used up a tick begins no further event in the same round either: else each of many
//! messages that came together would have a tick before anybody else's turn.
//!
//! A round ends when the runtime looks at its sockets again. The runtime has one way to hear of
//! that, the waker that `yield_now` leaves: it is given one of our own.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Wake, Waker};

use super::pace::Pace;

thread_local! {
    static TURNS: RefCell<Turns> = const { RefCell::new(Turns::new()) };
    /// A bit for each plugin that has used up a tick in this round. Plugins beyond the 64th share
    /// bits: at worst an event waits for the next round.
    static SPENT: Cell<u64> = const { Cell::new(0) };
}

/// The waker that ends a round, on whichever thread it is woken.
static ROUND: LazyLock<Waker> = LazyLock::new(|| Waker::from(Arc::new(Round)));

/// The guests that wait for their turn on one thread.
struct Turns {
    /// Guests that are to go on, by plugin. The plugin in front is the next.
    queues: VecDeque<PluginQueue>,
    /// Events that have not begun.
    beginners: Vec<Waker>,
    /// The guest whose turn it is, until it has noticed.
    granted: Option<u64>,
    /// The last ticket.
    last: u64,
    /// Whether the end of this round will be heard of.
    is_watched: bool,
}

struct PluginQueue {
    owner: usize,
    /// By their tickets.
    guests: VecDeque<(u64, Waker)>,
}

impl Turns {
    const fn new() -> Self {
        Self {
            queues: VecDeque::new(),
            beginners: Vec::new(),
            granted: None,
            last: 0,
            is_watched: false,
        }
    }

    /// Puts a guest at the end of its plugin's queue; returns its ticket.
    fn enter(&mut self, owner: usize, waker: &Waker) -> u64 {
        self.last += 1;
        let guest = (self.last, waker.clone());
        match self.queues.iter_mut().find(|queue| queue.owner == owner) {
            Some(queue) => queue.guests.push_back(guest),
            None => self.queues.push_back(PluginQueue {
                owner,
                guests: [guest].into(),
            }),
        }
        self.last
    }

    /// Whether it is that guest's turn, which it has then had.
    fn take(&mut self, ticket: u64, waker: &Waker) -> bool {
        if self.granted == Some(ticket) {
            self.granted = None;
            return true;
        }
        let mut guests = self.queues.iter_mut().flat_map(|queue| &mut queue.guests);
        if let Some((_, kept)) = guests.find(|(other, _)| *other == ticket) {
            kept.clone_from(waker);
        }
        false
    }

    /// Forgets a guest that has been given up.
    fn leave(&mut self, ticket: u64) {
        if self.granted == Some(ticket) {
            self.granted = None;
        }
        for queue in &mut self.queues {
            queue.guests.retain(|(other, _)| *other != ticket);
        }
        self.queues.retain(|queue| !queue.guests.is_empty());
    }

    /// Whether somebody waits for the round's end of whom nobody has told the runtime yet, who is
    /// then told.
    fn must_watch(&mut self) -> bool {
        let someone = !self.queues.is_empty() || !self.beginners.is_empty();
        let must = someone && self.granted.is_none() && !self.is_watched;
        self.is_watched |= must;
        must
    }

    /// Begins the next round; returns who is to be woken, in that order.
    fn next_round(&mut self) -> Vec<Waker> {
        self.is_watched = false;
        // In front of the long runner: they are short as a rule.
        let mut woken = std::mem::take(&mut self.beginners);
        if self.granted.is_none()
            && let Some(mut queue) = self.queues.pop_front()
            && let Some((ticket, waker)) = queue.guests.pop_front()
        {
            self.granted = Some(ticket);
            woken.push(waker);
            if !queue.guests.is_empty() {
                self.queues.push_back(queue);
            }
        }
        woken
    }
}

/// Does something with this thread's turns, and sees that the end of the round is heard of if
/// somebody waits for it.
fn with_turns<R>(f: impl FnOnce(&mut Turns) -> R) -> Option<R> {
    let done = TURNS.try_with(|turns| {
        let mut turns = turns.borrow_mut();
        (f(&mut turns), turns.must_watch())
    });
    // The thread is ending, and nobody waits any more.
    let (result, must_watch) = done.ok()?;
    if must_watch {
        // Nothing is borrowed here: outside of a runtime the waker is woken at once.
        let round = pin!(tokio::task::yield_now());
        let _ = round.poll(&mut Context::from_waker(&ROUND));
    }
    Some(result)
}

/// Ends a round.
struct Round;

impl Wake for Round {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let _ = SPENT.try_with(|spent| spent.set(0));
        // Not by `with_turns`: the runtime does not let itself be asked again meanwhile, and there is
        // no need to, because whoever is woken here comes by.
        let woken = TURNS.try_with(|turns| turns.borrow_mut().next_round());
        woken.into_iter().flatten().for_each(Waker::wake);
    }
}

/// The wait of a guest that has run past a tick. Ready when it is its turn.
pub(super) struct GuestTurn {
    owner: usize,
    ticket: Option<u64>,
    pace: Arc<Pace>,
}

impl GuestTurn {
    /// The next turn of a guest of the plugin `owner`, at that pace.
    pub(super) fn new(owner: usize, pace: Arc<Pace>) -> Self {
        SPENT.set(SPENT.get() | bit(owner));
        pace.stop_for_turn();
        Self {
            owner,
            ticket: None,
            pace,
        }
    }
}

impl Future for GuestTurn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (owner, waker) = (self.owner, context.waker());
        let Some(ticket) = self.ticket else {
            self.ticket = with_turns(|turns| turns.enter(owner, waker));
            return Poll::Pending;
        };
        if with_turns(|turns| turns.take(ticket, waker)) == Some(false) {
            return Poll::Pending;
        }
        self.ticket = None;
        self.pace.go_on();
        Poll::Ready(())
    }
}

impl Drop for GuestTurn {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            with_turns(|turns| turns.leave(ticket));
        }
    }
}

/// Whether the plugin has used up a tick in this round.
pub(super) fn is_spent(owner: usize) -> bool {
    SPENT.get() & bit(owner) != 0
}

/// Waits until an event of the plugin may begin.
pub(super) async fn begin(owner: usize) {
    poll_fn(|context| {
        if !is_spent(owner) {
            return Poll::Ready(());
        }
        let waker = context.waker().clone();
        with_turns(|turns| turns.beginners.push(waker));
        Poll::Pending
    })
    .await;
}

fn bit(owner: usize) -> u64 {
    1 << (owner % 64)
}

#[cfg(test)]
mod tests;
