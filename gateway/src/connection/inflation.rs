//! Compressed messages of a connection (RFC 7692 section 6.2).

use tidegate_codec::Violation;
use tidegate_codec::deflate::{Course, InflateError, Inflater};

use super::ending::broken;
use super::events::Events;
use crate::close::CloseCause;
use crate::config::RouteLimits;
use crate::handler::Handler;
use crate::labels::Excess;
use crate::message::Message;
use crate::pending::Share;
use crate::rate::Meter;
use crate::shard::{Inflating, SCRATCH_SIZE, SLICE};

/// Messages that inflate to no more than this may do so however small they were: they are done
/// within a few slices, and empty space in a short text is nothing strange.
const RATIO_FROM: usize = 1 << 20;

/// How a connection's compressed messages are read.
pub(super) enum Inflation {
    /// Each stands alone: with a decompressor of the shard's.
    Shared,
    /// Messages may refer to those before them: with an inflater of the connection's own, made when
    /// it is needed.
    Own(Option<Box<Inflater>>),
}

impl Inflation {
    /// The inflation of a connection whose messages may refer to those before them, or not.
    pub(super) fn new(takes_over: bool) -> Self {
        match takes_over {
            true => Self::Own(None),
            false => Self::Shared,
        }
    }

    /// Inflates a compressed message, text or not, and handles it, if it is to be `handled`. One
    /// that is not is inflated all the same: those after it may refer to it.
    pub(super) async fn message<H: Handler>(
        &mut self,
        events: &mut Events<H>,
        meter: &mut Meter,
        limits: &RouteLimits,
        (text, payload): (bool, &[u8]),
        handled: bool,
    ) -> Option<CloseCause> {
        let mut spare = events.shard().take_inflater();
        let result = self.inflate(events, limits, payload, &mut spare).await;
        meter.bytes(spare.inflated.len());
        let message = match result {
            Ok(_) if text => simdutf8::basic::from_utf8(&spare.inflated)
                .map(Message::Text)
                .map_err(|_| broken(Violation::Utf8)),
            Ok(_) => Ok(Message::Binary(&spare.inflated)),
            Err(ref cause) => Err(cause.clone()),
        };
        let ended = match message {
            Ok(message) if handled => {
                if spare.inflated.len() > SLICE {
                    events.shard().afford(spare.inflated.len()).await;
                }
                events.messages(&[message]).await.1
            }
            Ok(_) => None,
            Err(cause) => Some(cause),
        };
        events.shard().give_inflater(spare);
        ended
    }

    /// Inflates a message slice by slice, others having their turn between them. What it holds
    /// beyond one slice is part of the process's budget, as long as the result lives.
    async fn inflate<H: Handler>(
        &mut self,
        events: &Events<H>,
        limits: &RouteLimits,
        payload: &[u8],
        spare: &mut Inflating,
    ) -> Result<Option<Share>, CloseCause> {
        let ratio = payload.len().saturating_mul(limits.inflation);
        let max = limits.message.min(ratio.max(RATIO_FROM));
        let (inflater, keep) = match self {
            Self::Shared => (&mut spare.inflater, false),
            Self::Own(own) => (&mut **own.get_or_insert_default(), true),
        };
        let inflated = &mut spare.inflated;
        let mut course = Course::new(payload, inflated, max, keep);
        let mut share = None;
        loop {
            events.shard().afford(0).await;
            let before = inflated.len();
            let done =
                inflater
                    .advance(&mut course, inflated, SLICE)
                    .map_err(|error| match error {
                        InflateError::TooBig if max < limits.message => {
                            CloseCause::Excess(Excess::Inflation)
                        }
                        InflateError::TooBig => broken(Violation::TooBig),
                        InflateError::Invalid => broken(Violation::Deflate),
                    })?;
            events.shard().spend(inflated.len() - before);
            if done && !events.is_busy() {
                return Ok(share);
            }
            // What it was read into may be the shard's, and is kept from others meanwhile.
            let held = inflated.capacity() + SCRATCH_SIZE;
            let claimed: &mut Share = share.get_or_insert_with(|| events.shard().pending().share());
            if !claimed.resize(held) {
                inflater.reset();
                return Err(CloseCause::Excess(Excess::Pending));
            }
            if done {
                return Ok(share);
            }
        }
    }
}
