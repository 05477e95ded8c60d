//! The closing handshake, from either side.

use std::time::{Duration, Instant};

use super::*;

#[tokio::test]
async fn a_close_frame_is_echoed_with_its_code_and_reason() {
    let gateway = Gateway::with("echo").start().await;
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1014, 3000, 4999,
    ] {
        let mut raw = upgraded(&gateway).await;
        raw.write(&frame(CLOSE, &reason(code, "bye"))).await;
        assert_eq!(closed_with(&mut raw).await, (code, "bye".to_owned()));
    }
    let mut raw = upgraded(&gateway).await;
    let longest = "x".repeat(123);
    raw.write(&frame(CLOSE, &reason(4000, &longest))).await;
    assert_eq!(closed_with(&mut raw).await, (4000, longest));
    gateway
        .until_metric("closes_total{cause=\"peer\"}", 14)
        .await;
}

#[tokio::test]
async fn an_empty_close_frame_is_answered_with_an_empty_one() {
    let gateway = Gateway::with("lifecycle").start().await;
    let mut audit = gateway.connect("/?audit").await;
    // The answer comes behind its `on_open`: it listens now.
    audit.ask("ready").await;
    let mut raw = upgraded(&gateway).await;
    let opened = audit.recv().await;
    raw.write(&frame(CLOSE, b"")).await;
    assert_eq!(next(&mut raw).await, (CLOSE, Vec::new()));
    assert_eq!(raw.read_to_end().await, b"");
    let id = opened.strip_prefix("open ").unwrap();
    assert_eq!(audit.recv().await, format!("close {id} peer 1005 "));
}

#[tokio::test]
async fn a_close_frame_that_breaks_a_rule_is_closed_for_it() {
    let gateway = Gateway::with("echo").start().await;
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
        let mut raw = upgraded(&gateway).await;
        raw.write(&frame(CLOSE, &reason(code, ""))).await;
        let words = format!("invalid close code {code}");
        assert_eq!(closed_with(&mut raw).await, (1002, words));
    }
    let mut raw = upgraded(&gateway).await;
    raw.write(&frame(CLOSE, b"\x03")).await;
    assert_eq!(
        closed_with(&mut raw).await,
        (1002, "close payload of one byte".to_owned())
    );
    let mut raw = upgraded(&gateway).await;
    raw.write(&frame(CLOSE, b"\x03\xe8\xff")).await;
    assert_eq!(
        closed_with(&mut raw).await,
        (1007, "invalid utf-8".to_owned())
    );
}

#[tokio::test]
async fn what_follows_the_peers_close_frame_is_ignored() {
    let gateway = Gateway::with("lifecycle").start().await;
    let mut audit = gateway.connect("/?audit").await;
    // The answer comes behind its `on_open`: it listens now.
    audit.ask("ready").await;
    let mut raw = upgraded(&gateway).await;
    let opened = audit.recv().await;
    let sent = [
        frame(TEXT, b"before"),
        frame(CLOSE, &reason(1000, "")),
        frame(TEXT, b"trap"),
        frame(PING, b"ping"),
        frame(CLOSE, &reason(4000, "again")),
    ];
    raw.write(&sent.concat()).await;
    assert_eq!(next(&mut raw).await, (TEXT, b"before".to_vec()));
    assert_eq!(closed_with(&mut raw).await, (1000, String::new()));
    let id = opened.strip_prefix("open ").unwrap();
    assert_eq!(audit.recv().await, format!("close {id} peer 1000 "));
    gateway.until_metric("connections_open", 1).await;
    assert_eq!(gateway.metric("closes_total{cause=\"peer\"}").await, 1);
    assert_eq!(gateway.metric("failures_total{kind=\"trap\"}").await, 0);
}

#[tokio::test]
async fn the_gateway_waits_for_the_peers_close_frame() {
    let gateway = Gateway::with("lifecycle")
        .route_limits("close = \"1m\"")
        .start()
        .await;
    let mut raw = upgraded(&gateway).await;
    raw.write(&frame(TEXT, b"kick")).await;
    assert_eq!(next(&mut raw).await, (CLOSE, reason(4000, "as asked")));
    // Messages that were under way are dropped, not handled and not taken for an end.
    raw.write(&frame(TEXT, b"trap")).await;
    raw.write(&frame(PING, b"ping")).await;
    assert_eq!(gateway.metric("connections_open").await, 1);
    raw.write(&frame(CLOSE, &reason(4000, ""))).await;
    assert_eq!(raw.read_to_end().await, b"");
    gateway.until_metric("connections_open", 0).await;
    assert_eq!(gateway.metric("failures_total{kind=\"trap\"}").await, 0);
}

#[tokio::test]
async fn a_peer_that_never_answers_a_close_frame_is_waited_for_no_longer_than_the_limit() {
    let gateway = Gateway::with("lifecycle")
        .route_limits("close = \"500ms\"")
        .start()
        .await;
    let mut raw = upgraded(&gateway).await;
    raw.write(&frame(TEXT, b"kick")).await;
    assert_eq!(next(&mut raw).await.0, CLOSE);
    let begun = Instant::now();
    assert_eq!(raw.read_to_end().await, b"");
    assert!(begun.elapsed() > Duration::from_millis(300), "it waited");
    gateway.until_metric("connections_open", 0).await;
    let unanswered = "closing_handshakes_total{end=\"unanswered\"}";
    assert_eq!(gateway.metric(unanswered).await, 1);
}

#[tokio::test]
async fn a_peer_that_keeps_talking_after_a_close_frame_is_waited_for_no_longer() {
    let gateway = Gateway::with("lifecycle")
        .route_limits("close = \"500ms\"")
        .start()
        .await;
    let mut raw = upgraded(&gateway).await;
    raw.write(&frame(TEXT, b"kick")).await;
    let talk = async {
        while raw.try_write(&frame(TEXT, b"blah")).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::PATIENCE, talk)
        .await
        .expect("it is cut");
    gateway.until_metric("connections_open", 0).await;
}

/// A gateway whose handler closes behind a message of a size.
async fn parting(limits: &str) -> Gateway {
    Gateway::with("lifecycle")
        .server("shards = 1")
        .limits("effects = \"16MiB\"\nmemory = \"64MiB\"\ndeadline = \"2s\"")
        .route_limits(limits)
        .start()
        .await
}

#[tokio::test]
async fn a_slow_reader_has_what_was_queued_and_the_close_frame() {
    let gateway = parting("close = \"300ms\"").await;
    let mut slow = upgraded(&gateway).await;
    slow.shrink();
    slow.write(&frame(TEXT, b"part 12000000")).await;
    let pause = Duration::from_millis(10);
    let message = slow.read_slowly(12_000_010, 64 << 10, pause).await;
    assert!(message[10..].iter().all(|&byte| byte == 7));
    assert_eq!(next(&mut slow).await, (CLOSE, reason(4000, "as asked")));
    slow.write(&frame(CLOSE, &reason(4000, ""))).await;
    assert_eq!(slow.read_to_end().await, b"");
    let agreed = "closing_handshakes_total{end=\"agreed\"}";
    gateway.until_metric(agreed, 1).await;
}

#[tokio::test]
async fn a_reader_that_takes_ever_so_little_is_waited_for_no_longer_than_linger() {
    let gateway = parting("close = \"500ms\"\nlinger = \"1s\"").await;
    let mut slow = upgraded(&gateway).await;
    slow.shrink();
    slow.write(&frame(TEXT, b"part 12000000")).await;
    let overdue = "closing_handshakes_total{end=\"overdue\"}";
    let trickle = async {
        while gateway.metric(overdue).await == 0 {
            slow.read_slowly(64 << 10, 32 << 10, Duration::from_millis(20))
                .await;
        }
    };
    tokio::time::timeout(crate::PATIENCE, trickle)
        .await
        .expect("it is cut");
    gateway.until_metric("connections_open", 0).await;
}

#[tokio::test]
async fn a_reader_that_takes_nothing_more_is_not_waited_for() {
    let gateway = parting("close = \"300ms\"\nlinger = \"1h\"").await;
    let mut stalled = upgraded(&gateway).await;
    stalled.shrink();
    stalled.write(&frame(TEXT, b"part 12000000")).await;
    let ended = "closing_handshakes_total{end=\"stalled\"}";
    gateway.until_metric(ended, 1).await;
    gateway.until_metric("connections_open", 0).await;
}

#[tokio::test]
async fn a_peer_that_floods_behind_its_own_close_frame_still_reads_ours() {
    let gateway = Gateway::with("echo").start().await;
    for _ in 0..20 {
        let mut raw = upgraded(&gateway).await;
        let flood = frame(BINARY, &[7; 1000]).repeat(300);
        raw.write(&[frame(CLOSE, &reason(1000, "")), flood].concat())
            .await;
        assert_eq!(next(&mut raw).await, (CLOSE, reason(1000, "")));
    }
    gateway.until_metric("connections_open", 0).await;
}

#[tokio::test]
async fn both_sides_may_close_at_once() {
    let gateway = parting("close = \"1m\"").await;
    let mut raw = upgraded(&gateway).await;
    let both = [frame(TEXT, b"kick"), frame(CLOSE, &reason(3000, "mine"))];
    raw.write(&both.concat()).await;
    assert_eq!(closed_with(&mut raw).await, (4000, "as asked".to_owned()));
    gateway.until_metric("connections_open", 0).await;
    let agreed = "closing_handshakes_total{end=\"agreed\"}";
    assert_eq!(gateway.metric(agreed).await, 1);
}

/// One connection that was closed floods; another one of the same shard is served all the while.
#[tokio::test]
async fn a_flood_behind_a_close_frame_keeps_no_one_waiting() {
    let gateway = parting("close = \"2s\"").await;
    let mut other = gateway.connect("/").await;
    let mut flooder = upgraded(&gateway).await;
    flooder.write(&frame(TEXT, b"kick")).await;
    gateway
        .until_metric("closes_total{cause=\"kicked\"}", 1)
        .await;
    let flood = frame(BINARY, b"").repeat(20_000);
    let socket = flooder.into_std();
    let flooding = std::thread::spawn(move || {
        use std::io::Write as _;
        // Until it is cut.
        while (&socket).write_all(&flood).is_ok() {}
    });
    let mut answers = 0;
    while !flooding.is_finished() {
        assert_eq!(other.ask("still there?").await, "still there?");
        answers += 1;
    }
    // Seconds of a loop that reads until nothing comes leave room for a handful.
    assert!(answers > 100, "{answers} answers in the time of the flood");
    gateway.until_metric("connections_open", 1).await;
    let unanswered = "closing_handshakes_total{end=\"unanswered\"}";
    assert_eq!(gateway.metric(unanswered).await, 1);
}
