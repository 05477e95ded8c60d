//! What pages of other origins may ask and read (CORS).

use super::*;

const PAGE: &str = "https://app.example";

/// The value of a field in the head of an answer.
fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut lines = head.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

async fn ask(gateway: &Gateway, method: &str, path: &str, fields: &[(&str, &str)]) -> Response {
    let fields = [&[("origin", PAGE)], fields].concat();
    http(gateway.address, method, path, &fields).await
}

#[tokio::test]
async fn a_listed_page_may_post_json_and_read_the_answer() {
    let gateway = gateway()
        .route("origins = [\"https://app.example\"]")
        .start()
        .await;
    let asked = [
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,content-type",
        ),
    ];
    let leave = ask(&gateway, "OPTIONS", "/publish/posts", &asked).await;
    assert_eq!(leave.status, 204, "{}", leave.head);
    for (name, value) in [
        ("access-control-allow-origin", PAGE),
        ("access-control-allow-methods", "POST"),
        ("access-control-allow-headers", "authorization,content-type"),
        ("access-control-allow-credentials", "true"),
        ("access-control-max-age", "600"),
    ] {
        assert_eq!(field(&leave.head, name), Some(value), "{}", leave.head);
    }
    // The plugin was not asked; its answers, and refusals, are marked.
    assert_eq!(gateway.metric("events_total{event=\"request\"}").await, 0);
    for (method, path, status) in [
        ("GET", "/hello", 200),
        ("POST", "/publish/posts", 202),
        ("POST", "/trap", 500),
    ] {
        let answer = ask(&gateway, method, path, &[]).await;
        assert_eq!(answer.status, status, "{path}");
        let allowed = field(&answer.head, "access-control-allow-origin");
        assert_eq!(allowed, Some(PAGE), "{path}");
        assert_eq!(field(&answer.head, "vary"), Some("origin"), "{path}");
    }
    // Without a preflight's fields it is a request like any other.
    assert_eq!(ask(&gateway, "OPTIONS", "/echo", &[]).await.status, 200);
}

#[tokio::test]
async fn a_page_that_is_not_listed_gets_no_leave_and_no_mark() {
    let gateway = gateway().start().await;
    let asked = [("access-control-request-method", "POST")];
    let leave = ask(&gateway, "OPTIONS", "/hello", &asked).await;
    assert_eq!(leave.status, 403);
    let read = ask(&gateway, "GET", "/hello", &[]).await;
    assert_eq!(read.status, 200);
    for head in [leave.head, read.head] {
        assert_eq!(field(&head, "access-control-allow-origin"), None, "{head}");
    }
    let own = get(&gateway, "/hello").await;
    assert_eq!(field(&own.head, "vary"), None, "{}", own.head);
}

#[tokio::test]
async fn where_any_page_may_ask_none_sends_cookies() {
    let gateway = gateway().route("origins = \"any\"").start().await;
    let answer = ask(&gateway, "POST", "/hello", &[]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        field(&answer.head, "access-control-allow-origin"),
        Some(PAGE)
    );
    assert_eq!(
        field(&answer.head, "access-control-allow-credentials"),
        None
    );
}

#[tokio::test]
async fn a_page_can_read_why_its_stream_was_refused() {
    let gateway = Gateway::with("upgrade")
        .route("origins = [\"https://app.example\"]")
        .start()
        .await;
    let stream = [("accept", "text/event-stream")];
    for (path, status) in [("/?reject=401", 401), ("/?trap", 500)] {
        let answer = ask(&gateway, "GET", path, &stream).await;
        assert_eq!(answer.status, status, "{path}");
        let allowed = field(&answer.head, "access-control-allow-origin");
        assert_eq!(allowed, Some(PAGE), "{path}");
    }
    let asked = [
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "authorization"),
    ];
    let leave = ask(&gateway, "OPTIONS", "/", &asked).await;
    assert_eq!(leave.status, 204);
    let fields = field(&leave.head, "access-control-allow-headers");
    assert_eq!(fields, Some("authorization"));
}
