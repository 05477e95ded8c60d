//! The outbox against a naive model: a list of messages, and a wire that takes what it likes.

use std::collections::{HashSet, VecDeque};

use proptest::prelude::*;

use super::*;
use wire::{Seen, Wire};

mod cases;
mod wire;

/// One thing that happens to an outbox.
#[derive(Clone, Debug)]
enum Step {
    /// A message with so many bytes behind its number.
    Push(usize),
    /// One that lies by itself; the writer takes so many bytes at each call, then blocks.
    PushLarge(usize, Vec<usize>),
    Pong(usize),
    Ping,
    /// The writer takes so many bytes at each call, then blocks.
    Flush(Vec<usize>),
    /// A flush in the middle of a turn.
    FlushEarly(Vec<usize>),
    /// The writer takes everything.
    Drain,
    Close {
        frame: bool,
        discard: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let script = || proptest::collection::vec(1..400_usize, 0..4);
    let large = (0..3000_usize, script());
    prop_oneof![
        10 => (0..300_usize).prop_map(Step::Push),
        2 => (SHARED_MIN - 20..SHARED_MIN + 20).prop_map(Step::Push),
        3 => large.prop_map(|(padding, script)| Step::PushLarge(padding, script)),
        2 => (0..120_usize).prop_map(Step::Pong),
        1 => Just(Step::Ping),
        6 => script().prop_map(Step::Flush),
        2 => script().prop_map(Step::FlushEarly),
        1 => Just(Step::Drain),
        1 => (0..20, any::<bool>(), any::<bool>()).prop_map(|(rare, frame, discard)| match rare {
            0 => Step::Close { frame, discard },
            _ => Step::Push(1),
        }),
    ]
}

fn policy() -> impl Strategy<Value = SlowConsumer> {
    prop_oneof![
        Just(SlowConsumer::Close),
        Just(SlowConsumer::DropNewest),
        Just(SlowConsumer::DropOldest),
    ]
}

/// What messages longer than their outbox may take here.
const OVERSIZE: usize = 4000;

/// An outbox, its turn and its wire, with what must come out.
struct Bench {
    outbox: Outbox,
    limit: usize,
    policy: SlowConsumer,
    output: Output,
    oversize: Arc<Oversize>,
    wire: Wire,
    next: u32,
    /// Messages taken and neither dropped nor wholly written: number and length.
    waiting: VecDeque<(u32, usize)>,
    /// Messages that must be on the wire in the end, in order.
    expected: Vec<u32>,
    pongs: Vec<u32>,
    closed: Option<(bool, bool)>,
}

impl Bench {
    fn new(wire: Wire, limit: usize, policy: SlowConsumer) -> Self {
        Self {
            outbox: Outbox::new(limit, policy),
            limit,
            policy,
            output: Output::default(),
            oversize: Oversize::new(OVERSIZE),
            wire,
            next: 0,
            waiting: VecDeque::new(),
            expected: Vec::new(),
            pongs: Vec::new(),
            closed: None,
        }
    }

    /// A message with a number, encoded.
    fn encode(&mut self, padding: usize) -> (u32, Vec<u8>) {
        let (number, mut bytes) = (self.next, Vec::new());
        self.next += 1;
        self.wire.message(&mut bytes, number, padding);
        (number, bytes)
    }

    /// Of the messages that wait, how many the wire has begun.
    fn begun(&mut self) -> usize {
        let (seen, partial) = self.wire.seen();
        let whole = |number| seen.contains(&Seen::Message(number));
        while self
            .waiting
            .front()
            .is_some_and(|&(number, _)| whole(number))
        {
            self.waiting.pop_front();
        }
        usize::from(partial.is_some_and(|control| !control))
    }

    /// What counts against the limit: all but the pong and ping aside.
    fn held(&self) -> usize {
        let backlog = self.outbox.backlog.as_ref();
        self.outbox.queued() - backlog.map_or(0, |backlog| backlog.aside())
    }

    fn push(&mut self, padding: usize) {
        let (number, bytes) = self.encode(padding);
        if self.admit(number, bytes.len(), true) {
            let add = |out: &mut Vec<u8>| out.extend_from_slice(&bytes);
            let span = self.output.add(Kind::Message, add);
            self.outbox.push(span);
        }
    }

    fn push_large(&mut self, padding: usize, script: &[usize]) {
        let (number, bytes) = self.encode(padding);
        let may_wait = self.oversize.has_room(bytes.len());
        if !self.admit(number, bytes.len(), may_wait) {
            return;
        }
        let (before, written) = (self.held(), self.wire.bytes.len());
        let mut large = Large::lent(&bytes);
        let mut write = self.wire.writer(script);
        let flushed = self
            .outbox
            .write_large(&mut large, &mut self.output, &self.oversize, &mut write)
            .unwrap();
        drop(write);
        let written = self.wire.bytes.len() - written;
        assert!(
            before == 0 || written == 0,
            "nothing overtakes what is in front"
        );
        assert_eq!(self.outbox.is_blocked(), flushed == Flush::Blocked);
        // Less by a ping or pong that was in line and went aside.
        assert!(self.held() <= before + bytes.len() - written, "the count");
        assert!(self.oversize.used() <= OVERSIZE, "the budget");
    }

    /// Whether a message is taken, which the model then expects.
    fn admit(&mut self, number: u32, len: usize, may_wait: bool) -> bool {
        let before = self.held();
        let fits = before + len <= self.limit || before == 0 && may_wait;
        let push = self.outbox.admit(len, may_wait, &mut self.output);
        let closing = self.closed.is_some();
        match push {
            Push::Taken => assert!(fits && !closing),
            Push::Overflow => assert!(!fits && !closing && self.policy == SlowConsumer::Close),
            Push::Dropped if closing => {}
            Push::Dropped => {
                assert!(!fits);
                assert_ne!(self.policy, SlowConsumer::Close);
                assert!(self.held() <= before, "a ping or pong may have gone aside");
                if self.policy == SlowConsumer::DropOldest && (len <= self.limit || may_wait) {
                    self.check_that_no_drop_would_help(before, len);
                }
            }
            Push::Replaced(dropped) => {
                assert!(!fits && !closing && self.policy == SlowConsumer::DropOldest);
                self.drop_oldest(dropped, before, len);
            }
        }
        let is_taken = matches!(push, Push::Taken | Push::Replaced(_));
        if is_taken {
            let held = self.held();
            assert!(held == 0 || held + len <= self.limit, "the bound");
            self.waiting.push_back((number, len));
            self.expected.push(number);
        }
        is_taken
    }

    fn check_that_no_drop_would_help(&mut self, before: usize, len: usize) {
        let begun = self.begun();
        let free: usize = self.waiting.iter().skip(begun).map(|(_, len)| len).sum();
        assert!(before > free, "else it would have been alone");
        assert!(before - free + len > self.limit);
    }

    /// Expects that as many of the oldest messages as needed were dropped, and none that was begun. Pings and pongs
    /// that were in line went aside meanwhile.
    fn drop_oldest(&mut self, dropped: usize, before: usize, len: usize) {
        let begun = self.begun();
        let gone: Vec<_> = self.waiting.drain(begun..begun + dropped).collect();
        let freed: usize = gone.iter().map(|(_, len)| len).sum();
        assert!(self.held() <= before - freed);
        let but_one = freed - gone.last().map_or(0, |(_, len)| *len);
        let needed = self.held() + freed - but_one + len > self.limit;
        assert!(dropped == 0 || needed, "not one too many");
        self.expected
            .retain(|number| gone.iter().all(|(gone, _)| gone != number));
    }

    fn control(&mut self, kind: Kind, padding: usize) {
        let number = self.next;
        self.next += 1;
        let span = self
            .output
            .add(kind, |out| self.wire.control(out, kind, number, padding));
        self.outbox.push_control(span, kind, &self.output);
        if self.closed.is_none() && kind == Kind::Pong {
            self.pongs.push(number);
        }
    }

    fn flush(&mut self, script: &[usize]) -> Flush {
        let (before, written) = (self.outbox.queued(), self.wire.bytes.len());
        let mut write = self.wire.writer(script);
        let flushed = self.outbox.flush(&mut self.output, &mut write).unwrap();
        drop(write);
        let written = self.wire.bytes.len() - written;
        let queued = self.outbox.queued();
        // Of pings and pongs that were in line only the latest are kept.
        assert!(queued <= before - written, "the count");
        assert_eq!(self.outbox.is_blocked(), flushed == Flush::Blocked);
        if flushed == Flush::Done {
            assert_eq!(queued, 0);
            assert!(self.outbox.backlog.is_none(), "memory is released");
            assert_eq!(self.oversize.used(), 0, "nothing waits");
        }
        flushed
    }

    fn drain(&mut self) {
        assert_eq!(self.flush(&[usize::MAX; 1000]), Flush::Done);
        self.output.clear();
    }

    fn close(&mut self, frame: bool, discard: bool) {
        let span = frame.then(|| {
            let encode = |out: &mut Vec<u8>| self.wire.close(out);
            self.output.add(Kind::Message, encode)
        });
        let begun = self.begun();
        if self.closed.is_none() && discard {
            let gone: Vec<_> = self.waiting.drain(begun..).collect();
            self.expected
                .retain(|number| gone.iter().all(|(gone, _)| gone != number));
            // A pong that was not begun is dropped too, or not: it is of no use any more.
            self.pongs.clear();
        }
        self.outbox.close(span, discard);
        self.closed.get_or_insert((frame, discard));
        assert!(self.outbox.is_closing());
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Push(padding) => self.push(*padding),
            Step::PushLarge(padding, script) => self.push_large(*padding, script),
            Step::Pong(padding) => self.control(Kind::Pong, *padding),
            Step::Ping => self.control(Kind::Ping, 0),
            Step::FlushEarly(script) => {
                self.flush(script);
            }
            Step::Flush(script) => {
                self.flush(script);
                self.output.clear();
            }
            Step::Drain => self.drain(),
            Step::Close { frame, discard } => self.close(*frame, *discard),
        }
    }

    /// Everything is written: the wire must hold whole messages, the right ones, in order.
    fn check(&self) {
        let (seen, partial) = self.wire.seen();
        assert_eq!(partial, None, "the wire ends with a whole message");
        let messages: Vec<u32> = seen
            .iter()
            .filter_map(|seen| match seen {
                Seen::Message(number) => Some(*number),
                _ => None,
            })
            .collect();
        assert_eq!(messages, self.expected);
        if self.wire.has_pongs() {
            self.check_pongs(&seen);
        }
        let closes = seen.iter().filter(|seen| **seen == Seen::Close).count();
        assert_eq!(
            closes,
            usize::from(self.closed.is_some_and(|(frame, _)| frame))
        );
        if closes == 1 {
            assert_eq!(seen.last(), Some(&Seen::Close), "nothing follows it");
        }
    }

    fn check_pongs(&self, seen: &[Seen]) {
        // One that was in line when the socket blocked may be overtaken by a later one.
        let of_pong = |seen: &Seen| match seen {
            Seen::Pong(number) => Some(*number),
            _ => None,
        };
        let pongs: Vec<u32> = seen.iter().filter_map(of_pong).collect();
        let once: HashSet<u32> = pongs.iter().copied().collect();
        assert_eq!(pongs.len(), once.len(), "each ping is answered once");
        let last = self.pongs.last();
        assert!(
            last.is_none_or(|last| once.contains(last)),
            "the last ping is answered"
        );
    }
}

fn run(wire: Wire, limit: usize, policy: SlowConsumer, steps: &[Step]) {
    let mut bench = Bench::new(wire, limit, policy);
    for step in steps {
        bench.run(step);
    }
    bench.drain();
    bench.check();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_written_is_whole_frames_in_order(
        limit in 1..3000_usize,
        policy in policy(),
        steps in proptest::collection::vec(step(), 0..60),
    ) {
        run(Wire::frames(), limit, policy, &steps);
    }

    #[test]
    fn what_is_written_is_whole_events_in_order(
        limit in 1..3000_usize,
        policy in policy(),
        steps in proptest::collection::vec(step(), 0..60),
    ) {
        run(Wire::events(), limit, policy, &steps);
    }
}
