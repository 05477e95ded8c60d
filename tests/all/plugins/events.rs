//! The plugin `events`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::Client;
use crate::gateway::{Gateway, Setup};

fn events() -> Setup {
    Gateway::with("events").plugin("grants.store = [\"events\"]")
}

/// Connects, and passes over what others append until it is told all there is.
async fn open(gateway: &Gateway) -> (Client, Value) {
    let mut client = gateway.connect("/").await;
    loop {
        let message = client.recv_json().await;
        if message["type"] == "init" {
            return (client, message["payload"].clone());
        }
        assert_eq!(message["type"], "appended", "{message}");
    }
}

/// Sends a request and passes over what else is heard until its answer comes.
async fn ask(client: &mut Client, request: Value) -> Value {
    client.send(&request.to_string()).await;
    loop {
        let message = client.recv_json().await;
        if message["requestId"] == request["id"] {
            return message;
        }
        assert_eq!(message["type"], "appended", "{message}");
    }
}

/// The next event that everybody hears of: its payload.
async fn hears(client: &mut Client) -> Value {
    let message = client.recv_json().await;
    assert_eq!(message["type"], "appended", "{message}");
    message["payload"].clone()
}

#[tokio::test]
async fn what_one_appends_everybody_hears_of() {
    let gateway = events().start().await;
    let (mut ann, init) = open(&gateway).await;
    let nothing = json!({"state": {"version": 0, "value": 0}, "history": []});
    assert_eq!(init, nothing);
    let (mut bob, _) = open(&gateway).await;
    let requests = [
        (
            json!({"type": "increment"}),
            json!({"type": "increment", "by": 1}),
            1,
        ),
        (
            json!({"type": "increment", "by": 1_000_000}),
            json!({"type": "increment", "by": 1_000_000}),
            1_000_001,
        ),
        (json!({"type": "reset"}), json!({"type": "reset"}), 0),
        (
            json!({"type": "decrement", "payload": {"by": 5}}),
            json!({"type": "decrement", "by": 5}),
            -5,
        ),
    ];
    for (index, (request, change, value)) in requests.iter().enumerate() {
        let state = json!({"version": index + 1, "value": value});
        let mut request = request.clone();
        request["id"] = json!(index);
        ann.send(&request.to_string()).await;
        for client in [&mut ann, &mut bob] {
            let heard = hears(client).await;
            assert_eq!(heard["state"], state);
            assert_eq!(heard["event"]["version"], index + 1);
            assert_eq!(heard["event"]["change"], *change);
            assert!(heard["event"]["timestamp"].is_u64(), "{heard}");
        }
        let answer = ann.recv_json().await;
        let kind = &request["type"];
        assert_eq!(
            answer,
            json!({"type": kind, "requestId": index, "success": true, "data": state})
        );
    }
    let (_, init) = open(&gateway).await;
    assert_eq!(init["state"], json!({"version": 4, "value": -5}));
    let history = init["history"].as_array().unwrap();
    let kept: Vec<_> = history.iter().map(|event| &event["change"]).collect();
    let appended: Vec<_> = requests.iter().map(|(_, change, _)| change).collect();
    assert_eq!(kept, appended);
}

#[tokio::test]
async fn an_expected_version_that_is_over_is_a_conflict() {
    let gateway = events().start().await;
    let ((mut ann, _), (mut bob, _)) = (open(&gateway).await, open(&gateway).await);
    let first = json!({"type": "increment", "id": 1, "expectedVersion": 0});
    assert_eq!(ask(&mut ann, first.clone()).await["success"], true);
    assert_eq!(hears(&mut bob).await["state"]["value"], 1);
    for kind in ["increment", "decrement", "reset"] {
        for stale in [0, 2] {
            let request = json!({"type": kind, "id": kind, "expectedVersion": stale});
            let answer = ask(&mut bob, request).await;
            assert_eq!(answer["error"]["code"], "conflict", "{answer}");
            let state = json!({"version": 1, "value": 1});
            assert_eq!(answer["error"]["details"], state);
        }
    }
    let second = json!({"type": "increment", "id": 2, "expectedVersion": 1});
    assert_eq!(ask(&mut bob, second).await["data"]["version"], 2);
    // The conflicts were heard of by nobody.
    assert_eq!(hears(&mut ann).await["event"]["version"], 2);
}

#[tokio::test]
async fn what_is_wrong_is_named_and_nothing_is_appended() {
    let gateway = events().start().await;
    let (mut client, _) = open(&gateway).await;
    for (payload, field) in [
        (json!({"by": 0}), "by"),
        (json!({"by": 1_000_001}), "by"),
        (json!({"by": -1}), "by"),
        (json!({"by": "many"}), "by"),
        (json!({"expectedVersion": "new"}), "expectedVersion"),
    ] {
        for kind in ["increment", "decrement"] {
            let request = json!({"type": kind, "id": 1, "payload": payload});
            let answer = ask(&mut client, request).await;
            assert_eq!(answer["error"]["code"], "invalid-message", "{answer}");
            assert_eq!(answer["error"]["details"]["field"], field, "{answer}");
        }
    }
    let answer = ask(&mut client, json!({"type": "double", "id": 2})).await;
    assert_eq!(answer["error"]["code"], "unknown-type");
    client.send("increment").await;
    assert_eq!(client.recv_json().await["error"]["code"], "invalid-json");
    let answer = ask(&mut client, json!({"type": "increment", "id": 3})).await;
    assert_eq!(answer["data"], json!({"version": 1, "value": 1}));
}

#[tokio::test]
async fn without_its_bucket_a_request_fails_and_the_log_says_what_to_grant() {
    let gateway = Gateway::with("events").start().await;
    let mut client = gateway.connect("/").await;
    gateway.until_log("grants.store").await;
    let answer = ask(&mut client, json!({"type": "increment", "id": 1})).await;
    assert_eq!(answer["error"]["code"], "internal");
}

/// Clients on two cores append at the same time, while the plugin is reloaded.
#[tokio::test]
async fn a_race_loses_no_event() {
    const CLIENTS: i64 = 6;
    const EACH: i64 = 40;
    let gateway = events().server("shards = 2").start().await;
    let (mut observer, _) = open(&gateway).await;
    let mut racers = JoinSet::new();
    for client in 1..=CLIENTS {
        let (mut racer, _) = open(&gateway).await;
        racers.spawn(async move {
            for id in 0..EACH {
                let request = json!({"type": "increment", "id": id, "by": client});
                let answer = ask(&mut racer, request).await;
                assert_eq!(answer["success"], true, "{answer}");
            }
        });
    }
    let (events, sum) = (CLIENTS * EACH, EACH * CLIENTS * (CLIENTS + 1) / 2);
    let mut heard = BTreeMap::new();
    for generation in 2..5 {
        while (heard.len() as i64) < events * (generation - 1) / 4 {
            let appended = hears(&mut observer).await;
            let version = appended["event"]["version"].as_i64().unwrap();
            assert_eq!(appended["state"]["version"], version);
            assert!(heard.insert(version, appended).is_none(), "{version} twice");
        }
        assert_eq!(gateway.reload().await.json()["generation"], generation);
    }
    while (heard.len() as i64) < events {
        let appended = hears(&mut observer).await;
        heard.insert(appended["event"]["version"].as_i64().unwrap(), appended);
    }
    while let Some(raced) = racers.join_next().await {
        raced.unwrap();
    }
    // Each number once and none left out, and each state is what came of the one before.
    assert!(heard.keys().copied().eq(1..=events), "{:?}", heard.keys());
    let mut value = 0;
    for appended in heard.values() {
        value += appended["event"]["change"]["by"].as_i64().unwrap();
        assert_eq!(appended["state"]["value"], value);
    }
    let (_, init) = open(&gateway).await;
    assert_eq!(init["state"], json!({"version": events, "value": sum}));
    // Those before the last hundred have become a snapshot.
    let history = init["history"].as_array().unwrap().iter();
    let versions = history.map(|event| event["version"].as_i64().unwrap());
    assert!(versions.eq(events - 99..=events));
}
