//! The plugin `modules`, between `auth` and `chat`.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use super::token::{self, SECRET};
use crate::client::Client;
use crate::gateway::{Gateway, Setup};

fn modules() -> Setup {
    Gateway::with("modules")
        .path("/rooms/{room}")
        .plugin("[plugin.grants]\nstate = [\"auth\"]\nstore = [\"mutes\"]")
        .behind(
            "auth",
            &format!("[plugin.config]\nalgorithm = \"HS256\"\nkey = {SECRET:?}"),
        )
        .before("chat", "")
}

/// Comes into the room and reads the welcome.
async fn come(gateway: &Gateway, user: &str, roles: &[&str]) -> Client {
    let token = token::of(user, roles);
    let path = format!("/rooms/tea?username={user}&token={token}");
    let mut client = gateway.connect(&path).await;
    assert_eq!(client.recv_json().await["type"], "welcome");
    client
}

/// Ann, an admin, and bob, who have met.
async fn ann_and_bob(gateway: &Gateway) -> (Client, Client) {
    let mut ann = come(gateway, "ann", &["admin"]).await;
    let bob = come(gateway, "bob", &[]).await;
    assert_eq!(
        ann.recv_json().await,
        json!({ "type": "join", "name": "bob" })
    );
    (ann, bob)
}

/// Sends a message and returns its answer; what else comes before it is passed over.
async fn ask(client: &mut Client, message: Value) -> Value {
    let mut message = message;
    message["id"] = "a".into();
    client.send(&message.to_string()).await;
    loop {
        let answer = client.recv_json().await;
        if answer["requestId"] == "a" {
            assert_eq!(answer["type"], message["type"]);
            return answer;
        }
    }
}

/// The data of an answer that says that all is well.
async fn data(client: &mut Client, message: Value) -> Value {
    let mut answer = ask(client, message).await;
    assert_eq!(answer["success"], true, "{answer}");
    answer["data"].take()
}

/// The code of an error, and the field that it names.
async fn fault(client: &mut Client, message: Value) -> (String, Value) {
    let mut answer = ask(client, message).await;
    let code = answer["error"]["code"].as_str().map(str::to_owned);
    let code = code.unwrap_or_else(|| panic!("{answer}"));
    (code, answer["error"]["details"]["field"].take())
}

/// Checks that what one says reaches the other.
async fn talks(from: &mut Client, name: &str, to: &mut Client) {
    from.send("hello").await;
    let said = json!({ "type": "message", "from": name, "text": "hello" });
    assert_eq!(to.recv_json().await, said);
}

/// Checks that what one says comes back instead.
async fn is_kept(from: &mut Client, reason: Value) {
    from.send("hello").await;
    let refused = from.recv_json().await;
    assert_eq!(
        (&refused["type"], &refused["success"]),
        (&"error".into(), &false.into())
    );
    assert_eq!(refused["error"]["code"], "muted", "{refused}");
    assert_eq!(refused["error"]["details"]["by"], "ann");
    assert_eq!(refused["error"]["details"]["reason"], reason);
}

#[tokio::test]
async fn each_plugin_of_the_chain_has_its_part_also_after_reloads() {
    let gateway = modules().start().await;
    let (mut ann, mut bob) = ann_and_bob(&gateway).await;
    for generation in 2..4 {
        assert_eq!(
            data(&mut ann, json!({ "type": "me" })).await,
            json!({ "id": "ann", "roles": ["admin"], "muted": null })
        );
        talks(&mut bob, "bob", &mut ann).await;
        // Of a type that is nobody's, it is text.
        let message = r#"{"type": "wave"}"#;
        bob.send(message).await;
        assert_eq!(ann.recv_json().await["text"], message);

        data(
            &mut ann,
            json!({ "type": "mute", "v": 2, "user": "bob", "seconds": 3600 }),
        )
        .await;
        assert_eq!(bob.recv_json().await["type"], "muted");
        assert_eq!(gateway.reload().await.json()["generation"], generation);
        for other in ["auth", "chat"] {
            let reloaded = gateway.reload_other(other).await.json();
            assert_eq!(reloaded["generation"], generation);
        }
        is_kept(&mut bob, Value::Null).await;
        data(&mut ann, json!({ "type": "unmute", "user": "bob" })).await;
        assert_eq!(bob.recv_json().await["type"], "unmuted");
    }
    talks(&mut bob, "bob", &mut ann).await;
    assert_eq!(
        data(&mut ann, json!({ "type": "kick", "user": "bob" })).await,
        1
    );
    assert_eq!(bob.recv_close().await, (4003, "kicked".to_owned()));
    assert_eq!(
        ann.recv_json().await,
        json!({ "type": "leave", "name": "bob", "members": ["ann"] })
    );
}

#[tokio::test]
async fn a_kick_closes_all_connections_of_a_user_and_no_others() {
    let gateway = modules().server("shards = 2").start().await;
    let mut ann = come(&gateway, "ann", &["admin"]).await;
    let mut bobs = Vec::new();
    for _ in 0..4 {
        bobs.push(come(&gateway, "bob", &[]).await);
    }
    let mut bobby = come(&gateway, "bobby", &[]).await;
    let kick = json!({ "type": "kick", "user": "bob", "reason": "out, please" });
    assert_eq!(data(&mut ann, kick.clone()).await, 4);
    for mut bob in bobs {
        assert_eq!(bob.closed().await, Some((4003, "out, please".to_owned())));
    }
    assert_eq!(
        data(&mut bobby, json!({ "type": "me" })).await["id"],
        "bobby"
    );
    gateway.until_metric("connections_open", 2).await;
    assert_eq!(fault(&mut ann, kick).await.0, "not-here");
    // A kick is no ban.
    come(&gateway, "bob", &[]).await;
}

#[tokio::test]
async fn only_admins_may_kick_and_mute() {
    let gateway = modules().start().await;
    let (mut ann, mut bob) = ann_and_bob(&gateway).await;
    for message in [
        json!({ "type": "kick", "user": "ann" }),
        json!({ "type": "mute", "v": 2, "user": "ann", "seconds": 60 }),
        json!({ "type": "unmute", "user": "bob" }),
        // Who may not is told so first.
        json!({ "type": "mute" }),
    ] {
        assert_eq!(fault(&mut bob, message).await.0, "forbidden");
    }
    talks(&mut ann, "ann", &mut bob).await;
}

#[tokio::test]
async fn a_mute_holds_on_all_connections_until_it_is_over() {
    let gateway = modules().start().await;
    let (mut ann, mut bob) = ann_and_bob(&gateway).await;
    let mute =
        json!({ "type": "mute", "v": 2, "user": "bob", "seconds": 3600, "reason": "too loud" });
    let muted = data(&mut ann, mute).await;
    assert_eq!(
        (&muted["by"], &muted["reason"]),
        (&"ann".into(), &"too loud".into())
    );
    let heard = bob.recv_json().await;
    assert_eq!(
        (&heard["type"], &heard["payload"]),
        (&"muted".into(), &muted)
    );
    is_kept(&mut bob, "too loud".into()).await;
    bob.send_binary(b"hello").await;
    assert_eq!(bob.recv_json().await["error"]["code"], "muted");
    assert_eq!(
        data(&mut bob, json!({ "type": "me" })).await["muted"],
        muted
    );
    // Coming back does not help.
    drop(bob);
    assert_eq!(ann.recv_json().await["type"], "leave");
    let mut bob = come(&gateway, "bob", &[]).await;
    assert_eq!(ann.recv_json().await["type"], "join");
    is_kept(&mut bob, "too loud".into()).await;
    ann.silent().await;
    // A second one takes the place of the first.
    data(
        &mut ann,
        json!({ "type": "mute", "v": 2, "user": "bob", "seconds": 1 }),
    )
    .await;
    assert_eq!(bob.recv_json().await["type"], "muted");
    while data(&mut bob, json!({ "type": "me" })).await["muted"] != Value::Null {}
    talks(&mut bob, "bob", &mut ann).await;
}

#[tokio::test]
async fn clients_of_the_first_version_are_understood() {
    let gateway = modules().start().await;
    let (mut ann, mut bob) = ann_and_bob(&gateway).await;
    for (mute, seconds) in [
        (json!({ "user": "bob", "minutes": 2 }), 120),
        (json!({ "v": 1, "user": "bob", "minutes": 2 }), 120),
        (json!({ "v": 2, "user": "bob", "seconds": 90 }), 90),
    ] {
        let before = token::now();
        let muted = data(&mut ann, json!({ "type": "mute", "payload": mute })).await;
        let until = muted["until"].as_u64().expect("a time");
        assert!(
            (before + seconds..=token::now() + seconds).contains(&until),
            "{muted}"
        );
        assert_eq!(bob.recv_json().await["payload"]["until"], until);
        is_kept(&mut bob, Value::Null).await;
    }
}

#[tokio::test]
async fn what_is_wrong_is_named_and_nothing_comes_of_it() {
    let gateway = modules().start().await;
    let (mut ann, mut bob) = ann_and_bob(&gateway).await;
    for (message, field) in [
        (json!({ "type": "kick" }), "user"),
        (json!({ "type": "kick", "user": "" }), "user"),
        (json!({ "type": "kick", "user": 7 }), "user"),
        (
            json!({ "type": "kick", "user": "bob", "reason": "x".repeat(101) }),
            "reason",
        ),
        (json!({ "type": "mute", "v": 2, "seconds": 60 }), "user"),
        (
            json!({ "type": "mute", "v": 2, "user": "bob", "seconds": 0 }),
            "seconds",
        ),
        (
            json!({ "type": "mute", "v": 2, "user": "bob", "seconds": 86_401 }),
            "seconds",
        ),
        (
            json!({ "type": "mute", "v": 2, "user": "bob", "seconds": -1 }),
            "seconds",
        ),
        (
            json!({ "type": "mute", "user": "bob", "minutes": u64::MAX }),
            "seconds",
        ),
        (
            json!({ "type": "mute", "v": 2, "user": "bob", "minutes": 1 }),
            "payload",
        ),
        (
            json!({ "type": "mute", "v": 1, "user": "bob", "seconds": 1 }),
            "payload",
        ),
        (
            json!({ "type": "mute", "v": 3, "user": "bob", "seconds": 1 }),
            "payload",
        ),
        (
            json!({ "type": "mute", "v": "2", "user": "bob", "seconds": 1 }),
            "v",
        ),
        (json!({ "type": "unmute" }), "user"),
    ] {
        let named = fault(&mut ann, message.clone()).await;
        assert_eq!(
            named,
            ("invalid-message".to_owned(), field.into()),
            "{message}"
        );
    }
    talks(&mut bob, "bob", &mut ann).await;
}

#[tokio::test]
async fn nobody_comes_in_anothers_name() {
    let gateway = modules().start().await;
    let token = token::of("bob", &[]);
    for (path, status) in [
        (format!("/rooms/tea?username=ann&token={token}"), 403),
        (format!("/rooms/tea?token={token}"), 403),
        ("/rooms/tea?username=ann".to_owned(), 401),
    ] {
        match Client::try_connect(gateway.address, &path, &[]).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), status, "{path}"),
            other => panic!("{path}: {:?}", other.err()),
        }
    }
}

#[tokio::test]
async fn no_room_is_the_topic_by_which_users_are_found() {
    let gateway = modules().start().await;
    let (mut ann, mut bob) = ann_and_bob(&gateway).await;
    let token = token::of("cid", &[]);
    // Whatever a room of the plugin behind it is called.
    for room in ["bob", "user%3Abob"] {
        let path = format!("/rooms/{room}?username=cid&token={token}");
        let mut cid = gateway.connect(&path).await;
        let welcome = cid.recv_json().await;
        assert_eq!(welcome["members"], json!(["cid"]));
    }
    assert_eq!(
        data(&mut ann, json!({ "type": "kick", "user": "bob" })).await,
        1
    );
    assert_eq!(bob.closed().await, Some((4003, "kicked".to_owned())));
}

#[tokio::test]
async fn every_route_is_logged_with_its_duration() {
    let gateway = modules().start().await;
    let (mut ann, mut bob) = ann_and_bob(&gateway).await;
    data(&mut ann, json!({ "type": "me" })).await;
    gateway.until_log("me by ann took ").await;
    fault(&mut bob, json!({ "type": "kick", "user": "ann" })).await;
    gateway.until_log("and failed: forbidden: ").await;
    assert!(
        gateway.log().contains("kick by bob took "),
        "{}",
        gateway.log()
    );
}
