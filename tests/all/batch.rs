//! Messages that arrive together: in one call of the guest, and each an event of its own.

use crate::client::{Raw, frame};
use crate::gateway::{Gateway, Setup};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;

/// Writes messages in one go.
async fn say(raw: &mut Raw, messages: &[&str]) {
    let frames = messages.iter().map(|text| frame(TEXT, text.as_bytes()));
    raw.write(&frames.collect::<Vec<_>>().concat()).await;
}

async fn text(raw: &mut Raw) -> String {
    let (first, payload) = raw.read_frame().await;
    assert_eq!(first, TEXT, "{payload:?}");
    String::from_utf8(payload).unwrap()
}

/// Waits for the close frame, which must come next, and for the end behind it; returns its code.
async fn closed(raw: &mut Raw) -> u16 {
    let (first, payload) = raw.read_frame().await;
    assert_eq!(first, CLOSE, "{payload:?}");
    raw.write(&frame(CLOSE, &payload)).await;
    assert_eq!(raw.read_to_end().await, b"", "nothing follows it");
    u16::from_be_bytes([payload[0], payload[1]])
}

fn fail(on_failure: &str) -> Setup {
    Gateway::with("fail").route(&format!("on_failure = {on_failure:?}"))
}

async fn connected(gateway: &Gateway) -> Raw {
    Raw::upgraded(gateway.address, "/").await
}

#[tokio::test]
async fn a_thousand_messages_of_all_kinds_come_back_in_order() {
    let gateway = Gateway::with("echo").start().await;
    let mut raw = connected(&gateway).await;
    let message = |n: usize| match n % 3 {
        0 => (TEXT, format!("message {n}").into_bytes()),
        1 => (BINARY, vec![n as u8; n % 200]),
        _ => (TEXT, Vec::new()),
    };
    let frames = (0..1000)
        .map(message)
        .map(|(kind, bytes)| frame(kind, &bytes));
    raw.write(&frames.collect::<Vec<_>>().concat()).await;
    for n in 0..1000 {
        assert_eq!(raw.read_frame().await, message(n), "{n}");
    }
    assert_eq!(
        gateway.metric(r#"events_total{event="message"}"#).await,
        1000
    );
}

#[tokio::test]
async fn an_err_undoes_its_own_message_alone() {
    let gateway = fail("keep").start().await;
    let mut raw = connected(&gateway).await;
    say(&mut raw, &["count", "fail", "count", "fail", "state"]).await;
    assert_eq!(text(&mut raw).await, "0");
    assert_eq!(
        text(&mut raw).await,
        "0",
        "the subscription of \"fail\" is undone"
    );
    assert_eq!(text(&mut raw).await, "", "and its state");
    assert_eq!(gateway.metric(r#"failures_total{kind="error"}"#).await, 2);
}

#[tokio::test]
async fn a_trap_undoes_its_own_message_alone() {
    let gateway = fail("keep").start().await;
    let mut raw = connected(&gateway).await;
    say(&mut raw, &["count", "trap", "count", "trap", "state"]).await;
    assert_eq!(text(&mut raw).await, "0");
    assert_eq!(text(&mut raw).await, "0");
    assert_eq!(text(&mut raw).await, "");
    assert_eq!(gateway.metric(r#"failures_total{kind="trap"}"#).await, 2);
}

#[tokio::test]
async fn a_missed_deadline_undoes_its_own_message_alone() {
    let gateway = fail("keep").limits("deadline = \"20ms\"").start().await;
    let mut raw = connected(&gateway).await;
    say(&mut raw, &["count", "spin", "count"]).await;
    assert_eq!(text(&mut raw).await, "0");
    assert_eq!(text(&mut raw).await, "0");
}

#[tokio::test]
async fn after_a_trap_that_closes_nothing_more_is_handled() {
    let gateway = fail("close").start().await;
    let mut raw = connected(&gateway).await;
    say(&mut raw, &["count", "trap", "count", "count"]).await;
    assert_eq!(text(&mut raw).await, "0");
    assert_eq!(closed(&mut raw).await, 1011);
    assert_eq!(gateway.metric(r#"events_total{event="message"}"#).await, 2);
}

#[tokio::test]
async fn after_a_close_nothing_more_is_handled() {
    let gateway = fail("close").start().await;
    let mut raw = connected(&gateway).await;
    say(&mut raw, &["count", "succeed", "count", "count"]).await;
    assert_eq!(text(&mut raw).await, "0");
    assert_eq!(text(&mut raw).await, "sent");
    assert_eq!(text(&mut raw).await, "published");
    assert_eq!(closed(&mut raw).await, 4000);
    assert_eq!(gateway.metric(r#"events_total{event="message"}"#).await, 2);
}

#[tokio::test]
async fn what_stands_between_messages_keeps_its_place() {
    const PING: u8 = 0x89;
    let gateway = Gateway::with("echo").start().await;
    let mut raw = connected(&gateway).await;
    let frames = [
        frame(TEXT, b"one"),
        frame(TEXT, b"two"),
        frame(PING, b"are you there"),
        frame(0x01, b"thr"),
        frame(PING, b"still"),
        frame(0x80, b"ee"),
        frame(TEXT, b"four"),
        frame(TEXT, b"five"),
    ];
    raw.write(&frames.concat()).await;
    assert_eq!(text(&mut raw).await, "one");
    assert_eq!(text(&mut raw).await, "two");
    assert_eq!(raw.read_frame().await, (0x8a, b"are you there".to_vec()));
    assert_eq!(raw.read_frame().await, (0x8a, b"still".to_vec()));
    for expected in ["three", "four", "five"] {
        assert_eq!(text(&mut raw).await, expected);
    }
}

#[tokio::test]
async fn a_broken_text_ends_the_connection_behind_those_before_it() {
    let gateway = Gateway::with("echo").start().await;
    let mut raw = connected(&gateway).await;
    let broken = [
        frame(TEXT, b"one"),
        frame(TEXT, b"two"),
        frame(TEXT, b"\xff"),
        frame(TEXT, b"four"),
    ];
    raw.write(&broken.concat()).await;
    assert_eq!(text(&mut raw).await, "one");
    assert_eq!(text(&mut raw).await, "two");
    assert_eq!(closed(&mut raw).await, 1007);
}

#[tokio::test]
async fn publishes_of_a_batch_reach_the_others_in_order() {
    let gateway = Gateway::with("topics").path("/plain/{room}").start().await;
    let mut speaker = Raw::upgraded(gateway.address, "/plain/a").await;
    let mut listener = gateway.connect("/plain/a").await;
    let mut elsewhere = gateway.connect("/plain/b").await;
    gateway.until_metric("connections_open", 3).await;
    say(&mut speaker, &["one", "two", "three"]).await;
    for expected in ["one", "two", "three"] {
        assert_eq!(listener.recv().await, expected);
    }
    elsewhere.silent().await;
}
