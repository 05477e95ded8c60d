//! Requests that end otherwise than expected: failures, waits, clients that leave, reloads, a drain.

use tokio::io::AsyncWriteExt as _;

use super::*;

#[tokio::test]
async fn what_fails_is_a_500_and_nothing_of_it_is_published() {
    let gateway = gateway().start().await;
    let mut listener = gateway.connect("/").await;
    assert_eq!(listener.ask("ready?").await, "ready?");
    let mut socket = gateway.raw().await;
    for (path, kind) in [
        ("/err?name=tea", "error"),
        ("/trap", "trap"),
        ("/spin", "deadline"),
    ] {
        let (status, _, body) = exchange(&mut socket, "POST", path, "").await;
        assert_eq!(
            (status, body.as_str()),
            (500, "the handler failed\n"),
            "{path}"
        );
        let failures = format!("failures_total{{kind=\"{kind}\"}}");
        assert_eq!(gateway.metric(&failures).await, 1, "{path}");
    }
    gateway
        .until_log("handler error: nobody is called tea")
        .await;
    // The socket goes on, and so does the plugin.
    assert_eq!(
        exchange(&mut socket, "POST", "/publish/posts", "found")
            .await
            .0,
        202
    );
    assert_eq!(listener.recv().await, "found");
}

#[tokio::test]
async fn an_answer_that_is_none_is_a_500() {
    let gateway = gateway().limits("effects = \"1MiB\"").start().await;
    for (path, why) in [
        ("/status/199", "not one of 200 to 599"),
        ("/status/1000", "1000 is no status"),
        ("/large/1048577", "raise `limits.effects`"),
        ("/large/many", "invalid digit"),
    ] {
        assert_eq!(get(&gateway, path).await.status, 500, "{path}");
        gateway.until_log(why).await;
    }
    assert_eq!(get(&gateway, "/large/1048576").await.body.len(), 1 << 20);
    assert_eq!(gateway.metric("failures_total{kind=\"error\"}").await, 4);
}

#[tokio::test]
async fn an_event_that_waits_too_long_is_a_500() {
    let gateway = gateway().limits("wait = \"200ms\"").start().await;
    let response = get(&gateway, "/sleep/60000").await;
    assert_eq!(response.status, 500);
    assert_eq!(gateway.metric("failures_total{kind=\"wait\"}").await, 1);
}

#[tokio::test]
async fn while_one_request_waits_others_are_answered() {
    let gateway = gateway().limits("wait = \"1h\"").start().await;
    let mut waits = gateway.raw().await;
    waits
        .write(b"GET /sleep/3600000 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    gateway
        .until_metric("events_total{event=\"request\"}", 1)
        .await;
    assert_eq!(get(&gateway, "/hello").await.body, "hello\n");
}

#[tokio::test]
async fn a_request_goes_on_when_its_client_has_gone() {
    let gateway = gateway().start().await;
    let mut listener = gateway.connect("/").await;
    assert_eq!(listener.ask("ready?").await, "ready?");
    let mut socket = gateway.raw().await;
    socket
        .write(b"POST /sleep/300 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n")
        .await;
    gateway
        .until_metric("events_total{event=\"request\"}", 1)
        .await;
    socket.reset();
    assert_eq!(listener.recv().await, "slept");
    assert_eq!(gateway.metric("failures_total{kind=\"deadline\"}").await, 0);
    assert_eq!(listener.ask("still there?").await, "still there?");
}

#[tokio::test]
async fn a_reload_answers_every_request_once() {
    let gateway = gateway().limits("wait = \"1h\"").start().await;
    let mut listener = gateway.connect("/").await;
    assert_eq!(listener.ask("ready?").await, "ready?");
    // One is under way when the next generation takes over, and ends on its own.
    let mut sleeper = gateway.raw().await;
    sleeper
        .write(b"GET /sleep/500 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    let mut socket = gateway.raw().await;
    for number in 0..300 {
        if number % 100 == 50 {
            gateway.put(&guests::variant("http", number as u8));
            assert_eq!(gateway.reload().await.status, 200);
        }
        let number = number.to_string();
        let (status, ..) = exchange(&mut socket, "POST", "/publish/posts", &number).await;
        assert_eq!(status, 202);
        let mut heard = listener.recv().await;
        if heard == "slept" {
            heard = listener.recv().await;
        }
        assert_eq!(heard, number);
    }
    assert_eq!(read(&mut sleeper).await.2, "slept\n");
    let generation = exchange(&mut socket, "GET", "/generation", "").await.2;
    assert_eq!(generation, "4");
    assert_eq!(gateway.metric("events_total{event=\"request\"}").await, 302);
}

#[tokio::test]
async fn a_reload_may_bring_and_take_the_answers() {
    let gateway = gateway().start().await;
    assert_eq!(get(&gateway, "/hello").await.status, 200);
    gateway.put(&guests::bytes("echo"));
    assert_eq!(gateway.reload().await.status, 200);
    assert_eq!(get(&gateway, "/hello").await.status, 426);
    assert_eq!(gateway.rollback().await.status, 200);
    assert_eq!(get(&gateway, "/hello").await.status, 200);
}

#[tokio::test]
async fn a_drain_answers_what_was_asked() {
    let mut gateway = gateway().limits("wait = \"1h\"").start().await;
    let (mut idle, mut waits) = (gateway.raw().await, gateway.raw().await);
    assert_eq!(exchange(&mut idle, "GET", "/hello", "").await.0, 200);
    waits
        .write(b"GET /sleep/500 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    gateway
        .until_metric("events_total{event=\"request\"}", 2)
        .await;
    gateway.signal("-TERM");
    assert_eq!(idle.read_to_end().await, b"");
    let (status, head, body) = read(&mut waits).await;
    assert_eq!((status, body.as_str()), (200, "slept\n"));
    assert!(head.contains("connection: close"), "{head}");
    assert!(gateway.wait().await.success());
}

#[tokio::test]
async fn a_client_that_ends_its_side_gets_its_answer() {
    let gateway = gateway().start().await;
    let mut listener = gateway.connect("/").await;
    assert_eq!(listener.ask("ready?").await, "ready?");
    for (request, status) in [
        ("GET /hello HTTP/1.1\r\nhost: localhost\r\n\r\n", "200"),
        ("GET /sleep/300 HTTP/1.1\r\nhost: localhost\r\n\r\n", "200"),
        (
            "POST /publish/posts HTTP/1.1\r\nhost: localhost\r\ncontent-length: 4\r\n\r\nnews",
            "202",
        ),
    ] {
        let mut socket = gateway.raw().await;
        socket.write(request.as_bytes()).await;
        socket.socket().shutdown().await.unwrap();
        let answer = String::from_utf8(socket.read_to_end().await).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {answer:?}"
        );
    }
    assert_eq!(listener.recv().await, "slept");
    assert_eq!(listener.recv().await, "news");
    let asked = http(gateway.admin, "GET", "/healthz", &[]).await;
    assert_eq!(asked.status, 200);
}
