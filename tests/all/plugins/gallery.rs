//! The plugin `gallery`: what is wrong is named, wherever it is.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use crate::client::Client;
use crate::gateway::{Gateway, tidegate};
use crate::guests;

async fn gallery() -> Gateway {
    Gateway::with("gallery").path("/gallery").start().await
}

/// Enters a room, and waits until it is known there.
async fn enter(gateway: &Gateway) -> Client {
    let mut client = gateway.connect("/gallery?room=tea&page=3").await;
    let place = data(&mut client, "where", &json!({})).await;
    assert_eq!(place, json!({ "room": "tea", "page": 3 }));
    client
}

/// Sends a message and returns its answer.
async fn ask(client: &mut Client, kind: &str, payload: &Value) -> Value {
    let message = json!({ "type": kind, "id": "a", "payload": payload });
    client.send(&message.to_string()).await;
    let answer = client.recv_json().await;
    assert_eq!(
        (&answer["type"], &answer["requestId"]),
        (&kind.into(), &"a".into()),
        "{answer}"
    );
    answer
}

/// The data of an answer that says that all is well.
async fn data(client: &mut Client, kind: &str, payload: &Value) -> Value {
    let mut answer = ask(client, kind, payload).await;
    assert_eq!(answer["success"], true, "{answer}");
    answer["data"].take()
}

/// Checks that the answer is an error that names all of these fields, and no others.
async fn names(client: &mut Client, kind: &str, payload: &Value, fields: &[&str]) {
    let answer = ask(client, kind, payload).await;
    assert_eq!(answer["error"]["code"], "invalid-message", "{answer}");
    let details = &answer["error"]["details"];
    let named: Vec<_> = match details["fields"].as_array() {
        Some(all) => all.iter().map(|wrong| &wrong["field"]).collect(),
        None => vec![&details["field"]],
    };
    assert_eq!(named, fields, "{payload}: {answer}");
    assert!(details["reason"].is_string(), "{answer}");
}

fn picture() -> Value {
    json!({
        "title": "Impression, sunrise",
        "artist": { "name": "Claude Monet", "email": "claude@example.com" },
        "size": { "width": 63, "height": 48 },
        "medium": "oil",
        "tags": ["sea", "morning-2"],
        "year": 1872,
    })
}

/// The picture with another value there, or without it.
fn with(pointer: &str, value: Value) -> Value {
    let mut picture = picture();
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let parent = picture.pointer_mut(parent).expect("it is there");
    match value {
        Value::Null => drop(parent.as_object_mut().expect("an object").remove(name)),
        value => parent[name] = value,
    }
    picture
}

#[tokio::test]
async fn a_query_or_a_header_that_is_wrong_is_named_before_the_upgrade() {
    let gateway = gallery().await;
    let long = format!("?room={}", "x".repeat(33));
    for (query, version, field) in [
        ("", "", "room"),
        ("?room=", "", "room"),
        ("?room=Tea", "", "room"),
        (&long, "", "room"),
        ("?room=tea&page=0", "", "page"),
        ("?room=tea&page=101", "", "page"),
        ("?room=tea&page=-1", "", "page"),
        ("?room=tea&page=two", "", "page"),
        ("?room=tea&page=", "", "page"),
        ("?room=tea", "3.0.0", "x-client-version"),
        ("?room=tea", "0.9", "x-client-version"),
        ("?room=tea", "latest", "x-client-version"),
    ] {
        let path = format!("/gallery{query}");
        let headers = [("x-client-version", version)];
        let headers = if version.is_empty() {
            &[][..]
        } else {
            &headers
        };
        let Err(Error::Http(response)) = Client::try_connect(gateway.address, &path, headers).await
        else {
            panic!("{path} {version}: not refused");
        };
        assert_eq!(response.status(), 400, "{path} {version}");
        assert_eq!(response.headers()["content-type"], "application/json");
        let body = response.body().clone().unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(body["code"], "invalid-message", "{body}");
        assert_eq!(body["details"]["field"], field, "{body}");
        assert!(body["details"]["reason"].is_string(), "{body}");
    }
}

#[tokio::test]
async fn what_is_right_becomes_a_value_that_outlives_a_reload() {
    let gateway = gallery().await;
    let headers = [("x-client-version", "2.4.1")];
    let path = "/gallery?room=tea&page=100";
    let mut ann = Client::try_connect(gateway.address, path, &headers)
        .await
        .expect("granted");
    let mut bob = gateway.connect("/gallery?room=tea").await;
    assert_eq!(
        data(&mut ann, "where", &json!({})).await,
        json!({ "room": "tea", "page": 100 })
    );
    assert_eq!(
        data(&mut bob, "where", &json!({})).await,
        json!({ "room": "tea", "page": 1 })
    );

    let hung = data(&mut ann, "submit", &picture()).await;
    assert_eq!(hung["area"], 3024.0);
    assert_eq!(hung["picture"]["artist"]["name"], "Claude Monet");
    let heard = bob.recv_json().await;
    assert_eq!((&heard["type"], &heard["payload"]), (&"hung".into(), &hung));

    assert_eq!(gateway.reload().await.json()["generation"], 2);
    assert_eq!(
        data(&mut ann, "where", &json!({})).await,
        json!({ "room": "tea", "page": 100 })
    );
    names(&mut ann, "submit", &with("/title", "".into()), &["title"]).await;
    data(&mut ann, "submit", &picture()).await;
    assert_eq!(bob.recv_json().await["type"], "hung");
}

#[tokio::test]
async fn a_nested_field_that_is_wrong_is_named_by_its_path() {
    let gateway = gallery().await;
    let (mut ann, mut bob) = (enter(&gateway).await, enter(&gateway).await);
    for (pointer, value, field) in [
        ("/title", "".into(), "title"),
        ("/title", "x".repeat(81).into(), "title"),
        ("/title", 7.into(), "title"),
        ("/title", Value::Null, "title"),
        ("/artist", Value::Null, "artist"),
        ("/artist", "Claude".into(), "artist"),
        ("/artist/name", Value::Null, "artist.name"),
        ("/artist/email", "claude".into(), "artist.email"),
        ("/artist/email", "@example.com".into(), "artist.email"),
        ("/artist/email", "a@b@example.com".into(), "artist.email"),
        ("/artist/email", "a@example..com".into(), "artist.email"),
        ("/artist/email", "a b@example.com".into(), "artist.email"),
        ("/size/width", 0.into(), "size.width"),
        ("/size/width", 1000.5.into(), "size.width"),
        ("/size/height", "tall".into(), "size.height"),
        ("/medium", "ice".into(), "medium"),
        ("/tags", json!(["sea", "Sea"]), "tags[1]"),
        ("/tags", json!(["sea", 7]), "tags[1]"),
        ("/tags", json!(["a", "b", "c", "d", "e", "f"]), "tags"),
        ("/year", 1399.into(), "year"),
        ("/year", 2101.into(), "year"),
        ("/year", 99999.into(), "year"),
        ("/colour", "blue".into(), "colour"),
    ] {
        names(&mut ann, "submit", &with(pointer, value), &[field]).await;
    }
    for optional in ["/year", "/tags"] {
        data(&mut ann, "submit", &with(optional, Value::Null)).await;
        assert_eq!(bob.recv_json().await["type"], "hung");
    }
    // Of what was wrong, the others have not heard.
    bob.silent().await;
}

#[tokio::test]
async fn all_that_is_wrong_is_named_at_once() {
    let gateway = gallery().await;
    let mut ann = enter(&gateway).await;
    let mut picture = picture();
    picture["title"] = "".into();
    picture["artist"]["email"] = "claude".into();
    picture["size"]["width"] = 0.into();
    picture["tags"] = json!(["Sea"]);
    let fields = ["artist.email", "size.width", "tags[0]", "title"];
    names(&mut ann, "submit", &picture, &fields).await;
}

#[tokio::test]
async fn numbers_have_ranges_and_fields_may_be_missing() {
    let gateway = gallery().await;
    let mut ann = enter(&gateway).await;
    assert_eq!(
        data(&mut ann, "rate", &json!({ "stars": 5 })).await,
        json!({ "stars": "*****", "has_comment": false })
    );
    let longest = "ü".repeat(280);
    let rated = data(&mut ann, "rate", &json!({ "stars": 1, "comment": longest })).await;
    assert_eq!(rated["has_comment"], true);
    for (rating, field) in [
        (json!({ "stars": 0 }), "stars"),
        (json!({ "stars": 6 }), "stars"),
        (json!({ "stars": 256 }), "stars"),
        (json!({ "stars": -1 }), "stars"),
        (json!({ "stars": 4.5 }), "stars"),
        (json!({}), "stars"),
        (json!({ "stars": 5, "comment": "x".repeat(281) }), "comment"),
        (json!({ "stars": 5, "comment": ["x"] }), "comment"),
        (json!("five"), "payload"),
    ] {
        names(&mut ann, "rate", &rating, &[field]).await;
    }
}

#[tokio::test]
async fn one_of_several_shapes_is_checked_by_its_own_rules() {
    let gateway = gallery().await;
    let mut ann = enter(&gateway).await;
    let visit = json!({ "kind": "visit", "from": 10, "until": 12 });
    assert_eq!(
        data(&mut ann, "book", &visit).await,
        json!({ "price": 800 })
    );
    let tour = json!({ "kind": "tour", "guests": 2, "languages": ["en", "fr"] });
    assert_eq!(
        data(&mut ann, "book", &tour).await,
        json!({ "price": 11_200 })
    );
    for (booking, field) in [
        (json!({ "kind": "visit", "from": 12, "until": 12 }), "until"),
        (json!({ "kind": "visit", "from": 12, "until": 19 }), "until"),
        (json!({ "kind": "visit", "from": 8, "until": 12 }), "from"),
        (json!({ "kind": "visit", "from": 12 }), "until"),
        (
            json!({ "kind": "tour", "guests": 1, "languages": ["en"] }),
            "guests",
        ),
        (
            json!({ "kind": "tour", "guests": 2, "languages": [] }),
            "languages",
        ),
        (
            json!({ "kind": "tour", "guests": 2, "languages": ["en", "fr", "en", "fr"] }),
            "languages",
        ),
        (json!({ "kind": "party" }), "kind"),
        (json!({ "guests": 2, "languages": ["en"] }), "kind"),
    ] {
        names(&mut ann, "book", &booking, &[field]).await;
    }
}

#[tokio::test]
async fn what_is_no_message_is_answered_too() {
    let gateway = gallery().await;
    let mut ann = enter(&gateway).await;
    for (message, code) in [
        ("", "invalid-json"),
        ("{", "invalid-json"),
        ("[]", "invalid-message"),
        ("{}", "invalid-message"),
        (r#"{"type": 7}"#, "invalid-message"),
        (r#"{"type": "burn"}"#, "unknown-type"),
    ] {
        ann.send(message).await;
        let answer = ann.recv_json().await;
        assert_eq!(answer["error"]["code"], code, "{message}: {answer}");
    }
    ann.send_binary(b"picture").await;
    assert_eq!(ann.recv_json().await["error"]["code"], "binary-message");
    data(&mut ann, "where", &json!(null)).await;
}

#[test]
fn its_messages_are_described() {
    let component = guests::path("gallery");
    let output = tidegate(&["types".as_ref(), component.as_os_str()], &[]);
    let types = String::from_utf8(output.stdout).expect("it is text");
    for line in [
        r#"    "submit": { payload: Picture; reply: Hung };"#,
        r#"    "book": { payload: Booking; reply: Ticket };"#,
        r#"  | { from: number; kind: "visit"; until: number }"#,
        r#"  | { guests: number; kind: "tour"; languages: Language[] };"#,
        r#"export type Medium = "oil" | "watercolour" | "photograph";"#,
        "  tags?: string[];",
        r#"    "hung": Hung;"#,
    ] {
        assert!(
            types.lines().any(|printed| printed == line),
            "not in it: {line}\n{types}"
        );
    }
}
