//! Every way in which a connection ends, with one `on-close` each.

use super::*;
use crate::config::SlowConsumer;

#[test]
fn a_lost_socket_is_one_close() {
    on_a_shard(async |bench| {
        let peer = bench.connect().await;
        bench.until_logged("open /").await;
        drop(peer);
        bench.until_empty().await;
        assert_eq!(bench.log(), ["open /", "close lost"]);
    });
}

#[test]
fn a_reset_is_one_close() {
    on_a_shard(async |bench| {
        let mut peer = bench.connect().await;
        peer.send("send unread").await;
        bench.until_logged("send unread").await;
        bench
            .until("the answer is written", |bench| {
                bench.shard.counters().bytes_out.get() > 0
            })
            .await;
        // A socket that is closed with something unread in it is reset.
        drop(peer);
        bench.until_empty().await;
        assert_eq!(bench.log().last().unwrap(), "close lost");
        assert_eq!(bench.closes(), 1);
    });
}

#[test]
fn an_open_that_fails_is_closed_too_and_handles_nothing() {
    on_a_shard(async |bench| {
        *bench.fake.opens.borrow_mut() = Err(Failure::Trap("as asked".to_owned()));
        let mut peer = bench.connect_with(&frame(TEXT, b"send early")).await;
        assert_eq!(
            peer.close_frame().await,
            (1011, "handler failed".to_owned())
        );
        peer.write(&close_frame(1011)).await;
        peer.end().await;
        bench.until_empty().await;
        assert_eq!(bench.log(), ["open /", "close failed: trap: as asked"]);
    });
}

#[test]
fn a_trap_closes_and_what_follows_is_not_handled() {
    on_a_shard(async |bench| {
        let mut peer = bench.connect().await;
        let bytes = [frame(TEXT, b"send-and-trap x"), frame(TEXT, b"send y")];
        peer.write(&bytes.concat()).await;
        assert_eq!(
            peer.close_frame().await,
            (1011, "handler failed".to_owned())
        );
        peer.write(&close_frame(1000)).await;
        peer.end().await;
        assert_eq!(
            bench.log(),
            ["open /", "send-and-trap x", "close failed: trap: as asked"]
        );
    });
}

#[test]
fn a_kick_ends_as_soon_as_the_peer_agrees() {
    on_a_shard(async |bench| {
        let mut peer = bench.connect().await;
        peer.send("kick 4000").await;
        assert_eq!(peer.close_frame().await, (4000, "kicked".to_owned()));
        peer.send("send ignored").await;
        peer.write(&close_frame(4000)).await;
        peer.end().await;
        bench.until_empty().await;
        assert_eq!(
            bench.log(),
            ["open /", "kick 4000", "close kicked 4000 \"kicked\""]
        );
    });
}

#[test]
fn a_close_frame_right_behind_what_ended_the_connection_is_seen() {
    on_a_shard(async |bench| {
        let mut peer = bench.connect().await;
        let bytes = [frame(TEXT, b"kick 4000"), close_frame(1000)];
        peer.write(&bytes.concat()).await;
        assert_eq!(peer.close_frame().await, (4000, "kicked".to_owned()));
        peer.end().await;
        bench.until_empty().await;
    });
}

#[test]
fn a_close_frame_behind_an_open_that_failed_is_seen() {
    on_a_shard(async |bench| {
        *bench.fake.opens.borrow_mut() = Err(Failure::Trap("as asked".to_owned()));
        let mut peer = bench.connect_with(&close_frame(1000)).await;
        assert_eq!(peer.close_frame().await.0, 1011);
        peer.end().await;
        bench.until_empty().await;
    });
}

#[test]
fn a_message_cut_by_a_kick_is_read_over_to_the_close_frame() {
    on_a_shard(async |bench| {
        let mut peer = bench.connect().await;
        // Taken for frames, these bytes would be violations.
        let long = frame(0x82, &[0xff; 100_000]);
        let (begin, rest) = long.split_at(1000);
        peer.write(&[&frame(TEXT, b"kick 4000"), begin].concat())
            .await;
        assert_eq!(peer.close_frame().await, (4000, "kicked".to_owned()));
        for piece in rest.chunks(10_000) {
            peer.write(piece).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(bench.shard.connections(), 1, "it waits for a close frame");
        peer.write(&close_frame(4000)).await;
        peer.end().await;
        bench.until_empty().await;
    });
}

#[test]
fn a_close_asked_for_while_a_handler_runs_comes_after_its_effects() {
    on_a_shard(async |bench| {
        let mut peer = bench.connect().await;
        peer.send("wait").await;
        peer.send("send never").await;
        bench.until_logged("wait").await;
        for id in bench.shard.ids() {
            assert!(bench.shard.request_close(id, CloseCause::Drained));
            assert!(!bench.shard.request_close(id, CloseCause::Idle));
        }
        bench.fake.release.notify_one();
        assert_eq!(peer.close_frame().await, (1001, "shutting down".to_owned()));
        peer.write(&close_frame(1001)).await;
        peer.end().await;
        assert_eq!(bench.log(), ["open /", "wait", "close drained"]);
    });
}

#[test]
fn a_peer_that_does_not_answer_the_close_frame_is_cut() {
    let limits = RouteLimits {
        close: Duration::from_millis(50),
        ..RouteLimits::default()
    };
    with_limits(limits, async |bench| {
        let mut peer = bench.connect().await;
        peer.send("kick 4000").await;
        assert_eq!(peer.close_frame().await, (4000, "kicked".to_owned()));
        peer.end().await;
        bench.until_empty().await;
    });
}

#[test]
fn a_violation_is_told_and_the_rest_is_not_read() {
    on_a_shard(async |bench| {
        let mut peer = bench.connect().await;
        // Not masked.
        peer.write(b"\x81\x05hello").await;
        assert_eq!(
            peer.close_frame().await,
            (1002, "frame not masked".to_owned())
        );
        peer.end().await;
        assert_eq!(bench.closes(), 1, "told before the peer has left");
        drop(peer);
        bench.until_empty().await;
    });
}

#[test]
fn a_slow_consumer_is_closed_and_one_that_then_dies_is_let_go_at_once() {
    let limits = RouteLimits {
        outbox: 1 << 20,
        slow_consumer: SlowConsumer::Close,
        close: 6 * PATIENCE,
        ..RouteLimits::default()
    };
    with_limits(limits, async |bench| {
        let mut peer = bench.connect().await;
        peer.send("flood").await;
        bench.until_logged("close slow-consumer").await;
        assert_eq!(bench.shard.connections(), 1, "its close frame is waiting");
        drop(peer);
        bench.until_empty().await;
        assert_eq!(bench.closes(), 1);
    });
}

#[test]
fn a_slow_consumer_that_reads_again_gets_whole_frames_and_the_reason() {
    let limits = RouteLimits {
        outbox: 1 << 20,
        close: 6 * PATIENCE,
        ..RouteLimits::default()
    };
    with_limits(limits, async |bench| {
        let mut peer = bench.connect().await;
        peer.send("flood").await;
        bench.until_logged("close slow-consumer").await;
        let mut chunks = 0;
        let (first, payload) = loop {
            match peer.next().await {
                (0x82, chunk) => assert_eq!(chunk.len(), 64 << 10),
                other => break other,
            }
            chunks += 1;
        };
        assert!(chunks < 256, "what waited was dropped for the close frame");
        assert_eq!((first, &payload[..2]), (CLOSE, &1013_u16.to_be_bytes()[..]));
        peer.write(&close_frame(1013)).await;
        peer.end().await;
        bench.until_empty().await;
    });
}

#[test]
fn all_ends_leave_nothing_behind() {
    on_a_shard(async |bench| {
        for round in 0..50 {
            let mut peer = bench.connect().await;
            match round % 3 {
                0 => drop(peer),
                1 => {
                    peer.send("kick 4000").await;
                    peer.close_frame().await;
                    peer.write(&close_frame(4000)).await;
                    peer.end().await;
                }
                _ => {
                    peer.write(&close_frame(1000)).await;
                    peer.close_frame().await;
                    peer.end().await;
                }
            }
        }
        bench.until_empty().await;
        assert_eq!(bench.closes(), 50);
        assert_eq!(bench.shard.ids(), []);
    });
}
