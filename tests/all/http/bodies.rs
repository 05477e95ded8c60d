//! Bodies of requests and responses: in pieces, too large, too slow, not taken.

use super::*;

#[tokio::test]
async fn a_body_in_chunks_and_pieces_comes_whole() {
    let gateway = gateway().start().await;
    let mut socket = gateway.raw().await;
    let head = "POST /echo HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    for piece in [head, "5\r\nhel", "lo\r\n", "6\r\n world\r\n", "0\r\n\r\n"] {
        socket.write(piece.as_bytes()).await;
        tokio::task::yield_now().await;
    }
    let body: Value = serde_json::from_str(&read(&mut socket).await.2).unwrap();
    assert_eq!(
        (&body["body"], &body["length"]),
        (&json!("hello world"), &json!("11"))
    );
    // Larger than any buffer on the way.
    let large = "z".repeat(1 << 20);
    let body: Value =
        serde_json::from_str(&exchange(&mut socket, "PUT", "/echo", &large).await.2).unwrap();
    assert_eq!(body["body"].as_str().map(str::len), Some(1 << 20));
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let gateway = gateway().route_limits("body = 10").start().await;
    assert_eq!(post(&gateway, "/echo", "0123456789").await.0, 200);
    assert_eq!(post(&gateway, "/echo", "0123456789a").await.0, 413);
    let mut socket = gateway.raw().await;
    let chunked = "POST /echo HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n\
        8\r\n01234567\r\n8\r\n01234567\r\n0\r\n\r\n";
    socket.write(chunked.as_bytes()).await;
    assert_eq!(read(&mut socket).await.0, 413);
    assert_eq!(
        gateway.metric("refusals_total{reason=\"too-large\"}").await,
        2
    );
    assert_eq!(gateway.metric("events_total{event=\"request\"}").await, 1);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let gateway = gateway()
        .route_limits("body_timeout = \"300ms\"")
        .start()
        .await;
    let mut socket = gateway.raw().await;
    socket
        .write(b"POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhalf")
        .await;
    assert_eq!(read(&mut socket).await.0, 408);
    // Half a body is none.
    let mut socket = gateway.raw().await;
    socket
        .write(b"POST /publish/posts HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhalf")
        .await;
    drop(socket);
    assert_eq!(get(&gateway, "/hello").await.status, 200);
    assert_eq!(gateway.metric("events_total{event=\"request\"}").await, 1);
}

#[tokio::test]
async fn a_large_response_streams_to_a_slow_reader() {
    let gateway = gateway().start().await;
    let mut socket = gateway.raw().await;
    socket.shrink();
    socket
        .write(b"GET /large/12000000 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    let head = socket.read_head().await;
    assert!(head.contains("content-length: 12000000"), "{head}");
    // While it reads nothing, nobody waits for it.
    assert_eq!(get(&gateway, "/hello").await.body, "hello\n");
    let body = socket.read(12_000_000).await;
    assert!(body.iter().all(|&byte| byte == b'x'));
    assert_eq!(
        exchange(&mut socket, "GET", "/hello", "").await.2,
        "hello\n"
    );
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_response_is_left() {
    let gateway = gateway()
        .server("shards = 1\nhandshake_timeout = \"300ms\"")
        .start()
        .await;
    let mut socket = gateway.raw().await;
    socket.shrink();
    socket
        .write(b"GET /large/12000000 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    gateway
        .until_metric("events_total{event=\"request\"}", 1)
        .await;
    gateway
        .until_metric("refusals_total{reason=\"stalled\"}", 1)
        .await;
    assert!(socket.read_to_end().await.len() < 12_000_000);
}

#[tokio::test]
async fn bodies_together_take_no_more_than_the_budget() {
    let gateway = gateway()
        .server("shards = 1\npending = \"64KiB\"")
        .route_limits("message = \"64KiB\"\nbody = \"64KiB\"")
        .start()
        .await;
    let body = "x".repeat(40_000);
    let mut half = gateway.raw().await;
    half.write(
        format!("POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 60000\r\n\r\n{body}")
            .as_bytes(),
    )
    .await;
    // Until the half has been read there is room for another.
    let refused = async {
        loop {
            let (status, head, _) = post(&gateway, "/publish/posts", &body).await;
            if status == 503 {
                return head;
            }
            assert_eq!(status, 202);
        }
    };
    let head = tokio::time::timeout(crate::PATIENCE, refused)
        .await
        .unwrap();
    assert!(head.contains("retry-after: 1"), "{head}");
    assert!(gateway.metric("refusals_total{reason=\"pending\"}").await >= 1);
    half.reset();
    let taken = async { while post(&gateway, "/publish/posts", &body).await.0 != 202 {} };
    tokio::time::timeout(crate::PATIENCE, taken).await.unwrap();
}
