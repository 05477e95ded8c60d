//! Any messages come back, and any bytes are read within the limit.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

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
