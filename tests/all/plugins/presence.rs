//! The plugin `presence`.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use super::envelope::{hears, refused, request};
use crate::client::Client;
use crate::gateway::{Gateway, Setup};

/// Consecutive connections are on different shards.
fn on_two_shards() -> Setup {
    let granted = Gateway::with("presence").plugin("grants.store = [\"presence\"]");
    granted.server("shards = 2")
}

async fn presence() -> Gateway {
    on_two_shards().start().await
}

async fn connect(gateway: &Gateway, user: &str) -> Client {
    gateway.connect(&format!("/?user={user}")).await
}

/// Connects, and waits until the user is known to be there: how others are is told after that.
async fn arrive(gateway: &Gateway, user: &str) -> Client {
    let mut client = connect(gateway, user).await;
    watch(&mut client, "nobody", "offline").await;
    client
}

/// Begins to watch a user, who has that status now.
async fn watch(client: &mut Client, user: &str, status: &str) -> Value {
    request(client, json!({"type": "watch", "users": [user]})).await;
    hears_that(client, user, status).await
}

/// The next message is that status of a user; returns it whole.
async fn hears_that(client: &mut Client, user: &str, status: &str) -> Value {
    let shown = hears(client, "status").await;
    assert_eq!(shown["user"], user, "{shown}");
    assert_eq!(shown["status"], status, "{shown}");
    shown
}

async fn set_status(client: &mut Client, status: &str) {
    let set = json!({"type": "set-status", "status": status});
    assert_eq!(request(client, set).await, json!(null));
}

#[tokio::test]
async fn a_user_is_offline_once_the_last_connection_is_gone_and_not_by_a_reload() {
    let gateway = presence().await;
    let mut bob = connect(&gateway, "bob").await;
    let never = json!({"user": "ann", "status": "offline", "lastSeen": null, "revision": 0});
    assert_eq!(watch(&mut bob, "ann", "offline").await, never);
    let mut laptop = arrive(&gateway, "ann").await;
    let online = hears_that(&mut bob, "ann", "online").await;
    let mut phone = arrive(&gateway, "ann").await;
    set_status(&mut laptop, "busy").await;
    hears_that(&mut bob, "ann", "busy").await;
    for (generation, status) in [(2, "away"), (3, "online")] {
        assert_eq!(gateway.reload().await.json()["generation"], generation);
        set_status(&mut phone, status).await;
        hears_that(&mut bob, "ann", status).await;
    }
    laptop.close(1000, "").await;
    set_status(&mut phone, "away").await;
    hears_that(&mut bob, "ann", "away").await;
    assert_eq!(gateway.reload().await.json()["generation"], 4);
    // The last socket is lost rather than closed.
    drop(phone);
    let offline = hears_that(&mut bob, "ann", "offline").await;
    for field in ["lastSeen", "revision"] {
        let number = |shown: &Value| shown[field].as_u64().unwrap();
        assert!(number(&offline) >= number(&online), "{offline}");
    }
    bob.silent().await;
    // Who comes back is online, and who looks only now sees when ann was there last.
    let mut cid = connect(&gateway, "cid").await;
    assert_eq!(watch(&mut cid, "ann", "offline").await, offline);
    let _laptop = arrive(&gateway, "ann").await;
    hears_that(&mut bob, "ann", "online").await;
    hears_that(&mut cid, "ann", "online").await;
}

#[tokio::test]
async fn connections_that_close_at_once_on_two_cores_are_one_offline() {
    let gateway = presence().await;
    let mut bob = connect(&gateway, "bob").await;
    let mut revision = watch(&mut bob, "ann", "offline").await["revision"].as_u64();
    for _ in 0..50 {
        let (laptop, phone) = tokio::join!(arrive(&gateway, "ann"), arrive(&gateway, "ann"));
        hears_that(&mut bob, "ann", "online").await;
        tokio::join!(laptop.close(1000, ""), phone.close(1000, ""));
        let offline = hears_that(&mut bob, "ann", "offline").await;
        let later = offline["revision"].as_u64();
        assert!(later > revision, "{offline}");
        revision = later;
    }
    bob.silent().await;
}

#[tokio::test]
async fn one_may_be_there_unseen() {
    let gateway = presence().await;
    let mut bob = connect(&gateway, "bob").await;
    let mut ann = arrive(&gateway, "ann").await;
    watch(&mut bob, "ann", "online").await;
    set_status(&mut ann, "offline").await;
    hears_that(&mut bob, "ann", "offline").await;
    set_status(&mut ann, "offline").await;
    let mut phone = connect(&gateway, "ann").await;
    watch(&mut phone, "ann", "offline").await;
    ann.close(1000, "").await;
    phone.close(1000, "").await;
    gateway.until_metric("connections_open", 1).await;
    bob.silent().await;
    // The next time it is as if nothing had been.
    let _ann = arrive(&gateway, "ann").await;
    hears_that(&mut bob, "ann", "online").await;
}

#[tokio::test]
async fn whom_one_watches_no_more_one_hears_nothing_of() {
    let gateway = presence().await;
    let mut ann = arrive(&gateway, "ann").await;
    let mut bob = connect(&gateway, "bob").await;
    let both = json!({"type": "watch", "users": ["ann", "cid", "ann"]});
    assert_eq!(request(&mut bob, both).await, 2);
    hears_that(&mut bob, "ann", "online").await;
    hears_that(&mut bob, "cid", "offline").await;
    let unwatch = json!({"type": "unwatch", "users": ["ann", "nobody"]});
    assert_eq!(request(&mut bob, unwatch).await, 1);
    set_status(&mut ann, "busy").await;
    let _cid = arrive(&gateway, "cid").await;
    hears_that(&mut bob, "cid", "online").await;
    bob.silent().await;
}

#[tokio::test]
async fn users_and_the_connections_of_one_are_counted() {
    let gateway = presence().await;
    let mut bob = arrive(&gateway, "bob").await;
    let phone = arrive(&gateway, "ann").await;
    let _laptop = arrive(&gateway, "ann").await;
    let count = |users, connections| json!({"users": users, "connections": connections});
    let ann = json!({"type": "who", "user": "ann"});
    let own = request(&mut bob, json!({"type": "who"})).await;
    assert_eq!(own, count(2, 1));
    assert_eq!(request(&mut bob, ann.clone()).await, count(2, 2));
    drop(phone);
    gateway.until_metric("connections_open", 2).await;
    assert_eq!(request(&mut bob, ann).await, count(2, 1));
    let nobody = json!({"type": "who", "user": "cid"});
    assert_eq!(request(&mut bob, nobody).await, count(2, 0));
}

#[tokio::test]
async fn last_seen_survives_a_gateway_that_was_killed() {
    let disk = tempfile::tempdir().unwrap();
    let path = disk.path().join("store.redb");
    let start = || on_two_shards().more(&format!("[store]\npath = {path:?}"));
    let gateway = start().start().await;
    let mut ann = arrive(&gateway, "ann").await;
    let seen = watch(&mut ann, "ann", "online").await;
    let _phone = arrive(&gateway, "ann").await;
    drop(gateway);

    let gateway = start().start().await;
    let mut bob = connect(&gateway, "bob").await;
    let offline = watch(&mut bob, "ann", "offline").await;
    assert!(offline["lastSeen"].as_u64() >= seen["lastSeen"].as_u64());
    // Connections of the process before do not keep her there.
    let ann = arrive(&gateway, "ann").await;
    hears_that(&mut bob, "ann", "online").await;
    ann.close(1000, "").await;
    hears_that(&mut bob, "ann", "offline").await;
    bob.silent().await;
}

#[tokio::test]
async fn without_a_grant_the_log_says_what_to_grant() {
    let gateway = Gateway::with("presence").start().await;
    let mut ann = connect(&gateway, "ann").await;
    let set = json!({"type": "set-status", "status": "busy"});
    assert_eq!(refused(&mut ann, set).await["code"], "internal");
    gateway
        .until_log("name it in grants.store of the plugin")
        .await;
}

#[tokio::test]
async fn a_bad_message_is_answered_with_what_to_mend() {
    let gateway = presence().await;
    for path in ["/", "/?user=", &format!("/?user={}", "x".repeat(101))] {
        match Client::try_connect(gateway.address, path, &[]).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), 400, "{path}"),
            _ => panic!("{path}: not refused"),
        }
    }
    let mut ann = arrive(&gateway, "ann").await;
    let names = |count| -> Vec<_> { (0..count).map(|n| format!("{n:0>100}")).collect() };
    for (message, field) in [
        (json!({"type": "set-status"}), "status"),
        (json!({"type": "set-status", "status": "asleep"}), "status"),
        (json!({"type": "watch"}), "users"),
        (json!({"type": "watch", "users": "ann"}), "users"),
        (json!({"type": "watch", "users": []}), "users"),
        (json!({"type": "watch", "users": names(101)}), "users"),
        (json!({"type": "watch", "users": ["bob", ""]}), "users[1]"),
        (
            json!({"type": "unwatch", "users": ["x".repeat(101)]}),
            "users[0]",
        ),
        (json!({"type": "who", "user": 7}), "user"),
    ] {
        let error = refused(&mut ann, message.clone()).await;
        assert_eq!(error["code"], "invalid-message", "{message}");
        assert_eq!(error["details"]["field"], field, "{message}");
    }
    let error = refused(&mut ann, json!({"type": "sleep"})).await;
    assert_eq!(error["code"], "unknown-type");
    // A hundred are watched; of one more, and of who comes with it, nobody is.
    let mut bob = arrive(&gateway, "bob").await;
    request(&mut ann, json!({"type": "unwatch", "users": ["nobody"]})).await;
    let hundred = json!({"type": "watch", "users": names(100)});
    assert_eq!(request(&mut ann, hundred).await, 100);
    for name in names(100) {
        hears_that(&mut ann, &name, "offline").await;
    }
    let more = json!({"type": "watch", "users": ["bob"]});
    let error = refused(&mut ann, more).await;
    assert_eq!(error["code"], "too-many-watched");
    set_status(&mut bob, "busy").await;
    ann.silent().await;
}
