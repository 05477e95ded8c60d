//! How fast a client may send. Pure: sums on milliseconds of the shard's coarse clock.
//!
//! A meter holds what a client has sent and time has not paid for yet: messages, bytes and control
//! frames, each against a rate and what may come at once (a token bucket). It is four words, since
//! each connection has one, and reads no clock.

use crate::config::RouteLimits;
use crate::heartbeat::Millis;
use crate::labels::Excess;

/// Messages and control frames are counted in thousandths: as many as their rate pays for in a
/// millisecond.
const ONE: u64 = 1000;

/// What a client has sent and time has not paid for yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    /// When it was last looked at. It wraps after 49 days: a connection that is not looked at for
    /// so long owes nothing.
    at: u32,
    messages: u32,
    bytes: u32,
    control: u32,
}

impl Meter {
    /// Notes messages.
    pub fn messages(&mut self, n: usize) {
        owe(&mut self.messages, (n as u64).saturating_mul(ONE));
    }

    /// Notes bytes: as they came, and once more as they were inflated.
    pub fn bytes(&mut self, n: usize) {
        owe(&mut self.bytes, n as u64);
    }

    /// Takes back bytes of what was dropped.
    pub fn forgive(&mut self, n: usize) {
        pay(&mut self.bytes, n as u64);
    }

    /// Notes a ping or a pong.
    pub fn control(&mut self) {
        owe(&mut self.control, ONE);
    }

    /// How many messages may be taken now; none while too many bytes or control frames have come.
    pub fn room(&mut self, now: Millis, limits: &RouteLimits) -> usize {
        self.settle(now, limits);
        if self.excess(limits).is_some() {
            return 0;
        }
        let [messages, ..] = TokenBucket::all(limits);
        messages.map_or(usize::MAX, |bucket| {
            ((bucket.most + ONE).saturating_sub(u64::from(self.messages)) / ONE) as usize
        })
    }

    /// What has come too fast, as of the last [`room`](Self::room).
    pub fn excess(&self, limits: &RouteLimits) -> Option<Excess> {
        let over = self
            .buckets(limits)
            .find(|(owed, bucket)| *owed > bucket.most);
        over.map(|(_, bucket)| bucket.excess)
    }

    /// How long until one more message may be taken, as of the last [`room`](Self::room).
    pub fn wait(&self, limits: &RouteLimits) -> Millis {
        let waits = self.buckets(limits).map(|(owed, bucket)| {
            let over = owed.saturating_sub(bucket.most).saturating_mul(ONE);
            over.div_ceil((u64::from(bucket.rate) * bucket.unit).max(1))
        });
        waits.max().unwrap_or(0)
    }

    /// What is owed to each bucket that has a rate.
    fn buckets(&self, limits: &RouteLimits) -> impl Iterator<Item = (u64, TokenBucket)> {
        let owed = [self.messages, self.bytes, self.control].map(u64::from);
        let buckets = owed.into_iter().zip(TokenBucket::all(limits));
        buckets.filter_map(|(owed, bucket)| Some((owed, bucket?)))
    }

    /// Takes off what the time since the last look has paid for.
    fn settle(&mut self, now: Millis, limits: &RouteLimits) {
        let now = now as u32;
        let elapsed = u64::from(now.wrapping_sub(self.at));
        if elapsed == 0 {
            return;
        }
        self.at = now;
        let paid = |rate: Option<u32>| u64::from(rate.unwrap_or(u32::MAX)) * elapsed;
        pay(&mut self.messages, paid(limits.rate));
        pay(&mut self.bytes, paid(limits.byte_rate) / ONE);
        pay(&mut self.control, paid(limits.control_rate));
    }
}

/// One of the rates, and the most that may be owed to it while more is taken.
struct TokenBucket {
    excess: Excess,
    rate: u32,
    most: u64,
    /// What one message, byte or frame comes to.
    unit: u64,
}

impl TokenBucket {
    /// The buckets of messages, bytes and control frames; none where there is no rate.
    #[inline]
    fn all(limits: &RouteLimits) -> [Option<Self>; 3] {
        // Unless configured, what comes in two seconds may come at once; at least one may.
        let burst =
            |rate, configured: Option<u64>| configured.unwrap_or(2 * u64::from(rate)).max(1);
        let messages = limits.rate.map(|rate| Self {
            excess: Excess::Messages,
            rate,
            // One more message must still have room.
            most: (burst(rate, limits.burst.map(u64::from)) - 1) * ONE,
            unit: ONE,
        });
        let bytes = limits.byte_rate.map(|rate| Self {
            excess: Excess::Bytes,
            rate,
            most: burst(rate, limits.byte_burst.map(|burst| burst as u64)),
            unit: 1,
        });
        let control = limits.control_rate.map(|rate| Self {
            excess: Excess::Control,
            rate,
            most: burst(rate, None) * ONE,
            unit: ONE,
        });
        [messages, bytes, control]
    }
}

fn owe(owed: &mut u32, more: u64) {
    *owed = owed.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
}

fn pay(owed: &mut u32, paid: u64) {
    *owed = owed.saturating_sub(u32::try_from(paid).unwrap_or(u32::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(rate: u32, burst: u32) -> RouteLimits {
        RouteLimits {
            rate: Some(rate),
            burst: Some(burst),
            byte_rate: None,
            control_rate: None,
            ..RouteLimits::default()
        }
    }

    /// Takes what is allowed at each look, for `seconds`, by looks every `step` milliseconds.
    fn taken(limits: &RouteLimits, seconds: u64, step: u64) -> usize {
        let (mut meter, mut taken) = (Meter::default(), 0);
        for now in (0..seconds * 1000).step_by(step as usize) {
            let room = meter.room(now, limits);
            meter.messages(room);
            taken += room;
        }
        taken
    }

    #[test]
    fn a_rate_is_kept_however_often_it_is_looked_at() {
        for (rate, burst) in [(1, 1), (7, 3), (100, 200), (100_000, 200_000)] {
            for step in [1, 10, 100] {
                let most = (burst + rate * 60) as usize;
                let taken = taken(&limits(rate, burst), 60, step);
                let missed = most - taken;
                assert!(taken <= most, "{rate}/s, {burst}: {taken}");
                // What lies behind the last look.
                let last = (u64::from(rate) * step).div_ceil(1000) as usize + 1;
                assert!(missed <= last, "{rate}/s, {burst}: {missed} too few");
            }
        }
    }

    #[test]
    fn a_wait_ends_when_one_more_may_come_and_not_before() {
        for rate in [1, 3, 100, 4_000_000] {
            let limits = limits(rate, 5);
            let mut meter = Meter::default();
            meter.messages(50);
            assert_eq!(meter.room(0, &limits), 0);
            assert_eq!(meter.excess(&limits), Some(Excess::Messages));
            let wait = meter.wait(&limits);
            assert_eq!(meter.room(wait - 1, &limits), 0);
            assert!(meter.room(wait, &limits) >= 1);
            assert_eq!(meter.wait(&limits), 0);
        }
    }

    #[test]
    fn bytes_and_control_frames_have_rates_of_their_own() {
        let limits = RouteLimits {
            byte_rate: Some(1000),
            byte_burst: Some(5000),
            control_rate: Some(10),
            ..RouteLimits::default()
        };
        let mut meter = Meter::default();
        meter.bytes(5000);
        assert!(meter.room(0, &limits) > 0);
        meter.bytes(2000);
        assert_eq!(meter.room(0, &limits), 0);
        assert_eq!(meter.excess(&limits), Some(Excess::Bytes));
        assert_eq!(meter.wait(&limits), 2000);
        assert!(meter.room(2000, &limits) > 0);
        for _ in 0..20 {
            meter.control();
        }
        assert!(meter.room(2000, &limits) > 0);
        meter.control();
        assert_eq!(meter.excess(&limits), Some(Excess::Control));
        assert_eq!(meter.wait(&limits), 100);
    }

    #[test]
    fn without_a_rate_nothing_is_owed_and_sums_do_not_wrap() {
        let limits = RouteLimits {
            rate: None,
            byte_rate: None,
            control_rate: None,
            ..RouteLimits::default()
        };
        let mut meter = Meter::default();
        for now in 0..100 {
            meter.messages(usize::MAX);
            meter.bytes(usize::MAX);
            meter.control();
            assert_eq!(meter.room(now, &limits), usize::MAX);
            assert_eq!(meter.wait(&limits), 0);
        }
    }

    /// ARCHITECTURE.md says what an idle connection holds.
    #[test]
    fn a_meter_is_small() {
        assert_eq!(size_of::<Meter>(), 16);
    }
}
