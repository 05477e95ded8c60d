//! Messages taken several at a time are those that come one by one.

use proptest::prelude::*;

use super::differential::{LIMIT, chop, concat, sizes, stream};
use super::*;
use crate::Batch;
use crate::message::Message;

/// Reads as a connection does: as many messages as there are at once, and one by one where that
/// gives none.
fn read_together<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    max_message: usize,
) -> (Vec<Owned>, Option<Violation>) {
    let mut reader = Reader::new();
    let mut items = Vec::new();
    for piece in pieces {
        let (mut scratch, mut at) = (piece.to_vec(), 0);
        loop {
            let begun = at;
            let mut batch = Batch::new();
            let taken = reader.batch(&mut scratch, &mut at, max_message, usize::MAX, &mut batch);
            items.extend(batch.into_iter().map(|message| match message {
                Message::Text(text) => Owned::Text(text.to_owned()),
                Message::Binary(payload) => Owned::Binary(payload.to_vec()),
            }));
            if let Err(violation) = taken {
                return (items, Some(violation));
            }
            if at > begun {
                continue;
            }
            match reader.next(&mut scratch, &mut at, max_message) {
                Ok(Some(item)) => items.push(item.into()),
                Ok(None) => break,
                Err(violation) => return (items, Some(violation)),
            }
        }
    }
    (items, None)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever the frames and the cuts. Repeated, so that there are more messages than one batch
    /// takes.
    #[test]
    fn batches_change_nothing(frames in stream(), times in 1..40usize, sizes in sizes()) {
        let bytes = concat(&frames).repeat(times);
        let pieces = chop(&bytes, &sizes);
        prop_assert_eq!(
            read_together(pieces.iter().copied(), LIMIT),
            read(pieces.iter().copied(), LIMIT)
        );
    }
}

#[test]
fn a_batch_ends_and_the_next_goes_on() {
    let stream: Vec<u8> = (0..200_u8)
        .flat_map(|n| frame(FIN | BINARY, &[n]))
        .collect();
    let expected: Vec<_> = (0..200).map(|n| Owned::Binary(vec![n])).collect();
    assert_eq!(read_together([&stream[..]], LIMIT), (expected, None));
}
