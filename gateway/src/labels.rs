//! The labels by which counts of one family are told apart. Each family's are an enum, so that a
//! label which no family has does not compile. To count one more reason, add its line below.

/// The labels of one family.
pub trait Label: Copy + 'static {
    /// One `T` for each label.
    type Row<T>: AsRef<[T]>;

    /// All labels, in the order of their indices.
    const ALL: &'static [Self];

    /// A row of what `each` gives for an index.
    fn row<T>(each: impl FnMut(usize) -> T) -> Self::Row<T>;

    /// The label's place in a row.
    fn index(self) -> usize;

    /// The name used in metrics and logs.
    fn name(self) -> &'static str;
}

macro_rules! labels {
    ($($(#[$family:meta])* $kind:ident { $($(#[$about:meta])* $label:ident = $name:literal,)+ })+) => {$(
        $(#[$family])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $kind { $($(#[$about])* $label,)+ }

        impl Label for $kind {
            type Row<T> = [T; [$($name),+].len()];

            const ALL: &'static [Self] = &[$(Self::$label),+];

            fn row<T>(each: impl FnMut(usize) -> T) -> Self::Row<T> {
                std::array::from_fn(each)
            }

            fn index(self) -> usize {
                self as usize
            }

            fn name(self) -> &'static str {
                match self { $(Self::$label => $name,)+ }
            }
        }
    )+};
}

labels! {
    /// Events, by what a handler is told of.
    EventKind {
        /// A message of a client.
        Message = "message",
        /// A connection has opened.
        Open = "open",
        /// A connection has ended.
        Close = "close",
        /// Everything queued for a connection is written.
        Drain = "drain",
        /// A request for a connection, or a plain one in front of the plugin that answers it.
        Upgrade = "upgrade",
        /// A plain request.
        Request = "request",
        /// A timer has fired.
        Timer = "timer",
        /// A key of a watched bucket has changed.
        Change = "change",
    }

    /// Failed calls of a handler, by how they failed.
    FailureKind {
        /// The handler returned an error.
        Error = "error",
        /// The guest trapped.
        Trap = "trap",
        /// The guest ran too long.
        Deadline = "deadline",
        /// The guest waited too long in host functions.
        Wait = "wait",
        /// The guest asked for more memory than its limit.
        Memory = "memory",
        /// No instance could be had.
        Unavailable = "unavailable",
        /// No instance came free in time.
        Busy = "busy",
        /// A generation refused the state of an earlier one.
        Refused = "refused",
    }

    /// Ends of connections, by cause.
    CloseKind {
        /// The peer closed.
        Peer = "peer",
        /// The socket was lost.
        Lost = "lost",
        /// Nothing came for too long.
        Idle = "idle",
        /// The peer did not read.
        SlowConsumer = "slow-consumer",
        /// The peer broke the protocol, or its message was too big.
        ProtocolError = "protocol-error",
        /// The peer sent more, or more slowly, than it may.
        Excess = "excess",
        /// A handler failed.
        Failed = "failed",
        /// A handler or an operator closed it.
        Kicked = "kicked",
        /// The gateway shut down.
        Drained = "drained",
    }

    /// Closing handshakes, by how they ended.
    ClosingEnd {
        /// Both sides have said it, or the peer's end followed where it says no more.
        Agreed = "agreed",
        /// The peer had our close frame and did not answer in time.
        Unanswered = "unanswered",
        /// The peer took nothing more of what was queued in front of the close frame.
        Stalled = "stalled",
        /// The peer took what was queued so slowly that the limit was reached.
        Overdue = "overdue",
        /// The socket was lost, or ended without a close frame.
        Lost = "lost",
    }

    /// Limits on what a client sends that were met: how often one was closed for it, had a message
    /// dropped, or began to wait.
    Excess {
        /// Messages, by `limits.rate`.
        Messages = "messages",
        /// Bytes, by `limits.byte_rate`.
        Bytes = "bytes",
        /// Pings and pongs, by `limits.control_rate`.
        Control = "control",
        /// Frames of one message, by `limits.fragments`.
        Fragments = "fragments",
        /// What a compressed message inflates to, by `limits.inflation`.
        Inflation = "inflation",
        /// Time for one message, by `limits.message_time`.
        Time = "message-time",
        /// Memory of the process for what is not whole, by `pending` of `[server]`.
        Pending = "pending",
        /// Events that failed by their guest, by `limits.failures`.
        Failures = "failures",
    }

    /// Requests and sockets that became neither a connection nor an answer of a plugin, by reason.
    RefusalReason {
        /// There are as many connections or sockets as there may be.
        Limit = "limit",
        /// The gateway is shutting down.
        Draining = "draining",
        /// No route has the path.
        Route = "route",
        /// The page's origin is not allowed.
        Origin = "origin",
        /// The request breaks the protocol.
        Malformed = "malformed",
        /// The body is over its limit.
        TooLarge = "too-large",
        /// The handler said no.
        Handler = "handler",
        /// The handler failed.
        Failed = "failed",
        /// The request did not arrive whole in time.
        Handshake = "handshake",
        /// The client did not take its response.
        Stalled = "stalled",
        /// The client left before its connection was granted.
        Gone = "gone",
        /// The client's address has as many connections as it may.
        AddressConnections = "address-connections",
        /// The client's address has as many sockets as it may.
        AddressSockets = "address-sockets",
        /// The client's address has as many sockets without a request as it may.
        AddressHandshakes = "address-handshakes",
        /// The client's address upgrades too often.
        AddressUpgrades = "address-upgrades",
        /// The process has as many descriptors as clients may take.
        Descriptors = "descriptors",
        /// The gateway is not asked under that name.
        Host = "host",
        /// What has come in only in part takes as much memory as it may.
        Pending = "pending",
    }

    /// Messages that were not delivered, by reason.
    DropReason {
        /// The outbox was full, and the policy is to drop what comes.
        DropNewest = "drop-newest",
        /// The message gave way to a newer one.
        DropOldest = "drop-oldest",
        /// The outbox was full, and the policy is to close.
        SlowConsumer = "slow-consumer",
        /// The queue to another shard was full.
        ShardQueue = "shard-queue",
        /// The connection is ending or gone.
        Closing = "closing",
        /// The event had done as much as its limit allows.
        Effects = "effects",
        /// The message is longer than the outbox, and the process has no room for another such one.
        Oversize = "oversize",
        /// No message but a timer of a plugin's own, which has as many as it may.
        Timers = "timers",
    }

    /// HTTP requests that plugins sent, by what became of them.
    RequestResult {
        /// The server answered.
        Ok = "ok",
        /// The plugin may not send it.
        Denied = "denied",
        /// Too many were under way.
        Limit = "limit",
        /// The answer took too long.
        Timeout = "timeout",
        /// A body was over its limit.
        TooLarge = "too-large",
        /// Any other failure.
        Failed = "failed",
        /// The event ended before it was answered.
        Cancelled = "cancelled",
    }

    /// Publishes that were asked for from outside, by what became of them.
    PublishResult {
        /// Taken.
        Taken = "taken",
        /// No room on the way to a shard.
        ShardQueue = "shard-queue",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn check<L: Label>() {
        let names: HashSet<_> = L::ALL.iter().map(|label| label.name()).collect();
        assert_eq!(names.len(), L::ALL.len(), "{names:?}");
        assert_eq!(L::row(|_| ()).as_ref().len(), L::ALL.len());
        for (index, label) in L::ALL.iter().enumerate() {
            assert_eq!(label.index(), index);
        }
    }

    #[test]
    fn every_label_has_a_name_and_a_place_of_its_own() {
        check::<EventKind>();
        check::<FailureKind>();
        check::<CloseKind>();
        check::<Excess>();
        check::<RefusalReason>();
        check::<DropReason>();
        check::<RequestResult>();
        check::<PublishResult>();
    }
}
