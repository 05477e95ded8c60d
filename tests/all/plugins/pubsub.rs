//! The plugin `pubsub`.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use super::envelope::{hears, refused, request};
use crate::client::{Client, Raw, frame, upgrade_request};
use crate::gateway::Gateway;

async fn pubsub() -> Gateway {
    Gateway::with("pubsub").start().await
}

async fn connect<const N: usize>(gateway: &Gateway) -> [Client; N] {
    let clients = join_all((0..N).map(|_| gateway.connect("/"))).await;
    let Ok(clients) = clients.try_into() else {
        unreachable!("there are N");
    };
    clients
}

async fn subscribe(client: &mut Client, topic: &str, subscribers: u32) {
    let confirmed = request(client, json!({"type": "subscribe", "topic": topic})).await;
    let expected = json!({"topic": topic, "subscribers": subscribers});
    assert_eq!(confirmed, expected);
}

fn publish(topic: &str, data: &Value) -> Value {
    json!({"type": "publish", "topic": topic, "data": data})
}

#[tokio::test]
async fn subscribers_hear_what_others_publish_before_and_after_a_reload() {
    let gateway = pubsub().await;
    let [mut ann, mut bob, mut cid] = connect(&gateway).await;
    subscribe(&mut ann, "news", 1).await;
    subscribe(&mut bob, "news", 2).await;
    subscribe(&mut cid, "sport", 1).await;
    for generation in 2..4 {
        let data = json!({"title": "Ebbe 🌊", "tags": [1, null, generation]});
        let confirmed = request(&mut ann, publish("news", &data)).await;
        assert_eq!(confirmed, json!({"topic": "news", "subscribers": 2}));
        let message = json!({"topic": "news", "data": data});
        assert_eq!(hears(&mut bob, "message").await, message);
        // One need not be subscribed to publish.
        request(&mut cid, publish("news", &data)).await;
        assert_eq!(hears(&mut ann, "message").await, message);
        assert_eq!(hears(&mut bob, "message").await, message);
        assert_eq!(gateway.reload().await.json()["generation"], generation);
    }
    // What was subscribed before the reloads ends after them.
    let unsubscribe = json!({"type": "unsubscribe", "topic": "news"});
    let confirmed = request(&mut bob, unsubscribe).await;
    assert_eq!(confirmed, json!({"topic": "news", "subscribers": 1}));
    request(&mut cid, publish("news", &json!("for ann"))).await;
    assert_eq!(hears(&mut ann, "message").await["data"], "for ann");
    bob.silent().await;
    cid.silent().await;
}

#[tokio::test]
async fn the_sender_is_left_out_unless_it_asks_to_be_included() {
    let gateway = pubsub().await;
    let [mut ann, mut bob] = connect(&gateway).await;
    subscribe(&mut ann, "news", 1).await;
    subscribe(&mut bob, "news", 2).await;
    let mut flood = publish("news", &json!(1));
    flood["includeSender"] = true.into();
    flood["id"] = 1.into();
    ann.send(&flood.to_string()).await;
    assert_eq!(hears(&mut ann, "message").await["data"], 1);
    assert_eq!(ann.recv_json().await["requestId"], 1);
    assert_eq!(hears(&mut bob, "message").await["data"], 1);
    flood["includeSender"] = false.into();
    ann.send(&flood.to_string()).await;
    assert_eq!(ann.recv_json().await["requestId"], 1);
    assert_eq!(hears(&mut bob, "message").await["data"], 1);
    ann.silent().await;
}

#[tokio::test]
async fn twice_is_once_and_a_topic_without_subscribers_is_no_error() {
    let gateway = pubsub().await;
    let [mut ann, mut bob] = connect(&gateway).await;
    let nobody = json!({"topic": "news", "subscribers": 0});
    assert_eq!(
        request(&mut bob, publish("news", &json!(null))).await,
        nobody
    );
    subscribe(&mut ann, "news", 1).await;
    subscribe(&mut ann, "news", 1).await;
    request(&mut bob, publish("news", &json!(null))).await;
    let message = json!({"topic": "news", "data": null});
    assert_eq!(hears(&mut ann, "message").await, message);
    let unsubscribe = json!({"type": "unsubscribe", "topic": "news"});
    assert_eq!(request(&mut ann, unsubscribe.clone()).await, nobody);
    let error = refused(&mut ann, unsubscribe).await;
    assert_eq!(error["code"], "not-subscribed");
    assert!(error["message"].as_str().unwrap().contains("news"));
    ann.silent().await;
}

#[tokio::test]
async fn the_hundredth_topic_is_the_last() {
    let gateway = pubsub().await;
    let [mut ann, mut bob] = connect(&gateway).await;
    // Control characters take the most room in the state.
    let topic = |n: u32| format!("{n:0>100}").replacen('0', "\u{1}", 90);
    for n in 1..=100 {
        subscribe(&mut ann, &topic(n), 1).await;
    }
    let error = refused(&mut ann, json!({"type": "subscribe", "topic": "news"})).await;
    assert_eq!(error["code"], "too-many-topics");
    // An old one is none too many, and one makes room for another.
    subscribe(&mut ann, &topic(100), 1).await;
    request(&mut ann, json!({"type": "unsubscribe", "topic": topic(1)})).await;
    subscribe(&mut ann, "news", 1).await;
    request(&mut bob, publish(&topic(100), &json!("here"))).await;
    assert_eq!(hears(&mut ann, "message").await["data"], "here");
}

#[tokio::test]
async fn many_are_published_together_or_not_at_all() {
    let gateway = pubsub().await;
    let [mut ann, mut bob] = connect(&gateway).await;
    subscribe(&mut ann, "news", 1).await;
    subscribe(&mut ann, "sport", 1).await;
    let many = |last: &str| {
        json!({"type": "publish-many", "messages": [
            {"topic": "news", "data": 1},
            {"topic": "sport", "data": 2},
            {"topic": last, "data": 3},
        ]})
    };
    let error = refused(&mut bob, many("")).await;
    assert_eq!(error["details"]["field"], "messages[2].topic");
    let confirmed = request(&mut bob, many("weather")).await;
    let listeners = |topic: &str, subscribers| json!({"topic": topic, "subscribers": subscribers});
    let expected = [
        listeners("news", 1),
        listeners("sport", 1),
        listeners("weather", 0),
    ];
    assert_eq!(confirmed, json!(expected));
    for (topic, data) in [("news", 1), ("sport", 2)] {
        let message = json!({"topic": topic, "data": data});
        assert_eq!(hears(&mut ann, "message").await, message);
    }
    ann.silent().await;
    for count in [0, 101] {
        let messages = vec![json!({"topic": "news", "data": 1}); count];
        let many = json!({"type": "publish-many", "messages": messages});
        let error = refused(&mut bob, many).await;
        assert_eq!(error["details"]["field"], "messages", "{count}");
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_as_a_whole() {
    let setup = Gateway::with("pubsub").limits("effects = \"4KiB\"");
    let gateway = setup.start().await;
    let [mut ann, mut bob] = connect(&gateway).await;
    subscribe(&mut ann, "news", 1).await;
    let large = json!({"topic": "news", "data": "x".repeat(2000)});
    let many = json!({"type": "publish-many", "messages": [large, large, large]});
    assert_eq!(refused(&mut bob, many).await["code"], "too-large");
    let many = json!({"type": "publish-many", "messages": [large]});
    request(&mut bob, many).await;
    assert_eq!(hears(&mut ann, "message").await, large);
    ann.silent().await;
}

#[tokio::test]
async fn a_bad_message_is_answered_with_what_to_mend() {
    let gateway = pubsub().await;
    let mut ann = gateway.connect("/").await;
    for text in ["", "subscribe news", "{\"type\": \"subscribe\""] {
        ann.send(text).await;
        let answer = ann.recv_json().await;
        assert_eq!(answer["type"], "error", "{text}");
        assert_eq!(answer["error"]["code"], "invalid-json", "{text}");
        let words = answer["error"]["message"].as_str().unwrap();
        assert!(words.starts_with("Invalid message format"), "{words}");
    }
    let long = "x".repeat(101);
    for (message, field) in [
        (json!({"type": "subscribe"}), "topic"),
        (json!({"type": "subscribe", "topic": 7}), "topic"),
        (json!({"type": "subscribe", "topic": ""}), "topic"),
        (json!({"type": "subscribe", "topic": long}), "topic"),
        (json!({"type": "unsubscribe", "topic": long}), "topic"),
        (json!({"type": "publish", "data": 1}), "topic"),
        (json!({"type": "publish", "topic": "news"}), "data"),
        (
            json!({"type": "publish", "topic": "news", "data": 1, "compress": "no"}),
            "compress",
        ),
        (json!({"type": "publish-many"}), "messages"),
    ] {
        let error = refused(&mut ann, message.clone()).await;
        assert_eq!(error["code"], "invalid-message", "{message}");
        assert_eq!(error["details"]["field"], field, "{message}");
    }
    let error = refused(&mut ann, json!({"type": "shout"})).await;
    assert_eq!(error["code"], "unknown-type");
    ann.send_binary(b"bytes").await;
    assert_eq!(ann.recv_json().await["error"]["code"], "no-topic");
    // It is still connected, and nothing is left of all that.
    subscribe(&mut ann, "news", 1).await;
}

#[tokio::test]
async fn bytes_go_to_the_topic_of_the_query_as_they_are() {
    let gateway = pubsub().await;
    let mut camera = gateway.connect("/?topic=pictures%20%26%20more").await;
    let mut ann = gateway.connect("/").await;
    subscribe(&mut ann, "pictures & more", 1).await;
    for picture in [&[0, 255, 128][..], &[], &[7; 100_000]] {
        camera.send_binary(picture).await;
        assert_eq!(ann.recv_binary().await, picture);
        let answer = camera.recv_json().await;
        assert_eq!(answer["type"], "binary");
        let listeners = json!({"topic": "pictures & more", "subscribers": 1});
        assert_eq!(answer["data"], listeners);
        gateway.reload().await;
    }
    for path in ["/?topic=", &format!("/?topic={}", "x".repeat(101))] {
        match Client::try_connect(gateway.address, path, &[]).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), 400, "{path}"),
            _ => panic!("{path}: not refused"),
        }
    }
}

#[tokio::test]
async fn a_publish_says_whether_it_may_be_compressed() {
    /// A whole text, and a compressed one.
    const TEXT: u8 = 0x81;
    const COMPRESSED: u8 = TEXT | 0x40;
    let setup = Gateway::with("pubsub").route("compression = { mode = \"shared\" }");
    let gateway = setup.start().await;
    let mut ann = Raw::connect(gateway.address).await;
    let offer = "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    let head = upgrade_request("/").trim_end().to_owned() + offer;
    ann.write(head.as_bytes()).await;
    assert!(ann.read_head().await.starts_with("HTTP/1.1 101 "));
    let subscribe = br#"{"type": "subscribe", "topic": "news"}"#;
    ann.write(&frame(TEXT, subscribe)).await;
    assert_eq!(ann.read_frame().await.0, TEXT);

    let mut bob = gateway.connect("/").await;
    let prose = "the tide comes in, the tide goes out, ".repeat(20);
    for (compress, first) in [
        (json!(true), COMPRESSED),
        (json!(false), TEXT),
        (json!(null), COMPRESSED),
    ] {
        let mut message = publish("news", &json!(prose));
        message["compress"] = compress;
        request(&mut bob, message).await;
        let (received, payload) = ann.read_frame().await;
        assert_eq!(received, first);
        assert_eq!(payload.len() > prose.len(), first == TEXT);
    }
}

/// The limits by default fit each other: what may come in is handled, however much there is in it.
#[tokio::test]
async fn large_messages_are_within_all_limits_by_default() {
    let gateway = pubsub().await;
    let [mut ann] = connect(&gateway).await;
    let mib = 1 << 20;
    for data in [
        json!(vec![json!({"a": 1}); mib / 8]),
        json!(vec![1; mib]),
        json!("x".repeat(12 * mib)),
    ] {
        let confirmed = request(&mut ann, publish("news", &data)).await;
        assert_eq!(confirmed, json!({"topic": "news", "subscribers": 0}));
    }
}
