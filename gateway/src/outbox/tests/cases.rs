//! Single cases, each with its name.

use super::*;

#[test]
fn a_drain_is_owed_once_and_only_when_all_is_written() {
    let mut bench = Bench::new(Wire::frames(), 1000, SlowConsumer::Close);
    bench.push(100);
    bench.outbox.owe_drain();
    bench.outbox.owe_drain();
    bench.flush(&[10]);
    assert!(!bench.outbox.take_drain());
    bench.drain();
    assert!(bench.outbox.take_drain());
    assert!(!bench.outbox.take_drain());
}

#[test]
fn an_empty_outbox_takes_one_message_of_any_size() {
    let mut bench = Bench::new(Wire::frames(), 10, SlowConsumer::Close);
    bench.push(200);
    assert_eq!(bench.outbox.queued(), 212);
    bench.push(0);
    assert_eq!(bench.expected, [0]);
}

#[test]
fn the_newest_value_survives_a_turn_that_is_larger_than_the_outbox() {
    let mut bench = Bench::new(Wire::frames(), 100, SlowConsumer::DropOldest);
    bench.push(20);
    bench.flush(&[1]);
    for _ in 0..100 {
        bench.push(20);
    }
    bench.drain();
    bench.check();
    assert_eq!(bench.expected.first(), Some(&0), "it was begun");
    assert_eq!(bench.expected.last(), Some(&100));
}

#[test]
fn a_flood_of_pings_takes_the_room_of_one_pong() {
    let mut bench = Bench::new(Wire::frames(), 100, SlowConsumer::Close);
    bench.push(20);
    bench.flush(&[1]);
    for _ in 0..100_000 {
        bench.control(Kind::Pong, 100);
        bench.flush(&[]);
        bench.output.clear();
    }
    assert!(bench.outbox.queued() < 200, "{}", bench.outbox.queued());
    bench.drain();
    bench.check();
}

#[test]
fn a_ping_of_ours_does_not_take_the_place_of_a_pong() {
    let mut bench = Bench::new(Wire::frames(), 100, SlowConsumer::Close);
    bench.push(20);
    bench.flush(&[1]);
    bench.control(Kind::Pong, 0);
    bench.control(Kind::Ping, 0);
    bench.drain();
    let expected = [Seen::Message(0), Seen::Pong(1), Seen::Ping];
    assert_eq!(bench.wire.seen().0, expected);
}

#[test]
fn half_a_pong_keeps_the_outbox_blocked() {
    let mut bench = Bench::new(Wire::frames(), 100, SlowConsumer::Close);
    bench.push(20);
    bench.flush(&[1]);
    bench.control(Kind::Pong, 0);
    // The rest of the frame, and three bytes of the pong.
    assert_eq!(bench.flush(&[29 + 3]), Flush::Blocked);
    assert!(bench.outbox.is_blocked());
    assert_eq!(bench.outbox.queued(), 7);
    bench.drain();
    bench.check();
}

#[test]
fn a_lost_socket_leaves_nothing_to_write() {
    let mut bench = Bench::new(Wire::frames(), 100, SlowConsumer::Close);
    bench.push(20);
    bench.flush(&[1]);
    bench.control(Kind::Pong, 0);
    bench.push(20);
    bench.close(true, false);
    bench.outbox.abandon();
    assert!(bench.outbox.is_closing() && !bench.outbox.is_blocked());
    assert_eq!(bench.outbox.queued(), 0);
    let late = bench.outbox.admit(1, true, &mut bench.output);
    assert_eq!(late, Push::Dropped);
}

#[test]
fn a_comment_waits_for_the_end_of_the_event_that_is_begun() {
    let mut bench = Bench::new(Wire::events(), 10_000, SlowConsumer::Close);
    bench.push_large(2000, &[10]);
    bench.push(5);
    for _ in 0..3 {
        bench.control(Kind::Ping, 0);
        assert_eq!(bench.flush(&[7]), Flush::Blocked);
        bench.output.clear();
    }
    bench.drain();
    let expected = [Seen::Message(0), Seen::Ping, Seen::Message(1)];
    assert_eq!(bench.wire.seen().0, expected);
}

#[test]
fn oversize_messages_wait_within_their_budget_only() {
    let mut bench = Bench::new(Wire::frames(), 100, SlowConsumer::DropNewest);
    let other = Large::lent(&[0; 2500]).keep(Some(&bench.oversize));
    bench.push_large(2000, &[]);
    assert_eq!(bench.outbox.queued(), 0, "4000 bytes are the most");
    drop(other);
    bench.push_large(2000, &[]);
    assert_eq!(bench.oversize.used(), 2012);
    bench.outbox.abandon();
    assert_eq!(bench.oversize.used(), 0);
}
