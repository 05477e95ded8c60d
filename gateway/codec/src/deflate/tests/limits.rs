//! The limit of a message, the memory it takes and the slices it is read in.

use super::*;

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
