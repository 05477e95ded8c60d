//! From the seam's types to those of the contract. What can be borrowed is.

use super::contract::{self, Inbound};
use crate::close::{CloseCause, CloseFrame};
use crate::handler::Request;
use crate::message::Message;

/// A request as a guest takes it; `peer` is its address in words.
pub(super) fn request<'a>(request: &'a Request, peer: &'a str) -> contract::Request<'a> {
    contract::Request {
        path: &request.path,
        params: request
            .params
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect(),
        query: request.query.as_deref(),
        headers: request
            .headers
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect(),
        peer,
        subprotocols: request.subprotocols.iter().map(String::as_str).collect(),
    }
}

/// A message as a guest takes it.
pub(super) fn message<'a>(message: &Message<'a>) -> Inbound<'a> {
    match *message {
        Message::Text(text) => Inbound::Text(text),
        Message::Binary(bytes) => Inbound::Binary(bytes),
    }
}

/// A close cause as a guest takes it.
pub(super) fn cause(cause: &CloseCause) -> contract::CloseCause<'_> {
    use contract::CloseCause as Lowered;
    match cause {
        CloseCause::Peer(frame) => Lowered::Peer(lower_frame(frame)),
        CloseCause::Lost(why) => Lowered::Lost(why),
        CloseCause::Idle => Lowered::Idle,
        CloseCause::SlowConsumer => Lowered::SlowConsumer,
        CloseCause::ProtocolError { reason, .. } => Lowered::ProtocolError(reason),
        CloseCause::Excess(excess) => Lowered::ProtocolError(excess.remedy()),
        CloseCause::Failed(why) => Lowered::Failed(why),
        CloseCause::Kicked(frame) => Lowered::Kicked(lower_frame(frame)),
        CloseCause::Drained => Lowered::Drained,
    }
}

fn lower_frame(frame: &CloseFrame) -> contract::CloseFrame<'_> {
    contract::CloseFrame {
        code: frame.code,
        reason: &frame.reason,
    }
}
