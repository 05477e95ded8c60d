//! Every connection's events come one at a time and in order, and end with exactly one `on-close`.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use crate::client::{Client, Raw, frame};
use crate::gateway::{Gateway, Setup};

/// A connection that hears of all that open and close.
async fn auditor(gateway: &Gateway) -> Client {
    let mut auditor = gateway.connect("/?audit").await;
    // The answer comes behind its `on_open`: it listens now.
    auditor.ask("ready").await;
    // Its answer comes after its `on-open`, which subscribes.
    assert_eq!(auditor.ask("ready").await, "ready");
    auditor
}

/// Which connection has opened.
async fn opened(auditor: &mut Client) -> String {
    let line = auditor.recv().await;
    let id = line.strip_prefix("open ");
    id.unwrap_or_else(|| panic!("{line}")).to_owned()
}

/// Checks that the next to happen, and the last, is the one close of that connection; returns its cause.
async fn closed(gateway: &Gateway, auditor: &mut Client, id: &str) -> String {
    let line = auditor.recv().await;
    let cause = line.strip_prefix(&format!("close {id} "));
    let cause = cause.unwrap_or_else(|| panic!("{line}")).to_owned();
    gateway.until_metric("connections_open", 1).await;
    let opens = gateway.metric(r#"events_total{event="open"}"#).await;
    let closes = gateway.metric(r#"events_total{event="close"}"#).await;
    assert_eq!(closes, opens - 1, "all but the auditor");
    auditor.silent().await;
    cause
}

fn lifecycle() -> Setup {
    Gateway::with("lifecycle")
}

#[tokio::test]
async fn events_of_one_connection_come_in_order() {
    let gateway = Gateway::with("sleep").start().await;
    let mut client = gateway.connect("/").await;
    let sent = ["a", "sleep", "b", "c", "sleep", "d"];
    for text in sent {
        client.send(text).await;
    }
    for text in sent {
        assert_eq!(client.recv().await, text);
    }
}

#[tokio::test]
async fn nothing_of_a_connection_is_handled_while_its_handler_runs_and_others_go_on() {
    let setup = Gateway::with("sleep").server("shards = 1");
    let gateway = setup.limits("wait = \"1h\"").start().await;
    let (mut sleeper, mut other) = (gateway.connect("/").await, gateway.connect("/").await);
    sleeper.send("sleep-long").await;
    sleeper.send("after").await;
    let messages = r#"events_total{event="message"}"#;
    gateway.until_metric(messages, 1).await;
    for _ in 0..10 {
        assert_eq!(other.ask("hello").await, "hello");
    }
    assert_eq!(gateway.metric(messages).await, 11);
    sleeper.silent().await;
}

#[tokio::test]
async fn a_peers_close_is_heard_with_its_code_and_reason() {
    let gateway = lifecycle().start().await;
    let mut auditor = auditor(&gateway).await;
    let client = gateway.connect("/").await;
    let id = opened(&mut auditor).await;
    assert_eq!(client.close(4321, "bye").await, Some(4321));
    assert_eq!(closed(&gateway, &mut auditor, &id).await, "peer 4321 bye");
}

#[tokio::test]
async fn a_peers_close_without_a_code_is_1005() {
    let gateway = lifecycle().start().await;
    let mut auditor = auditor(&gateway).await;
    let mut raw = Raw::upgraded(gateway.address, "/").await;
    let id = opened(&mut auditor).await;
    raw.write(&frame(0x88, b"")).await;
    assert_eq!(raw.read_to_end().await, [0x88, 0]);
    assert_eq!(closed(&gateway, &mut auditor, &id).await, "peer 1005 ");
}

#[tokio::test]
async fn a_socket_that_ends_without_a_close_frame_is_lost() {
    let gateway = lifecycle().start().await;
    let mut auditor = auditor(&gateway).await;
    let raw = Raw::upgraded(gateway.address, "/").await;
    let id = opened(&mut auditor).await;
    drop(raw);
    let cause = closed(&gateway, &mut auditor, &id).await;
    assert_eq!(cause, "lost ended without a close frame");
}

#[tokio::test]
async fn a_socket_that_is_reset_is_lost() {
    let gateway = lifecycle().start().await;
    let mut auditor = auditor(&gateway).await;
    let mut raw = Raw::upgraded(gateway.address, "/").await;
    let id = opened(&mut auditor).await;
    let socket = socket2::SockRef::from(&*raw.socket());
    socket
        .set_linger(Some(std::time::Duration::ZERO))
        .expect("a socket can linger");
    drop(raw);
    let cause = closed(&gateway, &mut auditor, &id).await;
    assert!(cause.starts_with("lost Connection reset"), "{cause}");
}

#[tokio::test]
async fn a_trap_is_heard_on_a_fresh_instance() {
    let gateway = lifecycle().start().await;
    let mut auditor = auditor(&gateway).await;
    let mut client = gateway.connect("/").await;
    let id = opened(&mut auditor).await;
    client.send("trap").await;
    let cause = closed(&gateway, &mut auditor, &id).await;
    assert!(cause.starts_with("failed trap"), "{cause}");
    let frame = client.closed().await;
    assert_eq!(frame, Some((1011, "handler failed".to_owned())));
}

#[tokio::test]
async fn a_trap_in_on_open_is_followed_by_on_close() {
    let gateway = lifecycle().start().await;
    let mut auditor = auditor(&gateway).await;
    let mut client = gateway.connect("/?trap-open").await;
    assert_eq!(client.closed().await.map(|(code, _)| code), Some(1011));
    let line = auditor.recv().await;
    assert!(line.contains(" failed trap"), "{line}");
    auditor.silent().await;
    gateway
        .until_metric(r#"events_total{event="close"}"#, 1)
        .await;
}

#[tokio::test]
async fn a_handlers_kick_is_heard() {
    let gateway = lifecycle().start().await;
    let mut auditor = auditor(&gateway).await;
    let mut client = gateway.connect("/").await;
    let id = opened(&mut auditor).await;
    client.send("kick").await;
    let frame = client.closed().await;
    assert_eq!(frame, Some((4000, "as asked".to_owned())));
    let cause = closed(&gateway, &mut auditor, &id).await;
    assert_eq!(cause, "kicked 4000 as asked");
}

#[tokio::test]
async fn an_operators_kick_is_heard() {
    let gateway = lifecycle().start().await;
    let mut auditor = auditor(&gateway).await;
    let mut client = gateway.connect("/").await;
    let id = opened(&mut auditor).await;
    let path = format!("/connections/{id}/close?code=4001&reason=not%20here");
    assert_eq!(gateway.admin("POST", &path).await.status, 202);
    let frame = client.closed().await;
    assert_eq!(frame, Some((4001, "not here".to_owned())));
    let cause = closed(&gateway, &mut auditor, &id).await;
    assert_eq!(cause, "kicked 4001 not here");
}

#[tokio::test]
async fn a_kick_waits_for_the_handler_that_runs() {
    let setup = Gateway::with("directory").limits("deadline = \"30s\"");
    let gateway = setup.start().await;
    let mut client = gateway.connect("/").await;
    let id = client.ask("id").await;
    client.send("spin-ms 300").await;
    client.send("state").await;
    let messages = r#"events_total{event="message"}"#;
    gateway.until_metric(messages, 2).await;
    let path = format!("/connections/{id}/close");
    assert_eq!(gateway.admin("POST", &path).await.status, 202);
    assert_eq!(client.recv().await, "ok", "what it did takes effect");
    assert_eq!(client.recv_close().await, (4000, String::new()));
    assert_eq!(gateway.metric(messages).await, 2, "no event comes after it");
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_idle() {
    let setup = lifecycle().route_limits("idle = \"2s\"\nping = \"500ms\"\npong = \"1s\"");
    let gateway = setup.start().await;
    let mut auditor = auditor(&gateway).await;
    // Unlike this one the auditor, who always listens, answers pings.
    let mut raw = Raw::upgraded(gateway.address, "/").await;
    let id = opened(&mut auditor).await;
    assert_eq!(auditor.recv().await, format!("close {id} idle"));
    assert_eq!(raw.read_frame().await, (0x89, Vec::new()), "a ping");
    let close = raw.read_frame().await;
    assert_eq!(close, (0x88, b"\x03\xe9idle".to_vec()), "1001");
}

#[tokio::test]
async fn a_protocol_error_is_heard() {
    let gateway = lifecycle().start().await;
    let mut auditor = auditor(&gateway).await;
    let mut raw = Raw::upgraded(gateway.address, "/").await;
    let id = opened(&mut auditor).await;
    // Opcode 3 is reserved (RFC 6455 section 5.2).
    raw.write(&frame(0x83, b"")).await;
    let bytes = raw.read_to_end().await;
    assert_eq!((bytes[0], &bytes[2..4]), (0x88, &[0x03, 0xea][..]), "1002");
    drop(raw);
    let cause = closed(&gateway, &mut auditor, &id).await;
    assert!(cause.starts_with("protocol-error "), "{cause}");
}

#[tokio::test]
async fn a_slow_consumer_is_heard() {
    let gateway = lifecycle().start().await;
    let mut auditor = auditor(&gateway).await;
    let mut raw = Raw::upgraded(gateway.address, "/").await;
    raw.shrink();
    let id = opened(&mut auditor).await;
    let big = frame(0x82, &[0; 64 << 10]);
    while raw.try_write(&big).await.is_ok() && !gateway.log().contains("slow-consumer") {}
    drop(raw);
    assert_eq!(closed(&gateway, &mut auditor, &id).await, "slow-consumer");
}

#[tokio::test]
async fn a_drain_is_heard_once_by_every_connection() {
    let mut gateway = lifecycle().server("drain_window = \"0s\"").start().await;
    let mut clients = join_all((0..20).map(|_| gateway.connect("/"))).await;
    join_all(clients.iter_mut().map(|client| client.ask("ready"))).await;
    gateway.signal("-TERM");
    for frame in join_all(clients.iter_mut().map(Client::closed)).await {
        assert_eq!(frame, Some((1001, "shutting down".to_owned())));
    }
    assert!(gateway.wait().await.success());
    gateway.until_log("INFO tidegate::cli::run: drained").await;
    let log = gateway.log();
    let closes = log.lines().filter(|line| line.contains("guest: close "));
    let mut ids: Vec<_> = closes
        .map(|line| {
            assert!(line.contains(" drained"), "{line}");
            line.split("close ")
                .nth(1)
                .and_then(|rest| rest.split(' ').next())
        })
        .collect();
    assert_eq!(ids.len(), 20, "{log}");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20, "{log}");
}

#[tokio::test]
async fn a_connection_that_lived_through_reloads_closes_once() {
    let gateway = lifecycle().start().await;
    let mut auditor = auditor(&gateway).await;
    let client = gateway.connect("/").await;
    let id = opened(&mut auditor).await;
    for generation in 2..5 {
        assert_eq!(gateway.reload().await.json()["generation"], generation);
    }
    client.close(1000, "").await;
    assert_eq!(closed(&gateway, &mut auditor, &id).await, "peer 1000 ");
}

#[tokio::test]
async fn however_many_connections_end_while_reloads_go_on_each_closes_once() {
    let gateway = lifecycle().start().await;
    let mut auditor = auditor(&gateway).await;
    let endings = (0..90).map(|turn| end_somehow(&gateway, turn));
    let reloads = async {
        for _ in 0..10 {
            assert_eq!(gateway.reload().await.status, 200);
        }
    };
    tokio::join!(join_all(endings), reloads);
    let mut heard = BTreeMap::<String, Vec<String>>::new();
    for _ in 0..180 {
        let line = auditor.recv().await;
        let (event, rest) = line.split_once(' ').expect("an event and an id");
        let id = rest.split(' ').next().expect("an id");
        heard
            .entry(id.to_owned())
            .or_default()
            .push(event.to_owned());
    }
    assert_eq!(heard.len(), 90);
    for (id, events) in heard {
        assert_eq!(events, ["open", "close"], "{id}");
    }
    auditor.silent().await;
    gateway.until_metric("connections_open", 1).await;
}

/// Opens a connection and ends it in one of several ways.
async fn end_somehow(gateway: &Gateway, turn: usize) {
    let mut client = gateway.connect("/").await;
    assert_eq!(client.ask("ready").await, "ready");
    match turn % 5 {
        0 => drop(client.close(1000, "bye").await),
        1 => drop(client),
        way => {
            client.send(["trap", "kick", "trap"][way - 2]).await;
            assert!(client.closed().await.is_some());
        }
    }
}

#[tokio::test]
async fn state_survives_a_reload_and_a_rollback() {
    let gateway = Gateway::with("directory").start().await;
    let mut client = gateway.connect("/").await;
    assert_eq!(client.ask("set-state first").await, "ok");
    assert_eq!(gateway.reload().await.json()["generation"], 2);
    assert_eq!(client.ask("state").await, "first");
    assert_eq!(client.ask("set-state second").await, "ok");
    assert_eq!(gateway.rollback().await.json()["generation"], 1);
    assert_eq!(client.ask("state").await, "second");
}

#[tokio::test]
async fn a_connections_id_is_never_used_again() {
    let gateway = Gateway::with("directory").start().await;
    let mut ids = Vec::new();
    for _ in 0..50 {
        let mut client = gateway.connect("/").await;
        ids.push(client.ask("id").await);
        client.close(1000, "").await;
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 50);
}
