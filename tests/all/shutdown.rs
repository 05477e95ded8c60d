//! The end of the process: what is under way ends, clients are told, and nothing hangs.

use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::PATIENCE;
use crate::client::{Client, Raw, frame};
use crate::gateway::{Gateway, Setup};

/// A gateway that is gone soon after its last client.
fn witness() -> Setup {
    Gateway::with("witness").server("shards = 2\ndrain_window = \"0s\"")
}

async fn connect(gateway: &Gateway, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(gateway.connect("/").await);
    }
    clients
}

/// Waits until the gateway says that it drains.
async fn until_draining(gateway: &Gateway) {
    let draining = async { while gateway.admin("GET", "/readyz").await.status != 503 {} };
    tokio::time::timeout(PATIENCE, draining)
        .await
        .expect("it drains");
}

#[tokio::test]
async fn every_client_is_told_and_every_handler_once() {
    for signal in ["-TERM", "-INT"] {
        let mut gateway = witness().start().await;
        let clients = connect(&gateway, 20).await;
        gateway.signal(signal);
        for mut client in clients {
            let expected = (1001, "shutting down".to_owned());
            assert_eq!(client.closed().await, Some(expected));
        }
        assert_eq!(gateway.wait().await.code(), Some(0));
        gateway.until_log("drained").await;
        gateway.until_log_lines("closed ", 20).await;
        let log = gateway.log();
        let mut closed: Vec<_> = log
            .lines()
            .filter_map(|line| line.split_once("closed ")?.1.split(' ').next())
            .collect();
        closed.sort_unstable();
        closed.dedup();
        assert_eq!(closed.len(), 20, "{log}");
        assert_eq!(log.matches("closed ").count(), 20, "{log}");
    }
}

#[tokio::test]
async fn a_gateway_without_connections_ends_at_once() {
    let mut gateway = Gateway::with("echo")
        .server("drain_window = \"60s\"\ndrain_deadline = \"60s\"")
        .start()
        .await;
    gateway.signal("-TERM");
    // The harness's patience is less than the window.
    assert_eq!(gateway.wait().await.code(), Some(0));
}

#[tokio::test]
async fn an_event_in_flight_ends_and_its_answer_arrives() {
    let mut gateway = witness().start().await;
    let mut client = gateway.connect("/").await;
    client.send("wait 1000").await;
    gateway
        .until_metric("events_total{event=\"message\"}", 1)
        .await;
    gateway.signal("-TERM");
    until_draining(&gateway).await;
    assert_eq!(client.recv().await, "1 wait 1000");
    assert_eq!(client.closed().await.expect("a close frame").0, 1001);
    assert_eq!(gateway.wait().await.code(), Some(0));
    gateway.until_log_lines("closed ", 1).await;
}

#[tokio::test]
async fn while_draining_it_is_not_ready_and_takes_no_one() {
    let mut gateway = witness().route_limits("close = \"60s\"").start().await;
    // It holds the drain until it answers the close frame.
    let mut last = Raw::upgraded(gateway.address, "/").await;
    gateway.signal("-TERM");
    until_draining(&gateway).await;
    let ready = gateway.admin("GET", "/readyz").await;
    assert_eq!((ready.status, &*ready.body), (503, "draining\n"));
    assert_eq!(gateway.admin("GET", "/healthz").await.status, 200);
    assert!(
        Client::try_connect(gateway.address, "/", &[])
            .await
            .is_err()
    );
    // The close frame: 1001 and its words.
    assert_eq!(last.read(2).await, [0x88, 15]);
    assert_eq!(&last.read(15).await[2..], b"shutting down");
    // By now the listener is gone too.
    assert!(TcpStream::connect(gateway.address).await.is_err());
    last.write(&frame(0x88, &1001_u16.to_be_bytes())).await;
    assert_eq!(last.read_to_end().await, b"");
    assert_eq!(gateway.wait().await.code(), Some(0));
}

#[tokio::test]
async fn closes_are_spread_over_the_window() {
    let mut gateway = witness()
        .server("shards = 2\ndrain_window = \"2s\"")
        .start()
        .await;
    let (closes, mut closed) = mpsc::unbounded_channel();
    for mut client in connect(&gateway, 20).await {
        let closes = closes.clone();
        tokio::spawn(async move { closes.send(client.closed().await) });
    }
    drop(closes);
    gateway.signal("-TERM");
    let drained = "closes_total{cause=\"drained\"}";
    let mut count = 0;
    while let Some(close) = closed.recv().await {
        assert_eq!(close.expect("a close frame").0, 1001);
        count += 1;
        // When a few have gone, most are still there.
        if count == 4 {
            let so_far = gateway.metric(drained).await;
            assert!((4..=12).contains(&so_far), "{so_far} of 20 at the fourth");
        }
    }
    assert_eq!(count, 20);
    assert_eq!(gateway.wait().await.code(), Some(0));
}

#[tokio::test]
async fn clients_are_served_until_their_turn() {
    let mut gateway = witness()
        .server("shards = 1\ndrain_window = \"4s\"")
        .start()
        .await;
    let mut clients = connect(&gateway, 4).await;
    gateway.signal("-TERM");
    gateway
        .until_metric("closes_total{cause=\"drained\"}", 1)
        .await;
    let mut answered = 0;
    for client in &mut clients {
        client.send("a").await;
        let next = client.next().await.expect("open").expect("whole");
        answered += usize::from(next.is_text());
    }
    assert!(answered >= 2, "{answered} of 4 after the first close");
    for client in &mut clients {
        client.closed().await;
    }
    assert_eq!(gateway.wait().await.code(), Some(0));
}

#[tokio::test]
async fn a_client_that_never_answers_the_close_is_dropped() {
    let mut gateway = witness().route_limits("close = \"100ms\"").start().await;
    let mut silent = Raw::upgraded(gateway.address, "/").await;
    gateway.signal("-TERM");
    assert!(silent.read_to_end().await.starts_with(&[0x88]));
    assert_eq!(gateway.wait().await.code(), Some(0));
    gateway.until_log("drained").await;
    assert!(!gateway.log().contains("drain deadline reached"));
}

#[tokio::test]
async fn the_drain_ends_at_its_deadline() {
    // Longer than the harness's patience.
    let mut gateway = witness()
        .server("drain_window = \"0s\"\ndrain_deadline = \"300ms\"")
        .route_limits("close = \"60s\"")
        .start()
        .await;
    let mut silent = Raw::upgraded(gateway.address, "/").await;
    gateway.signal("-TERM");
    assert!(silent.read_to_end().await.starts_with(&[0x88]));
    assert_eq!(gateway.wait().await.code(), Some(0));
    gateway.until_log("drain deadline reached").await;
}

#[tokio::test]
async fn another_signal_while_draining_changes_nothing() {
    let mut gateway = witness()
        .server("shards = 2\ndrain_window = \"1s\"")
        .start()
        .await;
    let clients = connect(&gateway, 10).await;
    gateway.signal("-TERM");
    until_draining(&gateway).await;
    for signal in ["-TERM", "-INT", "-HUP"] {
        gateway.signal(signal);
    }
    for mut client in clients {
        assert_eq!(client.closed().await.expect("a close frame").0, 1001);
    }
    assert_eq!(gateway.wait().await.code(), Some(0));
    gateway.until_log_lines("closed ", 10).await;
}

#[tokio::test]
async fn a_reload_just_before_the_end_is_harmless() {
    let mut gateway = witness().start().await;
    let clients = connect(&gateway, 4).await;
    gateway.signal("-HUP");
    gateway.signal("-TERM");
    for mut client in clients {
        assert_eq!(client.closed().await.expect("a close frame").0, 1001);
    }
    assert_eq!(gateway.wait().await.code(), Some(0));
    gateway.until_log_lines("closed ", 4).await;
}

#[tokio::test]
async fn a_slow_reader_has_all_that_waits_and_its_close() {
    let mut gateway = Gateway::with("lifecycle")
        .server("drain_window = \"0s\"")
        .limits("effects = \"16MiB\"\nmemory = \"64MiB\"\ndeadline = \"2s\"")
        .route_limits("close = \"300ms\"")
        .start()
        .await;
    let mut slow = Raw::upgraded(gateway.address, "/").await;
    slow.shrink();
    slow.write(&frame(0x81, b"large 8000000")).await;
    assert_eq!(slow.read(10).await[..2], [0x82, 127]);
    gateway.signal("-TERM");
    let pause = std::time::Duration::from_millis(10);
    slow.read_slowly(8_000_000, 64 << 10, pause).await;
    assert_eq!(slow.read_frame().await.0, 0x88);
    slow.write(&frame(0x88, &1001_u16.to_be_bytes())).await;
    assert_eq!(gateway.wait().await.code(), Some(0));
    assert!(!gateway.log().contains("drain deadline reached"));
}

#[tokio::test]
async fn a_reader_that_is_too_slow_does_not_hold_the_drain_beyond_its_deadline() {
    let mut gateway = Gateway::with("lifecycle")
        .server("drain_window = \"0s\"\ndrain_deadline = \"1s\"")
        .limits("effects = \"16MiB\"\nmemory = \"64MiB\"\ndeadline = \"2s\"")
        .route_limits("close = \"20s\"\nlinger = \"1h\"")
        .start()
        .await;
    let mut slow = Raw::upgraded(gateway.address, "/").await;
    slow.shrink();
    slow.write(&frame(0x81, b"large 8000000")).await;
    assert_eq!(slow.read(10).await[..2], [0x82, 127]);
    gateway.signal("-TERM");
    assert_eq!(gateway.wait().await.code(), Some(0));
    gateway.until_log("drain deadline reached").await;
    // Its handler was told nevertheless.
    gateway.until_log("drained").await;
    let closed = gateway
        .log()
        .lines()
        .filter(|line| line.contains("close "))
        .count();
    assert_eq!(closed, 1, "{}", gateway.log());
}
