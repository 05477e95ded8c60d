//! The plugin `heartbeat`, at a quicker pace than its own.

use serde_json::{Value, json};

use crate::client::Client;
use crate::gateway::{Gateway, Setup};

/// Nobody is closed.
const PATIENT: &str = "ping = \"30ms\"\naway = \"60ms\"\nclose = \"1h\"";

fn heartbeat(pace: &str) -> Setup {
    Gateway::with("heartbeat").plugin(&format!("[plugin.config]\n{pace}"))
}

/// Comes, and waits until the plugin knows of it.
async fn come(gateway: &Gateway, name: &str) -> Client {
    let mut client = gateway.connect(&format!("/?name={name}")).await;
    until(&mut client, "ping").await;
    client
}

/// The next message of that type; pings and the rest are passed over.
async fn until(client: &mut Client, kind: &str) -> Value {
    loop {
        let message = client.recv_json().await;
        if message["type"] == kind {
            return message;
        }
    }
}

/// Waits until that client is said to be away, back or gone.
async fn hears(client: &mut Client, kind: &str, name: &str) {
    while until(client, kind).await["payload"] != json!({ "name": name }) {}
}

#[tokio::test]
async fn a_pong_tells_the_latency_once() {
    let gateway = heartbeat(PATIENT).start().await;
    let mut ann = gateway.connect("/?name=ann").await;
    let ping = until(&mut ann, "ping").await;
    assert!(ping["timestamp"].is_u64(), "{ping}");
    ann.send(r#"{"type": "pong", "id": 1}"#).await;
    let pong = until(&mut ann, "pong").await;
    assert_eq!(pong["requestId"], 1);
    let latency = pong["data"]["latencyMs"].as_f64();
    assert!(latency.is_some_and(|latency| latency >= 0.0), "{pong}");
}

#[tokio::test]
async fn a_pong_without_a_ping_has_no_latency() {
    let gateway = heartbeat("away = \"1h\"\nclose = \"2h\"").start().await;
    let mut ann = gateway.connect("/?name=ann").await;
    ann.send(r#"{"type": "pong"}"#).await;
    assert_eq!(
        ann.recv_json().await,
        json!({ "type": "pong", "success": true, "data": { "latencyMs": null } })
    );
}

#[tokio::test]
async fn others_hear_of_silence_and_of_its_end_also_after_a_reload() {
    let gateway = heartbeat(PATIENT).start().await;
    let mut ann = come(&gateway, "ann").await;
    let mut bob = come(&gateway, "bob").await;
    hears(&mut ann, "away", "bob").await;
    bob.send(r#"{"type": "pong"}"#).await;
    hears(&mut ann, "back", "bob").await;
    hears(&mut ann, "away", "bob").await;

    assert_eq!(gateway.reload().await.json()["generation"], 2);
    // What was sent before has been read when the answer is here; then pings must go on.
    bob.send(r#"{"type": "pong", "id": "after"}"#).await;
    while until(&mut bob, "pong").await["requestId"] != "after" {}
    until(&mut bob, "ping").await;
    hears(&mut ann, "back", "bob").await;
    hears(&mut ann, "away", "bob").await;

    bob.close(1000, "").await;
    hears(&mut ann, "left", "bob").await;
}

#[tokio::test]
async fn every_message_is_a_sign_of_life() {
    let gateway = heartbeat(PATIENT).start().await;
    let mut ann = come(&gateway, "ann").await;
    let mut bob = come(&gateway, "bob").await;
    for message in [r#"{"type": "pong"}"#, r#"{"type": "pang"}"#, "hello", ""] {
        hears(&mut ann, "away", "bob").await;
        bob.send(message).await;
        hears(&mut ann, "back", "bob").await;
    }
    hears(&mut ann, "away", "bob").await;
    bob.send_binary(b"hello").await;
    hears(&mut ann, "back", "bob").await;
}

#[tokio::test]
async fn who_is_silent_for_too_long_is_closed_and_who_answers_is_not() {
    let pace = "ping = \"50ms\"\naway = \"1s\"\nclose = \"2s\"";
    let gateway = heartbeat(pace).start().await;
    let mut ann = come(&gateway, "ann").await;
    let mut bob = come(&gateway, "bob").await;
    // Ann came first: were her answers not counted, she would be closed first.
    let answers = async {
        loop {
            let message = ann.recv_json().await;
            match message["type"].as_str() {
                Some("ping") => ann.send(r#"{"type": "pong"}"#).await,
                Some("left") => return message,
                _ => {}
            }
        }
    };
    let (left, closed) = tokio::join!(answers, bob.closed());
    assert_eq!(left["payload"]["name"], "bob");
    assert_eq!(closed, Some((4002, "silent for too long".to_owned())));
    until(&mut ann, "ping").await;
}

#[test]
fn a_pace_that_makes_no_sense_is_refused() {
    let order = "[plugin.config] has to have ping < away < close";
    for (pace, words) in [
        (
            "ping = 15",
            r#""ping" in [plugin.config] is "15": time unit needed"#,
        ),
        ("ping = \"40s\"", order),
        ("close = \"30s\"", order),
    ] {
        let said = heartbeat(pace).refused();
        assert!(said.contains(words), "{said}");
    }
}
