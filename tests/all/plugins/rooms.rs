//! The plugin `rooms`.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use super::envelope::{hears, refused, request};
use crate::client::Client;
use crate::gateway::Gateway;

async fn rooms() -> Gateway {
    let setup = Gateway::with("rooms").path("/rooms/{room}");
    setup.server("shards = 2").start().await
}

/// A room that `name` has joined or left, with who is in it now.
fn room(room: &str, name: &str, members: &[&str]) -> Value {
    json!({"room": room, "name": name, "members": members})
}

/// Connects as the last of these.
async fn connect(gateway: &Gateway, to: &str, members: &[&str]) -> Client {
    let name = members[members.len() - 1];
    let path = format!("/rooms/{to}?name={name}");
    let mut client = gateway.connect(&path).await;
    assert_eq!(hears(&mut client, "joined").await, room(to, name, members));
    client
}

/// Types a line that is answered with data.
async fn typed(client: &mut Client, line: &str) -> Value {
    client.send(line).await;
    let mut answer = client.recv_json().await;
    assert_eq!(answer["success"], true, "{answer}");
    answer["data"].take()
}

/// Types a line that is refused; returns the error.
async fn mistyped(client: &mut Client, line: &str) -> Value {
    client.send(line).await;
    let mut answer = client.recv_json().await;
    assert_eq!(answer["success"], false, "{answer}");
    answer["error"].take()
}

fn said(room: &str, from: &str, text: &str) -> Value {
    json!({"room": room, "from": from, "text": text})
}

#[tokio::test]
async fn people_talk_in_several_rooms_before_and_after_a_reload() {
    let gateway = rooms().await;
    let mut ann = connect(&gateway, "tea", &["ann"]).await;
    let mut bob = connect(&gateway, "tea", &["ann", "bob"]).await;
    let joined = room("tea", "bob", &["ann", "bob"]);
    assert_eq!(hears(&mut ann, "joined").await, joined);

    ann.send("hello").await;
    assert_eq!(hears(&mut bob, "said").await, said("tea", "ann", "hello"));
    let joined = room("cake", "ann", &["ann"]);
    assert_eq!(typed(&mut ann, "/join cake").await, joined);
    let joined = room("cake", "bob", &["ann", "bob"]);
    let join = json!({"type": "join", "room": "cake"});
    assert_eq!(request(&mut bob, join).await, joined);
    assert_eq!(hears(&mut ann, "joined").await, joined);

    assert_eq!(gateway.reload().await.json()["generation"], 2);
    // The room joined last is where text goes, and others are named.
    ann.send("here").await;
    assert_eq!(hears(&mut bob, "said").await, said("cake", "ann", "here"));
    let say = json!({"type": "say", "room": "tea", "text": "there"});
    assert_eq!(request(&mut ann, say).await, json!(null));
    assert_eq!(hears(&mut bob, "said").await, said("tea", "ann", "there"));
    let both = json!([{"room": "cake", "count": 2}, {"room": "tea", "count": 2}]);
    assert_eq!(typed(&mut bob, "/rooms").await, both);

    bob.send("/leave cake").await;
    let left = room("cake", "bob", &["ann"]);
    assert_eq!(hears(&mut ann, "left").await, left);
    ann.send("alone").await;
    bob.silent().await;
    bob.send("still in tea").await;
    let text = said("tea", "bob", "still in tea");
    assert_eq!(hears(&mut ann, "said").await, text);
    assert_eq!(gateway.reload().await.json()["generation"], 3);
    bob.close(1000, "").await;
    assert_eq!(hears(&mut ann, "left").await, room("tea", "bob", &["ann"]));
    ann.silent().await;
}

#[tokio::test]
async fn empty_rooms_vanish() {
    let gateway = rooms().await;
    let mut ann = connect(&gateway, "tea", &["ann"]).await;
    let mut bob = connect(&gateway, "cake", &["bob"]).await;
    for room in ["cocoa", "juice"] {
        typed(&mut bob, &format!("/join {room}")).await;
    }
    let names = |rooms: Value| -> Vec<String> {
        let rooms = rooms.as_array().unwrap().iter();
        rooms
            .map(|room| room["room"].as_str().unwrap().to_owned())
            .collect()
    };
    let list = typed(&mut ann, "/rooms").await;
    assert_eq!(names(list), ["cake", "cocoa", "juice", "tea"]);
    request(&mut bob, json!({"type": "leave", "room": "cocoa"})).await;
    let list = typed(&mut ann, "/rooms").await;
    assert_eq!(names(list), ["cake", "juice", "tea"]);
    // Who has left the last room is here and nowhere.
    request(&mut ann, json!({"type": "leave", "room": "tea"})).await;
    let list = typed(&mut ann, "/rooms").await;
    assert_eq!(names(list), ["cake", "juice"]);
    assert_eq!(mistyped(&mut ann, "hello?").await["code"], "not-in-room");
    // One who is lost leaves all rooms, which somebody in one of them hears of.
    typed(&mut ann, "/join juice").await;
    assert_eq!(hears(&mut bob, "joined").await["name"], "ann");
    drop(bob);
    assert_eq!(
        hears(&mut ann, "left").await,
        room("juice", "bob", &["ann"])
    );
    let list = typed(&mut ann, "/rooms").await;
    assert_eq!(list, json!([{"room": "juice", "count": 1}]));
}

#[tokio::test]
async fn a_whisper_is_for_one_in_the_same_room() {
    let gateway = rooms().await;
    let mut ann = connect(&gateway, "tea", &["ann"]).await;
    let mut bob = connect(&gateway, "tea", &["ann", "bob"]).await;
    assert_eq!(hears(&mut ann, "joined").await["name"], "bob");
    let mut cid = connect(&gateway, "tea", &["ann", "bob", "cid"]).await;
    assert_eq!(hears(&mut ann, "joined").await["name"], "cid");
    assert_eq!(hears(&mut bob, "joined").await["name"], "cid");
    let mut far = connect(&gateway, "cake", &["dan"]).await;
    let whispered = json!({"from": "ann", "text": "psst, it is late"});
    for (name, client) in [("bob", &mut bob), ("cid", &mut cid)] {
        let line = format!("/whisper {name} psst, it is late");
        ann.send(&line).await;
        assert_eq!(hears(client, "whispered").await, whispered);
        let whisper = json!({"type": "whisper", "to": name, "text": "psst, it is late"});
        assert_eq!(request(&mut ann, whisper).await, json!(null));
        assert_eq!(hears(client, "whispered").await, whispered);
    }
    let error = mistyped(&mut ann, "/whisper dan psst").await;
    assert_eq!(error["code"], "nobody");
    for client in [&mut ann, &mut bob, &mut cid, &mut far] {
        client.silent().await;
    }
}

#[tokio::test]
async fn within_a_room_a_name_belongs_to_one() {
    let gateway = rooms().await;
    let mut ann = connect(&gateway, "tea", &["ann"]).await;
    let mut second = gateway.connect("/rooms/tea?name=ann").await;
    let (code, reason) = second.recv_close().await;
    assert_eq!((code, &*reason), (1008, "somebody has your name in tea"));
    let mut elsewhere = connect(&gateway, "cake", &["ann"]).await;
    let join = json!({"type": "join", "room": "tea"});
    let error = refused(&mut elsewhere, join.clone()).await;
    assert_eq!(error["code"], "name-taken");
    // Of all that the first has heard nothing.
    ann.silent().await;
    ann.close(1000, "").await;
    let joined = request(&mut elsewhere, join.clone()).await;
    assert_eq!(joined, room("tea", "ann", &["ann"]));
    assert_eq!(
        refused(&mut elsewhere, join).await["code"],
        "joined-already"
    );
}

#[tokio::test]
async fn without_a_name_one_is_a_guest_and_without_a_room_in_the_lobby() {
    let gateway = Gateway::with("rooms").start().await;
    let mut guest = gateway.connect("/").await;
    let joined = hears(&mut guest, "joined").await;
    assert_eq!(joined["room"], "lobby");
    let name = joined["name"].as_str().unwrap();
    assert!(name.starts_with("guest-"), "{name}");
}

#[tokio::test]
async fn one_is_in_seven_rooms_at_most() {
    let gateway = rooms().await;
    // The longest names there are, of two bytes a letter.
    let name = |n: u32| "ü".repeat(15) + &format!("{n:0>2}");
    let mut ann = connect(&gateway, "tea", &["ann"]).await;
    for n in 1..7 {
        typed(&mut ann, &format!("/join {}", name(n))).await;
    }
    let error = mistyped(&mut ann, &format!("/join {}", name(7))).await;
    assert_eq!(error["code"], "too-many-rooms");
    let list = typed(&mut ann, "/rooms").await;
    assert_eq!(list.as_array().unwrap().len(), 7);
    assert_eq!(list[6], json!({"room": name(6), "count": 1}));
    request(&mut ann, json!({"type": "leave", "room": name(1)})).await;
    typed(&mut ann, &format!("/join {}", name(7))).await;
}

#[tokio::test]
async fn two_hundred_fill_a_room() {
    let gateway = rooms().await;
    let paths: Vec<_> = (0..200).map(|n| format!("/rooms/tea?name=n{n}")).collect();
    let people = join_all(paths.iter().map(async |path| {
        let mut client = gateway.connect(path).await;
        hears(&mut client, "joined").await;
        client
    }));
    let mut people = people.await.into_iter();
    let mut ann = connect(&gateway, "cake", &["ann"]).await;
    let error = mistyped(&mut ann, "/join tea").await;
    assert_eq!(error["code"], "room-full");
    let leaver = people.next().expect("there are 200");
    leaver.close(1000, "").await;
    gateway.until_metric("connections_open", 200).await;
    let joined = typed(&mut ann, "/join tea").await;
    assert_eq!(joined["members"].as_array().unwrap().len(), 200);
}

#[tokio::test]
async fn bad_names_are_refused_before_there_is_a_connection() {
    let gateway = rooms().await;
    let long = "x".repeat(33);
    for path in [
        "/rooms/tea?name=".to_owned(),
        "/rooms/tea?name=ann+b".to_owned(),
        "/rooms/tea?name=ann%0a".to_owned(),
        format!("/rooms/tea?name={long}"),
        format!("/rooms/{long}?name=ann"),
        "/rooms/t%20ea?name=ann".to_owned(),
    ] {
        let refused = Client::try_connect(gateway.address, &path, &[]).await;
        let Err(Error::Http(response)) = refused else {
            panic!("{path}: not refused");
        };
        assert_eq!(response.status(), 400, "{path}");
        let words = response.body().clone().unwrap_or_default();
        let words = String::from_utf8(words).unwrap();
        assert!(words.contains("1 to 32 bytes"), "{words}");
    }
    connect(&gateway, &long[1..], &[&long[1..]]).await;
}

#[tokio::test]
async fn a_bad_line_is_answered_with_what_to_mend() {
    let gateway = rooms().await;
    let mut ann = connect(&gateway, "tea", &["ann"]).await;
    let long = "x".repeat(33);
    for (line, field) in [
        ("", "text"),
        (&*"x".repeat(4001), "text"),
        ("/join", "room"),
        ("/join two words", "room"),
        (&*format!("/join {long}"), "room"),
        ("/whisper bob", "text"),
        (r#"{"type": "say", "text": 7}"#, "text"),
        (r#"{"type": "leave"}"#, "room"),
    ] {
        let error = mistyped(&mut ann, line).await;
        assert_eq!(error["code"], "invalid-message", "{line}");
        assert_eq!(error["details"]["field"], field, "{line}");
    }
    let known = json!(["say", "whisper", "join", "leave", "rooms"]);
    for line in ["/dance", "/"] {
        let error = mistyped(&mut ann, line).await;
        assert_eq!(error["code"], "unknown-type", "{line}");
        assert_eq!(error["details"]["known"], known, "{line}");
    }
    for (line, code) in [
        ("/leave cake", "not-in-room"),
        (
            r#"{"type": "say", "room": "cake", "text": "x"}"#,
            "not-in-room",
        ),
        ("/join tea", "joined-already"),
        ("{", "invalid-json"),
    ] {
        assert_eq!(mistyped(&mut ann, line).await["code"], code, "{line}");
    }
    ann.send_binary(b"/rooms").await;
    assert_eq!(ann.recv_json().await["error"]["code"], "binary-message");
    // Still there, and nowhere else.
    let tea = json!([{"room": "tea", "count": 1}]);
    assert_eq!(typed(&mut ann, "/rooms").await, tea);
}
