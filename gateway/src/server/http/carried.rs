//! A call of a guest whose client may leave.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::supervise;

/// A future that is carried to its end: dropped before, it goes on as a task of its own. A guest's
/// call must not be dropped half-way, and its effects are not only for the client who asked.
pub(super) struct Carried<F: Future + 'static>(Option<Pin<Box<F>>>);

impl<F: Future + 'static> Carried<F> {
    pub(super) fn new(future: F) -> Self {
        Self(Some(Box::pin(future)))
    }
}

impl<F: Future + 'static> Future for Carried<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let future = self.0.as_mut().expect("it has not ended yet");
        let output = ready!(future.as_mut().poll(context));
        self.0 = None;
        Poll::Ready(output)
    }
}

impl<F: Future + 'static> Drop for Carried<F> {
    fn drop(&mut self) {
        if let Some(future) = self.0.take() {
            // Nobody is left to hear of what it comes to.
            supervise::passing("a request whose client has left", future);
        }
    }
}
