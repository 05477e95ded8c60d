//! Single cases, each with its name.

use super::*;

#[test]
fn a_drain_is_owed_once_and_only_when_all_is_written() {
    let mut bench = Bench::new(1000, SlowConsumer::Close);
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
    let mut bench = Bench::new(10, SlowConsumer::Close);
    bench.push(200);
    assert_eq!(bench.outbox.queued(), 208);
    bench.push(0);
    assert_eq!(bench.expected, [0]);
}

#[test]
fn the_newest_value_survives_a_turn_that_is_larger_than_the_outbox() {
    let mut bench = Bench::new(100, SlowConsumer::DropOldest);
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
    let mut bench = Bench::new(100, SlowConsumer::Close);
    bench.push(20);
    bench.flush(&[1]);
    for _ in 0..100_000 {
        bench.control(Opcode::Pong, 100);
        bench.flush(&[]);
        bench.turn.clear();
    }
    assert!(bench.outbox.queued() < 200, "{}", bench.outbox.queued());
    bench.drain();
    bench.check();
}

#[test]
fn a_ping_of_ours_does_not_take_the_place_of_a_pong() {
    let mut bench = Bench::new(100, SlowConsumer::Close);
    bench.push(20);
    bench.flush(&[1]);
    bench.control(Opcode::Pong, 0);
    bench.control(Opcode::Ping, 0);
    bench.drain();
    let kinds: Vec<u8> = bench.seen().0.iter().map(|seen| seen.0).collect();
    assert_eq!(kinds, [DATA, PONG, PING]);
}

#[test]
fn half_a_pong_keeps_the_outbox_blocked() {
    let mut bench = Bench::new(100, SlowConsumer::Close);
    bench.push(20);
    bench.flush(&[1]);
    bench.control(Opcode::Pong, 0);
    // The rest of the frame, and three bytes of the pong.
    assert_eq!(bench.flush(&[25 + 3]), Flush::Blocked);
    assert!(bench.outbox.is_blocked());
    assert_eq!(bench.outbox.queued(), 3);
    bench.drain();
    bench.check();
}

#[test]
fn a_lost_socket_leaves_nothing_to_write() {
    let mut bench = Bench::new(100, SlowConsumer::Close);
    bench.push(20);
    bench.flush(&[1]);
    bench.control(Opcode::Pong, 0);
    bench.push(20);
    bench.close(true, false);
    bench.outbox.abandon();
    assert!(bench.outbox.is_closing() && !bench.outbox.is_blocked());
    assert_eq!(bench.outbox.queued(), 0);
    assert_eq!(bench.outbox.push(0..0, &[]), Push::Dropped);
}
