//! One test a rule, and the promises about memory.

use super::*;
use crate::body::Body;
use crate::reader::Partial;

#[test]
fn whole_messages_and_control_frames_become_items() {
    let mut bytes = frame(FIN | TEXT, "héllo".as_bytes());
    bytes.extend(frame(FIN | BINARY, &[0, 255]));
    bytes.extend(frame(FIN | PING, b"a"));
    bytes.extend(frame(FIN | PONG, b""));
    bytes.extend(frame(FIN | CLOSE, b"\x03\xe8bye"));
    let expected = [
        Owned::Text("héllo".into()),
        Owned::Binary(vec![0, 255]),
        Owned::Ping(b"a".to_vec()),
        Owned::Pong(vec![]),
        Owned::Close(Some((1000, "bye".into()))),
    ];
    assert_eq!(items(&bytes), expected);
}

#[test]
fn fragments_join_around_control_frames() {
    let mut bytes = frame(TEXT, b"\xc3");
    bytes.extend(frame(FIN | PING, b"1"));
    bytes.extend(frame(CONTINUATION, b"\xa9"));
    bytes.extend(frame(CONTINUATION, b""));
    bytes.extend(frame(FIN | PONG, b"2"));
    bytes.extend(frame(FIN | CONTINUATION, b"!"));
    bytes.extend(frame(FIN | BINARY, b"next"));
    let expected = [
        Owned::Ping(b"1".to_vec()),
        Owned::Pong(b"2".to_vec()),
        Owned::Text("é!".into()),
        Owned::Binary(b"next".to_vec()),
    ];
    assert_eq!(items(&bytes), expected);
}

#[test]
fn reserved_bits_are_refused_on_every_frame() {
    for bit in [0x40, 0x20, 0x10] {
        for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
            let bytes = frame(FIN | bit | opcode, b"");
            assert_eq!(violation(&bytes), Violation::ReservedBits);
            assert_eq!(refused_after(&bytes), 1);
        }
        let fragments = [frame(TEXT, b"a"), frame(FIN | bit, b"b")].concat();
        assert_eq!(violation(&fragments), Violation::ReservedBits);
    }
}

#[test]
fn unknown_opcodes_are_refused() {
    for opcode in (3..=7).chain(11..=15) {
        let bytes = frame(FIN | opcode, b"");
        assert_eq!(violation(&bytes), Violation::Opcode(opcode));
        assert_eq!(refused_after(&bytes), 1);
    }
}

#[test]
fn unmasked_frames_are_refused() {
    for opcode in [TEXT, PING] {
        let bytes = encode(FIN | opcode, None, Form::Minimal, b"abcd");
        assert_eq!(violation(&bytes), Violation::Unmasked);
        assert_eq!(refused_after(&bytes), 2);
    }
}

#[test]
fn control_frames_are_short_and_whole() {
    for opcode in [CLOSE, PING, PONG] {
        let long = frame(FIN | opcode, &[b'x'; 126]);
        assert_eq!(violation(&long), Violation::ControlTooLong);
        assert_eq!(refused_after(&long), 2);
        assert_eq!(violation(&frame(opcode, b"")), Violation::ControlFragmented);
    }
    assert_eq!(
        items(&frame(FIN | PING, &[7; 125])),
        [Owned::Ping(vec![7; 125])]
    );
}

#[test]
fn the_order_of_fragments_is_enforced() {
    for first in [CONTINUATION, FIN | CONTINUATION] {
        assert_eq!(
            violation(&frame(first, b"x")),
            Violation::UnexpectedContinuation
        );
        let after_end = [frame(FIN | TEXT, b"x"), frame(first, b"x")].concat();
        assert_eq!(violation(&after_end), Violation::UnexpectedContinuation);
    }
    for (outer, inner) in [(TEXT, FIN | TEXT), (TEXT, BINARY), (BINARY, FIN | BINARY)] {
        let bytes = [
            frame(outer, b""),
            frame(FIN | PING, b""),
            frame(inner, b"x"),
        ]
        .concat();
        assert_eq!(violation(&bytes), Violation::ExpectedContinuation);
    }
}

#[test]
fn lengths_must_be_minimal() {
    for (form, len) in [
        (Form::Bits16, 0),
        (Form::Bits16, 125),
        (Form::Bits64, 0),
        (Form::Bits64, 126),
        (Form::Bits64, 65_535),
    ] {
        let bytes = encode(FIN | BINARY, Some([1; 4]), form, &vec![0; len]);
        assert_eq!(violation(&bytes), Violation::Length, "{form:?} {len}");
    }
    for claim in [1 << 63, u64::MAX] {
        let bytes = encode(FIN | BINARY, Some([1; 4]), Form::Claim(claim), b"");
        assert_eq!(violation(&bytes), Violation::Length);
    }
}

#[test]
fn a_message_too_big_is_refused_by_its_header() {
    let claim = |len| encode(FIN | BINARY, Some([1; 4]), Form::Claim(len), b"");
    for len in [
        MAX_MESSAGE as u64 + 1,
        u64::from(u32::MAX) + 1,
        i64::MAX as u64,
    ] {
        assert_eq!(violation(&claim(len)), Violation::TooBig);
        // The length is enough: neither the mask nor any payload has come.
        assert_eq!(refused_after(&claim(len)), 10);
    }
    assert_eq!(
        read([&claim(MAX_MESSAGE as u64)[..]], MAX_MESSAGE),
        (vec![], None)
    );
}

#[test]
fn fragments_count_together_against_the_limit() {
    let (kept, full) = (frame(TEXT, b"1234"), frame(FIN | CONTINUATION, b"567890"));
    let over = frame(FIN | CONTINUATION, b"567890x");
    // A ping between them has its own limit.
    let ping = frame(FIN | PING, &[0; 125]);
    let good = [&kept[..], &ping, &full].concat();
    assert_eq!(read([&good[..]], 10).0[1], Owned::Text("1234567890".into()));
    let bad = [&kept[..], &ping, &over[..2]].concat();
    assert_eq!(read([&bad[..]], 10).1, Some(Violation::TooBig));
    // A character cut at the end of a fragment counts too.
    let cut = [frame(TEXT, b"123\xc3"), frame(CONTINUATION, b"\xa9567890")].concat();
    assert_eq!(read([&cut[..]], 10).1, Some(Violation::TooBig));
}

#[test]
fn a_limit_of_nothing_still_allows_empty_messages_and_pings() {
    let bytes = [frame(FIN | TEXT, b""), frame(FIN | PING, b"x")].concat();
    assert_eq!(read([&bytes[..]], 0).0.len(), 2);
    assert_eq!(
        read([&frame(FIN | TEXT, b"x")[..]], 0).1,
        Some(Violation::TooBig)
    );
}

#[test]
fn a_limit_lowered_within_a_message_refuses_its_next_frame() {
    let mut reader = Reader::new();
    let mut start = frame(BINARY, b"0123456789");
    assert_eq!(reader.next(&mut start, &mut 0, 10), Ok(None));
    let mut more = frame(FIN | CONTINUATION, b"x");
    assert_eq!(reader.next(&mut more, &mut 0, 5), Err(Violation::TooBig));
}

#[test]
fn invalid_text_is_refused() {
    for bytes in [&b"\xff"[..], b"ab\xc3", b"\xed\xa0\x80", b"\xc0\x80"] {
        assert_eq!(violation(&frame(FIN | TEXT, bytes)), Violation::Utf8);
    }
    let fragments = [frame(TEXT, b"\xc3"), frame(FIN | CONTINUATION, b"")].concat();
    assert_eq!(violation(&fragments), Violation::Utf8);
    // The same bytes are fine where they are not text.
    assert_eq!(
        items(&frame(FIN | BINARY, b"\xff")),
        [Owned::Binary(vec![0xff])]
    );
    assert_eq!(
        items(&frame(FIN | PING, b"\xff")),
        [Owned::Ping(vec![0xff])]
    );
}

#[test]
fn invalid_text_is_refused_at_its_first_byte_while_the_frame_arrives() {
    // Autobahn 6.4.1-6.4.4: valid, then f4 90 80 80 (beyond U+10FFFF), then valid again.
    let payload = b"\xce\xba\xe1\xbd\xb9\xf4\x90\x80\x80edited";
    let head = 6;
    assert_eq!(refused_after(&frame(FIN | TEXT, payload)), head + 7);
    let fragments = [
        frame(TEXT, &payload[..6]),
        frame(CONTINUATION, &payload[6..9]),
        frame(FIN | CONTINUATION, &payload[9..]),
    ];
    assert_eq!(refused_after(&fragments.concat()), head + 6 + head + 1);
}

#[test]
fn a_close_is_judged() {
    let close = |payload: &[u8]| frame(FIN | CLOSE, payload);
    assert_eq!(items(&close(b"")), [Owned::Close(None)]);
    assert_eq!(
        items(&close(b"\x03\xe8")),
        [Owned::Close(Some((1000, String::new())))]
    );
    assert_eq!(violation(&close(b"\x03")), Violation::ClosePayload);
    assert_eq!(violation(&close(b"\x03\xe8\xff")), Violation::Utf8);
    for code in [0u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
        assert_eq!(
            violation(&close(&code.to_be_bytes())),
            Violation::CloseCode(code)
        );
    }
}

#[test]
fn after_a_close_the_rest_is_skipped() {
    let bytes = [
        frame(FIN | CLOSE, b""),
        frame(FIN | TEXT, b"late"),
        vec![0xff],
    ]
    .concat();
    for size in [1, 7, bytes.len()] {
        assert_eq!(
            read(bytes.chunks(size), 10),
            (vec![Owned::Close(None)], None)
        );
    }
}

#[test]
fn a_close_between_fragments_frees_them() {
    for close in [&b"\x03\xe8"[..], b"\x00\x00"] {
        for cut in 1..8 {
            let mut reader = Reader::new();
            let mut bytes = [frame(BINARY, &[0; 1000]), frame(FIN | CLOSE, close)].concat();
            let (start, end) = bytes.split_at_mut(1008 + cut);
            assert_eq!(reader.next(start, &mut 0, MAX_MESSAGE), Ok(None));
            let _ = reader.next(end, &mut 0, MAX_MESSAGE);
            assert!(
                reader
                    .partial
                    .is_none_or(|partial| partial.message.is_none())
            );
        }
    }
}

#[test]
fn the_codes_and_words_of_violations() {
    assert_eq!(Violation::Utf8.code(), 1007);
    assert_eq!(Violation::TooBig.code(), 1009);
    assert_eq!(Violation::CloseCode(1005).code(), 1002);
    assert_eq!(
        Violation::CloseCode(1005).to_string(),
        "invalid close code 1005"
    );
    assert_eq!(
        Violation::Length.to_string(),
        "length not in its minimal form"
    );
}

#[test]
fn an_idle_reader_is_two_words() {
    assert_eq!(size_of::<Reader>(), 16);
    // What a connection pays in addition while a message is under way.
    assert!(size_of::<Partial>() <= 160);
}

#[test]
fn a_whole_message_is_borrowed_from_the_scratch_buffer() {
    let mut reader = Reader::new();
    let mut bytes = [frame(FIN | TEXT, b"first"), frame(FIN | BINARY, b"second")].concat();
    let scratch = bytes.as_ptr_range();
    let mut at = 0;
    for _ in 0..2 {
        let item = reader.next(&mut bytes, &mut at, MAX_MESSAGE);
        let payload = match item {
            Ok(Some(Item::Text(text))) => text.as_bytes(),
            Ok(Some(Item::Binary(payload))) => payload,
            other => panic!("{other:?}"),
        };
        assert!(scratch.contains(&payload.as_ptr()));
        assert!(reader.partial.is_none());
    }
    assert_eq!(reader.next(&mut bytes, &mut at, MAX_MESSAGE), Ok(None));
}

#[test]
fn a_message_in_pieces_frees_its_memory_with_the_next_call() {
    let mut reader = Reader::new();
    let bytes = frame(FIN | BINARY, &vec![1; MAX_MESSAGE]);
    let (last, first) = bytes.split_last().unwrap();
    assert_eq!(
        reader.next(&mut first.to_vec(), &mut 0, MAX_MESSAGE),
        Ok(None)
    );
    let (mut last, mut at) = ([*last], 0);
    let item = reader.next(&mut last, &mut at, MAX_MESSAGE);
    assert!(matches!(item, Ok(Some(Item::Binary(all))) if all == vec![1; MAX_MESSAGE]));
    assert_eq!(reader.next(&mut last, &mut at, MAX_MESSAGE), Ok(None));
    assert!(reader.partial.is_none());
}

#[test]
fn a_given_message_is_freed_although_the_next_one_has_begun() {
    let mut reader = Reader::new();
    let big = frame(FIN | BINARY, &[1; 10_000]);
    let (start, end) = big.split_at(9_000);
    assert_eq!(
        reader.next(&mut start.to_vec(), &mut 0, MAX_MESSAGE),
        Ok(None)
    );
    let mut end = [end, &frame(TEXT, b"next")].concat();
    let mut at = 0;
    let item = reader.next(&mut end, &mut at, MAX_MESSAGE);
    assert!(matches!(item, Ok(Some(Item::Binary(_)))));
    assert_eq!(reader.next(&mut end, &mut at, MAX_MESSAGE), Ok(None));
    let partial = reader.partial.unwrap();
    assert!(partial.given.is_none() && partial.message.is_some());
}

#[test]
fn a_given_ping_is_freed_while_its_surrounding_message_waits() {
    let mut reader = Reader::new();
    let mut bytes = [frame(TEXT, b"a"), frame(FIN | PING, &[0; 100])].concat();
    let (start, end) = bytes.split_at_mut(50);
    assert_eq!(reader.next(start, &mut 0, MAX_MESSAGE), Ok(None));
    let mut at = 0;
    assert_eq!(
        reader.next(end, &mut at, MAX_MESSAGE),
        Ok(Some(Item::Ping(&[0; 100])))
    );
    assert_eq!(reader.next(end, &mut at, MAX_MESSAGE), Ok(None));
    let partial = reader.partial.unwrap();
    assert!(partial.given.is_none() && partial.message.is_some());
}

#[test]
fn a_message_in_pieces_takes_no_more_memory_than_it_is_long() {
    let mut reader = Reader::new();
    let mut bytes = frame(FIN | BINARY, &[1; 10_000]);
    let (start, end) = bytes.split_at_mut(9_000);
    assert_eq!(reader.next(start, &mut 0, MAX_MESSAGE), Ok(None));
    assert!(reader.next(end, &mut 0, MAX_MESSAGE).unwrap().is_some());
    match reader.partial.unwrap().given {
        Some(Body::Binary(bytes)) => assert_eq!(bytes.capacity(), 10_000),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_announced_length_costs_no_memory() {
    let mut reader = Reader::new();
    let mut bytes = frame(FIN | BINARY, &vec![1; MAX_MESSAGE]);
    assert_eq!(
        reader.next(&mut bytes[..100], &mut 0, MAX_MESSAGE),
        Ok(None)
    );
    match reader.partial.unwrap().message {
        Some(Body::Binary(bytes)) => assert!(bytes.capacity() <= 200),
        other => panic!("{other:?}"),
    }
}

#[test]
fn bytes_that_end_between_frames_leave_nothing_behind() {
    let mut reader = Reader::new();
    let mut at = 0;
    assert_eq!(reader.next(&mut [], &mut at, MAX_MESSAGE), Ok(None));
    assert!(reader.partial.is_none());
    for bytes in frame(FIN | PING, b"abc").chunks(4) {
        let (mut bytes, mut at) = (bytes.to_vec(), 0);
        while let Ok(Some(_)) = reader.next(&mut bytes, &mut at, MAX_MESSAGE) {}
    }
    assert!(reader.partial.is_none());
}
