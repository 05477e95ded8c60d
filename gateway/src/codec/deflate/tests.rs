//! Both coders together, against the examples of RFC 7692 and against another implementation of
//! DEFLATE: miniz_oxide, which is flate2's default. Ours is zlib-rs.

use flate2::{Decompress, FlushDecompress};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// A message alone through a fresh compressor.
fn deflated(payload: &[u8], level: u8) -> Vec<u8> {
    let mut out = Vec::new();
    Deflater::new(level, 15).deflate(payload, &mut out, false);
    out
}

/// A message alone through a fresh decompressor.
fn inflated(payload: &[u8], max: usize) -> Result<Vec<u8>, InflateError> {
    let mut out = Vec::new();
    Inflater::new().inflate(payload, &mut out, max, false)?;
    Ok(out)
}

/// The other implementation's view of messages that were sent one after the other.
struct Oracle(Decompress);

impl Oracle {
    fn new() -> Self {
        Self(Decompress::new(false))
    }

    fn inflate(&mut self, payload: &[u8]) -> Vec<u8> {
        let input = [payload, &TAIL].concat();
        let (start, mut out) = (self.0.total_in(), Vec::new());
        loop {
            let read = (self.0.total_in() - start) as usize;
            out.reserve(1 << 16);
            let before = out.len();
            self.0
                .decompress_vec(&input[read..], &mut out, FlushDecompress::Sync)
                .expect("valid data");
            if self.0.total_in() - start == input.len() as u64 && out.len() == before {
                return out;
            }
        }
    }
}

/// Bytes without a pattern.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

/// The slices of a message are the message, whatever their size.
#[test]
fn slices_come_to_the_whole() {
    let text: Vec<u8> = (0..200_000_u32)
        .flat_map(|n| (n / 7).to_le_bytes())
        .collect();
    for keep in [false, true] {
        let (mut deflater, mut inflater) = (Deflater::new(6, 15), Inflater::new());
        for slice in [1, 7, 1000, 65_536, 1 << 20, usize::MAX] {
            let text = &text[..text.len().min(slice.saturating_mul(5000))];
            let mut payload = Vec::new();
            deflater.deflate(text, &mut payload, keep);
            let mut out = b"before".to_vec();
            let mut course = Course::new(&payload, &out, text.len(), keep);
            loop {
                let before = out.len();
                let done = inflater.advance(&mut course, &mut out, slice).unwrap();
                assert!(out.len() - before <= slice);
                assert!(
                    done || out.len() - before == slice,
                    "no slice is left short"
                );
                if done {
                    break;
                }
            }
            assert_eq!(&out[6..], text, "{slice} {keep}");
        }
    }
}

/// A limit holds over all slices; what was inflated until then is forgotten.
#[test]
fn slices_share_one_limit() {
    let mut payload = Vec::new();
    Deflater::new(6, 15).deflate(&[0; 100_000], &mut payload, false);
    let (mut inflater, mut out) = (Inflater::new(), b"before".to_vec());
    let mut course = Course::new(&payload, &out, 50_000, false);
    let ended = loop {
        match inflater.advance(&mut course, &mut out, 1000) {
            Ok(done) => assert!(!done),
            Err(error) => break error,
        }
    };
    assert_eq!(ended, InflateError::TooBig);
    assert_eq!(out, b"before");
}

#[test]
fn the_rfc_examples_come_out_as_printed() {
    // Section 7.2.3.1, at every level that uses the fixed codes for so little.
    let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    for level in 1..=9 {
        assert_eq!(deflated(b"Hello", level), hello, "level {level}");
    }

    // Section 7.2.3.2: "Hello" twice, with and without takeover.
    for (keep, second) in [(true, &b"\xf2\x00\x11\x00\x00"[..]), (false, hello)] {
        let (mut deflater, mut out) = (Deflater::new(6, 15), Vec::new());
        assert_eq!(deflater.deflate(b"Hello", &mut out, keep), hello.len());
        assert_eq!(out, hello);
        assert_eq!(deflater.deflate(b"Hello", &mut out, keep), second.len());
        assert_eq!(out[hello.len()..], *second);
        // An empty message that is not kept ends the history like any other.
        out.clear();
        deflater.deflate(b"", &mut out, false);
        deflater.deflate(b"Hello", &mut out, keep);
        assert_eq!(out[1..], *hello);
    }

    // Section 7.2.3.6: an empty message, first or after others, with and without takeover.
    let (mut deflater, mut out) = (Deflater::new(6, 15), Vec::new());
    for payload in [&b""[..], b"", b"Hello", b"", b""] {
        for keep in [true, false] {
            out.clear();
            deflater.deflate(payload, &mut out, keep);
            assert_eq!(out == b"\x00", payload.is_empty());
        }
    }
}

#[test]
fn the_rfc_examples_are_read() {
    for (payload, section) in [
        (&b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..], "7.2.3.1: one block"),
        (
            b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
            "7.2.3.3: no compression",
        ),
        (b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "7.2.3.4: a last block"),
        (
            b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
            "7.2.3.5: two blocks",
        ),
    ] {
        assert_eq!(inflated(payload, 5).unwrap(), b"Hello", "{section}");
        let (mut inflater, mut out) = (Inflater::new(), Vec::new());
        for _ in 0..3 {
            inflater.inflate(payload, &mut out, 5, true).unwrap();
        }
        assert_eq!(out, b"HelloHelloHello", "{section}, with takeover");
    }
    assert_eq!(inflated(b"\x00", 0).unwrap(), b"", "7.2.3.6: empty");

    let (mut inflater, mut out) = (Inflater::new(), Vec::new());
    for payload in [
        &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..],
        b"\xf2\x00\x11\x00\x00",
    ] {
        inflater.inflate(payload, &mut out, 5, true).unwrap();
    }
    assert_eq!(out, b"HelloHello", "7.2.3.2: takeover");
}

#[test]
fn without_takeover_nothing_is_remembered() {
    let mut inflater = Inflater::new();
    let mut out = Vec::new();
    let (first, second) = (b"\xf2\x48\xcd\xc9\xc9\x07\x00", b"\xf2\x00\x11\x00\x00");
    inflater.inflate(first, &mut out, 5, false).unwrap();
    assert_eq!(
        inflater.inflate(second, &mut out, 5, false),
        Err(InflateError::Invalid)
    );
    assert_eq!(out, b"Hello");
}

#[test]
fn blocks_end_in_many_ways() {
    let hello = b"\xf3\x48\xcd\xc9\xc9\x07\x00";
    let empty_stored = b"\x00\x00\x00\xff\xff";
    let empty_fixed_last = b"\x03\x00";
    for (payload, expected) in [
        // A last block and nothing after it, not even the header of an empty one.
        (hello.to_vec(), &b"Hello"[..]),
        (empty_fixed_last.to_vec(), b""),
        // Several last blocks, each the end of a stream.
        ([&hello[..], hello, b"\x00"].concat(), b"HelloHello"),
        ([&empty_fixed_last[..]; 100].concat(), b""),
        // Empty blocks before and after.
        (
            [
                &empty_stored[..],
                empty_stored,
                hello,
                empty_stored,
                b"\x00",
            ]
            .concat(),
            b"Hello",
        ),
        // No byte at all, from a zlib that had nothing to flush.
        (Vec::new(), b""),
    ] {
        for keep in [true, false] {
            let (mut inflater, mut out) = (Inflater::new(), Vec::new());
            for _ in 0..2 {
                inflater.inflate(&payload, &mut out, 10, keep).unwrap();
            }
            assert_eq!(out, [expected, expected].concat(), "{payload:x?}");
        }
    }
}

#[test]
fn invalid_data_is_refused_and_forgotten() {
    let mut inflater = Inflater::new();
    for payload in [
        // The reserved block type, a stored block whose lengths disagree, a reference to nothing.
        &b"\xff"[..],
        b"\x00\x05\x00\x00\x00Hello\x00",
        b"\xf2\x00\x11\x00\x00",
        // After the end of a stream too.
        b"\xf3\x48\xcd\xc9\xc9\x07\x00\xff",
    ] {
        for keep in [true, false] {
            let mut out = b"before".to_vec();
            let result = inflater.inflate(payload, &mut out, 100, keep);
            assert_eq!(result, Err(InflateError::Invalid), "{payload:x?}");
            assert_eq!(out, b"before");
            inflater
                .inflate(b"\xf2\x48\xcd\xc9\xc9\x07\x00", &mut out, 5, keep)
                .unwrap();
            assert_eq!(out, b"beforeHello");
            // Forget it, for the next turn.
            assert!(inflater.inflate(b"\xff", &mut out, 5, keep).is_err());
        }
    }
}

#[test]
fn a_message_cut_in_a_block_is_refused() {
    let text = b"a message cut in a block is refused".repeat(20);
    for level in [1, 6] {
        let whole = deflated(&text, level);
        assert_eq!(inflated(&whole, text.len()).unwrap(), text);
        for len in 1..whole.len() {
            assert_eq!(
                inflated(&whole[..len], text.len()),
                Err(InflateError::Invalid),
                "{len} bytes of {}",
                whole.len()
            );
        }
    }
    // A stored block of 255 bytes takes whatever comes, so nothing is wrong but the end.
    let stored = [&b"\x00\xff\x00\x00\xff"[..], &text[..100]].concat();
    assert_eq!(inflated(&stored, 1000), Err(InflateError::Invalid));
}

#[test]
fn the_limit_holds_to_the_byte() {
    for len in [1, 2, 511, 512, 513, 1023, 1024, 1025, 16_384, 100_000] {
        for text in [vec![0; len], noise(len)] {
            let payload = deflated(&text, 6);
            assert_eq!(inflated(&payload, len).unwrap(), text);
            assert_eq!(inflated(&payload, usize::MAX).unwrap(), text);
            assert_eq!(inflated(&payload, len - 1), Err(InflateError::TooBig));
            assert_eq!(inflated(&payload, 0), Err(InflateError::TooBig));
        }
    }
    assert_eq!(inflated(b"\x00", 0).unwrap(), b"");
}

#[test]
fn a_bomb_costs_no_more_than_the_limit() {
    let mib = deflated(&vec![0; 1 << 20], 9);
    assert!(mib.len() < 1100, "{} bytes for 1 MiB", mib.len());
    let bomb = deflated(&vec![0; 32 << 20], 9);
    // Compressed once more: what comes out is compressed data, and as harmless as any other.
    let nested = deflated(&bomb, 9);
    assert_eq!(inflated(&nested, bomb.len()).unwrap(), bomb);

    let mut inflater = Inflater::new();
    for max in [0, 1, 1000, 65_536, 1_000_000] {
        for keep in [true, false] {
            let mut out = Vec::new();
            let result = inflater.inflate(&bomb, &mut out, max, keep);
            assert_eq!(result, Err(InflateError::TooBig));
            assert!(out.is_empty());
            assert!(out.capacity() <= max + 1, "{} bytes", out.capacity());
            inflater.inflate(&mib, &mut out, 1 << 20, keep).unwrap();
        }
    }
}

#[test]
fn memory_follows_what_was_decoded() {
    // 10,000 bytes that hold 10 and then nothing: empty blocks.
    let payload = [
        &b"\xf3\x48\xcd\xc9\xc9\x07\x00"[..],
        &b"\x03\x00".repeat(5000),
    ]
    .concat();
    let mut out = Vec::new();
    Inflater::new()
        .inflate(&payload, &mut out, 16 << 20, false)
        .unwrap();
    assert!(out.capacity() <= 16 << 10, "{} bytes", out.capacity());

    let (mut out, text) = (Vec::new(), noise(1 << 20));
    let payload = deflated(&text, 1);
    Inflater::new()
        .inflate(&payload, &mut out, 16 << 20, false)
        .unwrap();
    assert!(out.capacity() <= 2 * text.len() + (32 << 10));

    // A buffer with enough room is used as it is.
    let mut out = Vec::with_capacity(text.len() + 100_000);
    let (capacity, at) = (out.capacity(), out.as_ptr());
    Deflater::new(1, 15).deflate(&text, &mut out, false);
    out.clear();
    Inflater::new()
        .inflate(&payload, &mut out, text.len(), false)
        .unwrap();
    assert_eq!((out.capacity(), out.as_ptr()), (capacity, at));
}

#[test]
fn output_may_end_with_the_room() {
    // Noise is stored as it is, so some of these lengths end exactly with a piece of room, where
    // zlib has to be called once more; and some end so that the last block does not fit in.
    for level in [1, 2, 6, 9] {
        let (mut deflater, mut inflater) = (Deflater::new(level, 15), Inflater::new());
        let (noise, mut wire, mut back) = (noise(40_000), Vec::new(), Vec::new());
        for len in (4000..4300).chain(8100..8500).chain(16_300..16_700) {
            wire.clear();
            back.clear();
            deflater.deflate(&noise[..len], &mut wire, true);
            inflater.inflate(&wire, &mut back, len, true).unwrap();
            assert_eq!(back, noise[..len], "{len} bytes at level {level}");
            assert!(wire.len() <= len + len / 16 + 64);
        }
    }
}

#[test]
fn what_is_in_the_buffer_stays() {
    let mut out = b"head".to_vec();
    let appended = Deflater::new(1, 15).deflate(b"Hello", &mut out, false);
    assert_eq!(out[..4], *b"head");
    assert_eq!(appended, out.len() - 4);
    let mut back = b"before ".to_vec();
    Inflater::new()
        .inflate(&out[4..], &mut back, 5, false)
        .unwrap();
    assert_eq!(back, b"before Hello");
}

#[test]
fn coders_can_move_between_threads() {
    fn send<T: Send>() {}
    send::<Deflater>();
    send::<Inflater>();
}

/// Messages of every kind: noise, few symbols, long runs, empty ones.
fn message() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..3000),
        vec(97..101_u8, 0..10_000),
        (any::<u8>(), 0..100_000_usize).prop_map(|(byte, len)| vec![byte; len]),
        (vec(any::<u8>(), 1..400), 1..200_usize).prop_map(|(unit, times)| unit.repeat(times)),
        Just(Vec::new()),
    ]
}

/// What a connection with takeover is sent.
#[derive(Debug, Clone)]
enum Sent {
    /// From its own compressor.
    Own(Vec<u8>),
    /// From a shared one, as a publish to many is.
    Shared(Vec<u8>),
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        3 => message().prop_map(Sent::Own),
        1 => message().prop_map(Sent::Shared),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn messages_alone_come_back(
        messages in vec(message(), 1..6), level in 1..=9_u8, bits in 9..=15_u8,
    ) {
        let (mut deflater, mut inflater) = (Deflater::new(level, bits), Inflater::new());
        for message in messages {
            let (mut wire, mut back) = (Vec::new(), Vec::new());
            let appended = deflater.deflate(&message, &mut wire, false);
            prop_assert_eq!(appended, wire.len());
            prop_assert_eq!(&Oracle::new().inflate(&wire), &message);
            inflater.inflate(&wire, &mut back, message.len(), false).unwrap();
            prop_assert_eq!(&back, &message);
        }
    }

    #[test]
    fn a_chain_with_shared_messages_in_it_comes_back(
        chain in vec(sent(), 1..12), level in 1..=9_u8, bits in 9..=15_u8,
    ) {
        let (mut own, mut shared) = (Deflater::new(level, bits), Deflater::new(1, bits));
        let (mut inflater, mut oracle) = (Inflater::new(), Oracle::new());
        for sent in chain {
            let (mut wire, mut back) = (Vec::new(), Vec::new());
            let message = match sent {
                Sent::Own(message) => {
                    own.deflate(&message, &mut wire, true);
                    message
                }
                Sent::Shared(message) => {
                    shared.deflate(&message, &mut wire, false);
                    own.reset();
                    message
                }
            };
            prop_assert_eq!(&oracle.inflate(&wire), &message);
            inflater.inflate(&wire, &mut back, message.len(), true).unwrap();
            prop_assert_eq!(&back, &message);
        }
    }

    #[test]
    fn any_bytes_are_read_within_the_limit(
        payloads in vec(vec(any::<u8>(), 0..300), 1..5), max in 0..5000_usize, keep: bool,
    ) {
        let mut inflater = Inflater::new();
        for payload in payloads {
            let mut out = Vec::new();
            match inflater.inflate(&payload, &mut out, max, keep) {
                Ok(()) => prop_assert!(out.len() <= max),
                Err(_) => prop_assert!(out.is_empty()),
            }
            prop_assert!(out.capacity() <= max + 1);
        }
    }

    #[test]
    fn damaged_messages_are_read_within_the_limit(
        message in message(), at: prop::sample::Index, bit in 0..8_u8, keep: bool,
    ) {
        let mut wire = deflated(&message, 6);
        let at = at.index(wire.len());
        wire[at] ^= 1 << bit;
        let (mut out, max) = (Vec::new(), message.len());
        if Inflater::new().inflate(&wire, &mut out, max, keep).is_err() {
            prop_assert!(out.is_empty());
        }
        prop_assert!(out.capacity() <= max + 1);
    }

    #[test]
    fn any_fields_are_read(
        fields in vec("(permessage-deflate)?[a-z;,=\"\\\\ 01é_-]{0,40}", 0..4),
    ) {
        if let Some(agreement) = negotiate(fields.iter().map(String::as_str), true) {
            let answer = agreement.to_string();
            prop_assert_eq!(negotiate([answer.as_str()].into_iter(), true), Some(agreement));
        }
    }
}
