//! When a quiet connection is pinged and when it is given up. Pure: it only does sums on
//! milliseconds of the shard's coarse clock.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::config::RouteLimits;
use crate::message::ConnectionId;

/// Milliseconds since the shard started.
pub type Millis = u64;

/// What one connection's heartbeat remembers.
#[derive(Clone, Copy, Debug)]
pub struct Pulse {
    /// When something last came from the peer.
    pub last_seen: Millis,
    /// When a ping was sent that nothing has answered.
    pub pinged: Option<Millis>,
}

/// What is due for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing until then.
    Wait(Millis),
    /// A ping, and a look again then.
    Ping(Millis),
    /// It is to be closed as idle.
    Close,
}

impl Pulse {
    /// A connection that has just opened.
    pub fn new(now: Millis) -> Self {
        Self {
            last_seen: now,
            pinged: None,
        }
    }

    /// Something came from the peer; any frame answers a ping.
    pub fn seen(&mut self, now: Millis) {
        self.last_seen = now;
        self.pinged = None;
    }

    /// What is due at `now`. Sending the ping is the caller's part; that it was sent is noted here.
    pub fn check(&mut self, now: Millis, limits: &RouteLimits) -> Due {
        let millis = |duration: std::time::Duration| duration.as_millis() as Millis;
        let idle = self.last_seen + millis(limits.idle);
        if now >= idle {
            return Due::Close;
        }
        if let Some(pinged) = self.pinged {
            let deadline = pinged + millis(limits.pong);
            return if now >= deadline {
                Due::Close
            } else {
                Due::Wait(deadline.min(idle))
            };
        }
        if limits.ping.is_zero() {
            return Due::Wait(idle);
        }
        let ping = self.last_seen + millis(limits.ping);
        if now < ping {
            return Due::Wait(ping.min(idle));
        }
        self.pinged = Some(now);
        Due::Ping((now + millis(limits.pong)).min(idle))
    }
}

/// Which connections are to be looked at, and when: one entry each, however often it is seen.
#[derive(Debug, Default)]
pub struct Heartbeats {
    due: BinaryHeap<Reverse<(Millis, ConnectionId)>>,
}

impl Heartbeats {
    /// Looks at `connection` at `when`.
    pub fn schedule(&mut self, when: Millis, connection: ConnectionId) {
        self.due.push(Reverse((when, connection)));
    }

    /// The next connection that is due at `now`. It may be gone by now.
    pub fn pop(&mut self, now: Millis) -> Option<ConnectionId> {
        let Reverse((when, connection)) = *self.due.peek()?;
        if when > now {
            return None;
        }
        self.due.pop();
        Some(connection)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits(idle: u64, ping: u64, pong: u64) -> RouteLimits {
        RouteLimits {
            idle: Duration::from_millis(idle),
            ping: Duration::from_millis(ping),
            pong: Duration::from_millis(pong),
            ..RouteLimits::default()
        }
    }

    #[test]
    fn a_quiet_peer_is_pinged_then_closed() {
        let (mut pulse, limits) = (Pulse::new(0), limits(1000, 300, 200));
        assert_eq!(pulse.check(100, &limits), Due::Wait(300));
        assert_eq!(pulse.check(300, &limits), Due::Ping(500));
        assert_eq!(pulse.check(499, &limits), Due::Wait(500));
        assert_eq!(pulse.check(500, &limits), Due::Close);
    }

    #[test]
    fn an_answer_of_any_kind_starts_over() {
        let (mut pulse, limits) = (Pulse::new(0), limits(1000, 300, 200));
        assert_eq!(pulse.check(300, &limits), Due::Ping(500));
        pulse.seen(450);
        assert_eq!(pulse.check(500, &limits), Due::Wait(750));
    }

    #[test]
    fn without_pings_only_the_idle_timeout_counts() {
        let (mut pulse, limits) = (Pulse::new(0), limits(1000, 0, 200));
        assert_eq!(pulse.check(999, &limits), Due::Wait(1000));
        assert_eq!(pulse.check(1000, &limits), Due::Close);
    }
}
