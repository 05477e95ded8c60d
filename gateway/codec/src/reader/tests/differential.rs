//! The reader against tungstenite on the same bytes: sequences of frames, valid and mutated.

use std::io::{self, Cursor, Read, Write};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tungstenite::Message;
use tungstenite::error::{Error, ProtocolError};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};

use super::*;

/// Small enough that sequences go over it, and above the length of control frames: tungstenite
/// applies its frame limit to those as well.
pub(super) const LIMIT: usize = 400;

/// How a stream of frames ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// All bytes were taken and more could follow.
    Open,
    Closed,
    Protocol,
    Utf8,
    TooBig,
}

type Outcome = (Vec<Owned>, End);

fn ours<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let (items, violation) = read(pieces, LIMIT);
    let end = match violation.map(Violation::code) {
        Some(1007) => End::Utf8,
        Some(1009) => End::TooBig,
        Some(_) => End::Protocol,
        None if matches!(items.last(), Some(Owned::Close(_))) => End::Closed,
        None => End::Open,
    };
    (items, end)
}

/// A socket that has `bytes` to read and swallows what is written.
struct Socket(Cursor<Vec<u8>>);

impl Read for Socket {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn theirs(bytes: &[u8]) -> Outcome {
    let config = WebSocketConfig::default()
        .max_message_size(Some(LIMIT))
        .max_frame_size(Some(LIMIT))
        .read_buffer_size(64);
    let mut context = WebSocketContext::new(Role::Server, Some(config));
    let mut socket = Socket(Cursor::new(bytes.to_vec()));
    let mut items = Vec::new();
    let end = loop {
        items.push(match context.read(&mut socket) {
            Ok(Message::Text(text)) => Owned::Text(text.as_str().to_owned()),
            Ok(Message::Binary(payload)) => Owned::Binary(payload.to_vec()),
            Ok(Message::Ping(payload)) => Owned::Ping(payload.to_vec()),
            Ok(Message::Pong(payload)) => Owned::Pong(payload.to_vec()),
            Ok(Message::Close(close)) => {
                let close = close.map(|c| (c.code.into(), c.reason.as_str().to_owned()));
                items.push(Owned::Close(close));
                break End::Closed;
            }
            Ok(Message::Frame(_)) => unreachable!("never read"),
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => break End::Open,
            Err(Error::Protocol(_)) => break End::Protocol,
            Err(Error::Utf8(_)) => break End::Utf8,
            Err(Error::Capacity(_)) => break End::TooBig,
            Err(other) => panic!("{other:?}"),
        });
    };
    (items, end)
}

/// One frame on the wire. Its length is what its payload has, or a claim over the limit, so that
/// frames stay apart and a test can say at which one a stream must end.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    first: u8,
    mask: Option<[u8; 4]>,
    form: Form,
    payload: Vec<u8>,
}

impl Wire {
    fn bytes(&self) -> Vec<u8> {
        encode(self.first, self.mask, self.form, &self.payload)
    }

    fn announced(&self) -> u64 {
        match self.form {
            Form::Claim(len) => len,
            _ => self.payload.len() as u64,
        }
    }

    /// The ends we allow where tungstenite does not judge this frame as we must, by its nature:
    ///
    /// - it takes lengths that are not minimal, and knows no rule about the top bit;
    /// - it answers a forbidden close code with a Close of its own instead of an error;
    /// - its list of close codes has no 1014 (registered after the RFC);
    /// - its frame limit is looked at before the frame's other faults, and for control frames.
    fn differs(&self) -> Option<&'static [End]> {
        let minimum = match self.form {
            Form::Minimal => 0,
            Form::Bits16 => 126,
            Form::Bits64 | Form::Claim(_) => 1 << 16,
        };
        let (opcode, is_control) = (self.first & 0x0f, self.first & 0x08 != 0);
        let faulty = self.first & 0x70 != 0 || self.mask.is_none();
        if faulty || (3..=7).contains(&opcode) || opcode > PONG {
            return (self.announced() > LIMIT as u64).then_some(&[End::Protocol]);
        }
        if is_control && (self.announced() > 125 || self.first & FIN == 0) {
            return Some(&[End::Protocol]);
        }
        if self.announced() < minimum || self.announced() >= 1 << 63 {
            return Some(&[End::Protocol]);
        }
        if self.announced() > LIMIT as u64 {
            // Protocol if it also comes at the wrong place among fragments.
            return Some(&[End::TooBig, End::Protocol]);
        }
        match self
            .payload
            .first_chunk()
            .map(|code| u16::from_be_bytes(*code))
        {
            Some(1014) if opcode == CLOSE => Some(&[End::Closed, End::Utf8]),
            Some(1000..=1003 | 1007..=1013 | 3000..=4999) | None => None,
            Some(_) if opcode == CLOSE => Some(&[End::Protocol]),
            Some(_) => None,
        }
    }
}

/// Mostly text, of characters of every length, now and then with bytes that spoil it.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let character = prop_oneof![3 => prop::char::range(' ', '~'), 2 => any::<char>()];
    let text = (vec(character, 0..60), 0..3usize)
        .prop_map(|(chars, times)| chars.iter().collect::<String>().repeat(times).into_bytes());
    let spoils = prop::sample::select(vec![
        &b"\xff"[..],
        b"\xc3",
        b"\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xc0\xaf",
        b"\xe2\x82",
    ]);
    prop_oneof![
        12 => text.clone(),
        1 => (text, spoils, any::<Index>()).prop_map(|(mut text, spoil, at)| {
            let at = at.index(text.len() + 1);
            text.splice(at..at, spoil.iter().copied());
            text
        }),
        1 => vec(any::<u8>(), 0..140),
        1 => (0..LIMIT + 60).prop_map(|len| vec![b'x'; len]),
    ]
}

fn wire(first: u8, payload: impl Into<Vec<u8>>, mask: [u8; 4]) -> Wire {
    let (mask, payload) = (Some(mask), payload.into());
    Wire {
        first,
        mask,
        form: Form::Minimal,
        payload,
    }
}

fn control() -> impl Strategy<Value = Wire> {
    let opcode = prop_oneof![Just(PING), Just(PONG)];
    (opcode, vec(any::<u8>(), 0..=125), any::<[u8; 4]>())
        .prop_map(|(opcode, payload, mask)| wire(FIN | opcode, payload, mask))
}

fn close() -> impl Strategy<Value = Wire> {
    let code = prop_oneof![3 => 990u16..1020, 1 => any::<u16>()];
    let payload = (code, payload(), 0..126usize, 0..8u8).prop_map(|(code, reason, len, kind)| {
        let mut payload = [&code.to_be_bytes()[..], &reason].concat();
        payload.truncate(if kind < 2 { kind.into() } else { len });
        payload
    });
    (payload, any::<[u8; 4]>()).prop_map(|(payload, mask)| wire(FIN | CLOSE, payload, mask))
}

/// A message, cut into fragments anywhere, with a control frame after some of them.
fn message() -> impl Strategy<Value = Vec<Wire>> {
    let cuts = vec(
        (any::<Index>(), proptest::option::weighted(0.3, control())),
        0..4,
    );
    (
        prop_oneof![3 => Just(TEXT), 1 => Just(BINARY)],
        payload(),
        cuts,
        any::<[u8; 4]>(),
    )
        .prop_map(|(opcode, payload, mut cuts, mask)| {
            cuts.sort_by_key(|(at, _)| at.index(payload.len() + 1));
            let (mut frames, mut start, mut first) = (Vec::new(), 0, opcode);
            for (at, control) in cuts {
                let end = at.index(payload.len() + 1);
                frames.push(wire(first, &payload[start..end], mask));
                frames.extend(control);
                (start, first) = (end, CONTINUATION);
            }
            frames.push(wire(FIN | first, &payload[start..], mask));
            frames
        })
}

/// What may be done to a frame.
#[derive(Debug, Clone)]
enum Mutation {
    First(u8),
    Flip(u8),
    Unmask,
    Form(Form),
    Payload(Vec<u8>),
    Drop,
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let over = LIMIT as u64 + 1;
    prop_oneof![
        any::<u8>().prop_map(Mutation::First),
        (0..8u32).prop_map(|bit| Mutation::Flip(1 << bit)),
        Just(Mutation::Unmask),
        Just(Mutation::Form(Form::Bits16)),
        Just(Mutation::Form(Form::Bits64)),
        prop_oneof![
            over..70_000,
            any::<u64>().prop_map(move |len| len.max(over))
        ]
        .prop_map(|len| Mutation::Form(Form::Claim(len))),
        payload().prop_map(Mutation::Payload),
        Just(Mutation::Drop),
    ]
}

pub(super) fn stream() -> impl Strategy<Value = Vec<Wire>> {
    let part = prop_oneof![
        8 => message(),
        3 => control().prop_map(|frame| vec![frame]),
        1 => close().prop_map(|frame| vec![frame]),
    ];
    let mutations = prop_oneof![
        2 => Just(Vec::new()),
        3 => vec((any::<Index>(), mutation()), 1..3),
    ];
    (vec(part, 1..6), mutations).prop_map(|(parts, mutations)| {
        let mut frames = parts.concat();
        for (at, mutation) in mutations {
            let at = at.index(frames.len());
            let frame = &mut frames[at];
            match mutation {
                Mutation::First(first) => frame.first = first,
                Mutation::Flip(bit) => frame.first ^= bit,
                Mutation::Unmask => frame.mask = None,
                Mutation::Form(form) => frame.form = form,
                Mutation::Payload(payload) => frame.payload = payload,
                Mutation::Drop if frames.len() > 1 => drop(frames.remove(at)),
                Mutation::Drop => {}
            }
        }
        frames
    })
}

/// Cuts `bytes` into pieces of these sizes, over and over.
pub(super) fn chop<'a>(bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    for size in sizes.iter().cycle() {
        let (piece, after) = rest.split_at(rest.len().min(*size));
        pieces.push(piece);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    pieces
}

pub(super) fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        1 => Just(vec![1]),
        3 => vec(1..20usize, 1..8),
        3 => vec(1..600usize, 1..8),
        1 => Just(vec![usize::MAX]),
    ]
}

pub(super) fn concat(frames: &[Wire]) -> Vec<u8> {
    frames.iter().flat_map(Wire::bytes).collect()
}

proptest! {
    // PROPTEST_CASES, if it is set, overrides this.
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// Up to the first frame that tungstenite judges otherwise by its nature, both read the same
    /// items and end the same way; at that frame we end as the RFC says.
    #[test]
    fn reads_what_tungstenite_reads(frames in stream(), sizes in sizes()) {
        let differing = frames.iter().position(|frame| frame.differs().is_some());
        let same = concat(&frames[..differing.unwrap_or(frames.len())]);
        let expected = theirs(&same);
        prop_assert_eq!(&ours(chop(&same, &sizes)), &expected);

        if let (Some(at), End::Open) = (differing, expected.1) {
            let (mut items, end) = ours(chop(&concat(&frames[..=at]), &sizes));
            let allowed = frames[at].differs().unwrap_or_default();
            prop_assert!(allowed.contains(&end), "{:?} at frame {}", end, at);
            if end == End::Closed {
                items.pop();
            }
            prop_assert_eq!(items, expected.0);
        }
    }

    /// Neither items nor the violation depend on how the bytes were cut, and a stream that stops
    /// early has told nothing that the whole would not.
    #[test]
    fn cuts_change_nothing(frames in stream(), sizes in sizes(), stop in any::<Index>()) {
        let bytes = concat(&frames);
        let whole = read([&bytes[..]], LIMIT);
        prop_assert_eq!(&read(chop(&bytes, &sizes), LIMIT), &whole);
        let (items, violation) = read(chop(&bytes[..stop.index(bytes.len())], &sizes), LIMIT);
        prop_assert!(whole.0.starts_with(&items));
        prop_assert!(violation.is_none() || violation == whole.1);
    }

    /// Any bytes at all: no panic, and nothing that depends on the cuts.
    #[test]
    fn noise_is_survived(bytes in vec(any::<u8>(), 1..300), sizes in sizes()) {
        prop_assert_eq!(read(chop(&bytes, &sizes), LIMIT), read([&bytes[..]], LIMIT));
    }
}
