//! Clients that leave while their handler decides.

use tokio::io::AsyncWriteExt as _;

use super::*;

/// Sends a request that the handler takes its time over, and waits until it does.
async fn undecided(gateway: &Gateway, request: &str) -> Raw {
    let before = gateway.metric("events_total{event=\"upgrade\"}").await;
    let mut raw = gateway.raw().await;
    raw.write(request.as_bytes()).await;
    gateway
        .until_metric("events_total{event=\"upgrade\"}", before + 1)
        .await;
    raw
}

#[tokio::test]
async fn what_was_granted_to_nobody_takes_no_effect() {
    let gateway = Gateway::with("upgrade").server("shards = 1").start().await;
    let mut watcher = gateway.connect("/watcher?watch").await;
    assert_eq!(watcher.ask("subscribed?").await, "");
    let stream =
        "GET /stream?sleep=300 HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n";
    undecided(&gateway, &upgrade_request("/reset?sleep=300"))
        .await
        .reset();
    drop(undecided(&gateway, &upgrade_request("/closed?sleep=300")).await);
    drop(undecided(&gateway, stream).await);
    let mut half = undecided(&gateway, &upgrade_request("/half?sleep=300")).await;
    half.socket().shutdown().await.unwrap();
    assert_eq!(half.read_to_end().await, b"", "it could never close");
    gateway
        .until_metric("refusals_total{reason=\"gone\"}", 4)
        .await;
    // The calls ran to their ends: none was cut off, and the instances are whole.
    for kind in ["trap", "deadline", "error"] {
        let failures = format!("failures_total{{kind=\"{kind}\"}}");
        assert_eq!(gateway.metric(&failures).await, 0, "{kind}");
    }
    gateway.connect("/accepted").await;
    assert_eq!(watcher.recv().await, "/accepted");
    assert_eq!(gateway.metric("events_total{event=\"open\"}").await, 2);
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_has_ended_its_side() {
    let gateway = Gateway::with("upgrade").start().await;
    let mut half = undecided(&gateway, &upgrade_request("/?sleep=200&reject=403")).await;
    half.socket().shutdown().await.unwrap();
    let answer = String::from_utf8(half.read_to_end().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
}

#[tokio::test]
async fn a_place_that_was_granted_to_nobody_is_free_again() {
    let gateway = Gateway::with("upgrade")
        .server("connections = 1")
        .start()
        .await;
    for _ in 0..3 {
        undecided(&gateway, &upgrade_request("/?sleep=100"))
            .await
            .reset();
        let free = async {
            while Client::try_connect(gateway.address, "/", &[])
                .await
                .is_err()
            {}
        };
        tokio::time::timeout(crate::PATIENCE, free).await.unwrap();
        gateway.until_metric("connections_open", 0).await;
    }
}

#[tokio::test]
async fn a_drain_lets_the_handler_decide() {
    let mut gateway = Gateway::with("upgrade").start().await;
    let mut raw = undecided(&gateway, &upgrade_request("/?sleep=1000")).await;
    gateway.signal("-TERM");
    assert!(raw.read_head().await.starts_with("HTTP/1.1 101 "));
    // The close frame: 1001.
    assert_eq!(raw.read(4).await[2..], 1001_u16.to_be_bytes());
    drop(raw);
    assert!(gateway.wait().await.success());
}
