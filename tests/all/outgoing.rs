//! Outgoing HTTP: plugins that ask other servers, which here are the test itself.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::PATIENCE;
use crate::client::{Client, Raw};
use crate::gateway::{Gateway, Setup};

/// A server that a test plays by hand.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// One that listens.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    /// Where that path is.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next connection.
    pub async fn accept(&self) -> Raw {
        let accepted = tokio::time::timeout(PATIENCE, self.listener.accept()).await;
        accepted.expect("a request comes").unwrap().0.into()
    }

    /// The next connection, once the head of its request is there.
    pub async fn request(&self) -> (Raw, String) {
        let mut socket = self.accept().await;
        let head = socket.read_head().await;
        (socket, head)
    }

    /// A gateway whose plugin may ask this server.
    fn granted(&self) -> Setup {
        granted(&format!("http://{}", self.address))
    }
}

fn granted(origin: &str) -> Setup {
    Gateway::with("fetch").plugin(&format!("grants.http = [{origin:?}]"))
}

async fn ask(client: &mut Client, order: Value) -> Value {
    client.send(&order.to_string()).await;
    client.recv_json().await
}

fn result(name: &str) -> String {
    format!("outgoing_requests_total{{result=\"{name}\"}}")
}

#[tokio::test]
async fn a_granted_server_is_asked_and_its_answer_comes_back() {
    let server = Server::start().await;
    let gateway = server.granted().start().await;
    let mut client = gateway.connect("/").await;
    let order = json!({ "url": server.url("/users?id=1#top"), "headers": [["x-name", "tea"]] });
    client.send(&order.to_string()).await;
    let (mut socket, head) = server.request().await;
    assert!(head.starts_with("GET /users?id=1 HTTP/1.1\r\n"), "{head}");
    assert!(
        head.contains(&format!("host: {}\r\n", server.address)),
        "{head}"
    );
    assert!(head.contains("x-name: tea\r\n"), "{head}");
    socket
        .write(b"HTTP/1.1 404 Not Found\r\nx-answer: yes\r\ncontent-length: 7\r\n\r\nnobody\n")
        .await;
    let answer = client.recv_json().await;
    assert_eq!(answer["status"], 404);
    assert_eq!(answer["body"], "nobody\n");
    assert_eq!(answer["headers"][0], json!(["x-answer", "yes"]));
    assert_eq!(gateway.metric(&result("ok")).await, 1);
}

#[tokio::test]
async fn a_body_is_sent_with_its_length() {
    let server = Server::start().await;
    let gateway = server.granted().start().await;
    let mut client = gateway.connect("/").await;
    let order = json!({ "method": "POST", "url": server.url("/"), "zeros": 1 << 20 });
    client.send(&order.to_string()).await;
    let (mut socket, head) = server.request().await;
    assert!(head.starts_with("POST / HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("content-length: 1048576\r\n"), "{head}");
    assert!(socket.read(1 << 20).await.iter().all(|&byte| byte == b'0'));
    socket
        .write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
        .await;
    assert_eq!(client.recv_json().await["body"], "onetwo");
}

#[tokio::test]
async fn a_redirect_is_the_plugins_to_follow() {
    let server = Server::start().await;
    let gateway = server.granted().start().await;
    let mut client = gateway.connect("/").await;
    let order = json!({ "url": server.url("/") });
    client.send(&order.to_string()).await;
    let (mut socket, _) = server.request().await;
    let head = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    socket.write(head.as_bytes()).await;
    assert_eq!(client.recv_json().await["status"], 302);
}

#[tokio::test]
async fn what_is_not_granted_is_denied_and_the_log_says_what_to_grant() {
    let server = Server::start().await;
    let gateway = Gateway::with("fetch").start().await;
    let mut client = gateway.connect("/").await;
    let answer = ask(&mut client, json!({ "url": server.url("/") })).await;
    assert_eq!(answer["error"], "NotGranted");
    let origin = format!("http://{}", server.address);
    let words = format!("{origin} is not granted: add \"{origin}\" to `grants.http`");
    gateway.until_log(&words).await;
    assert_eq!(gateway.metric(&result("denied")).await, 1);
}

#[tokio::test]
async fn a_grant_is_for_one_scheme_host_and_port() {
    let (server, other) = (Server::start().await, Server::start().await);
    let gateway = server.granted().start().await;
    let mut client = gateway.connect("/").await;
    let port = server.address.port();
    for url in [
        other.url("/"),
        format!("https://{}/", server.address),
        format!("http://localhost:{port}/"),
        "http://127.0.0.1/".to_owned(),
    ] {
        let answer = ask(&mut client, json!({ "url": url })).await;
        assert_eq!(answer["error"], "NotGranted", "{url}");
    }
    // One that names a user could be read as either host.
    let url = format!(
        "http://{}@127.0.0.1:{}/",
        server.address,
        other.address.port()
    );
    let answer = ask(&mut client, json!({ "url": url })).await;
    assert!(
        answer["error"].as_str().unwrap().starts_with("InvalidUrl"),
        "{answer}"
    );
    let connect = json!({ "method": "CONNECT", "url": server.url("/") });
    let answer = ask(&mut client, connect).await;
    assert!(
        answer["error"]
            .as_str()
            .unwrap()
            .starts_with("InvalidMethod"),
        "{answer}"
    );
    assert_eq!(gateway.metric(&result("ok")).await, 0);
}

#[tokio::test]
async fn while_a_server_hangs_other_connections_are_served() {
    let server = Server::start().await;
    let gateway = server
        .granted()
        .server("shards = 1")
        .limits("http_first_byte = \"500ms\"")
        .start()
        .await;
    let (mut asks, mut talks) = (gateway.connect("/").await, gateway.connect("/").await);
    // Asking for more than the limit gives no more.
    let order = json!({ "url": server.url("/"), "timeout_ms": 3_600_000 });
    asks.send(&order.to_string()).await;
    let (_socket, _) = server.request().await;
    for _ in 0..3 {
        assert_eq!(talks.ask("hello").await, "hello");
    }
    assert_eq!(asks.recv_json().await["error"], "Timeout");
    assert_eq!(gateway.metric(&result("timeout")).await, 1);
    assert_eq!(asks.ask("hello").await, "hello");
}

#[tokio::test]
async fn a_plugin_may_wait_for_less_than_the_limit() {
    let server = Server::start().await;
    // Past the event's limit there would be no answer at all.
    let gateway = server
        .granted()
        .limits("http_first_byte = \"1h\"\nhttp_timeout = \"1h\"\nwait = \"1h\"")
        .start()
        .await;
    let mut client = gateway.connect("/").await;
    let order = json!({ "url": server.url("/"), "timeout_ms": 100 });
    client.send(&order.to_string()).await;
    let (_socket, _) = server.request().await;
    assert_eq!(client.recv_json().await["error"], "Timeout");
}

#[tokio::test]
async fn a_response_that_never_ends_is_given_up() {
    let server = Server::start().await;
    let gateway = server
        .granted()
        .limits("http_timeout = \"500ms\"")
        .start()
        .await;
    let mut client = gateway.connect("/").await;
    client
        .send(&json!({ "url": server.url("/") }).to_string())
        .await;
    let (mut socket, _) = server.request().await;
    socket
        .write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
        .await;
    assert_eq!(client.recv_json().await["error"], "Timeout");
    assert_eq!(gateway.metric(&result("timeout")).await, 1);
    // Nothing is left of it.
    assert_eq!(socket.read_to_end().await, b"");
}

#[tokio::test]
async fn a_server_that_closes_early_is_an_error() {
    let server = Server::start().await;
    let gateway = server.granted().start().await;
    let mut client = gateway.connect("/").await;
    for begun in [
        "",
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
    ] {
        client
            .send(&json!({ "url": server.url("/") }).to_string())
            .await;
        let (mut socket, _) = server.request().await;
        socket.write(begun.as_bytes()).await;
        drop(socket);
        let answer = client.recv_json().await;
        let words = answer["words"].as_str().unwrap_or_default();
        assert!(
            words.contains("before its response was whole"),
            "{begun:?}: {answer}"
        );
    }
    assert_eq!(gateway.metric(&result("failed")).await, 3);
}

#[tokio::test]
async fn what_is_no_http_is_an_error() {
    let server = Server::start().await;
    let setup = format!("http://{0}\", \"https://{0}", server.address);
    let setup = Gateway::with("fetch").plugin(&format!("grants.http = [\"{setup}\"]"));
    let gateway = setup.start().await;
    let mut client = gateway.connect("/").await;
    client
        .send(&json!({ "url": server.url("/") }).to_string())
        .await;
    let (mut socket, _) = server.request().await;
    socket
        .write(b"hello, is this the right number?\r\n\r\n")
        .await;
    let answer = client.recv_json().await;
    assert!(
        answer["error"].as_str().unwrap().starts_with("Failed"),
        "{answer}"
    );

    // Nor is a server without TLS one of https.
    let url = format!("https://{}/", server.address);
    client.send(&json!({ "url": url }).to_string()).await;
    let mut socket = server.accept().await;
    assert_eq!(socket.read(1).await, [0x16], "the client's hello");
    socket.write(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let answer = client.recv_json().await;
    assert!(
        answer["words"]
            .as_str()
            .unwrap()
            .contains("secure connection"),
        "{answer}"
    );
    assert_eq!(gateway.metric(&result("failed")).await, 2);
}

#[tokio::test]
async fn a_body_over_its_limit_is_an_error_either_way() {
    let server = Server::start().await;
    let gateway = server
        .granted()
        .limits("http_response_body = 5\nhttp_request_body = 5")
        .start()
        .await;
    let mut client = gateway.connect("/").await;
    for response in [
        "content-length: 6\r\n\r\nsix...",
        "transfer-encoding: chunked\r\n\r\n3\r\nsix\r\n3\r\n...\r\n0\r\n\r\n",
    ] {
        client
            .send(&json!({ "url": server.url("/") }).to_string())
            .await;
        let (mut socket, _) = server.request().await;
        socket
            .write(format!("HTTP/1.1 200 OK\r\n{response}").as_bytes())
            .await;
        let answer = client.recv_json().await;
        assert_eq!(answer["error"], "TooLarge", "{response:?}");
    }
    let order = json!({ "method": "POST", "url": server.url("/"), "body": "six..." });
    assert_eq!(ask(&mut client, order).await["error"], "TooLarge");
    assert_eq!(gateway.metric(&result("too-large")).await, 3);

    client
        .send(&json!({ "method": "PUT", "url": server.url("/"), "body": "five." }).to_string())
        .await;
    let (mut socket, _) = server.request().await;
    assert_eq!(socket.read(5).await, b"five.");
    socket
        .write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfive!")
        .await;
    assert_eq!(client.recv_json().await["body"], "five!");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error() {
    let server = Server::start().await;
    let gateway = server.granted().start().await;
    let url = server.url("/");
    drop(server);
    let mut client = gateway.connect("/").await;
    let answer = ask(&mut client, json!({ "url": url })).await;
    assert!(
        answer["error"].as_str().unwrap().starts_with("Unreachable"),
        "{answer}"
    );
    assert_eq!(gateway.metric(&result("failed")).await, 1);
}

#[tokio::test]
async fn a_plugin_has_so_many_requests_under_way_and_no_more() {
    let server = Server::start().await;
    let gateway = server
        .granted()
        .server("shards = 1")
        .limits("http_requests = 1")
        .start()
        .await;
    let (mut first, mut second) = (gateway.connect("/").await, gateway.connect("/").await);
    let order = json!({ "url": server.url("/") });
    first.send(&order.to_string()).await;
    let (mut socket, _) = server.request().await;
    assert_eq!(ask(&mut second, order.clone()).await["error"], "TooMany");
    assert_eq!(gateway.metric(&result("limit")).await, 1);
    gateway.until_log("raise `limits.http_requests`").await;

    socket.write(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(first.recv_json().await["status"], 204);
    second.send(&order.to_string()).await;
    let (mut socket, _) = server.request().await;
    socket.write(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(second.recv_json().await["status"], 204);
}

#[tokio::test]
async fn a_request_ends_with_the_event_that_sent_it() {
    let server = Server::start().await;
    let gateway = server.granted().start().await;
    let mut client = gateway.connect("/").await;
    let order = json!({ "leave": server.url("/"), "url": server.url("/") });
    client.send(&order.to_string()).await;
    let ((mut left, _), (mut asked, _)) = (server.request().await, server.request().await);
    // Both are alike; the event goes on until the second is answered.
    asked.write(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    left.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        .await;
    assert_eq!(client.recv_json().await["status"], 204);
    assert_eq!(left.read_to_end().await, b"");
    assert_eq!(client.ask("hello").await, "hello");
}

#[tokio::test]
async fn an_event_waits_no_longer_than_its_own_limit() {
    let server = Server::start().await;
    let gateway = server.granted().limits("wait = \"300ms\"").start().await;
    let mut client = gateway.connect("/").await;
    client
        .send(&json!({ "url": server.url("/") }).to_string())
        .await;
    let (mut socket, _) = server.request().await;
    assert_eq!(client.recv_close().await.0, 1011);
    assert_eq!(socket.read_to_end().await, b"");
    assert_eq!(gateway.metric(&result("cancelled")).await, 1);
    assert_eq!(gateway.metric("failures_total{kind=\"wait\"}").await, 1);
    let mut other = gateway.connect("/").await;
    assert_eq!(other.ask("hello").await, "hello");
}

#[tokio::test]
async fn a_new_generation_may_ask_before_it_takes_over() {
    let gateway = Gateway::with("fetch-on-load").plugin("grants.http = [\"http://127.0.0.1:9\"]");
    let gateway = gateway.start().await;
    assert_eq!(gateway.connect("/").await.ask("hello").await, "hello");
}
