//! What a connection has to be told.

use std::task::{Context, Waker};

use crate::close::CloseCause;

/// What a connection has to be told.
#[derive(Debug, PartialEq, Eq)]
pub enum Wake {
    /// The connection is to end.
    Close(CloseCause),
    /// The outbox has drained, and that was promised to a handler.
    Drained,
    /// A timer of it has fired, or several.
    Fired,
}

/// Set by the shard, taken by the connection.
#[derive(Debug, Default)]
pub(super) struct Signal {
    close: Option<CloseCause>,
    /// Once a close was asked for, later causes are ignored: a connection ends once.
    closing: bool,
    drained: bool,
    fired: bool,
    /// Of both, the one that was told last gives way.
    told_drained: bool,
    /// The task that sees the connection off, once it has one.
    waker: Option<Waker>,
}

impl Signal {
    /// Asks the connection to end. Returns whether this is the first to ask.
    pub(super) fn request_close(&mut self, cause: CloseCause) -> bool {
        if self.closing {
            return false;
        }
        self.closing = true;
        self.close = Some(cause);
        true
    }

    /// Whether the connection has been asked to end.
    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }

    /// Says that the outbox has drained.
    pub(super) fn set_drained(&mut self) {
        self.drained = true;
    }

    /// Says that a timer has fired.
    pub(super) fn set_fired(&mut self) {
        self.fired = true;
    }

    /// What is to be done, if anything; closing first.
    pub(super) fn take(&mut self) -> Option<Wake> {
        if let Some(cause) = self.close.take() {
            return Some(Wake::Close(cause));
        }
        if self.drained && !(self.fired && self.told_drained) {
            self.drained = false;
            self.told_drained = true;
            return Some(Wake::Drained);
        }
        self.told_drained = false;
        std::mem::take(&mut self.fired).then_some(Wake::Fired)
    }

    /// Whether there is still something to be done.
    pub(super) fn has_more(&self) -> bool {
        self.close.is_some() || self.drained || self.fired
    }

    /// The cause of a close that was asked for.
    pub(super) fn take_close(&mut self) -> Option<CloseCause> {
        self.close.take()
    }

    /// Has the task woken by whatever happens next.
    pub(super) fn watch(&mut self, context: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
    }

    /// Wakes the task, for instance because the outbox has been written.
    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}
