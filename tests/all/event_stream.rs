//! Connections that only receive: server-sent events.

use tokio::io::AsyncReadExt;

use crate::client::{Raw, http};
use crate::gateway::{Gateway, Setup};

fn stream() -> Setup {
    Gateway::with("stream")
}

/// A request for a stream.
pub fn request(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: gateway\r\naccept: text/event-stream\r\n{fields}\r\n")
}

/// Opens a stream; returns it with the head of the answer and its first event.
async fn open(gateway: &Gateway, fields: &str) -> (Raw, String, String) {
    let mut raw = gateway.raw().await;
    raw.write(request("/", fields).as_bytes()).await;
    let head = raw.read_head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let first = event(&mut raw).await;
    (raw, head, first)
}

/// The next event, to its empty line.
pub async fn event(raw: &mut Raw) -> String {
    let mut text = String::new();
    while !text.ends_with("\n\n") {
        text.push(raw.read(1).await[0].into());
    }
    text
}

#[tokio::test]
async fn the_handler_is_that_of_a_websocket() {
    let gateway = stream().server("shards = 2").start().await;
    let (mut one, head, first) = open(&gateway, "").await;
    let head = head.to_lowercase();
    assert!(
        head.contains("\r\ncontent-type: text/event-stream\r\n"),
        "{head}"
    );
    assert!(head.contains("\r\nx-stream: yes\r\n"), "{head}");
    assert_eq!(first, "id: first\ndata: hello none\n\n");
    let (mut two, _, first) = open(&gateway, "Last-Event-ID: 41\r\n").await;
    assert_eq!(first, "id: first\ndata: hello 41\n\n");
    let mut socket = gateway.connect("/").await;
    assert_eq!(socket.recv().await, "hello none");
    gateway.until_metric("connections_open", 3).await;

    socket.send("42 hello").await;
    assert_eq!(socket.recv().await, "hello");
    socket.send("lines").await;
    assert_eq!(socket.recv().await, "a\nb\r\nc");
    socket.send_binary(&[0, 255]).await;
    assert_eq!(socket.recv_binary().await, [0, 255]);
    for stream in [&mut one, &mut two] {
        assert_eq!(event(stream).await, "id: 42\ndata: hello\n\n");
        assert_eq!(event(stream).await, "data: a\ndata: b\ndata: c\n\n");
        assert_eq!(event(stream).await, "event: binary\ndata: AP8=\n\n");
    }
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_send_the_last_id() {
    let gateway = stream()
        .route("origins = [\"https://a.example\"]")
        .start()
        .await;
    let ask = async |origin, method| {
        let fields = [
            ("Origin", origin),
            ("Access-Control-Request-Method", method),
        ];
        http(gateway.address, "OPTIONS", "/", &fields).await
    };
    let answer = ask("https://a.example", "GET").await;
    let head = answer.head.to_lowercase();
    assert_eq!(answer.status, 204, "{head}");
    for field in [
        "access-control-allow-origin: https://a.example",
        "access-control-allow-headers: last-event-id",
        "access-control-allow-credentials: true",
    ] {
        assert!(head.contains(field), "{field} is not in {head}");
    }
    assert_eq!(ask("https://b.example", "GET").await.status, 403);
    assert_eq!(ask("https://a.example", "DELETE").await.status, 426);
}

#[tokio::test]
async fn a_reload_is_not_noticed() {
    let gateway = stream().start().await;
    let (mut stream, ..) = open(&gateway, "").await;
    gateway.reload().await;
    let mut socket = gateway.connect("/").await;
    socket.send("1 after").await;
    assert_eq!(event(&mut stream).await, "id: 1\ndata: after\n\n");
}

#[tokio::test]
async fn a_client_that_leaves_is_closed_once_with_its_state() {
    let gateway = stream().start().await;
    let (stream, ..) = open(&gateway, "").await;
    drop(stream);
    gateway.until_log_lines("closed", 1).await;
    gateway.until_metric("connections_open", 0).await;
    assert!(gateway.log().contains("kept"), "{}", gateway.log());
    gateway.until_log_lines("closed", 1).await;
}

#[tokio::test]
async fn a_close_tells_its_code_and_ends_the_stream() {
    let gateway = stream().start().await;
    let (mut stream, ..) = open(&gateway, "").await;
    let mut id = 0;
    while gateway.metric("connections_open").await == 1 {
        gateway
            .admin(
                "POST",
                &format!("/connections/{id}/close?code=1008&reason=no"),
            )
            .await;
        id += 1;
        tokio::task::yield_now().await;
        if id > 16 {
            break;
        }
    }
    let rest = stream.read_to_end().await;
    let expected = "event: close\ndata: {\"code\":1008,\"reason\":\"no\"}\n\n";
    assert_eq!(String::from_utf8(rest).unwrap(), expected);
}

#[tokio::test]
async fn a_quiet_stream_is_kept_alive_by_comments() {
    let gateway = stream()
        .route_limits("ping = \"100ms\"\npong = \"2s\"\nidle = \"4s\"")
        .start()
        .await;
    let (mut stream, ..) = open(&gateway, "").await;
    for _ in 0..5 {
        assert_eq!(event(&mut stream).await, ":\n\n");
    }
    gateway.until_metric("connections_open", 1).await;
}

#[tokio::test]
async fn a_stream_that_is_read_slowly_stays_and_one_that_is_not_read_is_closed_as_idle() {
    let limits = "ping = \"300ms\"\npong = \"300ms\"\nidle = \"20s\"\nclose = \"300ms\"";
    let gateway = stream()
        .server("shards = 1")
        .route_limits(&format!("{limits}\noutbox = \"32MiB\""))
        .start()
        .await;
    let (mut slow, ..) = open(&gateway, "").await;
    slow.shrink();
    let (stalled, ..) = open(&gateway, "").await;
    stalled.shrink();
    let mut socket = gateway.connect("/").await;
    socket.recv().await;
    let large = "x".repeat(12 << 20);
    socket.send(&format!("1 {large}")).await;
    socket.recv().await;
    drop(socket);
    let pause = std::time::Duration::from_millis(10);
    slow.read_slowly(large.len(), 64 << 10, pause).await;
    gateway.until_log("closed CloseCause::Idle").await;
    // It is still open, and has come to the comments behind the event.
    while event(&mut slow).await != ":\n\n" {}
    assert_eq!(gateway.metric("closes_total{cause=\"idle\"}").await, 1);
    gateway
        .until_metric("closing_handshakes_total{end=\"stalled\"}", 1)
        .await;
    drop(stalled);
}

#[tokio::test]
async fn refusals_are_those_of_an_upgrade() {
    let gateway = stream().server("connections = 1").start().await;
    let cases = [
        (request("/?no", ""), 403),
        (request("/", "origin: http://elsewhere\r\n"), 403),
        // What does not ask for events is told to upgrade.
        ("GET / HTTP/1.1\r\nhost: gateway\r\n\r\n".to_owned(), 426),
    ];
    for (request, status) in cases {
        let mut raw = gateway.raw().await;
        raw.write(request.as_bytes()).await;
        let head = raw.read_head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
    let (_stream, ..) = open(&gateway, "").await;
    let mut raw = gateway.raw().await;
    raw.write(request("/", "").as_bytes()).await;
    let head = raw.read_head().await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
}

#[tokio::test]
async fn a_route_may_have_websockets_only() {
    let gateway = stream().route("event_stream = false").start().await;
    let mut raw = gateway.raw().await;
    raw.write(request("/", "").as_bytes()).await;
    let head = raw.read_head().await;
    assert!(head.starts_with("HTTP/1.1 426 "), "{head}");
}

#[tokio::test]
async fn a_page_from_an_allowed_origin_may_read() {
    let gateway = stream().route("origins = [\"http://page\"]").start().await;
    let (_stream, head, _) = open(&gateway, "origin: http://page\r\n").await;
    let head = head.to_lowercase();
    assert!(
        head.contains("access-control-allow-origin: http://page\r\n"),
        "{head}"
    );
    assert!(
        head.contains("access-control-allow-credentials: true\r\n"),
        "{head}"
    );
}

/// What a client sends on such a connection is passed over, and a slow one meets its route's policy.
#[tokio::test]
async fn what_is_sent_is_ignored_and_what_is_not_read_is_bounded() {
    let gateway = stream().route_limits("outbox = \"64KiB\"").start().await;
    let (mut stream, ..) = open(&gateway, "").await;
    stream.write(&[b'x'; 100_000]).await;
    let mut socket = gateway.connect("/").await;
    socket.recv().await;
    socket.send("1 hello").await;
    assert_eq!(event(&mut stream).await, "id: 1\ndata: hello\n\n");
    let large = "x".repeat(60_000);
    while gateway
        .metric("closes_total{cause=\"slow-consumer\"}")
        .await
        == 0
    {
        socket.send(&format!("1 {large}")).await;
        socket.recv().await;
    }
}

/// The events that wait for a stream, until one that is published while it reads: what is published
/// while it does not may be dropped.
async fn events_until_last(stream: &mut Raw, gateway: &Gateway) -> Vec<String> {
    let mut socket = gateway.connect("/").await;
    assert_eq!(socket.recv().await, "hello none");
    let mut text = String::new();
    while !(text.contains("id: last\n") && text.ends_with("\n\n")) {
        socket.send("last end").await;
        assert_eq!(socket.recv().await, "end");
        let mut part = vec![0; 256 << 10];
        let n = tokio::time::timeout(crate::PATIENCE, stream.socket().read(&mut part)).await;
        let n = n.expect("it goes on").expect("it is there");
        assert!(n > 0, "it has ended before the last event");
        text.push_str(std::str::from_utf8(&part[..n]).expect("text"));
    }
    let events = text.split("\n\n").filter(|event| !event.is_empty());
    events.map(str::to_owned).collect()
}

/// A text in which a frame's head would be found anywhere: what begins, or announces, a length.
fn tricky(number: usize, len: usize) -> String {
    format!("{number:06}{}", "\x7f~x".repeat(len / 3))
}

#[tokio::test]
async fn streams_that_do_not_read_stop_nobody_and_find_whole_events() {
    for policy in ["close", "drop-newest", "drop-oldest"] {
        let limits = format!("outbox = \"256KiB\"\nslow_consumer = {policy:?}\nping = \"200ms\"");
        let gateway = stream()
            .server("shards = 2")
            .route_limits(&limits)
            .start()
            .await;
        let mut streams = Vec::new();
        for _ in 0..4 {
            let (stream, ..) = open(&gateway, "").await;
            stream.shrink();
            streams.push(stream);
        }
        let mut socket = gateway.connect("/").await;
        assert_eq!(socket.recv().await, "hello none");
        for number in 0..600 {
            let text = tricky(number, [30, 3000, 30_000][number % 3]);
            socket.send(&format!("{number} {text}")).await;
            assert_eq!(socket.recv().await, text, "who reads is served");
        }
        let drops = gateway
            .metric("drops_total{reason=\"slow-consumer\"}")
            .await;
        assert_eq!(drops > 0, policy == "close");
        for stream in &mut streams {
            let events = match policy {
                "close" => {
                    let rest = stream.read_to_end().await;
                    let text = String::from_utf8(rest).expect("text");
                    assert!(text.ends_with("\n\n"), "the last one is whole");
                    let events = text.split("\n\n").filter(|event| !event.is_empty());
                    events.map(str::to_owned).collect()
                }
                _ => events_until_last(stream, &gateway).await,
            };
            check(&events, policy);
        }
    }
}

/// Every event is whole and as it was published, in order; comments lie between them.
fn check(events: &[String], policy: &str) {
    let mut next = 0;
    for event in events {
        let lines: Vec<_> = event.split('\n').collect();
        match lines[..] {
            [":"] | ["id: last", "data: end"] => {}
            ["event: close", _] => assert_eq!(policy, "close"),
            [id, data] => {
                let id = id.strip_prefix("id: ").expect("an id");
                let number: usize = id.parse().expect("a number");
                assert!(number >= next, "{number} comes after {next}");
                next = number + 1;
                let text = tricky(number, [30, 3000, 30_000][number % 3]);
                assert_eq!(data, format!("data: {text}"));
            }
            _ => panic!("{policy}: torn: {event:?}"),
        }
    }
}

#[tokio::test]
async fn pings_to_a_stream_that_is_behind_do_not_end_the_clock() {
    let gateway = stream()
        .server("shards = 1")
        .route_limits("outbox = \"64MiB\"\nping = \"200ms\"\npong = \"400ms\"\nidle = \"60s\"")
        .start()
        .await;
    let (mut behind, ..) = open(&gateway, "").await;
    behind.shrink();
    let mut socket = gateway.connect("/").await;
    assert_eq!(socket.recv().await, "hello none");
    let text = tricky(0, 300_000);
    for _ in 0..20 {
        socket.send(&format!("0 {text}")).await;
        assert_eq!(socket.recv().await, text);
    }
    // The stream takes nothing and is given up; who answers no ping is closed by the same clock after it.
    for closed in 1..4 {
        let mut deaf = Raw::upgraded(gateway.address, "/").await;
        let idle = "closes_total{cause=\"idle\"}";
        gateway.until_metric_is_at_least(idle, closed + 1).await;
        deaf.read_to_end().await;
    }
    let read = behind.read_to_end().await;
    let read = String::from_utf8_lossy(&read);
    let mut events: Vec<_> = read.split("\n\n").collect();
    // The last one may be cut by the end.
    events.pop();
    assert!(!events.is_empty());
    let whole = format!("id: 0\ndata: {text}");
    assert!(
        events
            .iter()
            .all(|event| event.starts_with(':') || *event == whole)
    );
}
