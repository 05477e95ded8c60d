//! Why a connection ended, and the one table of close codes we send.
//!
//! | cause | code sent | may the client come back? |
//! | --- | --- | --- |
//! | peer closed | its own code, echoed (RFC 6455 section 5.5.1) | as it likes |
//! | lost | none: nothing can be sent | yes |
//! | idle | 1001 | yes |
//! | slow consumer | 1013 | yes, after a while |
//! | protocol error | 1002, 1007 or 1009 (section 7.4.1) | not with the same bytes |
//! | excess | 1008, 1009 or 1013, see [`Excess::code`] | 1013: yes, after a while |
//! | failed | 1011 | yes |
//! | kicked | what the handler or operator said | by its code: 1008 means stop |
//! | state refused by a new generation | 1012 (as kicked) | yes, and begins anew |
//! | drained | 1001 | yes, after a moment: another process may serve it |

use std::fmt;

use crate::labels::{CloseKind, Excess, Label};

/// What a close frame carries (RFC 6455 section 5.5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// A status code (section 7.4). 1005 stands for a frame without one and is never sent.
    pub code: u16,
    /// At most 123 bytes.
    pub reason: String,
}

impl CloseFrame {
    /// 1012, "service restart": the client should come back.
    pub fn restart() -> Self {
        Self {
            code: 1012,
            reason: "service restart".to_owned(),
        }
    }
}

/// The code that stands for "the peer's close frame had none" (section 7.4.1).
pub const NO_STATUS: u16 = 1005;
/// A control frame carries 125 bytes (section 5.5), two of which are the code.
pub const REASON_MAX: usize = 123;

/// Why a connection ended. Exactly one is given to the handler's `on-close`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseCause {
    /// The peer closed.
    Peer(CloseFrame),
    /// The socket was lost without a close frame.
    Lost(String),
    /// Nothing came for the idle timeout, or no pong for the pong deadline.
    Idle,
    /// The outbox was full and the route's policy is to close.
    SlowConsumer,
    /// The peer broke RFC 6455, or its message was too big.
    ProtocolError {
        /// 1002, 1007 or 1009.
        code: u16,
        /// The rule that was broken.
        reason: String,
    },
    /// The peer sent more, or more slowly, than it may.
    Excess(Excess),
    /// A handler trapped, missed its deadline or hit its memory limit.
    Failed(String),
    /// A handler or an operator closed it.
    Kicked(CloseFrame),
    /// The gateway is shutting down.
    Drained,
}

impl Excess {
    /// The close code: 1008 for what the client could have known, 1009 for what is too big, and 1013
    /// for what may do better later.
    pub fn code(self) -> u16 {
        match self {
            Self::Messages | Self::Bytes | Self::Control | Self::Fragments => 1008,
            Self::Inflation => 1009,
            Self::Time | Self::Pending => 1013,
            Self::Failures => 1011,
        }
    }

    /// What the client is told.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Messages => "too many messages",
            Self::Bytes => "too many bytes",
            Self::Control => "too many pings or pongs",
            Self::Fragments => "too many fragments",
            Self::Inflation => "message inflates too much",
            Self::Time => "message took too long",
            Self::Pending => "no memory for messages just now",
            Self::Failures => "handler failed",
        }
    }

    /// What the handler and the log are told: the limit, and the key to raise it by.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Messages => {
                "too many messages: raise `limits.rate` of the route if clients need it"
            }
            Self::Bytes => {
                "too many bytes: raise `limits.byte_rate` of the route if clients need it"
            }
            Self::Control => {
                "too many pings or pongs: raise `limits.control_rate` of the route if clients need it"
            }
            Self::Fragments => {
                "too many fragments of a message: raise `limits.fragments` of the route if clients need it"
            }
            Self::Inflation => {
                "a message inflates too much: raise `limits.inflation` of the route if clients need it"
            }
            Self::Time => {
                "a message took too long: raise `limits.message_time` of the route if clients are that slow"
            }
            Self::Pending => {
                "no room for what is not whole yet: raise `pending` in [server] if there is memory"
            }
            Self::Failures => {
                "too many events failed within a minute: raise `limits.failures` of the route if they have to"
            }
        }
    }
}

impl CloseCause {
    /// The close frame we send for this cause; none where none can or may be sent.
    pub fn frame(&self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            Self::Peer(frame) if frame.code == NO_STATUS => (NO_STATUS, ""),
            Self::Peer(frame) | Self::Kicked(frame) => return Some(frame.clone()),
            Self::Lost(_) => return None,
            Self::Idle => (1001, "idle"),
            Self::SlowConsumer => (1013, "slow consumer"),
            Self::ProtocolError { code, reason } => (*code, reason.as_str()),
            Self::Excess(excess) => (excess.code(), excess.reason()),
            // The guest's own words stay in our log: they are not for strangers.
            Self::Failed(_) => (1011, "handler failed"),
            Self::Drained => (1001, "shutting down"),
        };
        Some(CloseFrame {
            code,
            reason: reason.to_owned(),
        })
    }

    /// The label it is counted under.
    pub fn kind(&self) -> CloseKind {
        match self {
            Self::Peer(_) => CloseKind::Peer,
            Self::Lost(_) => CloseKind::Lost,
            Self::Idle => CloseKind::Idle,
            Self::SlowConsumer => CloseKind::SlowConsumer,
            Self::ProtocolError { .. } => CloseKind::ProtocolError,
            Self::Excess(_) => CloseKind::Excess,
            Self::Failed(_) => CloseKind::Failed,
            Self::Kicked(_) => CloseKind::Kicked,
            Self::Drained => CloseKind::Drained,
        }
    }
}

impl fmt::Display for CloseCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.kind().name();
        match self {
            Self::Peer(frame) | Self::Kicked(frame) => {
                write!(f, "{name} {} {:?}", frame.code, frame.reason)
            }
            Self::Lost(why) | Self::Failed(why) => write!(f, "{name}: {why}"),
            Self::ProtocolError { code, reason } => write!(f, "{name} {code}: {reason}"),
            Self::Excess(excess) => write!(f, "{name}: {}", excess.remedy()),
            Self::Idle | Self::SlowConsumer | Self::Drained => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_codec as codec;

    #[test]
    fn every_frame_we_send_fits_a_control_frame_and_has_a_sendable_code() {
        for cause in [
            CloseCause::Idle,
            CloseCause::SlowConsumer,
            CloseCause::Excess(Excess::Time),
            CloseCause::Excess(Excess::Inflation),
            CloseCause::Excess(Excess::Control),
            CloseCause::Excess(Excess::Failures),
            CloseCause::Failed("x".repeat(500)),
            CloseCause::Drained,
        ] {
            let frame = cause.frame().expect("these causes send a frame");
            assert!(codec::close_code_allowed(frame.code), "{cause}");
            assert!(frame.reason.len() <= REASON_MAX, "{cause}");
        }
    }
}
