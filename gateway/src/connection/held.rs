//! What a connection holds of what it was sent, while it holds anything: bytes not handled yet, and
//! its share of the process's budget for them and for the reader's.

use crate::heartbeat::Millis;
use crate::pending::Share;

/// Bytes by which a message under way has to go on within `limits.message_time`.
const PROGRESS: usize = 32 << 10;

/// What a connection holds of what it was sent.
pub(super) struct Held {
    share: Share,
    /// Bytes that were read and not handled, from `at` on.
    rest: Vec<u8>,
    at: usize,
    /// When the message under way last went on far enough, and how far it had come then.
    since: Millis,
    len: usize,
    /// Until when it is not read, and when it is looked at again.
    delay: Option<(Millis, Millis)>,
}

impl Held {
    /// Nothing yet, of a share of nothing.
    pub(super) fn new(share: Share, now: Millis) -> Self {
        Self {
            share,
            rest: Vec::new(),
            at: 0,
            since: now,
            len: 0,
            delay: None,
        }
    }

    /// Keeps what is left of a read, from `at` on. Nothing was kept before.
    pub(super) fn keep(&mut self, rest: Vec<u8>, at: usize) {
        if at < rest.len() {
            (self.rest, self.at) = (rest, at);
        }
    }

    /// Takes what is left of an earlier read, and where in it that begins.
    pub(super) fn take_rest(&mut self) -> Option<(Vec<u8>, usize)> {
        (!self.rest.is_empty()).then(|| (std::mem::take(&mut self.rest), self.at))
    }

    /// Whether nothing is left of a read, and nothing is waited for.
    pub(super) fn is_idle(&self) -> bool {
        self.rest.is_empty() && self.delay.is_none()
    }

    /// Takes its share for `held` bytes of the reader's and its own; whether there was room.
    pub(super) fn claim(&mut self, held: usize) -> bool {
        self.share.resize(held + self.rest.capacity())
    }

    /// A message has come whole: what comes next is another.
    pub(super) fn begin(&mut self, now: Millis) {
        (self.since, self.len) = (now, 0);
    }

    /// `len` bytes of a message are there and it is to go on. Whether it does so fast enough.
    pub(super) fn goes_on(&mut self, len: usize, now: Millis, limit: std::time::Duration) -> bool {
        if len >= self.len + PROGRESS {
            (self.since, self.len) = (now, len);
        }
        u128::from(now.saturating_sub(self.since)) <= limit.as_millis()
    }

    /// Begins a delay until `until`. Returns when to look again, which is before that if it is long:
    /// whoever comes and goes must not leave long delays behind.
    pub(super) fn delay(&mut self, now: Millis, until: Millis) -> Millis {
        const LOOK: Millis = 5_000;
        let look = until.min(now + LOOK).max(now + 1);
        self.delay = Some((until, look));
        look
    }

    /// Until when it is not read, and when it is looked at again, if it is delayed.
    pub(super) fn delayed(&self) -> Option<(Millis, Millis)> {
        self.delay
    }

    /// Ends the delay. What did not come meanwhile is not the peer's fault.
    pub(super) fn end_delay(&mut self, now: Millis) {
        self.delay = None;
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pending::Pending;

    fn held() -> Held {
        Held::new(Pending::new(1000).share(), 0)
    }

    #[test]
    fn a_message_that_goes_on_steadily_may_take_as_long_as_it_likes() {
        let (mut held, limit) = (held(), Duration::from_secs(30));
        // 16 MiB at 1.1 KiB/s: more than four hours.
        for second in 0..16_000 {
            assert!(held.goes_on(second * 1128, second as Millis * 1000, limit));
        }
    }

    #[test]
    fn a_message_that_drips_ends_after_the_limit() {
        let (mut held, limit) = (held(), Duration::from_secs(30));
        assert!(held.goes_on(1 << 20, 500, limit));
        assert!(held.goes_on((1 << 20) + 30, 30_500, limit));
        assert!(!held.goes_on((1 << 20) + 31, 30_501, limit));
        held.begin(31_000);
        assert!(held.goes_on(1, 61_000, limit), "another message");
        assert!(!held.goes_on(2, 61_001, limit));
    }

    #[test]
    fn a_delay_of_ours_is_not_the_messages_time() {
        let (mut held, limit) = (held(), Duration::from_secs(30));
        assert!(held.goes_on(10, 0, limit));
        assert_eq!(held.delay(0, 3_600_000), 5_000);
        held.end_delay(3_600_000);
        assert!(held.goes_on(20, 3_610_000, limit));
    }

    #[test]
    fn what_is_kept_is_part_of_the_share() {
        let mut held = held();
        held.keep(vec![0; 600], 10);
        assert!(held.claim(400));
        assert!(!held.claim(401));
        let (rest, at) = held.take_rest().unwrap();
        assert_eq!((rest.len(), at), (600, 10));
        assert!(held.claim(1000));
        held.keep(vec![0; 600], 600);
        assert!(held.take_rest().is_none());
        assert!(held.is_idle());
    }
}
