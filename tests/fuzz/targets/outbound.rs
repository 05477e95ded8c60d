//! The outbound side: heads, lengths and closes of any kind.

#![no_main]

use std::io::Cursor;

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use tidegate_codec::{
    HEAD_MAX, MAX_CONTROL, Opcode, Violation, append, close_code_allowed, close_payload,
    encode_head, frame_len, is_control,
};
use tungstenite::protocol::frame::FrameHeader;

use tidegate_fuzz::item::Owned;
use tidegate_fuzz::read::{Terms, read};
use tidegate_fuzz::wire::{CLOSE, FIN, Form, Frame};

fuzz_target!(|steps: Steps| {
    let mut queue = Vec::new();
    let mut lens = Vec::new();
    for step in &steps.0 {
        match step {
            Step::Head(opcode, fin, len) => a_head_says_what_it_should(*opcode, *fin, *len),
            Step::Bytes(bytes) => half_a_head_is_never_run_past(bytes),
            Step::Close(code, reason) => a_close_is_what_a_peer_reads(*code, reason),
            Step::Queue(opcode, payload) => {
                let start = queue.len();
                append(&mut queue, *opcode, payload);
                lens.push((queue.len() - start, opcode, payload));
            }
        }
    }
    frames_are_found_again(&queue, &lens);
});

/// The most steps of an input.
const MAX_STEPS: usize = 64;
/// More than the longest payload whose length takes two bytes.
const MAX_PAYLOAD: usize = 70_000;
const OPCODES: [Opcode; 6] = [
    Opcode::Text,
    Opcode::Binary,
    Opcode::Close,
    Opcode::Ping,
    Opcode::Pong,
    Opcode::Continuation,
];

/// Things to encode, one after the other.
#[derive(Debug)]
struct Steps(Vec<Step>);

#[derive(Debug)]
enum Step {
    /// A head alone, of a payload that is nowhere.
    Head(Opcode, bool, usize),
    /// A head or not, for [`frame_len`].
    Bytes(Vec<u8>),
    Close(u16, String),
    /// A whole frame, appended to those before it.
    Queue(Opcode, Vec<u8>),
}

/// A tag: the kind of step in bits 0-1, the opcode in 2-4, then FIN for a head and, in bit 6, a
/// payload of zeros that is given by a length in three bytes. Other bytes come after their number.
impl<'a> Arbitrary<'a> for Steps {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let mut steps = Vec::new();
        while !u.is_empty() && steps.len() < MAX_STEPS {
            let tag: u8 = u.arbitrary()?;
            let opcode = OPCODES[usize::from(tag >> 2 & 0x07) % OPCODES.len()];
            let is_control = is_control(opcode as u8);
            steps.push(match tag & 0x03 {
                0 => {
                    let len: u64 = u.arbitrary()?;
                    let fin = is_control || tag & 0x20 != 0;
                    // No slice is longer, so no payload is.
                    let most = if is_control {
                        MAX_CONTROL
                    } else {
                        isize::MAX as usize
                    };
                    Step::Head(opcode, fin, (len % (most as u64 + 1)) as usize)
                }
                1 => Step::Bytes(literal(u)?),
                2 => {
                    let code = u.arbitrary()?;
                    let reason = String::from_utf8_lossy(&literal(u)?).into_owned();
                    Step::Close(code, reason)
                }
                _ => {
                    let mut payload = match tag & 0x40 {
                        0 => literal(u)?,
                        _ => {
                            let len: [u8; 3] = u.arbitrary()?;
                            let len = u32::from_le_bytes([len[0], len[1], len[2], 0]) as usize;
                            vec![0; len % MAX_PAYLOAD]
                        }
                    };
                    if is_control {
                        payload.truncate(MAX_CONTROL);
                    }
                    Step::Queue(opcode, payload)
                }
            });
        }
        Ok(Self(steps))
    }
}

fn literal(u: &mut Unstructured<'_>) -> arbitrary::Result<Vec<u8>> {
    let len = usize::from(u.arbitrary::<u8>()?).min(u.len());
    Ok(u.bytes(len)?.to_vec())
}

fn a_head_says_what_it_should(opcode: Opcode, fin: bool, len: usize) {
    let head = encode_head(opcode, fin, len);
    let bytes = head.as_bytes();
    assert!(bytes.len() <= HEAD_MAX);
    let mut cursor = Cursor::new(bytes);
    let (header, announced) = FrameHeader::parse(&mut cursor)
        .expect("valid")
        .expect("whole");
    assert_eq!(cursor.position(), bytes.len() as u64);
    assert_eq!(header.len(announced), bytes.len(), "the minimal form");
    assert_eq!(announced, len as u64);
    assert_eq!(u8::from(header.opcode), opcode as u8);
    assert_eq!(header.is_final, fin);
    assert!(!header.rsv1 && !header.rsv2 && !header.rsv3 && header.mask.is_none());
    assert_eq!(is_control(bytes[0]), opcode as u8 >= CLOSE);
    assert_eq!(frame_len(bytes), bytes.len() + len);
    for short in 0..bytes.len() {
        assert_eq!(frame_len(&bytes[..short]), short);
    }
}

/// [`frame_len`] is for what was encoded here: no mask, and no length that a slice cannot have.
fn half_a_head_is_never_run_past(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    if let Some(second) = bytes.get_mut(1) {
        *second &= 0x7f;
    }
    if let [_, 127, top, ..] = &mut bytes[..] {
        *top &= 0x7f;
    }
    let mut cursor = Cursor::new(&bytes);
    match FrameHeader::parse(&mut cursor) {
        Ok(Some((_, len))) => {
            let head = cursor.position() as usize;
            assert_eq!(frame_len(&bytes), head + len as usize);
        }
        Ok(None) => assert_eq!(frame_len(&bytes), bytes.len()),
        // An opcode that we never send: only that it does not panic.
        Err(_) => drop(frame_len(&bytes)),
    }
}

fn a_close_is_what_a_peer_reads(code: u16, reason: &str) {
    let payload = close_payload(code, reason);
    assert!(payload.len() <= MAX_CONTROL);
    assert_eq!(payload[..2], code.to_be_bytes());
    let kept = str::from_utf8(&payload[2..]).expect("cut between characters");
    let cut = reason.strip_prefix(kept).expect("the start of the reason");
    if let Some(next) = cut.chars().next() {
        assert!(
            payload.len() + next.len_utf8() > MAX_CONTROL,
            "{next:?} would fit"
        );
    }

    let expected = match close_code_allowed(code) {
        true => (vec![Owned::Close(Some((code, kept.to_owned())))], None),
        false => (vec![], Some(Violation::CloseCode(code))),
    };
    let frame = Frame {
        first: FIN | CLOSE,
        mask: Some([1, 20, 30, 200]),
        form: Form::Minimal,
        payload,
    };
    let mut bytes = Vec::new();
    frame.append_to(&mut bytes);
    assert_eq!(read(&[&bytes], Terms::plain(0)).said(), expected);
}

/// Walks the queue as the outbox walks its backlog.
fn frames_are_found_again(queue: &[u8], frames: &[(usize, &Opcode, &Vec<u8>)]) {
    let mut rest = queue;
    for (len, opcode, payload) in frames {
        assert_eq!(frame_len(rest), *len);
        assert_eq!(is_control(rest[0]), **opcode as u8 >= CLOSE);
        let (frame, after) = rest.split_at(*len);
        assert!(frame.ends_with(payload));
        assert!(frame.len() - payload.len() <= HEAD_MAX);
        rest = after;
    }
    assert!(rest.is_empty());
    assert_eq!(frame_len(rest), 0);
}
