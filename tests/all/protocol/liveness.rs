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
