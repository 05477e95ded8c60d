//! Bodies, from and into the streams of `wasi:io`.

use super::HttpError;
use crate::bindings::http_client::wasi::http::types::{
    IncomingBody, OutgoingBody, http_error_code,
};
use crate::bindings::http_client::wasi::io::streams::StreamError;

/// What is read at once: one chunk of most responses.
const CHUNK: u64 = 64 << 10;

/// Reads a body to its end. The gateway bounds its size.
pub(super) fn read(body: IncomingBody) -> Result<Vec<u8>, HttpError> {
    let mut bytes = Vec::new();
    // The stream goes before the body it is a part of.
    let stream = body.stream().map_err(|()| lost())?;
    loop {
        match stream.blocking_read(CHUNK) {
            Ok(chunk) if bytes.is_empty() => bytes = chunk,
            Ok(chunk) => bytes.extend(chunk),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(error)) => {
                return Err(match http_error_code(&error) {
                    Some(code) => code.into(),
                    None => HttpError::Failed(error.to_debug_string()),
                });
            }
        }
    }
}

/// Writes a whole body. Whoever it is for may stop reading it, which is no error of the body's.
pub(super) fn write(body: OutgoingBody, bytes: &[u8]) -> Result<(), HttpError> {
    let stream = body.write().map_err(|()| lost())?;
    let mut left = bytes;
    let mut is_taken = true;
    while is_taken && !left.is_empty() {
        match stream.check_write() {
            Ok(0) => stream.subscribe().block(),
            Ok(room) => {
                let room = usize::try_from(room).unwrap_or(usize::MAX);
                let (chunk, rest) = left.split_at(left.len().min(room));
                is_taken = stream.write(chunk).is_ok();
                left = rest;
            }
            Err(_) => is_taken = false,
        }
    }
    drop(stream);
    match is_taken {
        true => Ok(OutgoingBody::finish(body, None)?),
        false => Ok(()),
    }
}

fn lost() -> HttpError {
    HttpError::Failed("the body was taken already".to_owned())
}
