//! The inbound side: any stream of a client, cut anywhere.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_codec::{append, append_deflated, frame_len, payload};

use tidegate_fuzz::item::Owned;
use tidegate_fuzz::oracle::{self, End};
use tidegate_fuzz::read::{Terms, read, read_in_batches};
use tidegate_fuzz::stream::{Input, chop};
use tidegate_fuzz::wire::{FIN, Form, Frame, split};

/// Where every byte is a read of its own, no more of them.
const MAX_BYTES: usize = 1024;

fuzz_target!(|input: Input| {
    let stream = input.stream();
    let pieces = chop(&stream, &input.sizes);
    let terms = Terms {
        deflate: input.deflate,
        ..Terms::plain(input.limit)
    };
    let items = cuts_change_nothing(&stream, &pieces, terms);
    a_violation_is_found_at_its_byte(&stream[..stream.len().min(MAX_BYTES)], terms);
    // A reload may change the limit within a message.
    let terms = Terms {
        limits: [input.limit, input.reloaded],
        ..terms
    };
    assert_eq!(read_in_batches(&pieces, terms), read(&pieces, terms));
    if !input.deflate && input.limit >= oracle::LEAST_LIMIT {
        reads_what_tungstenite_reads(&stream, &pieces, input.limit);
    }
    what_was_read_can_be_sent(&items);
});

/// Neither items nor the violation depend on how the bytes were cut or on how they are asked for.
/// Returns the items.
fn cuts_change_nothing(stream: &[u8], pieces: &[&[u8]], terms: Terms) -> Vec<Owned> {
    let whole = read(&[stream], terms);
    assert_eq!(read_in_batches(&[stream], terms), whole);
    let cut = read(pieces, terms);
    assert_eq!(read_in_batches(pieces, terms), cut);
    let (items, violation) = whole.said();
    assert_eq!(cut.violation, violation);
    assert_eq!(cut.items, items);
    items
}

/// The first rule broken, at the first byte that breaks it, however that one arrives; and what was
/// said before it does not depend on what follows.
fn a_violation_is_found_at_its_byte(stream: &[u8], terms: Terms) {
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    let one_by_one = read(&bytes, terms);
    if let Some(at) = one_by_one.broken_in {
        let before = read(&[&stream[..at]], terms);
        assert_eq!(before.said(), (one_by_one.items.clone(), None));
        let with = read(&[&stream[..=at]], terms);
        assert_eq!(with.said(), one_by_one.said());
    } else {
        assert_eq!(read(&[stream], terms).said(), one_by_one.said());
    }
}

/// Up to the first frame that tungstenite judges otherwise by its nature, both read the same items
/// and end the same way; at that frame we end as the RFC says.
fn reads_what_tungstenite_reads(stream: &[u8], pieces: &[&[u8]], limit: usize) {
    let terms = Terms::plain(limit);
    let mut same = 0;
    let mut differing = None;
    for frame in split(stream) {
        let end = frame.end(stream.len());
        if let Some(allowed) = oracle::differs(&frame, stream, limit) {
            differing = Some((end.unwrap_or(stream.len()), allowed));
            break;
        }
        let Some(end) = end else { break };
        same = end;
    }
    let expected = oracle::reads_as_server(&stream[..same], limit);
    let (items, violation) = read(&[&stream[..same]], terms).said();
    let end = End::of(&items, violation);
    assert_eq!((items, end), expected);
    if end != End::Open {
        // Nor does it read on.
        assert_eq!(read(pieces, terms).said(), (expected.0, violation));
    } else if let Some((until, allowed)) = differing {
        let (mut items, violation) = read(&[&stream[..until]], terms).said();
        let end = End::of(&items, violation);
        assert!(allowed.contains(&end), "{end:?}, not {allowed:?}");
        if end == End::Closed {
            items.pop();
        }
        assert_eq!(items, expected.0);
    }
}

/// Frames that carry `items` are found again by their lengths, and both a client and, when they
/// are masked, our reader read the same in them.
fn what_was_read_can_be_sent(items: &[Owned]) {
    let (mut sent, mut masked) = (Vec::new(), Vec::new());
    for item in items {
        let (opcode, bytes) = item.frame();
        assert_eq!(bytes.len(), item.payload_len());
        let start = sent.len();
        match item {
            Owned::Deflated { .. } => append_deflated(&mut sent, FIN | opcode as u8, &bytes),
            _ => append(&mut sent, opcode, &bytes),
        }
        assert_eq!(frame_len(&sent[start..]), sent.len() - start);
        assert_eq!(payload(&sent[start..]), bytes);
        assert_eq!(sent[start] & !0x40, FIN | opcode as u8);
        let frame = Frame {
            first: sent[start],
            mask: Some([0x5a, 0x11, 0xe7, 0x83]),
            form: Form::Minimal,
            payload: bytes,
        };
        frame.append_to(&mut masked);
    }
    let mut at = 0;
    for _ in items {
        at += frame_len(&sent[at..]);
    }
    assert_eq!(at, sent.len());
    let terms = Terms {
        deflate: true,
        ..Terms::plain(usize::MAX)
    };
    assert_eq!(read(&[&masked], terms).said(), (items.to_vec(), None));
    // Tungstenite knows neither compression nor this code.
    let is_known =
        |item: &Owned| !matches!(item, Owned::Deflated { .. } | Owned::Close(Some((1014, _))));
    if items.iter().all(is_known) {
        assert_eq!(oracle::reads_as_client(&sent).0, items);
    }
}
