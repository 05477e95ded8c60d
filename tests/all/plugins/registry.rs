//! The plugin `registry`.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use super::envelope::{hears, refused, request};
use crate::client::Client;
use crate::gateway::Gateway;

async fn registry() -> Gateway {
    let setup = Gateway::with("registry").server("shards = 2");
    setup.start().await
}

/// Connects, and waits until that is known everywhere.
async fn connect(gateway: &Gateway, user: &str, metadata: &str) -> Client {
    let path = format!("/?user={user}&metadata={}", percent(metadata));
    let mut client = gateway.connect(&path).await;
    request(&mut client, json!({"type": "online"})).await;
    client
}

/// All users with the metadata of their connections, in any order.
async fn online(client: &mut Client) -> BTreeSet<(String, BTreeSet<String>)> {
    let users = request(client, json!({"type": "online"})).await;
    let users = users.as_array().unwrap().iter().map(|user| {
        let connections = user["connections"].as_array().unwrap().iter();
        let name = user["user"].as_str().unwrap().to_owned();
        (name, connections.map(Value::to_string).collect())
    });
    users.collect()
}

fn users<const N: usize>(users: [(&str, &[&str]); N]) -> BTreeSet<(String, BTreeSet<String>)> {
    let users = users.into_iter().map(|(user, connections)| {
        let connections = connections.iter().map(|&text| text.to_owned());
        (user.to_owned(), connections.collect())
    });
    users.collect()
}

fn message(from: &str, to: &str, data: &str) -> Value {
    json!({"from": from, "to": to, "data": data})
}

/// How many users and connections are in `devs`.
async fn size(client: &mut Client, kind: &str) -> (u64, u64) {
    let size = request(client, json!({"type": kind, "group": "devs"})).await;
    let number = |field: &str| size[field].as_u64().unwrap();
    (number("users"), number("connections"))
}

#[tokio::test]
async fn users_are_reached_on_all_their_connections_before_and_after_a_reload() {
    let gateway = registry().await;
    let mut laptop = connect(&gateway, "ann", r#"{"device":"laptop"}"#).await;
    let mut phone = connect(&gateway, "ann", r#"{"device":"phone"}"#).await;
    let mut bob = gateway.connect("/?user=bob").await;
    let ann: &[_] = &[r#"{"device":"laptop"}"#, r#"{"device":"phone"}"#];
    let both = users([("ann", ann), ("bob", &["{}"])]);
    assert_eq!(online(&mut bob).await, both);
    for generation in 2..4 {
        let send = json!({"type": "send-to-user", "user": "ann", "data": "hello"});
        let delivered = request(&mut bob, send.clone()).await;
        assert_eq!(delivered, json!({"connections": 2}));
        let hello = message("bob", "user:ann", "hello");
        assert_eq!(hears(&mut laptop, "message").await, hello);
        assert_eq!(hears(&mut phone, "message").await, hello);
        // From one's own phone it goes to the laptop.
        let delivered = request(&mut phone, send).await;
        assert_eq!(delivered, json!({"connections": 1}));
        let hello = message("ann", "user:ann", "hello");
        assert_eq!(hears(&mut laptop, "message").await, hello);
        assert_eq!(gateway.reload().await.json()["generation"], generation);
    }
    assert_eq!(online(&mut bob).await, both);
    let metadata = json!({"device": "laptop", "battery": 7});
    request(
        &mut laptop,
        json!({"type": "set-metadata", "metadata": metadata}),
    )
    .await;
    let ann: &[_] = &[
        r#"{"battery":7,"device":"laptop"}"#,
        r#"{"device":"phone"}"#,
    ];
    let both = users([("ann", ann), ("bob", &["{}"])]);
    assert_eq!(online(&mut bob).await, both);
    laptop.close(1000, "").await;
    // One who is lost is gone as well.
    drop(phone);
    gateway.until_metric("connections_open", 1).await;
    assert_eq!(online(&mut bob).await, users([("bob", &["{}"])]));
    for gone in ["ann", "bob"] {
        let send = json!({"type": "send-to-user", "user": gone, "data": 1});
        let error = refused(&mut bob, send).await;
        assert_eq!(error["code"], "offline");
    }
}

#[tokio::test]
async fn a_broadcast_goes_to_all_but_the_sender_and_whom_it_names() {
    let gateway = registry().await;
    let mut ann = connect(&gateway, "ann", "{}").await;
    let mut phone = connect(&gateway, "ann", "{}").await;
    let mut bob = connect(&gateway, "bob", "{}").await;
    let mut cid = connect(&gateway, "cid", "{}").await;
    let delivered = request(&mut ann, json!({"type": "broadcast", "data": "all"})).await;
    assert_eq!(delivered, json!({"connections": 3}));
    for client in [&mut phone, &mut bob, &mut cid] {
        let all = message("ann", "users", "all");
        assert_eq!(hears(client, "message").await, all);
    }
    let some = json!({"type": "broadcast", "data": "some", "except": ["ann", "cid", "nobody"]});
    let delivered = request(&mut ann, some).await;
    assert_eq!(delivered, json!({"connections": 1}));
    let some = message("ann", "users", "some");
    assert_eq!(hears(&mut bob, "message").await, some);
    for client in [&mut ann, &mut phone, &mut bob, &mut cid] {
        client.silent().await;
    }
}

#[tokio::test]
async fn groups_are_joined_told_counted_listed_and_left() {
    let gateway = registry().await;
    let mut ann = connect(&gateway, "ann", "{}").await;
    let mut phone = connect(&gateway, "ann", "{}").await;
    let mut bob = connect(&gateway, "bob", "{}").await;
    let mut cid = connect(&gateway, "cid", "{}").await;
    assert_eq!(size(&mut cid, "group-size").await, (0, 0));
    assert_eq!(size(&mut ann, "join-group").await, (1, 1));
    assert_eq!(size(&mut phone, "join-group").await, (1, 2));
    assert_eq!(size(&mut bob, "join-group").await, (2, 3));
    assert_eq!(size(&mut bob, "join-group").await, (2, 3));
    let members = json!({"type": "group-members", "group": "devs"});
    assert_eq!(
        request(&mut cid, members.clone()).await,
        json!(["ann", "bob"])
    );

    let mut send = json!({"type": "send-to-group", "group": "devs", "data": "hi"});
    let delivered = request(&mut cid, send.clone()).await;
    assert_eq!(delivered, json!({"connections": 3}));
    for client in [&mut ann, &mut phone, &mut bob] {
        let hi = message("cid", "group:devs", "hi");
        assert_eq!(hears(client, "message").await, hi);
    }
    assert_eq!(gateway.reload().await.json()["generation"], 2);
    send["except"] = json!(["ann"]);
    let delivered = request(&mut cid, send.clone()).await;
    assert_eq!(delivered, json!({"connections": 1}));
    let hi = message("cid", "group:devs", "hi");
    assert_eq!(hears(&mut bob, "message").await, hi);
    send["except"] = json!(["bob"]);
    assert_eq!(request(&mut ann, send).await, json!({"connections": 1}));
    let hi = message("ann", "group:devs", "hi");
    assert_eq!(hears(&mut phone, "message").await, hi);

    assert_eq!(size(&mut phone, "leave-group").await, (2, 2));
    assert_eq!(size(&mut cid, "leave-group").await, (2, 2));
    bob.close(1000, "").await;
    gateway.until_metric("connections_open", 3).await;
    assert_eq!(size(&mut cid, "group-size").await, (1, 1));
    assert_eq!(request(&mut cid, members).await, json!(["ann"]));
    for client in [&mut ann, &mut phone, &mut cid] {
        client.silent().await;
    }
}

#[tokio::test]
async fn metadata_is_an_object_of_a_labels_length() {
    let gateway = registry().await;
    let padded = |len: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(len - 8));
    let mut ann = connect(&gateway, "ann", &padded(255)).await;
    let (full, over) = (padded(255), padded(256));
    assert_eq!(online(&mut ann).await, users([("ann", &[&full])]));
    for metadata in [&*over, "[]", "7", "null", "{", ""] {
        let path = format!("/?user=bob&metadata={}", percent(metadata));
        match Client::try_connect(gateway.address, &path, &[]).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), 400, "{metadata}"),
            _ => panic!("{metadata}: not refused"),
        }
    }
    let over: Value = serde_json::from_str(&over).unwrap();
    for metadata in [over, json!([]), json!(7), json!(null)] {
        let set = json!({"type": "set-metadata", "metadata": metadata});
        let error = refused(&mut ann, set).await;
        assert_eq!(error["details"]["field"], "metadata", "{error}");
    }
    assert_eq!(online(&mut ann).await, users([("ann", &[&full])]));
}

#[tokio::test]
async fn who_one_is_has_to_be_said() {
    let gateway = registry().await;
    let long = "x".repeat(101);
    for path in ["/", "/?user=", &format!("/?user={long}")] {
        match Client::try_connect(gateway.address, path, &[]).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), 400, "{path}"),
            _ => panic!("{path}: not refused"),
        }
    }
    connect(&gateway, &long[1..], "{}").await;
}

#[tokio::test]
async fn a_bad_message_is_answered_with_what_to_mend() {
    let setup = Gateway::with("registry").limits("effects = \"4KiB\"");
    // Two are those of everybody and of the user.
    let gateway = setup.route_limits("subscriptions = 3").start().await;
    let mut ann = connect(&gateway, "ann", "{}").await;
    let (long, many) = ("x".repeat(101), vec!["bob"; 101]);
    for (message, field) in [
        (json!({"type": "send-to-user", "data": 1}), "user"),
        (
            json!({"type": "send-to-user", "user": "", "data": 1}),
            "user",
        ),
        (
            json!({"type": "send-to-user", "user": long, "data": 1}),
            "user",
        ),
        (json!({"type": "send-to-user", "user": "bob"}), "data"),
        (json!({"type": "broadcast"}), "data"),
        (
            json!({"type": "broadcast", "data": 1, "except": "bob"}),
            "except",
        ),
        (
            json!({"type": "broadcast", "data": 1, "except": many}),
            "except",
        ),
        (
            json!({"type": "send-to-group", "group": "", "data": 1}),
            "group",
        ),
        (json!({"type": "join-group"}), "group"),
        (json!({"type": "join-group", "group": long}), "group"),
        (json!({"type": "leave-group", "group": ""}), "group"),
        (json!({"type": "group-size", "group": 7}), "group"),
        (json!({"type": "group-members"}), "group"),
        (json!({"type": "set-metadata"}), "metadata"),
    ] {
        let error = refused(&mut ann, message.clone()).await;
        assert_eq!(error["code"], "invalid-message", "{message}");
        assert_eq!(error["details"]["field"], field, "{message}");
    }
    let large = json!({"type": "broadcast", "data": "x".repeat(5000)});
    assert_eq!(refused(&mut ann, large).await["code"], "too-large");
    request(&mut ann, json!({"type": "join-group", "group": "devs"})).await;
    let join = json!({"type": "join-group", "group": "ops"});
    assert_eq!(refused(&mut ann, join).await["code"], "too-many-groups");
    let error = refused(&mut ann, json!({"type": "shout"})).await;
    assert_eq!(error["code"], "unknown-type");
    assert_eq!(size(&mut ann, "group-size").await, (1, 1));
}

/// Percent-encodes all but letters and digits of ASCII.
fn percent(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
