//! The outbox against a naive model: a list of frames, and a wire that takes what it likes.

use std::collections::{HashSet, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::codec::{self, Opcode};

mod cases;

/// One thing that happens to an outbox.
#[derive(Clone, Debug)]
enum Step {
    /// A data frame with so many bytes of payload behind its number.
    Push(usize),
    Pong(usize),
    Ping,
    /// The writer takes so many bytes at each call, then blocks.
    Flush(Vec<usize>),
    /// The same in the middle of a turn.
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
    prop_oneof![
        10 => (0..300_usize).prop_map(Step::Push),
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

/// A frame as the wire shows it: first byte, number.
type Seen = (u8, u32);

const DATA: u8 = 0x82;
const PONG: u8 = 0x8a;
const PING: u8 = 0x89;
const CLOSE: u8 = 0x88;

/// An outbox, its turn and its wire, with what must come out.
struct Bench {
    outbox: Outbox,
    limit: usize,
    policy: SlowConsumer,
    turn: Vec<u8>,
    wire: Vec<u8>,
    next: u32,
    /// Data frames taken and neither dropped nor wholly written: number and length.
    waiting: VecDeque<(u32, usize)>,
    /// Data frames that must be on the wire in the end, in order.
    expected: Vec<u32>,
    pongs: Vec<u32>,
    closed: Option<(bool, bool)>,
}

impl Bench {
    fn new(limit: usize, policy: SlowConsumer) -> Self {
        Self {
            outbox: Outbox::new(limit, policy),
            limit,
            policy,
            turn: Vec::new(),
            wire: Vec::new(),
            next: 0,
            waiting: VecDeque::new(),
            expected: Vec::new(),
            pongs: Vec::new(),
            closed: None,
        }
    }

    /// Puts a frame with a number into the turn.
    fn encode(&mut self, opcode: Opcode, padding: usize) -> (u32, Span) {
        let number = self.next;
        self.next += 1;
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(4 + padding, 0xaa);
        let start = self.turn.len() as u32;
        codec::append(&mut self.turn, opcode, &payload);
        (number, start..self.turn.len() as u32)
    }

    /// The whole frames on the wire, and that of which a part is there.
    fn seen(&self) -> (Vec<Seen>, Option<u8>) {
        let (mut seen, mut rest) = (Vec::new(), self.wire.as_slice());
        while rest.len() >= 2 {
            let len = codec::frame_len(rest);
            if matches!(rest[1], 126 | 127) && rest.len() < 10 || len > rest.len() {
                break;
            }
            let (frame, after) = rest.split_at(len);
            let head = if frame[1] == 126 { 4 } else { 2 };
            let number = frame
                .get(head..head + 4)
                .map_or(0, |number| u32::from_be_bytes(number.try_into().unwrap()));
            seen.push((frame[0], number));
            rest = after;
        }
        (seen, rest.first().copied())
    }

    /// Of the data frames that wait, how many the wire has begun.
    fn begun(&mut self) -> usize {
        let (seen, partial) = self.seen();
        let whole = |number| seen.contains(&(DATA, number));
        while self
            .waiting
            .front()
            .is_some_and(|&(number, _)| whole(number))
        {
            self.waiting.pop_front();
        }
        usize::from(partial == Some(DATA))
    }

    /// What counts against the limit: all but the pong and ping aside.
    fn held(&self) -> usize {
        self.outbox.queued() - self.outbox.control.bytes.len()
    }

    fn push(&mut self, padding: usize) {
        let (number, span) = self.encode(Opcode::Binary, padding);
        let (before, len) = (self.held(), span.len());
        let fits = before == 0 || before + len <= self.limit;
        let push = self.outbox.push(span, &self.turn);
        let closing = self.closed.is_some();
        match push {
            Push::Taken => assert!(fits && !closing),
            Push::Overflow => assert!(!fits && !closing && self.policy == SlowConsumer::Close),
            Push::Dropped if closing => {}
            Push::Dropped => {
                assert!(!fits);
                assert_ne!(self.policy, SlowConsumer::Close);
                assert_eq!(self.held(), before, "nothing gives way for nothing");
                if self.policy == SlowConsumer::DropOldest {
                    self.check_that_no_drop_would_help(before, len);
                }
            }
            Push::Replaced(dropped) => {
                assert!(!fits && !closing && self.policy == SlowConsumer::DropOldest);
                self.drop_oldest(dropped, before, len);
            }
        }
        if matches!(push, Push::Taken | Push::Replaced(_)) {
            let alone = self.held() == len;
            assert!(alone || self.held() <= self.limit, "the bound");
            self.waiting.push_back((number, len));
            self.expected.push(number);
        }
    }

    fn check_that_no_drop_would_help(&mut self, before: usize, len: usize) {
        let begun = self.begun();
        let free: usize = self.waiting.iter().skip(begun).map(|(_, len)| len).sum();
        assert!(before > free, "else it would have been alone");
        assert!(before - free + len > self.limit);
    }

    /// As many of the oldest frames as needed were dropped, none that was begun.
    fn drop_oldest(&mut self, dropped: usize, before: usize, len: usize) {
        let begun = self.begun();
        assert!(dropped > 0);
        let gone: Vec<_> = self.waiting.drain(begun..begun + dropped).collect();
        let freed: usize = gone.iter().map(|(_, len)| len).sum();
        let but_one = freed - gone[dropped - 1].1;
        assert_eq!(self.held(), before - freed + len);
        assert!(before - but_one + len > self.limit, "not one too many");
        self.expected
            .retain(|number| gone.iter().all(|(gone, _)| gone != number));
    }

    fn control(&mut self, opcode: Opcode, padding: usize) {
        let (number, span) = self.encode(opcode, padding);
        self.outbox.push_control(span, &self.turn);
        if self.closed.is_none() && opcode == Opcode::Pong {
            self.pongs.push(number);
        }
    }

    fn flush(&mut self, script: &[usize]) -> Flush {
        let (before, written) = (self.outbox.queued(), self.wire.len());
        let mut script = script.iter();
        let wire = &mut self.wire;
        let flushed = self.outbox.flush(&self.turn, |slices| {
            assert!(
                slices.iter().any(|slice| !slice.is_empty()),
                "an empty write"
            );
            let Some(&takes) = script.next() else {
                return Err(io::ErrorKind::WouldBlock.into());
            };
            let bytes: Vec<u8> = slices
                .iter()
                .flat_map(|slice| slice.iter().copied())
                .collect();
            let takes = takes.min(bytes.len());
            wire.extend_from_slice(&bytes[..takes]);
            Ok(takes)
        });
        let flushed = flushed.unwrap();
        let written = self.wire.len() - written;
        assert_eq!(self.outbox.queued(), before - written, "the count");
        assert_eq!(self.outbox.is_blocked(), flushed == Flush::Blocked);
        if flushed == Flush::Done {
            assert_eq!(self.outbox.queued(), 0);
            assert_eq!(
                self.outbox.backlog.bytes.capacity(),
                0,
                "memory is released"
            );
            assert_eq!(
                self.outbox.control.bytes.capacity(),
                0,
                "memory is released"
            );
        }
        flushed
    }

    fn drain(&mut self) {
        assert_eq!(self.flush(&[usize::MAX; 1000]), Flush::Done);
        self.turn.clear();
    }

    fn close(&mut self, frame: bool, discard: bool) {
        let span = frame.then(|| {
            let start = self.turn.len() as u32;
            codec::append(&mut self.turn, Opcode::Close, &[3, 0xe8]);
            start..self.turn.len() as u32
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
            Step::Pong(padding) => self.control(Opcode::Pong, *padding),
            Step::Ping => self.control(Opcode::Ping, 0),
            Step::FlushEarly(script) => {
                self.flush(script);
            }
            Step::Flush(script) => {
                self.flush(script);
                self.turn.clear();
            }
            Step::Drain => self.drain(),
            Step::Close { frame, discard } => self.close(*frame, *discard),
        }
    }

    /// Everything is written: the wire must hold whole frames, the right ones, in order.
    fn check(&self) {
        let (seen, partial) = self.seen();
        assert_eq!(partial, None, "the wire ends with a whole frame");
        let of = |kind| seen.iter().filter(move |seen| seen.0 == kind);
        let data: Vec<u32> = of(DATA).map(|seen| seen.1).collect();
        assert_eq!(data, self.expected);
        // One that was in line when the socket blocked may be overtaken by a later one.
        let pongs: HashSet<u32> = of(PONG).map(|seen| seen.1).collect();
        assert_eq!(pongs.len(), of(PONG).count(), "each ping is answered once");
        let last = self.pongs.last();
        assert!(
            last.is_none_or(|last| pongs.contains(last)),
            "the last ping is answered"
        );
        assert!(
            seen.iter()
                .all(|seen| [DATA, PONG, PING, CLOSE].contains(&seen.0))
        );
        let closes = of(CLOSE).count();
        assert_eq!(
            closes,
            usize::from(self.closed.is_some_and(|(frame, _)| frame))
        );
        if closes == 1 {
            assert_eq!(seen.last().unwrap().0, CLOSE, "nothing follows it");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_written_is_whole_frames_in_order(
        limit in 1..1500_usize,
        policy in policy(),
        steps in proptest::collection::vec(step(), 0..60),
    ) {
        let mut bench = Bench::new(limit, policy);
        for step in &steps {
            bench.run(step);
        }
        bench.drain();
        bench.check();
    }
}
