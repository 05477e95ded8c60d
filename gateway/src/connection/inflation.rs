//! Compressed messages of a connection (RFC 7692 section 6.2).

use super::broken;
use super::events::Events;
use crate::close::CloseCause;
use crate::codec::Violation;
use crate::codec::deflate::{InflateError, Inflater};
use crate::handler::Handler;
use crate::message::Message;
use crate::shard::Inflating;

/// How a connection's compressed messages are read.
pub(super) enum Inflation {
    /// Each stands alone: with a decompressor of the shard's.
    Shared,
    /// They may refer to those before them: with one of its own, made when it is needed.
    Own(Option<Box<Inflater>>),
}

impl Inflation {
    /// That of a connection whose messages may refer to those before them, or not.
    pub(super) fn new(takes_over: bool) -> Self {
        match takes_over {
            true => Self::Own(None),
            false => Self::Shared,
        }
    }

    /// Handles a compressed message of at most `max` bytes, once they are inflated.
    pub(super) async fn message<H: Handler>(
        &mut self,
        events: &mut Events<H>,
        text: bool,
        payload: &[u8],
        max: usize,
    ) -> Option<CloseCause> {
        let mut spare = events.shard().take_inflater();
        let Inflating {
            inflater: shared,
            inflated,
        } = &mut spare;
        let result = match self {
            Self::Shared => shared.inflate(payload, inflated, max, false),
            Self::Own(own) => own
                .get_or_insert_default()
                .inflate(payload, inflated, max, true),
        };
        let message = match result {
            Ok(()) if text => simdutf8::basic::from_utf8(inflated)
                .map(Message::Text)
                .map_err(|_| Violation::Utf8),
            Ok(()) => Ok(Message::Binary(inflated)),
            Err(InflateError::TooBig) => Err(Violation::TooBig),
            Err(InflateError::Invalid) => Err(Violation::Deflate),
        };
        let ended = match message {
            Ok(message) => events.messages(&[message]).await.1,
            Err(violation) => Some(broken(violation)),
        };
        events.shard().give_inflater(spare);
        ended
    }
}
