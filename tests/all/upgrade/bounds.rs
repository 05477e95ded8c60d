//! How long, how large, how many.

use std::time::Duration;

use super::*;

#[tokio::test]
async fn a_head_that_is_too_long_is_431() {
    let gateway = Gateway::with("echo")
        .server("headers = \"8KiB\"")
        .start()
        .await;
    let long = format!("X-Long: {}\r\n\r\n", "x".repeat(9000));
    let request = upgrade_request("/").replace("\r\n\r\n", &format!("\r\n{long}"));
    let mut raw = gateway.raw().await;
    // It may be refused before all of it is read.
    let _ = raw.try_write(request.as_bytes()).await;
    let head = raw.read_head().await;
    assert!(head.starts_with("HTTP/1.1 431 "), "{head}");
    let below = upgrade_request("/").replace(
        "\r\n\r\n",
        &format!("\r\nX-Long: {}\r\n\r\n", "x".repeat(7000)),
    );
    assert_eq!(answer(&gateway, &below).await.status, 101);
}

#[tokio::test]
async fn too_many_header_fields_are_431() {
    let gateway = Gateway::with("echo").start().await;
    let request =
        upgrade_request("/").replace("\r\n\r\n", &format!("\r\n{}\r\n", "A: b\r\n".repeat(200)));
    assert_eq!(answer(&gateway, &request).await.status, 431);
}

#[tokio::test]
async fn a_client_that_sends_nothing_is_closed() {
    let gateway = Gateway::with("echo")
        .server("handshake_timeout = \"300ms\"")
        .start()
        .await;
    let mut raw = gateway.raw().await;
    assert_eq!(raw.read_to_end().await, b"");
    gateway
        .until_metric("refusals_total{reason=\"handshake\"}", 1)
        .await;
}

#[tokio::test]
async fn a_client_that_stops_in_its_request_is_closed() {
    let gateway = Gateway::with("echo")
        .server("handshake_timeout = \"300ms\"")
        .start()
        .await;
    half_a_request(&gateway).await.read_to_end().await;
    gateway
        .until_metric("refusals_total{reason=\"handshake\"}", 1)
        .await;
}

#[tokio::test]
async fn a_client_that_sends_a_byte_at_a_time_has_no_longer_than_others() {
    let gateway = Gateway::with("echo")
        .server("handshake_timeout = \"1s\"")
        .start()
        .await;
    let mut raw = gateway.raw().await;
    let begun = std::time::Instant::now();
    let trickle = async {
        for byte in upgrade_request("/").bytes().cycle() {
            if raw.try_write(&[byte]).await.is_err() {
                return;
            }
            // The pace is what is tested.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(crate::PATIENCE, trickle)
        .await
        .expect("it is cut");
    assert!(begun.elapsed() > Duration::from_millis(900));
    gateway
        .until_metric("refusals_total{reason=\"handshake\"}", 1)
        .await;
}

#[tokio::test]
async fn a_kept_socket_without_a_next_request_is_closed() {
    let gateway = Gateway::with("echo")
        .server("handshake_timeout = \"300ms\"")
        .start()
        .await;
    let mut raw = gateway.raw().await;
    raw.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    let answer = String::from_utf8(raw.read_to_end().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
}

#[tokio::test]
async fn a_connection_outlives_the_handshakes_timeout() {
    let gateway = Gateway::with("echo")
        .server("handshake_timeout = \"100ms\"")
        .start()
        .await;
    let mut client = gateway.connect("/").await;
    let mut late = gateway.raw().await;
    late.read_to_end().await;
    assert_eq!(client.ask("still here").await, "still here");
}

#[tokio::test]
async fn beyond_the_limit_an_upgrade_is_503_until_a_place_is_free() {
    let gateway = Gateway::with("echo")
        .server("connections = 2")
        .start()
        .await;
    let first = gateway.connect("/").await;
    let mut second = gateway.connect("/").await;
    let response = refused(&gateway, "/", &[]).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(gateway.metric("refusals_total{reason=\"limit\"}").await, 1);
    assert_eq!(second.ask("hello").await, "hello");
    // A plain request and a refusal take no place.
    assert_eq!(get(gateway.address, "GET", "/", &[]).await.status, 426);

    assert_eq!(first.close(1000, "").await, Some(1000));
    gateway.until_metric("connections_open", 1).await;
    let mut third = until_granted(&gateway).await;
    assert_eq!(third.ask("hello").await, "hello");
    refused(&gateway, "/", &[]).await;
}

/// The place is free a moment after the connection is counted as closed.
async fn until_granted(gateway: &Gateway) -> Client {
    let granted = async {
        loop {
            if let Ok(client) = Client::try_connect(gateway.address, "/", &[]).await {
                return client;
            }
        }
    };
    tokio::time::timeout(crate::PATIENCE, granted)
        .await
        .expect("a place is free")
}

#[tokio::test]
async fn a_refused_or_failed_upgrade_gives_its_place_back() {
    let gateway = Gateway::with("upgrade")
        .server("connections = 1")
        .start()
        .await;
    for _ in 0..3 {
        assert_eq!(refused(&gateway, "/?reject=403", &[]).await.status(), 403);
        assert_eq!(refused(&gateway, "/?trap", &[]).await.status(), 500);
        assert_eq!(refused(&gateway, "/?set=upgrade", &[]).await.status(), 500);
    }
    let lost = gateway.connect("/").await;
    drop(lost);
    until_granted(&gateway).await;
}

#[tokio::test]
async fn a_body_is_not_waited_for() {
    let gateway = Gateway::with("echo")
        .server("handshake_timeout = \"300ms\"")
        .start()
        .await;
    let mut raw = gateway.raw().await;
    raw.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nabc")
        .await;
    let answer = String::from_utf8(raw.read_to_end().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
}
