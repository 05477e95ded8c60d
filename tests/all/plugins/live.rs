//! The plugin `live`.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Error;

use crate::PATIENCE;
use crate::client::{Client, Raw};
use crate::event_stream::{event, request};
use crate::gateway::{Gateway, Setup};
use crate::http::exchange;

fn live() -> Setup {
    let entities = "config.entities = \"posts, users, comments\"";
    Gateway::with("live").plugin(&format!("grants.store = [\"live\"]\n{entities}"))
}

/// Listens; the subscriptions are in force when what is sent has been answered.
async fn listen(gateway: &Gateway, path: &str) -> Client {
    let mut client = gateway.connect(path).await;
    client.send("hello?").await;
    let answer = client.recv_json().await;
    assert_eq!(answer["error"]["code"], "receive-only", "{answer}");
    client
}

async fn post(gateway: &Gateway, entity: &str, body: &str) -> (u16, String) {
    let path = format!("/changes/{entity}");
    let (status, _, body) = exchange(&mut gateway.raw().await, "POST", &path, body).await;
    (status, body)
}

/// Posts a change, which must be taken under that id by so many.
async fn change(gateway: &Gateway, entity: &str, id: u64, subscribers: u32) {
    let (status, body) = post(gateway, entity, &json!({"number": id}).to_string()).await;
    let taken: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 202, "{body}");
    assert_eq!(taken, json!({"id": id, "subscribers": subscribers}));
}

/// What listeners hear of the change with that id.
fn changed(entity: &str, id: u64) -> Value {
    json!({"id": id, "entity": entity, "data": {"number": id}})
}

async fn hears(client: &mut Client, kind: &str) -> Value {
    let message = client.recv_json().await;
    assert_eq!(message["type"], kind, "{message}");
    message["payload"].clone()
}

/// Waits until so many listen to posts.
async fn until_listened(gateway: &Gateway, listeners: u32) {
    let mut socket = gateway.raw().await;
    let reached = async {
        loop {
            let (_, _, body) = exchange(&mut socket, "GET", "/stats", "").await;
            let stats: Value = serde_json::from_str(&body).unwrap();
            if stats["subscribers"]["posts"] == listeners {
                return;
            }
        }
    };
    let reached = tokio::time::timeout(PATIENCE, reached).await;
    reached.expect("they come and go");
}

/// Opens a stream of events.
async fn stream(gateway: &Gateway, path: &str, fields: &str) -> Raw {
    let mut raw = gateway.raw().await;
    raw.write(request(path, fields).as_bytes()).await;
    let head = raw.read_head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    raw
}

/// The next event of a stream must be that change, under its id.
async fn streams(raw: &mut Raw, entity: &str, id: u64) {
    let text = event(raw).await;
    let data = text.strip_prefix(&format!("id: {id}\ndata: "));
    let data = data.unwrap_or_else(|| panic!("{id}: {text}"));
    let message: Value = serde_json::from_str(data).unwrap();
    assert_eq!(message["payload"], changed(entity, id));
}

#[tokio::test]
async fn a_change_reaches_those_who_listen_to_its_entity() {
    // On one shard no change overtakes another.
    let gateway = live().server("shards = 1").start().await;
    let mut two = listen(&gateway, "/live?entities=users,posts").await;
    let mut all = listen(&gateway, "/live").await;
    let mut comments = listen(&gateway, "/live?entities=comments").await;
    change(&gateway, "posts", 1, 2).await;
    change(&gateway, "users", 2, 2).await;
    assert_eq!(gateway.reload().await.status, 200);
    change(&gateway, "posts", 3, 2).await;
    for (entity, id) in [("posts", 1), ("users", 2), ("posts", 3)] {
        assert_eq!(hears(&mut two, "changed").await, changed(entity, id));
        assert_eq!(hears(&mut all, "changed").await, changed(entity, id));
    }
    comments.silent().await;
    // Any JSON is passed on as it is.
    for data in ["7.50", "\"text\"", "null", "[1, {\"a\": \"\\u00fc\"}]"] {
        assert_eq!(post(&gateway, "comments", data).await.0, 202);
        let message = comments.recv().await;
        assert!(message.contains(&format!("\"data\":{data}}}")), "{message}");
    }
}

#[tokio::test]
async fn stats_are_plain_json() {
    let gateway = live().start().await;
    let _all = listen(&gateway, "/live").await;
    let _posts = listen(&gateway, "/live?entities=posts").await;
    change(&gateway, "comments", 1, 1).await;
    let mut socket = gateway.raw().await;
    let (status, head, body) = exchange(&mut socket, "GET", "/stats", "").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/json"), "{head}");
    let stats: Value = serde_json::from_str(&body).unwrap();
    let subscribers = json!({"posts": 2, "users": 1, "comments": 1});
    assert_eq!(stats, json!({"last": 1, "subscribers": subscribers}));
    socket
        .write(b"HEAD /stats HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    assert!(socket.read_head().await.starts_with("HTTP/1.1 200 "));
    // It had no body, so this is the next answer.
    assert_eq!(exchange(&mut socket, "GET", "/stats", "").await.0, 200);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_named() {
    let gateway = live().route_limits("body = 100").start().await;
    let mut all = listen(&gateway, "/live").await;
    let long = format!("\"{}\"", "x".repeat(99));
    for (method, path, body, status, words) in [
        (
            "POST",
            "/changes/posts",
            "",
            400,
            "the body is not JSON: EOF",
        ),
        (
            "POST",
            "/changes/posts",
            "title=Tides",
            400,
            "the body is not JSON: expected",
        ),
        (
            "POST",
            "/changes/posts",
            "{} {}",
            400,
            "trailing characters at line 1 column 4",
        ),
        (
            "POST",
            "/changes/posts",
            "\"\u{1}\"",
            400,
            "control character",
        ),
        ("POST", "/changes/posts", long.as_str(), 413, ""),
        (
            "POST",
            "/changes/planets",
            "{}",
            404,
            "\"planets\": there are posts, users, comments",
        ),
        ("GET", "/changes/posts", "", 405, "POST"),
        ("DELETE", "/changes/posts", "", 405, "POST"),
        ("POST", "/stats", "{}", 405, "GET, HEAD"),
        ("GET", "/live", "", 400, "WebSocket"),
        ("POST", "/elsewhere", "{}", 404, "nothing"),
    ] {
        let mut socket = gateway.raw().await;
        let (is, head, answer) = exchange(&mut socket, method, path, body).await;
        assert_eq!(is, status, "{method} {path}: {answer}");
        assert!(answer.contains(words), "{method} {path}: {answer}");
        let allow = format!("\r\nallow: {words}\r\n");
        assert_eq!(head.contains(&allow), status == 405, "{head}");
    }
    all.silent().await;
    change(&gateway, "posts", 1, 1).await;
    assert_eq!(hears(&mut all, "changed").await, changed("posts", 1));
}

#[tokio::test]
async fn who_listens_to_what_is_not_there_is_refused() {
    let gateway = live().start().await;
    for (path, words) in [
        (
            "/live?entities=planets",
            "\"planets\": there are posts, users, comments",
        ),
        ("/live?entities=posts,planets", "\"planets\""),
        ("/live?entities=", "\"\""),
        ("/live?since=yesterday", "a number"),
        ("/live?since=-1", "a number"),
    ] {
        let refused = Client::try_connect(gateway.address, path, &[]).await;
        let Err(Error::Http(response)) = refused else {
            panic!("{path}: not refused");
        };
        assert_eq!(response.status(), 400, "{path}");
        let body = String::from_utf8(response.body().clone().unwrap()).unwrap();
        assert!(body.contains(words), "{path}: {body}");
    }
}

#[tokio::test]
async fn a_stream_that_comes_back_gets_what_it_has_missed() {
    let gateway = live().start().await;
    change(&gateway, "posts", 1, 0).await;
    let mut first = stream(&gateway, "/live?entities=posts,users", "").await;
    until_listened(&gateway, 1).await;
    change(&gateway, "users", 2, 1).await;
    streams(&mut first, "users", 2).await;
    drop(first);
    until_listened(&gateway, 0).await;
    for (entity, id) in [("posts", 3), ("comments", 4), ("users", 5)] {
        change(&gateway, entity, id, 0).await;
    }
    assert_eq!(gateway.reload().await.status, 200);
    let mut again = stream(
        &gateway,
        "/live?entities=posts,users",
        "last-event-id: 2\r\n",
    )
    .await;
    streams(&mut again, "posts", 3).await;
    streams(&mut again, "users", 5).await;
    change(&gateway, "posts", 6, 1).await;
    streams(&mut again, "posts", 6).await;
    // A WebSocket can't name a header field.
    let mut socket = gateway
        .connect("/live?entities=comments,users&since=3")
        .await;
    assert_eq!(hears(&mut socket, "changed").await, changed("comments", 4));
    assert_eq!(hears(&mut socket, "changed").await, changed("users", 5));
}

#[tokio::test]
async fn what_is_no_longer_kept_is_told_to_be_lost() {
    let gateway = live().start().await;
    let mut socket = gateway.raw().await;
    for _ in 0..105 {
        let (status, ..) = exchange(&mut socket, "POST", "/changes/posts", "0").await;
        assert_eq!(status, 202);
    }
    for since in [4, 106] {
        let mut client = gateway.connect(&format!("/live?since={since}")).await;
        assert_eq!(hears(&mut client, "lost").await, json!({"since": since}));
    }
    let mut client = gateway.connect("/live?since=5").await;
    for id in 6..=105 {
        assert_eq!(hears(&mut client, "changed").await["id"], id);
    }
    let mut client = gateway.connect("/live?since=105").await;
    client.silent().await;
}

/// On two cores at once, while the plugin is reloaded.
#[tokio::test]
async fn no_change_is_lost_among_many() {
    const POSTERS: u64 = 4;
    const EACH: u64 = 25;
    let gateway = live().server("shards = 2").start().await;
    let mut listeners = [
        listen(&gateway, "/live").await,
        listen(&gateway, "/live").await,
    ];
    let mut posters = JoinSet::new();
    for _ in 0..POSTERS {
        let mut socket = gateway.raw().await;
        posters.spawn(async move {
            for _ in 0..EACH {
                let (status, ..) = exchange(&mut socket, "POST", "/changes/posts", "0").await;
                assert_eq!(status, 202);
            }
        });
    }
    let mut heard = [BTreeSet::new(), BTreeSet::new()];
    for round in 1..=4 {
        for (client, heard) in listeners.iter_mut().zip(&mut heard) {
            while (heard.len() as u64) < POSTERS * EACH * round / 4 {
                let id = hears(client, "changed").await["id"].as_u64().unwrap();
                assert!(heard.insert(id), "{id} twice");
            }
        }
        assert_eq!(gateway.reload().await.status, 200);
    }
    while let Some(posted) = posters.join_next().await {
        posted.unwrap();
    }
    for heard in heard {
        assert!(heard.into_iter().eq(1..=POSTERS * EACH));
    }
    let mut late = gateway.connect("/live?since=0").await;
    for id in 1..=POSTERS * EACH {
        assert_eq!(hears(&mut late, "changed").await["id"], id);
    }
}
