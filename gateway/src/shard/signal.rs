//! How the shard reaches a connection's task.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};

use crate::close::CloseCause;

/// Why a connection's task was woken.
#[derive(Debug, PartialEq, Eq)]
pub enum Wake {
    /// It is to end.
    Close(CloseCause),
    /// Its outbox has drained, and that was promised to a handler.
    Drained,
}

/// Set by the shard, awaited by the connection's task.
#[derive(Debug, Default)]
pub struct Signal {
    waker: RefCell<Option<Waker>>,
    close: RefCell<Option<CloseCause>>,
    /// Once a close was asked for, later causes are ignored: a connection ends once.
    closed: Cell<bool>,
    drained: Cell<bool>,
}

impl Signal {
    /// Asks the connection to end. Returns whether this is the first to ask.
    pub fn request_close(&self, cause: CloseCause) -> bool {
        if self.closed.replace(true) {
            return false;
        }
        *self.close.borrow_mut() = Some(cause);
        self.wake();
        true
    }

    /// Says that the outbox has drained.
    pub fn set_drained(&self) {
        self.drained.set(true);
        self.wake();
    }

    /// What is to be done, if anything; closing first.
    pub fn take(&self) -> Option<Wake> {
        if let Some(cause) = self.take_close() {
            return Some(Wake::Close(cause));
        }
        self.drained.replace(false).then_some(Wake::Drained)
    }

    /// Ready when there is something to be done.
    pub fn poll(&self, context: &mut Context<'_>) -> Poll<Wake> {
        if let Some(wake) = self.take() {
            return Poll::Ready(wake);
        }
        self.watch(context);
        Poll::Pending
    }

    /// The cause of a close that was asked for.
    pub fn take_close(&self) -> Option<CloseCause> {
        self.close.borrow_mut().take()
    }

    /// Has the task woken by whatever happens next.
    pub fn watch(&self, context: &mut Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(context.waker()))
        {
            *waker = Some(context.waker().clone());
        }
    }

    /// Wakes the task, for instance because its outbox has been written.
    pub fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}
