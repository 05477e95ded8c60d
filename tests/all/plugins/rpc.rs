//! The plugin `rpc`, with a server behind it that the test plays.

use serde_json::{Value, json};

use crate::client::{Client, Raw};
use crate::gateway::{Gateway, Setup};
use crate::outgoing::Server;

fn rpc(server: &Server) -> Setup {
    let origin = server.url("");
    let grants = format!("grants.store = [\"users\"]\ngrants.http = [{origin:?}]");
    Gateway::with("rpc").plugin(&format!("{grants}\nconfig.upstream = {origin:?}"))
}

async fn ask(client: &mut Client, request: Value) -> Value {
    client.send(&request.to_string()).await;
    client.recv_json().await
}

/// The next message must be the fault of that code, in answer to that id; returns its words.
async fn fault(client: &mut Client, id: Value, code: &str) -> String {
    let answer = client.recv_json().await;
    assert_eq!(answer["requestId"], id, "{answer}");
    assert_eq!(answer["success"], false, "{answer}");
    assert_eq!(answer["error"]["code"], code, "{answer}");
    answer["error"]["message"].as_str().unwrap().to_owned()
}

async fn respond(socket: &mut Raw, body: &str) {
    let length = body.len();
    let response = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
    socket.write(response.as_bytes()).await;
}

#[tokio::test]
async fn a_user_is_put_and_got_by_anybody() {
    let gateway = rpc(&Server::start().await).start().await;
    let (mut ann, mut bob) = (gateway.connect("/").await, gateway.connect("/").await);
    let user = json!({"id": "ann", "name": "Ann Lee"});
    let answer = ask(
        &mut ann,
        json!({"type": "user.put", "id": 1, "payload": user}),
    )
    .await;
    let expected = json!({"type": "user.put", "requestId": 1, "success": true, "data": user});
    assert_eq!(answer, expected);
    for id in [json!("b-1"), json!(2)] {
        let get = json!({"type": "user.get", "id": id, "payload": {"id": "ann"}});
        let answer = ask(&mut bob, get).await;
        assert_eq!((&answer["requestId"], &answer["data"]), (&id, &user));
        assert_eq!(gateway.reload().await.status, 200);
    }
    bob.send(r#"{"type": "user.get", "id": 3, "payload": {"id": "cid"}}"#)
        .await;
    let words = fault(&mut bob, json!(3), "not-found").await;
    assert!(words.contains("\"cid\""), "{words}");
}

#[tokio::test]
async fn a_request_without_an_id_is_told_to_have_one() {
    let gateway = rpc(&Server::start().await).start().await;
    let mut client = gateway.connect("/").await;
    for kind in ["user.get", "user.put", "quote", "slow", "fail"] {
        client.send(&json!({"type": kind}).to_string()).await;
        let words = fault(&mut client, Value::Null, "missing-id").await;
        assert!(words.contains("add \"id\""), "{words}");
    }
    let long = "x".repeat(63);
    let answer = ask(&mut client, json!({"type": "fail", "id": long})).await;
    assert_eq!(answer["error"]["details"]["field"], "id", "{answer}");
    client
        .send(&json!({"type": "fail", "id": long[1..]}).to_string())
        .await;
    fault(&mut client, json!(long[1..]), "internal").await;
}

#[tokio::test]
async fn what_is_wrong_is_named_and_the_connection_stays() {
    let gateway = rpc(&Server::start().await).start().await;
    let mut client = gateway.connect("/").await;
    let (no_name, long) = (json!({"id": "ann"}), "x".repeat(65));
    for (kind, payload, field) in [
        ("user.get", json!({}), "id"),
        ("user.get", json!({"id": ""}), "id"),
        ("user.put", no_name, "name"),
        ("user.put", json!({"id": "ann", "name": long}), "name"),
        ("quote", json!({"symbol": "../users"}), "symbol"),
        ("quote", json!({"symbol": "NINELONGS"}), "symbol"),
        ("slow", json!({"ms": 60_001}), "ms"),
        ("slow", json!({"ms": "soon"}), "ms"),
    ] {
        let answer = ask(
            &mut client,
            json!({"type": kind, "id": 1, "payload": payload}),
        )
        .await;
        assert_eq!(answer["error"]["code"], "invalid-message", "{answer}");
        assert_eq!(answer["error"]["details"]["field"], field, "{answer}");
    }
    let answer = ask(&mut client, json!({"type": "user.delete", "id": 2})).await;
    assert_eq!(answer["error"]["code"], "unknown-type");
    let known = json!(["user.get", "user.put", "quote", "slow", "fail"]);
    assert_eq!(answer["error"]["details"]["known"], known);
    client.send_binary(b"{}").await;
    assert_eq!(client.recv_json().await["error"]["code"], "binary-message");
    client.send("{").await;
    assert_eq!(client.recv_json().await["error"]["code"], "invalid-json");
    // Why is for the log only.
    client.send(r#"{"type": "fail", "id": 3}"#).await;
    let words = fault(&mut client, json!(3), "internal").await;
    assert!(!words.contains("asked"), "{words}");
    gateway.until_log("failed because it was asked to").await;
}

#[tokio::test]
async fn while_one_client_waits_for_the_server_others_do_not() {
    let server = Server::start().await;
    let gateway = rpc(&server).server("shards = 1").start().await;
    let (mut ann, mut bob) = (gateway.connect("/").await, gateway.connect("/").await);
    for request in [
        json!({"type": "quote", "id": 1, "symbol": "ACME"}),
        json!({"type": "user.get", "id": 2, "payload": {"id": "bob"}}),
        json!({"type": "fail", "id": 3}),
    ] {
        ann.send(&request.to_string()).await;
    }
    let (mut asked_first, head) = server.request().await;
    assert!(head.starts_with("GET /quotes/ACME HTTP/1.1\r\n"), "{head}");
    let user = json!({"id": "bob", "name": "Bob"});
    let answer = ask(
        &mut bob,
        json!({"type": "user.put", "id": 1, "payload": user}),
    )
    .await;
    assert_eq!(answer["data"], user);
    bob.send(r#"{"type": "quote", "id": 2, "symbol": "TIDE"}"#)
        .await;
    let (mut asked_second, head) = server.request().await;
    assert!(head.starts_with("GET /quotes/TIDE HTTP/1.1\r\n"), "{head}");

    // A new generation takes over, and those who wait keep waiting.
    assert_eq!(gateway.reload().await.json()["generation"], 2);
    let mut cid = gateway.connect("/").await;
    let get = json!({"type": "user.get", "id": 1, "payload": {"id": "bob"}});
    assert_eq!(ask(&mut cid, get).await["data"], user);
    ann.silent().await;

    respond(&mut asked_second, r#"{"price": 7}"#).await;
    assert_eq!(
        bob.recv_json().await["data"],
        json!({"symbol": "TIDE", "price": 7.0})
    );
    ann.silent().await;
    respond(&mut asked_first, r#"{"price": 12.5, "currency": "EUR"}"#).await;
    let expected = json!({"type": "quote", "requestId": 1, "success": true,
                          "data": {"symbol": "ACME", "price": 12.5}});
    assert_eq!(ann.recv_json().await, expected);
    let answer = ann.recv_json().await;
    assert_eq!((&answer["requestId"], &answer["data"]), (&json!(2), &user));
    fault(&mut ann, json!(3), "internal").await;
}

#[tokio::test]
async fn a_server_that_fails_is_a_fault_of_its_own() {
    let server = Server::start().await;
    let gateway = rpc(&server).start().await;
    let mut client = gateway.connect("/").await;
    for (response, why) in [
        (
            "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n",
            "status 503",
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "price"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhalf",
            "expected value",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
            "closed the connection",
        ),
    ] {
        client
            .send(r#"{"type": "quote", "id": 1, "symbol": "ACME"}"#)
            .await;
        let (mut socket, _) = server.request().await;
        socket.write(response.as_bytes()).await;
        drop(socket);
        let words = fault(&mut client, json!(1), "upstream").await;
        assert!(words.contains(why), "{words}");
    }
    drop(server);
    client
        .send(r#"{"type": "quote", "id": 2, "symbol": "ACME"}"#)
        .await;
    let words = fault(&mut client, json!(2), "upstream").await;
    assert!(words.contains("can't be reached"), "{words}");
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let server = Server::start().await;
    let setup = rpc(&server).limits("http_first_byte = \"200ms\"");
    let gateway = setup.start().await;
    let mut client = gateway.connect("/").await;
    client
        .send(r#"{"type": "quote", "id": 1, "symbol": "ACME"}"#)
        .await;
    client.send(r#"{"type": "fail", "id": 2}"#).await;
    let (_hangs, _) = server.request().await;
    let words = fault(&mut client, json!(1), "upstream").await;
    assert!(words.contains("timeout"), "{words}");
    fault(&mut client, json!(2), "internal").await;
}

#[tokio::test]
async fn what_is_slow_lets_others_pass() {
    let gateway = rpc(&Server::start().await).start().await;
    let (mut client, mut other) = (gateway.connect("/").await, gateway.connect("/").await);
    let slow = |id: Value, ms: u64| json!({"type": "slow", "id": id, "ms": ms}).to_string();
    client.send(&slow(json!("for long"), 60_000)).await;
    client.send(r#"{"type": "fail", "id": 2}"#).await;
    fault(&mut client, json!(2), "internal").await;
    client.send(&slow(json!("for long"), 0)).await;
    fault(&mut client, json!("for long"), "id-in-use").await;
    // Ids are each client's own.
    other.send(&slow(json!("for long"), 1)).await;
    let answer = json!({"type": "slow", "requestId": "for long", "success": true, "data": null});
    assert_eq!(other.recv_json().await, answer);
    // What waits outlives a reload.
    client.send(&slow(json!(7), 500)).await;
    assert_eq!(gateway.reload().await.status, 200);
    let answer = json!({"type": "slow", "requestId": 7, "success": true, "data": null});
    assert_eq!(client.recv_json().await, answer);
    // One waits already.
    for id in 1..16 {
        client.send(&slow(json!(id), 60_000)).await;
    }
    client.send(&slow(json!(16), 0)).await;
    fault(&mut client, json!(16), "too-many").await;
}

#[tokio::test]
async fn without_a_server_to_ask_a_quote_fails_and_the_log_says_what_to_add() {
    let gateway = Gateway::with("rpc").start().await;
    let mut client = gateway.connect("/").await;
    client
        .send(r#"{"type": "quote", "id": 1, "symbol": "ACME"}"#)
        .await;
    fault(&mut client, json!(1), "internal").await;
    let fix = "add upstream = \"https://..\" to [plugin.config]";
    gateway.until_log(fix).await;
}
