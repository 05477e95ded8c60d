//! Peers that are slow, silent or gone.

use std::time::Duration;

use super::*;
use crate::client::Client;

const QUICK: &str = "ping = \"200ms\"\npong = \"200ms\"\nidle = \"2s\"\nclose = \"200ms\"";

/// A gateway that says on the returned connection who opens and closes.
async fn audited(limits: &str) -> (Gateway, Client) {
    let gateway = Gateway::with("lifecycle")
        .route_limits(limits)
        .start()
        .await;
    let mut audit = gateway.connect("/?audit").await;
    // The answer comes behind its `on_open`: it listens now.
    audit.ask("ready").await;
    (gateway, audit)
}

async fn opened(audit: &mut Client) -> String {
    let line = audit.recv().await;
    line.strip_prefix("open ").expect("it opens").to_owned()
}

#[tokio::test]
async fn a_half_open_socket_is_closed_as_idle() {
    let (gateway, mut audit) = audited(QUICK).await;
    let mut raw = upgraded(&gateway).await;
    let id = opened(&mut audit).await;
    // The audit answers pings while it waits.
    assert_eq!(audit.recv().await, format!("close {id} idle"));
    assert_eq!(next(&mut raw).await, (PING, Vec::new()));
    assert_eq!(closed_with(&mut raw).await, (1001, "idle".to_owned()));
    gateway.until_metric("connections_open", 1).await;
}

#[tokio::test]
async fn a_quiet_client_that_answers_pings_stays() {
    let gateway = Gateway::with("echo").route_limits(QUICK).start().await;
    let mut raw = upgraded(&gateway).await;
    // Well beyond `idle`.
    for _ in 0..15 {
        assert_eq!(next(&mut raw).await, (PING, Vec::new()));
        raw.write(&frame(PONG, b"")).await;
    }
    raw.write(&frame(TEXT, b"still here")).await;
    assert_eq!(next(&mut raw).await, (TEXT, b"still here".to_vec()));
}

#[tokio::test]
async fn a_client_that_talks_is_not_pinged() {
    let gateway = Gateway::with("echo").route_limits(QUICK).start().await;
    let mut raw = upgraded(&gateway).await;
    for _ in 0..20 {
        raw.write(&frame(TEXT, b"tick")).await;
        assert_eq!(
            next(&mut raw).await,
            (TEXT, b"tick".to_vec()),
            "and no ping"
        );
        // The pace is what is tested.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn without_pings_a_silent_client_has_the_idle_limit() {
    let (gateway, mut audit) = audited("ping = \"0s\"\nidle = \"500ms\"").await;
    let mut raw = upgraded(&gateway).await;
    let id = opened(&mut audit).await;
    // The audit would go too; what it sends keeps it.
    raw.write(&frame(TEXT, b"hello")).await;
    assert_eq!(next(&mut raw).await, (TEXT, b"hello".to_vec()));
    let line = loop {
        match audit.ask("tick").await.as_str() {
            "tick" => tokio::time::sleep(Duration::from_millis(20)).await,
            line => break line.to_owned(),
        }
    };
    assert_eq!(line, format!("close {id} idle"));
    let (first, payload) = next(&mut raw).await;
    assert_eq!((first, payload), (CLOSE, reason(1001, "idle")));
}

#[tokio::test]
async fn a_peer_that_resets_is_lost() {
    let (gateway, mut audit) = audited("").await;
    let raw = upgraded(&gateway).await;
    let id = opened(&mut audit).await;
    raw.reset();
    assert!(audit.recv().await.starts_with(&format!("close {id} lost ")));
    gateway
        .until_metric("closes_total{cause=\"lost\"}", 1)
        .await;
    gateway.until_metric("connections_open", 1).await;
}

#[tokio::test]
async fn an_end_without_a_close_frame_is_lost() {
    let (gateway, mut audit) = audited("").await;
    let raw = upgraded(&gateway).await;
    let id = opened(&mut audit).await;
    drop(raw);
    let line = format!("close {id} lost ended without a close frame");
    assert_eq!(audit.recv().await, line);
    // In the middle of a frame as well.
    let mut raw = upgraded(&gateway).await;
    let id = opened(&mut audit).await;
    raw.write(&frame(TEXT, b"half a frame")[..9]).await;
    drop(raw);
    let line = format!("close {id} lost ended without a close frame");
    assert_eq!(audit.recv().await, line);
}

#[tokio::test]
async fn a_message_at_a_byte_a_time_keeps_no_one_waiting() {
    let gateway = Gateway::with("echo").server("shards = 1").start().await;
    let mut slow = upgraded(&gateway).await;
    let mut other = gateway.connect("/").await;
    for byte in frame(TEXT, b"slow but alive") {
        slow.write(&[byte]).await;
        assert_eq!(other.ask("quick").await, "quick");
    }
    assert_eq!(next(&mut slow).await, (TEXT, b"slow but alive".to_vec()));
}

#[tokio::test]
async fn a_reader_at_a_byte_a_time_keeps_no_one_waiting_and_gets_all() {
    let gateway = Gateway::with("echo").server("shards = 1").start().await;
    let mut slow = upgraded(&gateway).await;
    let mut other = gateway.connect("/").await;
    let message: Vec<u8> = (0..1_000_000_u32).map(|index| index as u8).collect();
    slow.write(&frame(BINARY, &message)).await;
    let mut received = Vec::new();
    for _ in 0..200 {
        received.extend(slow.read(1).await);
        assert_eq!(other.ask("quick").await, "quick");
    }
    received.extend(slow.read(message.len() + 10 - received.len()).await);
    assert!(received[10..] == message);
}

#[tokio::test]
async fn the_end_of_a_client_is_remembered_while_its_handler_runs() {
    let (gateway, mut audit) = audited("").await;
    let unread: [Vec<u8>; 3] = [
        Vec::new(),
        frame(TEXT, b"unread"),
        // More than one read.
        frame(BINARY, &[7; 1000]).repeat(200),
    ];
    for unread in unread {
        for half in [true, false] {
            let mut raw = upgraded(&gateway).await;
            let id = opened(&mut audit).await;
            let so_far = gateway.metric("events_total{event=\"message\"}").await;
            raw.write(&frame(TEXT, b"wait 300")).await;
            gateway
                .until_metric("events_total{event=\"message\"}", so_far + 1)
                .await;
            raw.write(&unread).await;
            if half {
                raw.end_sending().await;
            }
            let _open = half.then_some(raw);
            // The next ping would be after half a minute.
            let line = audit.recv().await;
            let lost = format!("close {id} lost ");
            assert!(line.starts_with(&lost), "{line}: {} unread", unread.len());
        }
    }
    gateway.until_metric("connections_open", 1).await;
}

#[tokio::test]
async fn bytes_and_the_end_that_come_at_once_are_both_seen() {
    let (gateway, mut audit) = audited("").await;
    let mut raw = upgraded(&gateway).await;
    let id = opened(&mut audit).await;
    raw.write(&frame(BINARY, &[7; 1000]).repeat(300)).await;
    raw.end_sending().await;
    let line = format!("close {id} lost ended without a close frame");
    assert_eq!(audit.recv().await, line);
    gateway
        .until_metric("events_total{event=\"message\"}", 301)
        .await;
}

#[tokio::test]
async fn who_waits_for_a_handler_is_not_closed_as_idle() {
    let gateway = Gateway::with("lifecycle")
        .server("shards = 1")
        .limits("instances = 1\nwait = \"20s\"")
        .route_limits("ping = \"200ms\"\npong = \"200ms\"\nidle = \"10s\"")
        .start()
        .await;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(upgraded(&gateway).await);
    }
    let mut waiting = upgraded(&gateway).await;
    for other in &mut others {
        other.write(&frame(TEXT, b"wait 600")).await;
    }
    gateway
        .until_metric("events_total{event=\"message\"}", 3)
        .await;
    waiting.write(&frame(TEXT, b"hello")).await;
    // It answers every ping, also while nobody reads that.
    let mut pings = 0;
    let mut is_answered = false;
    while pings < 8 {
        match next(&mut waiting).await {
            (PING, _) => {
                pings += 1;
                waiting.write(&frame(PONG, b"")).await;
            }
            answer => {
                assert_eq!(answer, (TEXT, b"hello".to_vec()));
                is_answered = true;
            }
        }
    }
    assert!(is_answered);
}

#[tokio::test]
async fn a_slow_but_steady_reader_is_not_closed_as_idle() {
    let gateway = Gateway::with("lifecycle")
        .limits("effects = \"16MiB\"\nmemory = \"64MiB\"\ndeadline = \"2s\"")
        .route_limits("ping = \"200ms\"\npong = \"300ms\"\nidle = \"1s\"")
        .start()
        .await;
    let mut slow = upgraded(&gateway).await;
    slow.shrink();
    slow.write(&frame(TEXT, b"large 12000000")).await;
    let pause = Duration::from_millis(10);
    let message = slow.read_slowly(12_000_010, 64 << 10, pause).await;
    assert!(message[10..].iter().all(|&byte| byte == 7));
    // The ping was behind it, and its answer is in time now.
    assert_eq!(next(&mut slow).await, (PING, Vec::new()));
    slow.write(&frame(PONG, b"")).await;
    slow.write(&frame(TEXT, b"here")).await;
    assert_eq!(next(&mut slow).await, (TEXT, b"here".to_vec()));
}

#[tokio::test]
async fn a_reader_that_stops_in_the_middle_is_closed_as_idle() {
    let (gateway, mut audit) = audited(&format!("{QUICK}\noutbox = \"32MiB\"")).await;
    let mut stalled = upgraded(&gateway).await;
    let id = opened(&mut audit).await;
    stalled.shrink();
    for _ in 0..10 {
        stalled.write(&frame(TEXT, b"large 1000000")).await;
    }
    stalled.read_slowly(500_000, 64 << 10, Duration::ZERO).await;
    assert_eq!(audit.recv().await, format!("close {id} idle"));
    gateway
        .until_metric("closing_handshakes_total{end=\"stalled\"}", 1)
        .await;
    gateway.until_metric("connections_open", 1).await;
}
