//! What a peer may send: how fast, how long for, and how much of it is held.

use super::*;
use crate::config::OnRate;
use crate::labels::Excess;

const BINARY: u8 = 0x82;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// No rates but those of a test.
fn calm() -> RouteLimits {
    RouteLimits {
        rate: None,
        byte_rate: None,
        control_rate: None,
        close: 6 * PATIENCE,
        ..RouteLimits::default()
    }
}

fn at_rate(on_rate: OnRate) -> RouteLimits {
    RouteLimits {
        rate: Some(2),
        burst: Some(3),
        on_rate,
        ..calm()
    }
}

fn numbered(n: usize) -> Vec<u8> {
    let frames = (0..n).map(|n| frame(TEXT, format!("send {n}").as_bytes()));
    frames.collect::<Vec<_>>().concat()
}

/// The head of a binary frame of `len` bytes, with a mask of noughts, and the first `sent` of them.
fn part(len: usize, sent: usize) -> Vec<u8> {
    let mut bytes = frame(BINARY, &vec![0; len]);
    bytes.truncate(bytes.len() - len + sent);
    bytes
}

fn excesses(bench: &Bench, excess: Excess) -> u64 {
    bench.shard.counters().excesses.get(excess)
}

#[test]
fn over_a_rate_nothing_is_lost_but_it_waits() {
    with_limits(at_rate(OnRate::Delay), async |bench| {
        let (mut peer, mut other) = (bench.connect().await, bench.connect().await);
        peer.write(&numbered(6)).await;
        assert_eq!(peer.text().await, "0");
        assert_eq!(other.ask("send other").await, "other");
        let log = bench.log();
        assert!(!log.contains(&"send 3".to_owned()), "{log:?}");
        for n in 1..6 {
            assert_eq!(peer.text().await, n.to_string());
        }
        assert!(excesses(bench, Excess::Messages) > 0);
        assert_eq!(
            bench
                .shard
                .counters()
                .closes
                .iter()
                .map(|(_, n)| n)
                .sum::<u64>(),
            0
        );
    });
}

#[test]
fn who_waits_for_its_rate_can_be_closed_and_can_leave() {
    let limits = RouteLimits {
        rate: Some(1),
        burst: Some(1),
        ..calm()
    };
    with_limits(limits, async |bench| {
        let mut peer = bench.connect().await;
        peer.write(&numbered(1000)).await;
        assert_eq!(peer.text().await, "0");
        let id = bench.shard.ids()[0];
        assert!(bench.shard.request_close(id, CloseCause::Drained));
        assert_eq!(peer.close_frame().await, (1001, "shutting down".to_owned()));
        peer.write(&close_frame(1001)).await;
        peer.end().await;
        bench.until_empty().await;
        let mut peer = bench.connect().await;
        peer.write(&numbered(1000)).await;
        assert_eq!(peer.text().await, "0");
        // A reset: nobody is there any more.
        socket2::SockRef::from(&peer.socket)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(peer);
        bench.until_empty().await;
        assert_eq!(bench.closes(), 2);
        assert_eq!(bench.shard.pending().taken(), 0);
    });
}

#[test]
fn over_a_rate_messages_can_be_dropped() {
    with_limits(at_rate(OnRate::Drop), async |bench| {
        let mut peer = bench.connect().await;
        peer.write(&[numbered(8), close_frame(4000)].concat()).await;
        for n in 0..3 {
            assert_eq!(peer.text().await, n.to_string());
        }
        assert_eq!(peer.close_frame().await.0, 4000);
        assert_eq!(excesses(bench, Excess::Messages), 5);
    });
}

#[test]
fn over_a_rate_a_connection_can_be_closed() {
    with_limits(at_rate(OnRate::Close), async |bench| {
        let mut peer = bench.connect().await;
        peer.write(&numbered(8)).await;
        for n in 0..3 {
            assert_eq!(peer.text().await, n.to_string());
        }
        let told = (1008, "too many messages".to_owned());
        assert_eq!(peer.close_frame().await, told);
        assert_eq!(excesses(bench, Excess::Messages), 1);
        bench
            .until("it has ended", |bench| bench.closes() == 1)
            .await;
        let last = bench.log().pop().unwrap();
        assert!(
            last.starts_with("close excess: ") && last.contains("`limits.rate`"),
            "{last}"
        );
    });
}

#[test]
fn pings_have_a_rate_of_their_own() {
    let limits = RouteLimits {
        control_rate: Some(1),
        on_rate: OnRate::Close,
        ..calm()
    };
    with_limits(limits, async |bench| {
        let mut peer = bench.connect().await;
        peer.write(&frame(PING, b"x").repeat(10)).await;
        for _ in 0..3 {
            assert_eq!(peer.next().await, (PONG, b"x".to_vec()));
        }
        let told = (1008, "too many pings or pongs".to_owned());
        assert_eq!(peer.close_frame().await, told);
        assert_eq!(excesses(bench, Excess::Control), 1);
    });
}

#[test]
fn bytes_have_a_rate_of_their_own() {
    let limits = RouteLimits {
        byte_rate: Some(1 << 20),
        byte_burst: Some(1 << 10),
        on_rate: OnRate::Close,
        ..calm()
    };
    with_limits(limits, async |bench| {
        let mut peer = bench.connect().await;
        assert_eq!(peer.ask("send in time").await, "in time");
        peer.write(&part(1 << 19, 1 << 19)).await;
        let told = (1008, "too many bytes".to_owned());
        assert_eq!(peer.close_frame().await, told);
        assert_eq!(excesses(bench, Excess::Bytes), 1);
    });
}

#[test]
fn a_message_has_so_many_frames_and_no_more() {
    let limits = RouteLimits {
        fragments: 3,
        ..calm()
    };
    with_limits(limits, async |bench| {
        let mut peer = bench.connect().await;
        let parts = [
            frame(0x01, b"send "),
            frame(PING, b""),
            frame(0x00, b"th"),
            frame(0x80, b"ree"),
        ];
        for _ in 0..2 {
            peer.write(&parts.concat()).await;
            assert_eq!(peer.next().await.0, PONG);
            assert_eq!(peer.text().await, "three");
        }
        peer.write(&[frame(0x01, b""), frame(0x00, b"").repeat(3)].concat())
            .await;
        let told = (1008, "too many fragments".to_owned());
        assert_eq!(peer.close_frame().await, told);
        assert_eq!(excesses(bench, Excess::Fragments), 1);
    });
}

#[test]
fn a_message_that_drips_is_ended_though_its_peer_lives() {
    let limits = RouteLimits {
        message_time: Duration::from_millis(100),
        ..calm()
    };
    with_limits(limits, async |bench| {
        let ping = frame(PING, b"");
        let head = part(100_000, 0);
        // Within a payload, between the fragments of a message, and within a head.
        type Drip<'a> = &'a dyn Fn(usize) -> Vec<u8>;
        let cases: [(Vec<u8>, Drip<'_>); 3] = [
            (part(100_000, 1000), &|_| vec![0]),
            (frame(0x02, &[0; 1000]), &|_| ping.clone()),
            (head[..1].to_vec(), &|n| head[n..n + 1].to_vec()),
        ];
        for (begin, drip) in cases {
            let mut peer = bench.connect().await;
            peer.write(&begin).await;
            let closes = bench.shard.counters().excesses.get(Excess::Time) + 1;
            for n in 1.. {
                tokio::time::sleep(Duration::from_millis(30)).await;
                if excesses(bench, Excess::Time) == closes {
                    break;
                }
                peer.write(&drip(n)).await;
            }
            let told = loop {
                match peer.next().await {
                    (PONG, _) => {}
                    told => break told,
                }
            };
            assert_eq!((told.0, &told.1[..2]), (CLOSE, &1013_u16.to_be_bytes()[..]));
        }
    });
}

#[test]
fn half_messages_share_one_budget_and_give_it_back() {
    with_budget(256 << 10, calm(), async |bench| {
        let pending = bench.shard.pending().clone();
        let mut first = bench.connect().await;
        first.write(&part(150_000, 140_000)).await;
        bench
            .until("the first holds", |_| pending.taken() >= 140_000)
            .await;
        let mut second = bench.connect().await;
        second.write(&part(150_000, 140_000)).await;
        let told = (1013, "no memory for messages just now".to_owned());
        assert_eq!(second.close_frame().await, told);
        assert_eq!(excesses(bench, Excess::Pending), 1);
        // It goes on as if nothing had been said: that is heard out and not held.
        second.write(&[0; 10_000]).await;
        second.write(&part(150_000, 150_000)).await;
        second.write(&close_frame(1013)).await;
        second.end().await;
        assert!(pending.taken() < 200_000, "{}", pending.taken());
        // The first one's message is still taken whole.
        first.write(&[0; 10_000]).await;
        assert_eq!(first.ask("send whole").await, "whole");
        bench
            .until("all is given back", |_| pending.taken() == 0)
            .await;
        // Whoever leaves gives back too.
        first.write(&part(150_000, 140_000)).await;
        bench
            .until("the first holds", |_| pending.taken() >= 140_000)
            .await;
        drop(first);
        bench.until_empty().await;
        assert_eq!(pending.taken(), 0);
    });
}

#[test]
fn a_flood_of_small_messages_lets_others_have_their_turn() {
    with_limits(calm(), async |bench| {
        let (mut flood, mut other) = (bench.connect().await, bench.connect().await);
        assert_eq!(flood.ask("send ready").await, "ready");
        flood.write(&frame(TEXT, b"x").repeat(9000)).await;
        assert_eq!(other.ask("send other").await, "other");
        assert_eq!(flood.ask("send last").await, "last");
        let log = bench.log();
        let at = |line: &str| log.iter().position(|it| it == line).unwrap();
        assert_eq!(log.iter().filter(|line| *line == "x").count(), 9000);
        assert!(
            at("send other") + 1000 < at("send last"),
            "{}",
            at("send other")
        );
    });
}

#[test]
fn what_a_lost_peer_had_sent_is_not_handled_at_the_deadlines_cost() {
    on_a_shard(async |bench| {
        bench.after(OnFailure::Keep, OnError::Keep);
        let mut peer = bench.connect().await;
        let slow = frame(TEXT, b"wait-and-trap");
        peer.write(&[slow.clone(), numbered(50)].concat()).await;
        bench.until_logged("wait-and-trap").await;
        drop(peer);
        bench.fake.release.notify_one();
        bench.until_empty().await;
        assert_eq!(bench.log(), ["open /", "wait-and-trap", "close lost"]);
        bench.fake.log.borrow_mut().clear();
        // One that has said all it wanted to, and closed in form, is heard.
        let mut peer = bench.connect().await;
        let all = [slow, numbered(50), close_frame(4000)].concat();
        peer.write(&all).await;
        bench.until_logged("wait-and-trap").await;
        peer.socket.shutdown().await.unwrap();
        bench.fake.release.notify_one();
        for n in 0..50 {
            assert_eq!(peer.text().await, n.to_string());
        }
        assert_eq!(peer.close_frame().await.0, 4000);
        bench.until_empty().await;
    });
}

#[test]
fn too_many_faults_end_a_connection_that_others_would_keep() {
    let limits = RouteLimits {
        failures: 3,
        ..calm()
    };
    with_limits(limits, async |bench| {
        bench.after(OnFailure::Keep, OnError::Keep);
        let mut peer = bench.connect().await;
        peer.send("send-and-trap no").await;
        assert_eq!(peer.ask("send yes").await, "yes");
        peer.write(&frame(TEXT, b"send-and-trap no").repeat(5))
            .await;
        assert_eq!(peer.close_frame().await.0, 1011);
        assert_eq!(excesses(bench, Excess::Failures), 1);
        let trapped = bench
            .log()
            .iter()
            .filter(|line| line.contains("trap no"))
            .count();
        assert_eq!(trapped, 3);
    });
}

#[test]
fn a_message_that_fails_is_answered_if_it_waits_for_an_answer() {
    on_a_shard(async |bench| {
        bench.after(OnFailure::Keep, OnError::Keep);
        let mut peer = bench.connect().await;
        peer.send("send-and-trap no").await;
        let answer = peer.ask(r#"{"id":7,"type":"fault"}"#).await;
        assert_eq!(
            answer,
            r#"{"type":"fault","requestId":7,"success":false,"error":{"code":"internal","message":"the server failed to handle this message"}}"#
        );
        assert_eq!(peer.ask("send on").await, "on");
        assert_eq!(bench.shard.counters().failure_replies.get(), 1);
        bench.after(OnFailure::Close, OnError::Keep);
        let mut peer = bench.connect().await;
        peer.send(r#"{"id":7,"type":"fault"}"#).await;
        assert_eq!(peer.close_frame().await.0, 1011);
    });
}
