//! Plain HTTP requests: those of plugins that answer them, and of those that do not.

mod bodies;
mod ends;
mod pages;

use std::fmt::Write as _;

use serde_json::{Value, json};
use tidegate_load::measure::{Span, Watched};
use tidegate_load::report::Report as _;
use tidegate_load::{Target, posts};

use crate::client::{Raw, Response, http};
use crate::gateway::{Gateway, Setup};
use crate::guests;

/// One shard, so that a publish is there as soon as the response is.
fn gateway() -> Setup {
    Gateway::with("http").server("shards = 1")
}

/// A request on a socket that stays open; returns the status, the head and the body.
pub async fn exchange(
    socket: &mut Raw,
    method: &str,
    path: &str,
    body: &str,
) -> (u16, String, String) {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    socket.write(request.as_bytes()).await;
    read(socket).await
}

/// Reads a response whose length is known.
async fn read(socket: &mut Raw) -> (u16, String, String) {
    let head = socket.read_head().await;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |length| length.parse().unwrap());
    let body = String::from_utf8(socket.read(length).await).unwrap();
    (status.unwrap_or_else(|| panic!("{head}")), head, body)
}

async fn get(gateway: &Gateway, path: &str) -> Response {
    http(gateway.address, "GET", path, &[]).await
}

async fn post(gateway: &Gateway, path: &str, body: &str) -> (u16, String, String) {
    exchange(&mut gateway.raw().await, "POST", path, body).await
}

#[tokio::test]
async fn a_plugin_answers_with_status_headers_and_body() {
    let gateway = gateway().start().await;
    let response = get(&gateway, "/hello").await;
    assert_eq!((response.status, response.body.as_str()), (200, "hello\n"));
    assert!(
        response.head.contains("\r\nx-hello: yes"),
        "{}",
        response.head
    );
    assert!(
        response.head.contains("\r\ncontent-length: 6"),
        "{}",
        response.head
    );
    assert!(
        response.head.contains("\r\ncontent-type: text/plain"),
        "{}",
        response.head
    );
    // What belongs to the protocol is not the plugin's.
    assert!(
        !response.head.contains("sec-websocket"),
        "{}",
        response.head
    );
    let missing = get(&gateway, "/nothing").await;
    assert_eq!(
        (missing.status, missing.body.as_str()),
        (404, "no such thing\n")
    );
    assert_eq!(get(&gateway, "/").await.status, 404);
    assert_eq!(gateway.metric("events_total{event=\"request\"}").await, 3);
}

#[tokio::test]
async fn a_plugin_is_told_what_was_asked() {
    let gateway = gateway().start().await;
    let mut socket = gateway.raw().await;
    let request = "PATCH /echo/tea%20room?q=a+b HTTP/1.1\r\nHost: localhost\r\nX-Name: tea\r\n\
        Connection: keep-alive\r\nContent-Length: 5\r\n\r\nhello";
    socket.write(request.as_bytes()).await;
    let (status, _, body) = read(&mut socket).await;
    let expected = json!({
        "method": "PATCH",
        "path": "/echo/tea%20room",
        "segments": ["echo", "tea room"],
        "query": "a b",
        "header": "tea",
        "length": "5",
        "connection": Value::Null,
        "body": "hello",
    });
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, told), (200, expected));
    for method in ["DELETE", "OPTIONS", "PURGE"] {
        let (_, _, body) = exchange(&mut socket, method, "/echo", "").await;
        assert!(body.contains(&format!("\"method\":\"{method}\"")), "{body}");
    }
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let gateway = gateway().start().await;
    let response = http(gateway.address, "HEAD", "/hello", &[]).await;
    assert_eq!((response.status, response.body.as_str()), (200, ""));
    assert!(
        response.head.contains("\r\ncontent-length: 6"),
        "{}",
        response.head
    );
    // The next response on the socket begins right behind the head.
    let mut socket = gateway.raw().await;
    socket
        .write(b"HEAD /hello HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    assert!(socket.read_head().await.starts_with("HTTP/1.1 200 "));
    assert_eq!(
        exchange(&mut socket, "GET", "/hello", "").await.2,
        "hello\n"
    );
}

#[tokio::test]
async fn a_post_publishes_before_it_is_answered() {
    let gateway = gateway().start().await;
    let mut listener = gateway.connect("/").await;
    assert_eq!(listener.ask("ready?").await, "ready?");
    let (status, _, body) = post(&gateway, "/publish/posts", "news").await;
    assert_eq!((status, body.as_str()), (202, ""));
    assert_eq!(listener.recv().await, "news");
}

#[tokio::test]
async fn what_many_post_is_heard_once_and_in_order() {
    let gateway = Gateway::with("http").start().await;
    let options = posts::Options {
        url: Target::new(gateway.address, "/").unwrap(),
        path: "/publish/posts".to_owned(),
        connections: 16,
        subscribers: 4,
        size: 64,
        span: Span {
            seconds: 30.0,
            messages: Some(2_000),
            warmup: 0.0,
            connect_seconds: 30.0,
        },
        watched: Watched::default(),
    };
    let report = tokio::task::spawn_blocking(move || posts::run(&options)).await;
    let report = report.unwrap().unwrap();
    assert_eq!(report.failures(), [""; 0], "{report:?}");
    assert!(report.posts >= 2_000);
}

#[tokio::test]
async fn many_requests_share_a_socket() {
    let gateway = gateway().start().await;
    let mut listener = gateway.connect("/").await;
    assert_eq!(listener.ask("ready?").await, "ready?");
    let mut socket = gateway.raw().await;
    for number in 0..200 {
        let number = number.to_string();
        let (status, ..) = exchange(&mut socket, "POST", "/publish/posts", &number).await;
        assert_eq!(status, 202);
        assert_eq!(listener.recv().await, number);
    }
    // In one write, each is answered in its turn.
    let mut requests = String::new();
    for number in 0..20 {
        write!(
            requests,
            "GET /status/{} HTTP/1.1\r\nhost: localhost\r\n\r\n",
            400 + number
        )
        .unwrap();
    }
    socket.write(requests.as_bytes()).await;
    for number in 0..20 {
        assert_eq!(read(&mut socket).await.0, 400 + number);
    }
}

#[tokio::test]
async fn a_plugin_without_answers_speaks_websocket_only() {
    let gateway = Gateway::with("echo").start().await;
    assert_eq!(get(&gateway, "/").await.status, 426);
    assert_eq!(post(&gateway, "/", "body").await.0, 426);
}

#[tokio::test]
async fn another_sites_page_may_read_and_not_write() {
    let gateway = gateway().start().await;
    let own = format!("http://{}", gateway.address);
    for (method, origin, status) in [
        ("GET", "https://evil.example", 200),
        ("HEAD", "https://evil.example", 200),
        ("POST", "https://evil.example", 403),
        ("DELETE", "null", 403),
        ("OPTIONS", "https://evil.example", 403),
        ("POST", own.as_str(), 200),
    ] {
        let response = http(gateway.address, method, "/hello", &[("origin", origin)]).await;
        assert_eq!(response.status, status, "{method} from {origin}");
    }
    assert_eq!(gateway.metric("refusals_total{reason=\"origin\"}").await, 3);
}

#[tokio::test]
async fn a_request_has_one_host() {
    let gateway = gateway().start().await;
    for hosts in ["", "host: a\r\nhost: b\r\n"] {
        let mut socket = gateway.raw().await;
        socket
            .write(format!("GET /hello HTTP/1.1\r\n{hosts}\r\n").as_bytes())
            .await;
        assert!(
            socket.read_head().await.starts_with("HTTP/1.1 400 "),
            "{hosts:?}"
        );
    }
}

#[tokio::test]
async fn plugins_in_front_decide_who_may_ask() {
    let gateway = gateway().behind("upgrade", "").start().await;
    let mut socket = gateway.raw().await;
    let refused = exchange(&mut socket, "POST", "/http?reject=401", "").await;
    assert_eq!((refused.0, refused.2.as_str()), (401, "refused as asked"));
    assert!(refused.1.contains("x-reason: asked"), "{}", refused.1);
    let (status, head, _) = exchange(&mut socket, "GET", "/http?header=kept", "").await;
    assert_eq!(status, 404, "the second plugin's own answer");
    assert!(head.contains("x-upgrade: kept"), "{head}");
    let (status, _, body) = exchange(&mut socket, "GET", "/http?trap", "").await;
    assert_eq!((status, body.as_str()), (500, "the handler failed\n"));
    assert_eq!(gateway.metric("events_total{event=\"request\"}").await, 1);
}

#[tokio::test]
async fn plugins_behind_are_not_asked() {
    let gateway = gateway().before("upgrade", "").start().await;
    let response = get(&gateway, "/http?reject=401").await;
    assert_eq!(response.status, 404, "the first plugin's own answer");
    assert_eq!(gateway.metric("events_total{event=\"upgrade\"}").await, 0);
}
