//! Publishing from outside: `POST /publish` of the admin API, and `tidegate publish`.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use crate::client::{Client, Raw, Response, http};
use crate::gateway::Gateway;

/// A gateway with two shards, and two connections on each that are subscribed to `news`.
async fn with_subscribers() -> (Gateway, Vec<Client>) {
    let setup = Gateway::with("directory").server("shards = 2");
    let gateway = setup.start().await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = gateway.connect("/").await;
        assert_eq!(client.ask("subscribe news").await, "ok");
        clients.push(client);
    }
    (gateway, clients)
}

async fn post(gateway: &Gateway, path: &str, body: &[u8]) -> Response {
    let mut raw = Raw::connect(gateway.admin).await;
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    raw.write(&[head.as_bytes(), body].concat()).await;
    answer(raw).await
}

async fn answer(mut raw: Raw) -> Response {
    let text = String::from_utf8(raw.read_to_end().await).expect("a response is text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a response has a head");
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    Response {
        status: status.expect("a response has a status"),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

fn error(answer: &Response) -> String {
    let error = answer.json()["error"].as_str().map(str::to_owned);
    error.expect("words")
}

#[tokio::test]
async fn a_publish_reaches_the_subscribers_on_all_shards() {
    let (gateway, mut clients) = with_subscribers().await;
    let answer = post(&gateway, "/publish?topic=news", "grüße".as_bytes()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        serde_json::json!({ "plugin": "directory", "topic": "news", "subscribers": 4 })
    );
    for client in &mut clients {
        assert_eq!(client.recv().await, "grüße");
    }
    let answer = post(&gateway, "/publish?topic=news&binary", b"\xff\x00").await;
    assert_eq!(answer.json()["subscribers"], 4);
    for client in &mut clients {
        assert_eq!(client.recv_binary().await, b"\xff\x00");
    }
    // One that nobody hears, of a topic with all that has to be encoded, and an empty message.
    let answer = post(&gateway, "/publish?topic=a%26b+%2B%2f%C3%A9", b"x").await;
    assert_eq!(
        answer.json(),
        serde_json::json!({ "plugin": "directory", "topic": "a&b +/é", "subscribers": 0 })
    );
    post(&gateway, "/publish?topic=news&binary=false", b"").await;
    for client in &mut clients {
        assert_eq!(client.recv().await, "");
        client.silent().await;
    }
    let taken = "admin_publishes_total{result=\"taken\"}";
    assert_eq!(gateway.metric(taken).await, 4);
    assert_eq!(gateway.metric("deliveries_total").await, 4 + 3 * 4);
}

#[tokio::test]
async fn a_wrong_publish_is_refused_with_words() {
    let (gateway, mut clients) = with_subscribers().await;
    let long = format!("/publish?topic={}", "x".repeat(256));
    for path in ["/publish", "/publish?topic", "/publish?topic=", &long] {
        let answer = post(&gateway, path, b"x").await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(error(&answer).contains("`topic` is 1 to 255 bytes"));
    }
    let fits = format!("/publish?topic={}", "x".repeat(255));
    assert_eq!(post(&gateway, &fits, b"x").await.status, 200);
    let answer = post(&gateway, "/publish?topic=news&binary=maybe", b"x").await;
    assert_eq!(answer.status, 400);
    let answer = post(&gateway, "/publish?topic=news", b"\xff").await;
    assert_eq!(answer.status, 400);
    assert!(error(&answer).contains("no UTF-8"), "{answer:?}");
    for client in &mut clients {
        client.silent().await;
    }
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused() {
    let setup = Gateway::with("directory").environment("TIDEGATE_ADMIN__MESSAGE", "1KiB");
    let gateway = setup.start().await;
    let mut client = gateway.connect("/").await;
    assert_eq!(client.ask("subscribe news").await, "ok");
    let refused = post(&gateway, "/publish?topic=news", &[b'x'; 1025]).await;
    assert_eq!(refused.status, 413);
    assert!(error(&refused).contains("over 1024 bytes: raise `message` in [admin]"));

    // One that does not say how long it is.
    let mut raw = Raw::connect(gateway.admin).await;
    raw.write(b"POST /publish?topic=news HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n")
        .await;
    raw.write(b"Transfer-Encoding: chunked\r\n\r\n").await;
    for _ in 0..3 {
        let chunk = [b"200\r\n", &[b'x'; 512][..], b"\r\n"].concat();
        // The gateway may have refused it by the third.
        let _ = raw.try_write(&chunk).await;
    }
    assert_eq!(answer(raw).await.status, 413);
    client.silent().await;

    post(&gateway, "/publish?topic=news", &[b'x'; 1024]).await;
    assert_eq!(client.recv().await.len(), 1024);
}

#[tokio::test]
async fn a_message_that_stops_half_way_is_not_published() {
    let (gateway, mut clients) = with_subscribers().await;
    let mut raw = Raw::connect(gateway.admin).await;
    raw.write(
        b"POST /publish?topic=news HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf",
    )
    .await;
    raw.reset();
    // The next one is.
    post(&gateway, "/publish?topic=news", b"whole").await;
    for client in &mut clients {
        assert_eq!(client.recv().await, "whole");
    }
}

/// Runs `tidegate publish` against that address.
fn publish(
    address: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
    input: &[u8],
) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidegate"))
        .args(["publish", "--admin", address])
        .args(arguments)
        .env_remove("TIDEGATE_ADMIN__TOKEN")
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the gateway can be run");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input).expect("it reads");
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

/// What it said on stdout, after it has done its work.
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What it said on stderr, after it has not.
fn complained(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn the_command_publishes_arguments_and_input() {
    let (gateway, mut clients) = with_subscribers().await;
    let admin = gateway.admin.to_string();
    let output = publish(&admin, &["news", "hello there"], &[], b"");
    assert_eq!(said(&output), "published to 4 of \"news\"\n");
    let output = publish(&admin, &["news", "-"], &[], b"two\nlines\n");
    assert_eq!(said(&output), "published to 4 of \"news\"\n");
    said(&publish(&admin, &["--binary", "news", "-"], &[], b"\xff"));
    let output = publish(&admin, &["a&b=c #?", "x"], &[], b"");
    assert_eq!(said(&output), "published to 0 of \"a&b=c #?\"\n");
    for client in &mut clients {
        assert_eq!(client.recv().await, "hello there");
        assert_eq!(client.recv().await, "two\nlines\n");
        assert_eq!(client.recv_binary().await, b"\xff");
    }
    let refused = complained(&publish(&admin, &["news", "-"], &[], b"\xff"));
    assert!(
        refused.contains("refused it with 400 Bad Request: the body is no UTF-8"),
        "{refused}"
    );
}

#[tokio::test]
async fn the_command_gives_the_token() {
    let setup = Gateway::with("directory").environment("TIDEGATE_ADMIN__TOKEN", "s3cret");
    let gateway = setup.start().await;
    let admin = gateway.admin.to_string();
    let unauthorized = http(gateway.admin, "POST", "/publish?topic=news", &[]).await;
    assert_eq!(unauthorized.status, 401);
    for arguments in [&["news", "x"][..], &["news", "x", "--token", "other"]] {
        let words = complained(&publish(&admin, arguments, &[], b""));
        assert!(
            words.contains("give it with --token or TIDEGATE_ADMIN__TOKEN"),
            "{words}"
        );
    }
    said(&publish(
        &admin,
        &["news", "x", "--token", "s3cret"],
        &[],
        b"",
    ));
    said(&publish(
        &admin,
        &["news", "x"],
        &[("TIDEGATE_ADMIN__TOKEN", "s3cret")],
        b"",
    ));
}

#[tokio::test]
async fn the_command_says_why_it_cannot() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let words = complained(&publish(&port.to_string(), &["news", "x"], &[], b""));
    let expected =
        format!("failed to connect to {port}: name the gateway's admin address with --admin");
    assert!(words.contains(&expected), "{words}");
    assert!(words.contains("refused"), "{words}");

    // The public listener is no admin API.
    let gateway = Gateway::with("echo").start().await;
    let address = gateway.address.to_string();
    let words = complained(&publish(&address, &["news", "x"], &[], b""));
    assert!(
        words.contains("not as an admin API does: check --admin"),
        "{words}"
    );
    let words = complained(&publish("no port", &["news", "x"], &[], b""));
    assert!(words.contains("failed to connect to no port"), "{words}");
}
