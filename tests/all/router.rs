//! Messages in the standard envelope, through a plugin's router: answers, every kind of fault, and what a fault undoes.

use serde_json::{Value, json};

use crate::client::Client;
use crate::gateway::Gateway;

/// Asks and returns the answer.
async fn ask(client: &mut Client, message: Value) -> Value {
    client.send(&message.to_string()).await;
    client.recv_json().await
}

/// Asks, expects a fault of that code, and returns its details. The connection must work afterwards.
async fn fault(client: &mut Client, message: &str, code: &str) -> Value {
    client.send(message).await;
    let answer = client.recv_json().await;
    assert_eq!(answer["success"], false, "{message}: {answer}");
    assert_eq!(answer["error"]["code"], code, "{message}: {answer}");
    assert!(answer["error"]["message"].is_string(), "{answer}");
    assert_eq!(answer.get("data"), None, "{answer}");
    let counted = json!({"type": "count", "id": "after", "payload": "desk"});
    assert_eq!(ask(client, counted).await["success"], true);
    answer
}

async fn desk() -> (Gateway, Client) {
    let gateway = Gateway::with("router").start().await;
    let client = gateway.connect("/").await;
    (gateway, client)
}

#[tokio::test]
async fn a_message_is_answered_in_both_forms_under_ids_of_both_kinds() {
    let (gateway, mut ann) = desk().await;
    let mut bob = gateway.connect("/").await;
    let join = json!({"room": "tea", "user": {"name": "bob"}});
    let asked = json!({"type": "join", "id": "b-1", "timestamp": 1.5, "payload": join});
    let data = json!({"room": "tea", "user": {"name": "bob", "status": "online"},
                      "rooms": {"tea": 1}, "at": [0, null]});
    assert_eq!(
        ask(&mut bob, asked).await,
        json!({"type": "join", "requestId": "b-1", "success": true, "data": data})
    );
    let flat = json!({"type": "join", "id": 17, "room": "tea", "labels": ["new"], "seatNumber": 4,
                      "user": {"name": "ann", "status": "away"}});
    let data = json!({"room": "tea", "user": {"name": "ann", "status": "away"},
                      "rooms": {"tea": 2}, "at": [1, 4]});
    assert_eq!(
        ask(&mut ann, flat).await,
        json!({"type": "join", "requestId": 17, "success": true, "data": data})
    );
    let event = bob.recv_json().await;
    assert_eq!(
        (&event["type"], &event["payload"]),
        (&json!("joined"), &data)
    );
    assert!(
        event["id"].is_string() && event["timestamp"].is_u64(),
        "{event}"
    );
    ann.silent().await;
}

#[tokio::test]
async fn nothing_to_tell_is_told_only_to_those_who_ask() {
    let (_gateway, mut client) = desk().await;
    client.send(r#"{"type": "wave", "id": 1}"#).await;
    client.send(r#"{"type": "say", "payload": "hello"}"#).await;
    let (said, echoed) = (client.recv_json().await, client.recv_json().await);
    assert_eq!(
        (&said["type"], &said["payload"]),
        (&json!("said"), &json!("hello"))
    );
    assert_eq!(
        (&echoed["type"], &echoed["payload"]),
        (&json!("echoed"), &json!("hello"))
    );
    assert_ne!(said["id"], echoed["id"]);
    client
        .send(r#"{"type": "say", "id": 2, "payload": "hi"}"#)
        .await;
    client.recv_json().await;
    client.recv_json().await;
    assert_eq!(
        client.recv_json().await,
        json!({"type": "say", "requestId": 2, "success": true, "data": null})
    );
}

#[tokio::test]
async fn what_is_no_message_is_told_so() {
    let (_gateway, mut client) = desk().await;
    let answer = fault(
        &mut client,
        "{\"type\": \"join\",\n nonsense",
        "invalid-json",
    )
    .await;
    assert_eq!(
        (&answer["type"], answer.get("requestId")),
        (&json!("error"), None)
    );
    assert_eq!(
        answer["error"]["message"],
        "Invalid message format: key must be a string at line 2 column 2"
    );
    fault(&mut client, "[1, 2]", "invalid-message").await;
    let answer = fault(&mut client, r#"{"id": 3}"#, "invalid-message").await;
    assert_eq!(
        (&answer["type"], &answer["requestId"]),
        (&json!("error"), &json!(3))
    );
    assert_eq!(answer["error"]["details"]["field"], "type");
    let answer = fault(
        &mut client,
        r#"{"type": "join", "id": [1]}"#,
        "invalid-message",
    )
    .await;
    assert_eq!(
        (&answer["type"], answer.get("requestId")),
        (&json!("join"), None)
    );
    let answer = fault(&mut client, r#"{"type": "jion", "id": 4}"#, "unknown-type").await;
    assert_eq!(
        (&answer["type"], &answer["requestId"]),
        (&json!("jion"), &json!(4))
    );
    let known = answer["error"]["details"]["known"].as_array().unwrap();
    assert_eq!((known.len(), &known[0]), (14, &json!("join")));
    client.send_binary(b"bytes").await;
    let answer = client.recv_json().await;
    assert_eq!(answer["error"]["code"], "binary-message");
    fault(&mut client, "", "invalid-json").await;
}

#[tokio::test]
async fn a_wrong_field_is_named() {
    let (_gateway, mut client) = desk().await;
    for (payload, field, reason) in [
        (json!({"user": {"name": "ann"}}), "room", "missing field"),
        (
            json!({"room": "tea", "user": {}}),
            "user.name",
            "missing field",
        ),
        (
            json!({"room": "tea", "user": {"name": 5}}),
            "user.name",
            "invalid type: integer `5`, expected a string",
        ),
        (
            json!({"room": "tea", "user": {"name": "ann"}, "labels": ["a", null]}),
            "labels[1]",
            "invalid type: null, expected a string",
        ),
        (
            json!({"room": "tea", "user": {"name": "ann", "status": "asleep"}}),
            "user.status",
            "unknown variant `asleep`, expected `online` or `away`",
        ),
        (
            json!({"room": "tea", "user": {"name": "ann"}, "labels": ["banned"]}),
            "labels",
            "says banned",
        ),
    ] {
        let message = json!({"type": "join", "id": 1, "payload": payload}).to_string();
        let answer = fault(&mut client, &message, "invalid-message").await;
        assert_eq!(answer["requestId"], 1);
        assert_eq!(
            answer["error"]["details"],
            json!({"field": field, "reason": reason})
        );
    }
}

#[tokio::test]
async fn every_field_against_the_rules_is_named() {
    let (_gateway, mut client) = desk().await;
    let join =
        json!({"type": "join", "room": "far too long", "user": {"name": ""}, "seatNumber": 100});
    let answer = fault(&mut client, &join.to_string(), "invalid-message").await;
    let details = &answer["error"]["details"];
    let wrong = details["fields"].as_array().unwrap().iter();
    let fields: Vec<_> = wrong
        .map(|wrong| wrong["field"].as_str().unwrap())
        .collect();
    assert_eq!(fields, ["room", "seatNumber", "user.name"]);
    assert_eq!(details["field"], "room");
    assert_eq!(details["reason"], details["fields"][0]["reason"]);
}

#[tokio::test]
async fn a_fault_undoes_all_that_its_message_did() {
    let (gateway, mut client) = desk().await;
    let mut listener = gateway.connect("/").await;
    let before = ask(&mut client, json!({"type": "visit"})).await;
    assert_eq!(before["data"], 1);
    let answer = fault(&mut client, r#"{"type": "spoil", "id": "s"}"#, "spoilt").await;
    assert_eq!(
        answer,
        json!({"type": "spoil", "requestId": "s", "success": false,
               "error": {"code": "spoilt", "message": "all in vain", "details": ["no", "effect"]}})
    );
    let spoilt = ask(&mut client, json!({"type": "count", "payload": "spoilt"})).await;
    assert_eq!(spoilt["data"], 0, "no subscription");
    let after = ask(&mut client, json!({"type": "visit"})).await;
    assert_eq!(after["data"], 2, "the state is that of before");
    client.silent().await;
    listener.silent().await;
    let failures = gateway.metric(r#"failures_total{kind="error"}"#).await;
    assert_eq!(failures, 0, "the event did not fail: its client was told");
}

#[tokio::test]
async fn an_error_of_the_plugin_is_for_the_log_only() {
    let (gateway, mut client) = desk().await;
    let answer = fault(
        &mut client,
        r#"{"type": "break", "payload": "secret"}"#,
        "internal",
    )
    .await;
    assert_eq!(
        answer["error"],
        json!({"code": "internal", "message": "the server failed to handle this message"})
    );
    gateway.until_log("invalid digit found in string").await;
    client.send("error").await;
    assert_eq!(
        client.recv_json().await,
        json!({"type": "error", "success": false, "error": {
            "code": "odd", "message": "an error without a router", "details": ["one", "two"]}})
    );
}

#[tokio::test]
async fn middleware_runs_around_its_routes_from_outside_in() {
    let (_gateway, mut client) = desk().await;
    client.send(r#"{"type": "order", "payload": 7}"#).await;
    for step in [
        "outer before",
        "inner before",
        "route",
        "inner after",
        "outer after",
    ] {
        assert_eq!(client.recv().await, step);
    }
    assert_eq!(client.recv_json().await["data"], 7);
    fault(
        &mut client,
        r#"{"type": "order", "payload": 100}"#,
        "too-much",
    )
    .await;
    fault(&mut client, r#"{"type": "order"}"#, "invalid-message").await;
    let visit = ask(&mut client, json!({"type": "visit"})).await;
    assert_eq!(
        visit["data"], 1,
        "no middleware is around what comes before it"
    );
}

#[tokio::test]
async fn roles_are_those_of_the_state() {
    let (_gateway, mut client) = desk().await;
    fault(&mut client, r#"{"type": "who"}"#, "unauthorized").await;
    fault(&mut client, r#"{"type": "close"}"#, "unauthorized").await;
    ask(
        &mut client,
        json!({"type": "sign-in", "id": 1, "payload": ["guest"]}),
    )
    .await;
    assert_eq!(
        ask(&mut client, json!({"type": "who"})).await["data"],
        "ann"
    );
    let answer = fault(&mut client, r#"{"type": "close"}"#, "forbidden").await;
    assert_eq!(answer["error"]["details"], json!({"role": "admin"}));
    let roles = json!(["guest", "admin"]);
    ask(
        &mut client,
        json!({"type": "sign-in", "id": 1, "payload": roles}),
    )
    .await;
    client.send(r#"{"type": "close"}"#).await;
    assert_eq!(
        client.recv_close().await,
        (4001, "closed as asked".to_owned())
    );
}

#[tokio::test]
async fn an_answer_may_come_in_a_later_event_and_generation() {
    let (gateway, mut client) = desk().await;
    for (id, answer, expected) in [
        (json!("q"), json!(42), json!({"success": true, "data": 42})),
        (
            json!(9),
            json!(null),
            json!({"success": false, "error": {"code": "no-answer", "message": "nobody knows"}}),
        ),
    ] {
        let ask = json!({"type": "ask", "id": id, "payload": "how many?"});
        client.send(&ask.to_string()).await;
        client.silent().await;
        assert_eq!(gateway.reload().await.status, 200);
        let settle = json!({"type": "settle", "id": "s", "payload": answer});
        client.send(&settle.to_string()).await;
        let mut answer = client.recv_json().await;
        let correlation = answer.as_object_mut().unwrap();
        assert_eq!(correlation.remove("type"), Some(json!("ask")));
        assert_eq!(correlation.remove("requestId"), Some(id));
        assert_eq!(answer, expected);
    }
}

#[tokio::test]
async fn types_of_every_shape_go_both_ways() {
    let (_gateway, mut client) = desk().await;
    for drawing in [
        json!({"shape": "square", "side": 1.5}),
        json!({"shape": "line", "points": [[0.0, 1.0], [2.0, 3.0]]}),
        json!({"shape": "group", "parts": [{"shape": "nothing"}]}),
    ] {
        let answer = ask(&mut client, json!({"type": "draw", "payload": drawing})).await;
        assert_eq!(answer["data"], drawing);
    }
    let unknown = r#"{"type": "draw", "payload": {"shape": "circle"}}"#;
    fault(&mut client, unknown, "invalid-message").await;
}

#[tokio::test]
async fn what_is_for_no_route_goes_to_the_next_plugin() {
    let gateway = Gateway::with("router")
        .behind("route-or-next", "")
        .start()
        .await;
    let mut client = gateway.connect("/").await;
    let doubled = ask(&mut client, json!({"type": "double", "payload": 4})).await;
    assert_eq!(doubled["data"], 8);
    client.send_binary(b"four").await;
    assert_eq!(
        client.recv_json().await,
        json!({"type": "binary", "success": true, "data": 4})
    );
    client
        .send(r#"{"type": "double", "payload": 4000000000}"#)
        .await;
    let refused = client.recv_json().await;
    assert_eq!(refused["error"]["message"], "payload: too large to double");
    client.send(r#"{"type": "double", "id": {}}"#).await;
    assert_eq!(client.recv_json().await["error"]["details"]["field"], "id");
    for (message, code) in [
        (r#"{"type": "visit", "id": {}}"#, "invalid-message"),
        ("nonsense", "invalid-json"),
        (r#"{"type": "triple"}"#, "unknown-type"),
    ] {
        client.send(message).await;
        assert_eq!(client.recv().await, "next");
        assert_eq!(client.recv_json().await["error"]["code"], code);
    }
    let visit = json!({"type": "visit"}).to_string();
    client.send(&visit).await;
    assert_eq!(client.recv().await, "next");
    assert_eq!(client.recv_json().await["data"], 1);
}
