//! Signs of life, for clients that cannot see pings: who asked for them in the query is given them.

use crate::client::Raw;
use crate::event_stream::{event, request};
use crate::gateway::Gateway;

const ASKED: &str = "tidegate-alive=1.k3x9Z2ab";
/// The interval of signs: as often as a test has the patience for.
const OFTEN: &str = "signs = \"1s\"";

#[tokio::test]
async fn who_asked_is_told_how_often_and_given_signs() {
    let setup = Gateway::with("envelope").route_limits(OFTEN);
    let gateway = setup.start().await;
    let mut quiet = gateway.connect("/?name=bob").await;
    let mut asking = gateway.connect(&format!("/?name=ann&{ASKED}&x")).await;
    assert_eq!(asking.recv().await, "k3x9Z2ab every 1000");
    // The handler sees nothing of it, so it cannot know the word.
    let who = asking.ask(r#"{"type":"who","id":"a"}"#).await;
    assert!(who.contains(r#""query":"name=ann&x""#), "{who}");
    for _ in 0..2 {
        assert_eq!(asking.recv().await, "k3x9Z2ab");
    }
    // Others are given none: nothing came for this one in that time.
    let who = quiet.ask(r#"{"type":"who","id":"a"}"#).await;
    assert!(who.contains(r#""query":"name=bob""#), "{who}");
}

#[tokio::test]
async fn nobody_is_given_more_signs_than_the_route_allows_nor_fewer_than_proxies_want() {
    let gateway = Gateway::with("envelope").start().await;
    for (asked, granted) in [("1", "5000"), ("7000", "7000"), ("3600000", "60000")] {
        let path = format!("/?tidegate-alive={asked}.k3x9Z2ab");
        let mut client = gateway.connect(&path).await;
        assert_eq!(client.recv().await, format!("k3x9Z2ab every {granted}"));
    }
}

#[tokio::test]
async fn what_is_no_wish_is_the_handlers_own() {
    let gateway = Gateway::with("envelope").start().await;
    let mut client = gateway.connect("/?tidegate-alive=soon").await;
    let who = client.ask(r#"{"type":"who","id":"a"}"#).await;
    assert!(who.contains(r#""query":"tidegate-alive=soon""#), "{who}");
}

#[tokio::test]
async fn a_large_message_is_announced_and_comes_whole() {
    let setup = Gateway::with("envelope").route_limits(&format!("outbox = \"256KiB\"\n{OFTEN}"));
    let gateway = setup.start().await;
    let mut client = gateway.connect(&format!("/?{ASKED}")).await;
    assert_eq!(client.recv().await, "k3x9Z2ab every 1000");
    // The second has room only because nothing waits: its announcement must not take that.
    for len in [100 << 10, 2 << 20] {
        client.send(&"x".repeat(len)).await;
        let announced = next_message(&mut client).await;
        let size = announced.strip_prefix("k3x9Z2ab coming ");
        let size: usize = size.expect(&announced).parse().unwrap();
        assert!((len..len + 16).contains(&size), "{size}");
        assert_eq!(next_message(&mut client).await.len(), len);
    }
    client.send("small").await;
    assert_eq!(next_message(&mut client).await, "small");
}

/// The next text that is no bare sign.
async fn next_message(client: &mut crate::client::Client) -> String {
    loop {
        let text = client.recv().await;
        if text != "k3x9Z2ab" {
            return text;
        }
    }
}

#[tokio::test]
async fn a_handler_that_takes_long_does_not_hold_them_up() {
    let gateway = Gateway::with("sleep")
        .limits("wait = \"30s\"")
        .route_limits(OFTEN)
        .start()
        .await;
    let mut client = gateway.connect(&format!("/?{ASKED}")).await;
    assert_eq!(client.recv().await, "k3x9Z2ab every 1000");
    client.send("sleep-long").await;
    // Meanwhile nothing is read from the connection, and no ping of the client's would be answered.
    for _ in 0..2 {
        assert_eq!(client.recv().await, "k3x9Z2ab");
    }
}

#[tokio::test]
async fn a_stream_of_events_has_them_as_comments() {
    let setup = Gateway::with("stream").route_limits(OFTEN);
    let gateway = setup.start().await;
    let mut raw: Raw = gateway.raw().await;
    raw.write(request(&format!("/?{ASKED}"), "").as_bytes())
        .await;
    raw.read_head().await;
    assert_eq!(event(&mut raw).await, ": every 1000\n\n");
    assert_eq!(event(&mut raw).await, "id: first\ndata: hello none\n\n");
    for _ in 0..2 {
        assert_eq!(event(&mut raw).await, ":\n\n");
    }
}
