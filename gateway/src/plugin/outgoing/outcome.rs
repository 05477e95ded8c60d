//! What became of outgoing requests: as metrics count it, and as guests are told.

use std::error::Error as _;
use std::io;

use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;

use crate::labels::RequestResult;
use crate::shard;

/// What became of one request. Counted when it is dropped, so each is counted once.
pub(super) struct RequestOutcome(RequestResult);

impl RequestOutcome {
    /// One that is so unless something else is set.
    pub(super) fn new(result: RequestResult) -> Self {
        Self(result)
    }

    pub(super) fn set(&mut self, result: RequestResult) {
        self.0 = result;
    }
}

impl Drop for RequestOutcome {
    fn drop(&mut self) {
        // The check of a new generation runs on no shard, and is not counted.
        shard::with_current(|shard| {
            if let Some(shard) = shard {
                shard.counters().outgoing.count(self.0);
            }
        });
    }
}

/// The label an error is counted under.
pub(super) fn result_of(error: &Error) -> RequestResult {
    match error {
        Error::ConnectionTimeout | Error::ConnectionReadTimeout | Error::HttpResponseTimeout => {
            RequestResult::Timeout
        }
        Error::HttpRequestBodySize(_) | Error::HttpResponseBodySize(_) => RequestResult::TooLarge,
        Error::Hyper(error) if request_is_too_large(error).is_some() => RequestResult::TooLarge,
        _ => RequestResult::Failed,
    }
}

/// The limit on the request's body, if that is why hyper gave up.
fn request_is_too_large(error: &hyper::Error) -> Option<Option<u64>> {
    match error.source()?.downcast_ref()? {
        Error::HttpRequestBodySize(max) => Some(*max),
        _ => None,
    }
}

/// What a guest is told of an error that ended a body.
pub(in crate::plugin) fn code_of(error: &Error) -> ErrorCode {
    match error {
        Error::Hyper(error) => code_of_hyper(error),
        Error::HttpRequestBodySize(max) => ErrorCode::HttpRequestBodySize(*max),
        Error::HttpResponseBodySize(max) => ErrorCode::HttpResponseBodySize(*max),
        Error::HttpResponseTimeout => ErrorCode::HttpResponseTimeout,
        Error::ConnectionReadTimeout => ErrorCode::ConnectionReadTimeout,
        other => ErrorCode::InternalError(Some(other.to_string())),
    }
}

/// What a guest is told of an error while HTTP was spoken.
pub(super) fn code_of_hyper(error: &hyper::Error) -> ErrorCode {
    if let Some(max) = request_is_too_large(error) {
        return ErrorCode::HttpRequestBodySize(max);
    }
    if error.is_incomplete_message() {
        return ErrorCode::HttpResponseIncomplete;
    }
    let is_io = error
        .source()
        .is_some_and(|source| source.is::<io::Error>());
    match is_io || error.is_canceled() || error.is_closed() {
        true => ErrorCode::ConnectionTerminated,
        false => ErrorCode::HttpProtocolError,
    }
}

/// What a guest is told of a server that was not reached.
pub(super) fn code_of_connect(error: &io::Error) -> ErrorCode {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorCode::ConnectionRefused,
        io::ErrorKind::TimedOut => ErrorCode::ConnectionTimeout,
        _ => ErrorCode::DestinationUnavailable,
    }
}
