//! What clients may send: how much of it is held, how fast it comes, and what becomes of it when nobody waits for it.

use std::time::Duration;

use crate::client::{Raw, frame};
use crate::gateway::Gateway;

const MIB: usize = 1 << 20;

#[tokio::test]
async fn half_messages_of_all_connections_share_one_budget() {
    let setup = Gateway::with("echo").server("pending = \"32MiB\"");
    let gateway = setup.start().await;
    let mut client = gateway.connect("/").await;
    assert_eq!(client.ask("hello").await, "hello");
    let before = gateway.peak_memory();
    let message = frame(0x82, &vec![7; 4 * MIB]);
    let mut halves = Vec::new();
    for _ in 0..30 {
        let mut raw = Raw::upgraded(gateway.address, "/").await;
        // One that is refused meanwhile is closed, which its own writes may notice.
        let _ = raw.try_write(&message[..message.len() - 1]).await;
        halves.push(raw);
    }
    let refused = r#"excesses_total{limit="pending"}"#;
    gateway.until_metric_is_at_least(refused, 20).await;
    let pending = gateway.metric("pending_bytes").await;
    assert!((1..=32 << 20).contains(&pending), "{pending} bytes");
    let grown = gateway.peak_memory() - before;
    assert!(grown < 64 << 20, "{grown} bytes for a budget of 32 MiB");
    // Small messages go on, and those that have their share become whole.
    assert_eq!(client.ask("again").await, "again");
    for raw in &mut halves {
        let _ = raw.try_write(&message[message.len() - 1..]).await;
    }
    gateway
        .until_metric_is_at_least("messages_total", 2 + 4)
        .await;
    let mut last = Raw::upgraded(gateway.address, "/").await;
    last.write(&message).await;
    assert_eq!(last.read_frame().await.0, 0x82);
    drop(halves);
    gateway.until_metric("pending_bytes", 0).await;
}

#[tokio::test]
async fn a_rate_delays_and_loses_nothing() {
    let limits = "rate = \"20/s\"\nburst = 5\nidle = \"1s\"\nping = \"0s\"";
    let gateway = Gateway::with("echo").route_limits(limits).start().await;
    let mut client = gateway.connect("/").await;
    for n in 0..40 {
        client.send(&n.to_string()).await;
    }
    // It takes longer than a client may be idle, but it is we who do not read.
    for n in 0..40 {
        assert_eq!(client.recv().await, n.to_string());
    }
    let begun = r#"excesses_total{limit="messages"}"#;
    assert!(gateway.metric(begun).await > 0);
}

#[tokio::test]
async fn messages_of_a_client_that_is_gone_are_not_run_to_their_deadlines() {
    let gateway = Gateway::with("spin")
        .route("on_failure = \"keep\"")
        .route_limits("failures = 1000")
        .start()
        .await;
    let mut raw = Raw::upgraded(gateway.address, "/").await;
    raw.write(&frame(0x81, b"spin").repeat(400)).await;
    let missed = r#"failures_total{kind="deadline"}"#;
    gateway.until_metric_is_at_least(missed, 1).await;
    raw.reset();
    gateway.until_metric("connections_open", 0).await;
    assert!(gateway.metric(missed).await < 200);
    assert_eq!(gateway.metric(r#"closes_total{cause="lost"}"#).await, 1);
}

#[tokio::test]
async fn missed_deadlines_end_a_connection_that_would_be_kept() {
    let setup = Gateway::with("spin").route("on_failure = \"keep\"");
    let gateway = setup.route_limits("failures = 4").start().await;
    let mut raw = Raw::upgraded(gateway.address, "/").await;
    raw.write(&frame(0x81, b"spin").repeat(20)).await;
    let (first, payload) = raw.read_frame().await;
    assert_eq!((first, &payload[..2]), (0x88, &1011_u16.to_be_bytes()[..]));
    let missed = r#"failures_total{kind="deadline"}"#;
    assert_eq!(gateway.metric(missed).await, 4);
    assert_eq!(
        gateway.metric(r#"excesses_total{limit="failures"}"#).await,
        1
    );
}

#[tokio::test]
async fn a_trapped_message_with_an_id_is_answered() {
    for (keys, answered) in [("", true), ("failure_reply = false", false)] {
        let setup = Gateway::with("trap").route(&format!("on_failure = \"keep\"\n{keys}"));
        let gateway = setup.start().await;
        let mut client = gateway.connect("/").await;
        client.send(r#"{"type":"trap","id":"7f"}"#).await;
        if answered {
            let answer = client.recv_json().await;
            assert_eq!(answer["type"], "trap");
            assert_eq!(answer["requestId"], "7f");
            assert_eq!(answer["success"], false);
            assert_eq!(answer["error"]["code"], "internal");
        }
        assert_eq!(client.ask("hello").await, "hello");
        let replies = gateway.metric("failure_replies_total").await;
        assert_eq!(replies, u64::from(answered));
    }
}

#[tokio::test]
async fn a_message_that_drips_is_ended() {
    let limits = "message_time = \"300ms\"";
    let gateway = Gateway::with("echo").route_limits(limits).start().await;
    let mut raw = Raw::upgraded(gateway.address, "/").await;
    raw.write(&frame(0x82, &vec![0; MIB])[..1000]).await;
    let ended = r#"closes_total{cause="excess"}"#;
    while gateway.metric(ended).await == 0 {
        raw.write(&[0]).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (first, payload) = raw.read_frame().await;
    assert_eq!((first, &payload[..2]), (0x88, &1013_u16.to_be_bytes()[..]));
}
