//! The network may cut a stream anywhere: what is read must not depend on it.

use super::*;

/// Text of `len` bytes whose characters have all four lengths.
fn text(len: usize) -> Vec<u8> {
    let mut text = "aé€💧".repeat(len / 10);
    text.extend(std::iter::repeat_n('z', len % 10));
    text.into_bytes()
}

/// The two data types and, where it may be that long, a ping.
fn cases(len: usize) -> Vec<(Vec<u8>, Owned)> {
    let text = text(len);
    let mut cases = vec![
        (
            frame(FIN | TEXT, &text),
            Owned::Text(String::from_utf8(text.clone()).unwrap()),
        ),
        (frame(FIN | BINARY, &text), Owned::Binary(text.clone())),
    ];
    if len <= 125 {
        cases.push((frame(FIN | PING, &text), Owned::Ping(text)));
    }
    cases
}

/// A neighbour before and after, to see that no byte of theirs is taken.
fn between_neighbours(bytes: &[u8], item: Owned) -> (Vec<u8>, Vec<Owned>) {
    let neighbour = frame(FIN | PONG, b"n");
    let stream = [&neighbour[..], bytes, &neighbour].concat();
    let pong = Owned::Pong(b"n".to_vec());
    (stream, vec![pong.clone(), item, pong])
}

#[test]
fn short_frames_survive_every_cut() {
    for len in [0, 1, 125, 126, 127] {
        for (bytes, item) in cases(len) {
            let (stream, expected) = between_neighbours(&bytes, item);
            for cut in 0..=stream.len() {
                let (start, end) = stream.split_at(cut);
                assert_eq!(
                    read([start, end], 127),
                    (expected.clone(), None),
                    "{len} at {cut}"
                );
            }
            for size in 1..9 {
                assert_eq!(read(stream.chunks(size), 127), (expected.clone(), None));
            }
        }
    }
}

#[test]
fn long_frames_survive_cuts_at_random() {
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut below = |bound: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) as usize % bound
    };
    for len in [65_535, 65_536, 65_537, 200_000] {
        for (bytes, item) in cases(len) {
            let (stream, expected) = between_neighbours(&bytes, item);
            for _ in 0..20 {
                let mut cuts = [0; 4].map(|_| below(stream.len()));
                cuts[0] = below(20);
                cuts.sort_unstable();
                let mut rest = &stream[..];
                let mut pieces = Vec::new();
                for pair in [0, cuts[0], cuts[1], cuts[2], cuts[3]].windows(2) {
                    let (piece, after) = rest.split_at(pair[1] - pair[0]);
                    pieces.push(piece);
                    rest = after;
                }
                pieces.push(rest);
                assert_eq!(
                    read(pieces, len),
                    (expected.clone(), None),
                    "{len} at {cuts:?}"
                );
            }
            assert_eq!(read(stream.chunks(4096), len), (expected.clone(), None));
        }
    }
}

#[test]
fn the_limit_is_exact_whatever_the_cuts() {
    for limit in [1, 125, 126, 1000, 65_535, 65_536] {
        let fits = frame(FIN | BINARY, &vec![3; limit]);
        let over = frame(FIN | BINARY, &vec![3; limit + 1]);
        for size in [limit.div_ceil(300), 1000, over.len()] {
            let one = (vec![Owned::Binary(vec![3; limit])], None);
            assert_eq!(read(fits.chunks(size), limit), one);
            assert_eq!(
                read(over.chunks(size), limit),
                (vec![], Some(Violation::TooBig))
            );
        }
        for first in [0, 1, limit / 2, limit - 1, limit] {
            let second = vec![3; limit + 1 - first];
            let parts = [frame(BINARY, &vec![3; first]), frame(FIN, &second)].concat();
            assert_eq!(read([&parts[..]], limit), (vec![], Some(Violation::TooBig)));
            let parts = [frame(BINARY, &vec![3; first]), frame(FIN, &second[1..])].concat();
            assert_eq!(read([&parts[..]], limit).0, [Owned::Binary(vec![3; limit])]);
        }
    }
}

#[test]
fn many_messages_share_a_read() {
    let stream: Vec<u8> = (0..500)
        .flat_map(|n| frame(FIN | TEXT, &text(n % 130)))
        .collect();
    let expected = items(&stream);
    assert_eq!(expected.len(), 500);
    for size in [1, 2, 13, 64, 1000, 4096] {
        assert_eq!(read(stream.chunks(size), 130), (expected.clone(), None));
    }
}
