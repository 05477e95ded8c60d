//! Every answer to a request that does not become a connection, but for those a handler gives.

use hyper::StatusCode;

use super::addresses::Crowd;

use crate::labels::RefusalReason;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No route has this path.
    Route,
    /// The route has WebSockets only.
    NotAnUpgrade,
    /// Another version of the protocol (RFC 6455 section 4.4).
    Version,
    /// The request breaks RFC 6455 section 4.2.1.
    Malformed(&'static str),
    /// The body is over `limits.body` of the route.
    TooLarge,
    /// The body took longer than `limits.body_timeout` of the route.
    Slow,
    /// The page is not from an allowed origin.
    Origin,
    /// The process has as many connections as it may.
    Full,
    /// The client's address has as many of these as it may.
    Crowded(Crowd),
    /// What has come in only in part takes as much memory as it may.
    Pending,
    /// The gateway is not asked under that name.
    Host,
    /// The gateway is shutting down.
    Draining,
    /// The plugin has no generation yet, or no instance can be had.
    Unavailable,
    /// The handler failed or gave an answer that can't be sent.
    Failed(String),
}

impl Refusal {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Route => StatusCode::NOT_FOUND,
            Self::NotAnUpgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Origin => StatusCode::FORBIDDEN,
            Self::Full | Self::Pending | Self::Draining | Self::Unavailable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Crowded(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The label it is counted under.
    pub(super) fn reason(&self) -> RefusalReason {
        match self {
            Self::Route => RefusalReason::Route,
            Self::NotAnUpgrade | Self::Version | Self::Malformed(_) => RefusalReason::Malformed,
            Self::TooLarge => RefusalReason::TooLarge,
            Self::Slow => RefusalReason::Handshake,
            Self::Origin => RefusalReason::Origin,
            Self::Full => RefusalReason::Limit,
            Self::Crowded(Crowd::Sockets) => RefusalReason::AddressSockets,
            Self::Crowded(Crowd::Handshakes) => RefusalReason::AddressHandshakes,
            Self::Crowded(Crowd::Connections) => RefusalReason::AddressConnections,
            Self::Crowded(Crowd::Upgrades) => RefusalReason::AddressUpgrades,
            Self::Pending => RefusalReason::Pending,
            Self::Host => RefusalReason::Host,
            Self::Draining => RefusalReason::Draining,
            Self::Unavailable | Self::Failed(_) => RefusalReason::Failed,
        }
    }

    /// What the client is told. What a handler did wrong is for our log, not for strangers.
    pub(super) fn words(&self) -> &'static str {
        match self {
            Self::Route => "no route has this path\n",
            Self::NotAnUpgrade => "this path speaks WebSocket: send an upgrade request\n",
            Self::Version => "this gateway speaks version 13 of WebSocket\n",
            Self::Malformed(what) => what,
            Self::TooLarge => "the body is larger than this path takes\n",
            Self::Slow => "the body took too long\n",
            Self::Origin => {
                "pages from this origin may not connect: `origins` of the route decides\n"
            }
            Self::Full => "too many connections: try again later\n",
            Self::Crowded(_) => "too many connections of this address: try again later\n",
            Self::Pending => "too much is coming in: try again later\n",
            Self::Host => "not asked under a name of this gateway: `hosts` in [server] has them\n",
            Self::Draining => "shutting down: try again\n",
            Self::Unavailable => "the handler is not ready: try again later\n",
            Self::Failed(_) => "the handler failed\n",
        }
    }
}
