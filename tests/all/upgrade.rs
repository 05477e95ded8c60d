//! From the request to the 101 or a refusal.

use tokio_tungstenite::tungstenite::{Error, Message, http};

use crate::client::{Client, Raw, Response, frame, http as get, upgrade_request};
use crate::gateway::Gateway;

mod addresses;
mod bounds;
mod left;
mod malformed;
mod pages;

/// The refusal of an upgrade: status, header fields and body.
async fn refused(
    gateway: &Gateway,
    path: &str,
    headers: &[(&'static str, &str)],
) -> http::Response<Option<Vec<u8>>> {
    match Client::try_connect(gateway.address, path, headers).await {
        Err(Error::Http(response)) => *response,
        Err(error) => panic!("expected a refusal, got {error}"),
        Ok(_) => panic!("expected a refusal, was granted"),
    }
}

/// The answer to bytes, after which the socket must be closed by the gateway or by its request.
async fn answer(gateway: &Gateway, request: &str) -> Response {
    let mut raw = gateway.raw().await;
    raw.write(request.as_bytes()).await;
    let head = raw.read_head().await;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Response {
        status: status.unwrap_or_else(|| panic!("no status in {head:?}")),
        head: head.to_ascii_lowercase(),
        body: String::new(),
    }
}

#[tokio::test]
async fn an_accept_brings_subprotocol_header_and_state() {
    let gateway = Gateway::with("upgrade").start().await;
    let path = "/?subprotocol=b&header=value&state=from-the-upgrade";
    let offered = [("Sec-WebSocket-Protocol", "a, b")];
    let mut client = Client::try_connect(gateway.address, path, &offered)
        .await
        .unwrap();
    let headers = client.response.headers();
    assert_eq!(client.response.status(), 101);
    assert_eq!(headers["sec-websocket-protocol"], "b");
    assert_eq!(headers["x-upgrade"], "value");
    assert_eq!(client.ask("state?").await, "from-the-upgrade");
}

#[tokio::test]
async fn an_accept_without_a_subprotocol_takes_the_first_offered() {
    let gateway = Gateway::with("upgrade").start().await;
    let mut raw = gateway.raw().await;
    // A browser fails a connection that answers none of those it offered.
    let offered =
        upgrade_request("/").replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: a, b\r\n\r\n");
    raw.write(offered.as_bytes()).await;
    let head = raw.read_head().await.to_ascii_lowercase();
    assert!(
        head.starts_with("http/1.1 101 switching protocols\r\n"),
        "{head}"
    );
    // The example of RFC 6455 section 1.3.
    let accept = raw_field(&upgrade_head(&gateway).await, "sec-websocket-accept");
    assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(raw_field(&head, "upgrade"), "websocket");
    assert_eq!(raw_field(&head, "connection"), "upgrade");
    assert_eq!(raw_field(&head, "sec-websocket-protocol"), "a");
    for absent in ["content-length", "transfer-encoding"] {
        assert!(!head.contains(absent), "{head}");
    }
    let head = upgrade_head(&gateway).await.to_ascii_lowercase();
    assert!(!head.contains("sec-websocket-protocol"), "{head}");
}

async fn upgrade_head(gateway: &Gateway) -> String {
    let mut raw = gateway.raw().await;
    raw.write(upgrade_request("/").as_bytes()).await;
    raw.read_head().await
}

/// The value of a header field, whose name is in any case.
fn raw_field(head: &str, name: &str) -> String {
    let field = head.lines().find_map(|line| {
        let (field, value) = line.split_once(": ")?;
        field.eq_ignore_ascii_case(name).then(|| value.to_owned())
    });
    field.unwrap_or_else(|| panic!("no {name} in {head}"))
}

#[tokio::test]
async fn a_reject_is_the_response_the_client_gets_instead_of_the_101() {
    let gateway = Gateway::with("upgrade").start().await;
    let response = refused(&gateway, "/?reject=403", &[]).await;
    assert_eq!(response.status(), 403);
    assert_eq!(response.headers()["x-reason"], "asked");
    assert_eq!(response.body().as_deref(), Some(&b"refused as asked"[..]));
    assert_eq!(
        gateway.metric("refusals_total{reason=\"handler\"}").await,
        1
    );
    assert_eq!(gateway.metric("events_total{event=\"open\"}").await, 0);
    assert_eq!(gateway.metric("events_total{event=\"close\"}").await, 0);
}

#[tokio::test]
async fn what_a_rejecting_handler_published_does_not_take_effect() {
    let gateway = Gateway::with("upgrade").start().await;
    let mut watcher = gateway.connect("/watcher?watch").await;
    assert_eq!(watcher.ask("subscribed?").await, "");
    refused(&gateway, "/rejected?reject=401", &[]).await;
    gateway.connect("/accepted").await;
    assert_eq!(watcher.recv().await, "/accepted");
}

#[tokio::test]
async fn a_reject_with_a_status_that_is_none_is_500() {
    let gateway = Gateway::with("upgrade").start().await;
    for status in ["0", "101", "199", "600", "65535"] {
        let response = refused(&gateway, &format!("/?reject={status}"), &[]).await;
        assert_eq!(response.status(), 500, "{status}");
    }
    gateway.until_log("which is not one of 200 to 599").await;
    let answered = refused(&gateway, "/?reject=599", &[]).await;
    assert_eq!(answered.status(), 599);
}

#[tokio::test]
async fn header_fields_of_the_handshake_are_not_the_handlers_to_set() {
    let gateway = Gateway::with("upgrade").start().await;
    for name in [
        "connection",
        "Upgrade",
        "content-length",
        "transfer-encoding",
        "sec-websocket-accept",
        "Sec-WebSocket-Extensions",
    ] {
        let response = refused(&gateway, &format!("/?set={name}"), &[]).await;
        assert_eq!(response.status(), 500, "{name}");
        gateway.until_log(&name.to_ascii_lowercase()).await;
    }
    gateway.until_log("which is the gateway's").await;
    // Neither are those that no header can hold; nothing may be smuggled in.
    for (path, words) in [
        ("/?set=a%20b", "invalid header field \"a b\""),
        ("/?set=", "invalid header field \"\""),
        (
            "/?header=a%0d%0aset-cookie:%20b",
            "invalid header field \"x-upgrade\"",
        ),
    ] {
        assert_eq!(refused(&gateway, path, &[]).await.status(), 500, "{path}");
        gateway.until_log(words).await;
    }
}

#[tokio::test]
async fn a_subprotocol_that_was_not_offered_is_500() {
    let gateway = Gateway::with("upgrade").start().await;
    let offered = [("Sec-WebSocket-Protocol", "a")];
    let response = refused(&gateway, "/?subprotocol=b", &offered).await;
    assert_eq!(response.status(), 500);
    gateway.until_log("\"b\", which was not offered").await;
}

#[tokio::test]
async fn a_trap_before_the_101_is_500_and_touches_no_one_else() {
    let gateway = Gateway::with("upgrade").start().await;
    let mut other = gateway.connect("/?state=kept").await;
    let response = refused(&gateway, "/?trap", &[]).await;
    assert_eq!(response.status(), 500);
    let body = String::from_utf8(response.body().clone().unwrap()).unwrap();
    assert_eq!(body, "the handler failed\n", "no word of the guest's");
    assert_eq!(other.ask("state?").await, "kept");
    gateway.connect("/").await;
    assert_eq!(gateway.metric("failures_total{kind=\"trap\"}").await, 1);
}

#[tokio::test]
async fn a_loop_before_the_101_is_500_after_the_deadline() {
    let gateway = Gateway::with("upgrade").start().await;
    assert_eq!(refused(&gateway, "/?spin", &[]).await.status(), 500);
    assert_eq!(gateway.metric("failures_total{kind=\"deadline\"}").await, 1);
    gateway.connect("/").await;
}

#[tokio::test]
async fn the_handler_sees_the_request_as_it_was_sent() {
    let gateway = Gateway::with("request")
        .path("/a/{first}/{*rest}")
        .start()
        .await;
    let mut raw = gateway.raw().await;
    let request = upgrade_request("/a/J%C3%BCrgen%2fK/b/c%20d/?x=1&y=%20&y=+").replace(
        "\r\n\r\n",
        "\r\nX-TWICE: one\r\nx-Twice: two\r\nX-Bytes: \u{e9}\r\nX-Empty:\r\n\
         Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Protocol: ,c\r\n\r\n",
    );
    raw.write(request.as_bytes()).await;
    raw.read_head().await;
    let head = raw.read(4).await;
    assert_eq!(head[..2], [0x81, 126]);
    let text = raw
        .read(usize::from(u16::from_be_bytes([head[2], head[3]])))
        .await;
    let text = String::from_utf8(text).unwrap();
    let of = |kind: &str| -> Vec<&str> {
        text.lines()
            .filter_map(|line| line.strip_prefix(kind))
            .collect()
    };
    assert_eq!(of("path "), ["/a/J%C3%BCrgen%2fK/b/c%20d/"]);
    assert_eq!(of("query "), ["x=1&y=%20&y=+"]);
    assert_eq!(of("param "), ["first=Jürgen/K", "rest=b/c d/"]);
    assert_eq!(of("subprotocol "), ["a", "b", "c"]);
    assert_eq!(of("header x-twice: "), ["one", "two"]);
    assert_eq!(of("header x-bytes: "), ["é"]);
    assert_eq!(of("header x-empty: "), [""]);
    assert_eq!(of("header host: "), ["localhost"]);
    let peer = raw.socket().local_addr().unwrap().to_string();
    assert_eq!(of("peer "), [peer]);
}

#[tokio::test]
async fn a_param_that_is_no_utf8_is_400() {
    let gateway = Gateway::with("request").path("/a/{name}").start().await;
    let response = answer(&gateway, &upgrade_request("/a/%ff")).await;
    assert_eq!(response.status, 400);
}

#[tokio::test]
async fn a_path_without_a_route_is_404() {
    let gateway = Gateway::with("echo").path("/rooms/{room}").start().await;
    for path in [
        "/",
        "/rooms",
        "/rooms/",
        "/rooms/a/b",
        "/Rooms/a",
        "//rooms/a",
    ] {
        let response = refused(&gateway, path, &[]).await;
        assert_eq!(response.status(), 404, "{path}");
    }
    assert_eq!(gateway.metric("refusals_total{reason=\"route\"}").await, 6);
    gateway.connect("/rooms/a?b=/c").await;
}

#[tokio::test]
async fn a_frame_in_the_segment_of_the_request_is_handled() {
    let gateway = Gateway::with("echo").start().await;
    let mut raw = gateway.raw().await;
    let mut bytes = upgrade_request("/").into_bytes();
    let whole = frame(0x81, b"early");
    let (late, rest) = whole.split_at(4);
    bytes.extend(frame(0x81, b"first"));
    bytes.extend(late);
    raw.write(&bytes).await;
    assert!(raw.read_head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(raw.read(7).await, b"\x81\x05first");
    raw.write(rest).await;
    assert_eq!(raw.read(7).await, b"\x81\x05early");
}

/// Opens a socket that stays in its handshake.
async fn half_a_request(gateway: &Gateway) -> Raw {
    let mut raw = gateway.raw().await;
    raw.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: web")
        .await;
    raw
}

#[tokio::test]
async fn a_state_over_its_limit_fails_the_upgrade() {
    let gateway = Gateway::with("upgrade")
        .route_limits("state = \"4B\"")
        .start()
        .await;
    let mut client = gateway.connect("/?state=four").await;
    assert_eq!(client.ask("state?").await, "four");
    assert_eq!(refused(&gateway, "/?state=fiver", &[]).await.status(), 500);
    gateway
        .until_log("a state of 5 bytes, over `limits.state` of the route (4)")
        .await;
}
