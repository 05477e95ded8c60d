//! The body of the gateway's own HTTP responses.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;

/// The body of an HTTP response: whole, or streamed as the console's events are.
pub(crate) type HttpBody = UnsyncBoxBody<Bytes, Infallible>;
