//! The plugin `chat`.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use crate::client::Client;
use crate::gateway::Gateway;

async fn chat() -> Gateway {
    Gateway::with("chat").path("/rooms/{room}").start().await
}

/// Joins a room and waits for the welcome, which names all that are there.
async fn join(gateway: &Gateway, path: &str) -> (Client, Value) {
    let mut client = gateway.connect(path).await;
    let welcome = client.recv_json().await;
    (client, welcome)
}

/// Who is there already hears of a newcomer.
async fn hears_of(client: &mut Client, name: &str) {
    let join = json!({ "type": "join", "name": name });
    assert_eq!(client.recv_json().await, join);
}

#[tokio::test]
async fn people_meet_talk_and_leave() {
    let gateway = chat().await;
    let (mut alice, welcome) = join(&gateway, "/rooms/tea?username=alice").await;
    assert_eq!(
        welcome,
        json!({ "type": "welcome", "name": "alice", "members": ["alice"] })
    );
    let (mut bob, welcome) = join(&gateway, "/rooms/tea?username=bob").await;
    assert_eq!(
        welcome,
        json!({ "type": "welcome", "name": "bob", "members": ["alice", "bob"] })
    );
    hears_of(&mut alice, "bob").await;

    alice.send("hello").await;
    let message = json!({ "type": "message", "from": "alice", "text": "hello" });
    assert_eq!(bob.recv_json().await, message);
    alice.silent().await;

    bob.close(1000, "").await;
    assert_eq!(
        alice.recv_json().await,
        json!({ "type": "leave", "name": "bob", "members": ["alice"] })
    );
}

#[tokio::test]
async fn one_who_is_lost_leaves_too() {
    let gateway = chat().await;
    let (mut alice, _) = join(&gateway, "/rooms/tea?username=alice").await;
    let (bob, _) = join(&gateway, "/rooms/tea?username=bob").await;
    hears_of(&mut alice, "bob").await;
    drop(bob);
    assert_eq!(alice.recv_json().await["type"], "leave");
}

#[tokio::test]
async fn rooms_do_not_hear_each_other() {
    let gateway = chat().await;
    let (mut tea_ann, _) = join(&gateway, "/rooms/tea?username=ann").await;
    let (mut tea_bob, _) = join(&gateway, "/rooms/tea?username=bob").await;
    let (mut cake_cid, welcome) = join(&gateway, "/rooms/cake?username=cid").await;
    assert_eq!(welcome["members"], json!(["cid"]));
    let (mut cake_ann, welcome) = join(&gateway, "/rooms/cake?username=ann").await;
    assert_eq!(welcome["members"], json!(["ann", "cid"]));
    hears_of(&mut tea_ann, "bob").await;
    hears_of(&mut cake_cid, "ann").await;
    for _ in 0..20 {
        tea_ann.send("tea").await;
        cake_ann.send("cake").await;
        assert_eq!(tea_bob.recv_json().await["text"], "tea");
        assert_eq!(cake_cid.recv_json().await["text"], "cake");
    }
    for client in [&mut tea_ann, &mut tea_bob, &mut cake_ann, &mut cake_cid] {
        client.silent().await;
    }
}

#[tokio::test]
async fn a_bad_name_is_refused_with_words() {
    let gateway = chat().await;
    let long = "x".repeat(33);
    for path in [
        "/rooms/tea?username=".to_owned(),
        format!("/rooms/tea?username={long}"),
        format!("/rooms/{long}?username=ann"),
    ] {
        let refused = Client::try_connect(gateway.address, &path, &[]).await;
        let Err(Error::Http(response)) = refused else {
            panic!("{path}: not refused");
        };
        assert_eq!(response.status(), 400, "{path}");
        let body = response.body().clone().unwrap_or_default();
        let words = String::from_utf8(body).expect("words are text");
        assert!(words.contains("1 to 32 characters"), "{words}");
    }
    let longest = "ü".repeat(32);
    let path = format!("/rooms/tea?username={}", percent(&longest));
    let (_, welcome) = join(&gateway, &path).await;
    assert_eq!(welcome["name"], longest);
}

#[tokio::test]
async fn without_a_name_one_is_a_guest() {
    let gateway = chat().await;
    let (_client, welcome) = join(&gateway, "/rooms/tea").await;
    let name = welcome["name"].as_str().expect("a name");
    assert!(name.starts_with("guest-"), "{name}");
}

#[tokio::test]
async fn names_and_rooms_are_in_any_script() {
    let gateway = chat().await;
    let path = |name| format!("/rooms/{}?username={}", percent("茶室 ☕/1"), percent(name));
    let (mut one, welcome) = join(&gateway, &path("Юлия & co")).await;
    assert_eq!(welcome["name"], "Юлия & co");
    let (mut two, welcome) = join(
        &gateway,
        "/rooms/%e8%8c%b6%e5%ae%a4%20%e2%98%95%2f1?username=J%C3%BCrgen+K",
    )
    .await;
    assert_eq!(welcome["members"], json!(["Jürgen K", "Юлия & co"]));
    hears_of(&mut one, "Jürgen K").await;
    one.send("grüß dich 👋 \"du\"").await;
    let message = two.recv_json().await;
    assert_eq!(message["from"], "Юлия & co");
    assert_eq!(message["text"], "grüß dich 👋 \"du\"");
}

#[tokio::test]
async fn everybody_stays_through_a_reload() {
    let gateway = chat().await;
    let (mut alice, _) = join(&gateway, "/rooms/tea?username=alice").await;
    let (mut bob, _) = join(&gateway, "/rooms/tea?username=bob").await;
    hears_of(&mut alice, "bob").await;
    let (mut cid, _) = join(&gateway, "/rooms/tea?username=cid").await;
    hears_of(&mut alice, "cid").await;
    hears_of(&mut bob, "cid").await;
    for generation in 2..5 {
        alice.send("before").await;
        assert_eq!(bob.recv_json().await["text"], "before");
        assert_eq!(cid.recv_json().await["text"], "before");
        assert_eq!(gateway.reload().await.json()["generation"], generation);
        bob.send("after").await;
        let after = json!({ "type": "message", "from": "bob", "text": "after" });
        assert_eq!(alice.recv_json().await, after);
        assert_eq!(cid.recv_json().await, after);
    }
    cid.close(1000, "").await;
    let leave = json!({ "type": "leave", "name": "cid", "members": ["alice", "bob"] });
    assert_eq!(alice.recv_json().await, leave);
    assert_eq!(bob.recv_json().await, leave);
    let (_dora, welcome) = join(&gateway, "/rooms/tea?username=dora").await;
    assert_eq!(welcome["members"], json!(["alice", "bob", "dora"]));
}

/// Percent-encodes all but letters and digits of ASCII.
fn percent(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
