//! What a peer sent: from bytes to events, within the rates and the memory it may take.
//!
//! One step handles so many messages, then it is others' turn. What is left of a read, because of
//! that or because the peer is over its rate, moves to memory of the connection's own, and nothing
//! more is read before it is handled.

use tidegate_codec::{Batch, Item, Violation};

use super::Connection;
use super::ending::{broken, lost};
use super::held::Held;
use super::step::{Ended, Step};
use crate::close::{CloseCause, CloseFrame, NO_STATUS};
use crate::config::OnRate;
use crate::handler::Handler;
use crate::heartbeat::Millis;
use crate::labels::Excess;
use crate::message::Message;
use crate::shard::{Presence, SLICE};

/// Messages handled in one step: some tenths of a millisecond, if the handler is quick.
const STEP_MESSAGES: usize = 128;

/// How far the bytes of one read were handled.
enum Handled {
    All,
    /// No instance is free: the rest, from this offset on, waits outside the shared buffer.
    Busy(usize),
    /// Others' turn: the rest is handled in a later one.
    Left(usize),
    /// The peer is over a rate: the rest is handled when time has paid for it.
    Delayed(usize),
    Ended(Ended),
}

/// All bytes of a read were taken.
struct NoMore;

impl<H: Handler> Connection<H> {
    /// Handles the bytes of one read, in the shard's buffer as long as no one else has to wait
    /// for it. Nothing may be left of an earlier one.
    pub(super) async fn take_in(mut self, mut scratch: Box<[u8]>, n: usize) -> (Self, Step) {
        let has_ended = self.shard().seen(self.events.seat);
        self.shard().counters().bytes_in.add(n as u64);
        self.meter.bytes(n);
        let progress = self.handle(&mut scratch[..n], 0, true).await;
        let rest = match progress {
            Handled::Busy(at) | Handled::Left(at) | Handled::Delayed(at) => scratch[at..n].to_vec(),
            _ => Vec::new(),
        };
        let filled = n == scratch.len();
        self.shard().give_scratch(scratch);
        let progress = match progress {
            Handled::Busy(_) => {
                self.keep(rest, 0);
                match self.hold() {
                    Some(cause) => return (self, Step::Ended(cause.into())),
                    None => return Box::pin(self.take_in_rest()).await,
                }
            }
            Handled::Left(_) => Handled::Left(0),
            Handled::Delayed(_) => Handled::Delayed(0),
            progress => progress,
        };
        let step = match self.settle(progress, rest) {
            // A read that fell short has emptied the socket; what comes next is told anew. Only the
            // end was told already, if it came with the bytes, or while the handler ran.
            Step::More if filled || has_ended => Step::More,
            Step::More if self.is_clear() => Step::Idle,
            step => step,
        };
        (self, step)
    }

    /// The bytes as they came.
    pub(super) async fn take_in_own(&mut self, mut bytes: Vec<u8>, at: usize) -> Step {
        let progress = self.handle(&mut bytes, at, false).await;
        self.settle(progress, bytes)
    }

    /// Handles what is left of an earlier read.
    async fn take_in_rest(mut self) -> (Self, Step) {
        let rest = self.held.as_mut().and_then(|held| held.take_rest());
        let step = match rest {
            Some((rest, at)) => self.take_in_own(rest, at).await,
            None => Step::More,
        };
        (self, step)
    }

    /// What a step comes to that may not read yet, because of what is left of an earlier read or
    /// because of a delay. `None` if it may.
    pub(super) async fn go_on(&mut self) -> Option<Step> {
        let (shard, seat) = (self.events.shard().clone(), self.events.seat);
        let held = self.held.as_mut()?;
        if let Some((until, look)) = held.delayed() {
            let now = shard.now();
            if now < until {
                if now >= look {
                    shard.wake_at(seat, held.delay(now, until));
                }
                // What it has sent still counts, unless it is gone altogether.
                return Some(match shard.presence(seat) {
                    Presence::Gone => lost("reset while over a rate"),
                    Presence::Here | Presence::Parted => Step::Idle,
                });
            }
            held.end_delay(now);
            shard.release_pulse(seat);
        }
        let (rest, at) = held.take_rest()?;
        Some(Box::pin(self.take_in_own(rest, at)).await)
    }

    /// Whether it is not read for a while: then its peer cannot show that it lives.
    pub(super) fn is_delayed(&self) -> bool {
        let held = self.held.as_ref();
        held.is_some_and(|held| held.delayed().is_some())
    }

    /// Whether nothing is left of a read.
    fn is_clear(&self) -> bool {
        self.held.as_ref().is_none_or(|held| held.is_idle())
    }

    fn keep(&mut self, rest: Vec<u8>, at: usize) {
        if at < rest.len() {
            self.held().keep(rest, at);
        }
    }

    fn held(&mut self) -> &mut Held {
        let shard = self.events.shard();
        let new = || Box::new(Held::new(shard.pending().share(), shard.now()));
        self.held.get_or_insert_with(new)
    }

    /// Keeps what was not handled, and says what is next.
    fn settle(&mut self, progress: Handled, bytes: Vec<u8>) -> Step {
        let delayed = matches!(progress, Handled::Delayed(_));
        match progress {
            Handled::Ended(ended) => return Step::Ended(ended),
            Handled::All => {}
            Handled::Busy(at) | Handled::Left(at) | Handled::Delayed(at) => {
                self.keep(bytes, at);
            }
        }
        if let Some(cause) = self.hold() {
            return Step::Ended(cause.into());
        }
        if !delayed {
            return Step::More;
        }
        let limits = self.events.terms.limits.clone();
        if let Some(excess) = self.meter.excess(&limits) {
            self.shard().counters().excesses.count(excess);
        }
        let now = self.shard().now();
        let until = now + self.meter.wait(&limits);
        let look = self.held().delay(now, until);
        self.shard().wake_at(self.events.seat, look);
        Step::Idle
    }

    /// Takes the connection's share of the budget for what it holds, or gives it back. Returns why
    /// it is to end, if it may not hold that, or for so long.
    fn hold(&mut self) -> Option<CloseCause> {
        let bytes = self.reader.held();
        if bytes == 0 && self.is_clear() {
            self.held = None;
            return None;
        }
        let now = self.shard().now();
        let under_way = self.reader.under_way();
        let limit = self.events.terms.limits.message_time;
        let held = self.held();
        let in_time = match under_way {
            Some(len) if held.is_idle() => held.goes_on(len, now, limit),
            _ => true,
        };
        let excess = match held.claim(bytes) {
            false => Excess::Pending,
            true if !in_time => Excess::Time,
            true => return None,
        };
        Some(self.exceeded(excess))
    }

    /// Counts a limit that is met with the connection's end.
    fn exceeded(&self, excess: Excess) -> CloseCause {
        self.events.shard().counters().excesses.count(excess);
        CloseCause::Excess(excess)
    }

    async fn handle(&mut self, bytes: &mut [u8], from: usize, shared: bool) -> Handled {
        let (mut at, mut left) = (from, STEP_MESSAGES);
        loop {
            let now = self.events.shard().now();
            let room = self.meter.room(now, &self.events.terms.limits);
            let delays = self.events.terms.limits.on_rate == OnRate::Delay;
            if room == 0 && delays {
                self.reader.release();
                return Handled::Delayed(at);
            }
            if at < bytes.len() {
                if left == 0 {
                    return Handled::Left(at);
                }
                if shared && self.events.terms.handler.is_busy() {
                    return Handled::Busy(at);
                }
            }
            let most = if delays { room.min(left) } else { left };
            let begun = at;
            let (taken, mut ended) = self.handle_batch(bytes, &mut at, most, room).await;
            left = left.saturating_sub(taken);
            if at == begun && ended.is_none() {
                left = left.saturating_sub(1);
                let turns = self.events.shard().turns();
                match self.handle_next(bytes, &mut at, room).await {
                    Ok(end) => ended = end,
                    Err(NoMore) => return Handled::All,
                }
                if ended.is_none() && self.events.shard().turns() != turns {
                    ended = self.look_for_peer(&bytes[at..]);
                }
            }
            if let Some(cause) = ended {
                // Skipped frame by frame: what comes next may begin in the middle of one.
                let has_parted = self.has_closed(&mut bytes[at..]);
                return Handled::Ended(Ended { cause, has_parted });
            }
        }
    }

    /// Handles the messages that lie whole in `bytes` at `at`, if any: at most `most`, of which the
    /// rate has room for `room`. Returns how many there were.
    async fn handle_batch(
        &mut self,
        bytes: &mut [u8],
        at: &mut usize,
        most: usize,
        room: usize,
    ) -> (usize, Option<CloseCause>) {
        let mut batch = Batch::new();
        let max = self.events.terms.limits.message;
        let read = self.reader.batch(bytes, at, max, most, &mut batch);
        let taken = batch.len();
        if taken > 0 {
            // What is dropped costs the peer nothing: at twice the rate half of it gets through.
            self.meter.messages(taken.min(room));
            if let Some(held) = &mut self.held {
                held.begin(self.events.shard().now());
            }
        }
        let (behind, violation) = match read {
            Ok(behind) => (behind, None),
            Err(violation) => (&[][..], Some(self.broken(violation))),
        };
        let mut left = &batch[..taken.min(room)];
        while !left.is_empty() {
            let turns = self.events.shard().turns();
            let (handled, mut ended) = self.events.messages(left).await;
            left = &left[handled..];
            // Someone else may have asked for the end while the handler ran; what the peer sent
            // after that is not handled any more.
            ended = ended.or_else(|| self.events.shard().take_close(self.events.seat));
            if ended.is_none() && self.events.shard().turns() != turns {
                ended = self.look_for_peer(behind);
            }
            if ended.is_some() {
                return (taken, ended);
            }
        }
        let dropped = &batch[taken.min(room)..];
        let excess = match dropped.len() {
            0 => None,
            n => {
                let ended = self.too_fast(n);
                let bytes = dropped.iter().map(|message| message.payload().len());
                self.meter.forgive(bytes.sum());
                ended
            }
        };
        (taken, excess.or(violation))
    }

    /// Counts messages or pings over a rate, which the caller drops. Returns why the connection is
    /// to end, if it is.
    fn too_fast(&self, n: usize) -> Option<CloseCause> {
        let limits = &self.events.terms.limits;
        let excess = self.meter.excess(limits).unwrap_or(Excess::Messages);
        if limits.on_rate == OnRate::Close {
            return Some(self.exceeded(excess));
        }
        let counters = self.events.shard().counters();
        counters.excesses.add(excess, n as u64);
        None
    }

    /// Handles the next item of any kind. The rate has room for `room` messages.
    async fn handle_next(
        &mut self,
        bytes: &mut [u8],
        at: &mut usize,
        room: usize,
    ) -> Result<Option<CloseCause>, NoMore> {
        let max = self.events.terms.limits.message;
        let item = match self.reader.next(bytes, at, max) {
            Ok(Some(item)) => item,
            Ok(None) => return Err(NoMore),
            Err(violation) => return Ok(Some(self.broken(violation))),
        };
        let message = match item {
            Item::Text(text) => Message::Text(text),
            Item::Binary(payload) => Message::Binary(payload),
            Item::Deflated { text, payload } => {
                begin(&mut self.held, self.events.shard().now());
                self.meter.messages(room.min(1));
                let limits = self.events.terms.limits.clone();
                let inflating = self.inflation.message(
                    &mut self.events,
                    &mut self.meter,
                    &limits,
                    (text, payload),
                    room > 0,
                );
                let ended = Box::pin(inflating).await;
                let ended = match ended {
                    Some(CloseCause::Excess(excess)) => Some(self.exceeded(excess)),
                    ended => ended,
                };
                return Ok(match room {
                    0 => ended.or_else(|| self.too_fast(1)),
                    _ => ended.or_else(|| self.events.shard().take_close(self.events.seat)),
                });
            }
            Item::Ping(payload) => {
                if room == 0 {
                    return Ok(self.too_fast(1));
                }
                self.meter.control();
                self.events.shard().pong(self.events.seat, payload);
                return Ok(self.events.shard().take_close(self.events.seat));
            }
            Item::Pong(_) => {
                if room == 0 {
                    return Ok(self.too_fast(1));
                }
                self.meter.control();
                return Ok(self.events.shard().take_close(self.events.seat));
            }
            Item::Close(frame) => {
                let (code, reason) = frame.unwrap_or((NO_STATUS, ""));
                let reason = reason.to_owned();
                return Ok(Some(CloseCause::Peer(CloseFrame { code, reason })));
            }
        };
        begin(&mut self.held, self.events.shard().now());
        if room == 0 {
            let len = message.payload().len();
            let ended = self.too_fast(1);
            self.meter.forgive(len);
            return Ok(ended);
        }
        self.meter.messages(1);
        // Boxed, because it is rare: a message in fragments, or cut by the end of a read.
        let handled = async {
            let len = message.payload().len();
            if len > SLICE {
                self.events.shard().afford(len).await;
            }
            self.events.messages(&[message]).await.1
        };
        let ended = Box::pin(handled).await;
        Ok(ended.or_else(|| self.events.shard().take_close(self.events.seat)))
    }

    fn broken(&self, violation: Violation) -> CloseCause {
        match violation {
            Violation::Fragments => self.exceeded(Excess::Fragments),
            violation => broken(violation),
        }
    }
}

/// Notes that a message has come whole.
fn begin(held: &mut Option<Box<Held>>, now: Millis) {
    if let Some(held) = held {
        held.begin(now);
    }
}
