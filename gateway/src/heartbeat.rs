//! When a quiet connection is pinged and when it is given up. Pure: it only does sums on
//! milliseconds of the shard's coarse clock.
//!
//! A deadline that has passed is a doubt, not yet an end: the peer may have spoken without being
//! read, or be on its way through what was sent to it before the ping. Only then the socket is asked.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZero;
use std::time::Duration;

use crate::config::RouteLimits;
use crate::message::ConnectionId;
use crate::progress::{Intake, Progress};

/// Milliseconds since the shard started.
pub type Millis = u64;

/// What one connection's heartbeat remembers.
#[derive(Clone, Copy, Debug)]
pub struct Pulse {
    /// When something last came from the peer, or was taken by it.
    last_seen: Millis,
    /// When a ping was sent that nothing has answered.
    pinged: Option<NonZero<Millis>>,
    /// Since when the connection is not read.
    held: Option<NonZero<Millis>>,
    /// What the peer had taken when the ping was sent, or at the last doubt.
    progress: Progress,
}

/// What a connection's socket says when there is doubt about its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Something lies there that was not read yet.
    pub unread: bool,
    /// How far the peer has come with what was sent to it.
    pub intake: Intake,
    /// Whether it is to answer pings at all. One that receives server-sent events never speaks: it
    /// lives as long as it takes bytes.
    pub speaks: bool,
}

/// What is due for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing until then.
    Wait(Millis),
    /// A ping, and a look again then.
    Ping(Millis),
    /// The connection is to be closed as idle.
    Close,
}

impl Pulse {
    /// A connection that has just opened.
    pub fn new(now: Millis) -> Self {
        Self {
            last_seen: now,
            pinged: None,
            held: None,
            progress: Progress::default(),
        }
    }

    /// Something came from the peer; any frame answers a ping.
    pub fn seen(&mut self, now: Millis) {
        self.last_seen = now;
        self.pinged = None;
    }

    /// Stands still from now on: the connection is not read, so its peer cannot show that it lives.
    pub fn hold(&mut self, now: Millis) {
        self.held.get_or_insert(non_zero(now));
    }

    /// Goes on from where it stood.
    pub fn release(&mut self, now: Millis) {
        if let Some(since) = self.held.take() {
            let stood = now.saturating_sub(since.get());
            self.last_seen += stood;
            self.pinged = self.pinged.map(|pinged| pinged.saturating_add(stood));
        }
    }

    /// What is due at `now`. Sending the ping is the caller's part; that it was sent is noted here.
    /// `look` asks the socket, and is called only for a ping or a doubt.
    pub fn check(&mut self, now: Millis, limits: &RouteLimits, look: impl FnOnce() -> Look) -> Due {
        let next = self.next(limits);
        if let Some(since) = self.held {
            let stood = now.saturating_sub(since.get());
            return Due::Wait((next + stood).max(now + 1));
        }
        if now < next {
            return Due::Wait(next);
        }
        let idle = self.last_seen + millis(limits.idle);
        if self.pinged.is_some() || limits.ping.is_zero() || now >= idle {
            return self.doubt(now, limits, look());
        }
        self.pinged = Some(non_zero(now));
        self.progress = Progress::new(look().intake);
        Due::Ping(self.next(limits))
    }

    /// When something is due, if nothing is heard until then: a ping, or the end.
    fn next(&self, limits: &RouteLimits) -> Millis {
        let idle = self.last_seen + millis(limits.idle);
        match self.pinged {
            Some(pinged) => idle.min(pinged.get() + millis(limits.pong)),
            None if limits.ping.is_zero() => idle,
            None => idle.min(self.last_seen + millis(limits.ping)),
        }
    }

    /// A deadline has passed. Whether that is the end depends on what the socket says.
    fn doubt(&mut self, now: Millis, limits: &RouteLimits, look: Look) -> Due {
        let Look {
            unread,
            intake,
            speaks,
        } = look;
        if unread && speaks {
            return Due::Wait(now + 1);
        }
        let moved = self.progress.has_moved(intake);
        let all_taken = self.pinged.is_some() && !intake.waiting;
        let goes_on = self.progress.goes_on(intake);
        if !speaks && all_taken {
            self.seen(now);
        } else if goes_on || !speaks && moved {
            // Its answer is still due, but its time begins anew.
            self.last_seen = now;
            self.pinged = self.pinged.map(|_| non_zero(now));
        } else {
            return Due::Close;
        }
        Due::Wait(self.next(limits))
    }
}

fn millis(duration: Duration) -> Millis {
    duration.as_millis() as Millis
}

/// A moment, to be kept in the place of its absence. The first millisecond counts as the second.
fn non_zero(now: Millis) -> NonZero<Millis> {
    NonZero::new(now).unwrap_or(NonZero::<Millis>::MIN)
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
    use super::*;

    fn limits(idle: u64, ping: u64, pong: u64) -> RouteLimits {
        RouteLimits {
            idle: Duration::from_millis(idle),
            ping: Duration::from_millis(ping),
            pong: Duration::from_millis(pong),
            ..RouteLimits::default()
        }
    }

    /// A socket with nothing to read, of a peer that has taken so much.
    fn taken(taken: u32, waiting: bool) -> Look {
        Look {
            unread: false,
            intake: Intake { taken, waiting },
            speaks: true,
        }
    }

    fn quiet() -> Look {
        taken(0, false)
    }

    fn stream(intake: Look) -> Look {
        Look {
            speaks: false,
            ..intake
        }
    }

    #[test]
    fn a_quiet_peer_is_pinged_then_closed() {
        let (mut pulse, limits) = (Pulse::new(0), limits(1000, 300, 200));
        assert_eq!(pulse.check(100, &limits, quiet), Due::Wait(300));
        assert_eq!(pulse.check(300, &limits, quiet), Due::Ping(500));
        assert_eq!(pulse.check(499, &limits, quiet), Due::Wait(500));
        let ping_alone = || taken(2, false);
        assert_eq!(pulse.check(500, &limits, ping_alone), Due::Close);
    }

    #[test]
    fn an_answer_of_any_kind_starts_over() {
        let (mut pulse, limits) = (Pulse::new(0), limits(1000, 300, 200));
        assert_eq!(pulse.check(300, &limits, quiet), Due::Ping(500));
        pulse.seen(450);
        assert_eq!(pulse.check(500, &limits, quiet), Due::Wait(750));
    }

    #[test]
    fn without_pings_only_the_idle_timeout_counts() {
        let (mut pulse, limits) = (Pulse::new(0), limits(1000, 0, 200));
        assert_eq!(pulse.check(999, &limits, quiet), Due::Wait(1000));
        assert_eq!(pulse.check(1000, &limits, quiet), Due::Close);
    }

    #[test]
    fn what_was_not_read_yet_is_a_sign_of_life() {
        let (mut pulse, limits) = (Pulse::new(0), limits(1000, 300, 200));
        assert_eq!(pulse.check(300, &limits, quiet), Due::Ping(500));
        let unread = Look {
            unread: true,
            ..quiet()
        };
        assert_eq!(pulse.check(9000, &limits, || unread), Due::Wait(9001));
    }

    #[test]
    fn a_slow_reader_lives_as_long_as_it_takes_bytes_and_then_owes_its_answer() {
        let (mut pulse, limits) = (Pulse::new(0), limits(1000, 300, 200));
        let look = |count| move || taken(count, true);
        assert_eq!(pulse.check(300, &limits, look(10)), Due::Ping(500));
        for time in 1..20 {
            let now = 300 + 200 * time;
            let next = Due::Wait(now + 200);
            assert_eq!(pulse.check(now, &limits, look(10 + time as u32)), next);
        }
        let all = || taken(99, false);
        assert_eq!(pulse.check(4300, &limits, all), Due::Wait(4500));
        assert_eq!(pulse.check(4500, &limits, all), Due::Close);
    }

    #[test]
    fn a_reader_that_stops_is_closed() {
        let (mut pulse, limits) = (Pulse::new(0), limits(1000, 300, 200));
        let look = |count| move || taken(count, true);
        assert_eq!(pulse.check(300, &limits, look(10)), Due::Ping(500));
        assert_eq!(pulse.check(500, &limits, look(20)), Due::Wait(700));
        assert_eq!(pulse.check(700, &limits, look(20)), Due::Close);
    }

    #[test]
    fn it_stands_still_while_the_connection_is_not_read() {
        let (mut pulse, limits) = (Pulse::new(0), limits(1000, 300, 200));
        assert_eq!(pulse.check(300, &limits, quiet), Due::Ping(500));
        pulse.hold(400);
        pulse.hold(450);
        assert_eq!(pulse.check(500, &limits, quiet), Due::Wait(600));
        assert_eq!(pulse.check(50_000, &limits, quiet), Due::Wait(50_100));
        pulse.release(50_000);
        pulse.release(50_001);
        assert_eq!(pulse.check(50_099, &limits, quiet), Due::Wait(50_100));
        assert_eq!(pulse.check(50_100, &limits, quiet), Due::Close);
    }

    #[test]
    fn a_ping_is_due_after_a_rest_of_any_length() {
        let (mut pulse, limits) = (Pulse::new(0), limits(1000, 300, 200));
        pulse.hold(100);
        assert_eq!(pulse.check(5000, &limits, quiet), Due::Wait(5200));
        pulse.release(5000);
        assert_eq!(pulse.check(5200, &limits, quiet), Due::Ping(5400));
    }

    #[test]
    fn an_event_stream_lives_while_its_pings_are_taken() {
        let (mut pulse, limits) = (Pulse::new(0), limits(1000, 300, 200));
        let look = |count, waiting| move || stream(taken(count, waiting));
        for turn in 0..10 {
            let begun = turn * 500;
            let count = turn as u32;
            let ping = pulse.check(begun + 300, &limits, look(count, false));
            assert_eq!(ping, Due::Ping(begun + 500));
            let taken = pulse.check(begun + 500, &limits, look(count + 1, false));
            assert_eq!(taken, Due::Wait(begun + 800));
        }
    }

    #[test]
    fn an_event_stream_that_takes_nothing_more_is_closed() {
        let (mut pulse, limits) = (Pulse::new(0), limits(1000, 300, 200));
        let look = |count| move || stream(taken(count, true));
        assert_eq!(pulse.check(300, &limits, look(5)), Due::Ping(500));
        assert_eq!(pulse.check(500, &limits, look(6)), Due::Wait(700));
        assert_eq!(pulse.check(700, &limits, look(6)), Due::Close);
    }

    #[test]
    fn an_event_stream_without_pings_lives_while_it_takes_anything() {
        let (mut pulse, limits) = (Pulse::new(0), limits(1000, 0, 200));
        let look = |count| move || stream(taken(count, false));
        assert_eq!(pulse.check(1000, &limits, look(5)), Due::Wait(2000));
        assert_eq!(pulse.check(2000, &limits, look(5)), Due::Close);
    }
}
