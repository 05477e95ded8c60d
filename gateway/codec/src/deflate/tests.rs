//! Both coders together, against the examples of RFC 7692 and against another implementation of
//! DEFLATE: miniz_oxide, which is flate2's default. Ours is zlib-rs. [`limits`] are about memory and
//! slices, [`properties`] about any messages and any bytes.

mod limits;
mod properties;

use flate2::{Decompress, FlushDecompress};

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
