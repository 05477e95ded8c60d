//! The bodies of requests and responses, within their limits.

use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::{LengthLimitError, Limited};
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use wasmtime_wasi_http::Error;

use super::outcome::{self, RequestOutcome};
use crate::labels::RequestResult;

/// What an error of a [`Limited`] body means; `over` makes that of one that is too large.
pub(super) fn within(
    error: Box<dyn StdError + Send + Sync>,
    over: impl FnOnce() -> Error,
) -> Error {
    if error.is::<LengthLimitError>() {
        return over();
    }
    match error.downcast::<Error>() {
        Ok(error) => *error,
        Err(error) => Error::InternalError(Some(error.to_string())),
    }
}

/// The body of a response: no more than so many bytes, and none after its deadline.
pub(super) struct ResponseBody<B> {
    body: Pin<Box<Limited<B>>>,
    max: usize,
    deadline: Pin<Box<Sleep>>,
    outcome: RequestOutcome,
}

impl<B> ResponseBody<B> {
    pub(super) fn new(body: B, max: usize, deadline: Instant, outcome: RequestOutcome) -> Self {
        Self {
            body: Box::pin(Limited::new(body, max)),
            max,
            deadline: Box::pin(sleep_until(deadline)),
            outcome,
        }
    }
}

impl<B: Body<Data = Bytes, Error = Error>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = match self.body.as_mut().poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(self.deadline.as_mut().poll(context));
                self.outcome.set(RequestResult::Timeout);
                return Poll::Ready(Some(Err(Error::HttpResponseTimeout)));
            }
        };
        let max = self.max as u64;
        let frame = frame.map(|frame| {
            let over = || Error::HttpResponseBodySize(Some(max));
            frame
                .map_err(|error| within(error, over))
                .inspect_err(|error| {
                    self.outcome.set(outcome::result_of(error));
                })
        });
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
