use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

#[derive(Deserialize, Debug, PartialEq)]
struct Join {
    room: String,
    #[serde(default)]
    user: Option<User>,
    #[serde(default)]
    tags: Vec<u8>,
}

#[derive(Deserialize, Debug, PartialEq)]
struct User {
    name: String,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Strict {
    #[expect(dead_code, reason = "only read")]
    room: Option<String>,
}

fn join(text: &str) -> Result<Join, Fault> {
    Inbound::parse(text).unwrap().payload()
}

/// The code of a fault, and what it says is wrong.
fn told(fault: &Fault) -> (String, Value) {
    let json = serde_json::to_value(fault).unwrap();
    (fault.code().to_owned(), json["details"].clone())
}

/// The field and the reason of a payload that is not taken.
fn wrong_field(text: &str) -> (String, String) {
    let (code, details) = told(&join(text).unwrap_err());
    assert_eq!(code, "invalid-message");
    let text = |field| details[field].as_str().unwrap().to_owned();
    (text("field"), text("reason"))
}

#[test]
fn an_envelope_is_read_in_any_order() {
    let text = r#" {"payload": {"room": "tea"}, "other": 1, "timestamp": 17.9, "id": "a\"b", "type": "jo\u0069n"} "#;
    let inbound = Inbound::parse(text).unwrap();
    assert_eq!(inbound.kind, "join");
    assert_eq!(inbound.id.unwrap().get(), r#""a\"b""#);
    assert_eq!(inbound.timestamp, Some(17));
    assert_eq!(inbound.payload::<Join>().unwrap().room, "tea");
}

#[test]
fn a_number_is_an_id_as_it_was_written() {
    for id in ["0", "-1", "12345678901234567890123", "1.50"] {
        let text = format!(r#"{{"type": "a", "id": {id}}}"#);
        assert_eq!(Inbound::parse(&text).unwrap().id.unwrap().get(), id);
    }
    let without = Inbound::parse(r#"{"type": "a", "id": null}"#).unwrap();
    assert!(without.id.is_none());
}

#[test]
fn what_is_beside_the_envelope_is_the_payload_of_a_flat_message() {
    let text =
        r#"{"type": "join", "id": 1, "room": "tea", "timestamp": 2, "user": {"name": "ann"}}"#;
    let user = Some(User {
        name: "ann".to_owned(),
    });
    let tags = Vec::new();
    let room = "tea".to_owned();
    assert_eq!(join(text).unwrap(), Join { room, user, tags });
    let strict = Inbound::parse(r#"{"type": "join", "id": 1, "room": "tea"}"#).unwrap();
    assert!(strict.payload::<Strict>().is_ok());
}

#[test]
fn a_flat_message_may_be_any_type_that_an_object_can_be() {
    #[derive(Deserialize, Debug, PartialEq)]
    enum Shape {
        Square { side: u8 },
    }
    #[derive(Deserialize, Debug, PartialEq)]
    struct Wrapped(Option<Value>);

    let square = Inbound::parse(r#"{"type": "draw", "Square": {"side": 2}}"#).unwrap();
    assert_eq!(
        square.payload::<Shape>().unwrap(),
        Shape::Square { side: 2 }
    );
    let value = Inbound::parse(r#"{"type": "a", "\"b": 1, "c": [2]}"#).unwrap();
    assert_eq!(
        value.payload::<Wrapped>().unwrap(),
        Wrapped(Some(json!({"\"b": 1, "c": [2]})))
    );
    let bare = Inbound::parse(r#"{"type": "a"}"#).unwrap();
    assert_eq!(bare.payload::<Value>().unwrap(), json!({}));
    assert!(bare.payload::<Option<User>>().unwrap().is_none());
}

#[test]
fn nothing_is_read_from_any_payload() {
    for text in [
        r#"{"type": "leave"}"#,
        r#"{"type": "leave", "payload": null}"#,
        r#"{"type": "leave", "payload": {"why": "late"}}"#,
    ] {
        assert!(Inbound::parse(text).unwrap().payload::<()>().is_ok());
    }
}

#[test]
fn a_wrong_field_is_named_with_its_path_and_the_reason() {
    let wrong = |field: &str, reason: &str| (field.to_owned(), reason.to_owned());
    assert_eq!(
        wrong_field(r#"{"type": "join", "payload": {"room": 5}}"#),
        wrong("room", "invalid type: integer `5`, expected a string")
    );
    assert_eq!(
        wrong_field(r#"{"type": "join", "room": "tea", "user": {}}"#),
        wrong("user.name", "missing field")
    );
    assert_eq!(
        wrong_field(r#"{"type": "join", "payload": {"room": "tea", "user": {"name": []}}}"#),
        wrong("user.name", "invalid type: sequence, expected a string")
    );
    assert_eq!(
        wrong_field(r#"{"type": "join", "room": "tea", "tags": [1, 256]}"#),
        wrong("tags[1]", "invalid value: integer `256`, expected u8")
    );
    assert_eq!(
        wrong_field(r#"{"type": "join"}"#),
        wrong("room", "missing field")
    );
    assert_eq!(
        wrong_field(r#"{"type": "join", "payload": "tea"}"#),
        wrong(
            "payload",
            r#"invalid type: string "tea", expected struct Join"#
        )
    );
    let unknown = Inbound::parse(r#"{"type": "join", "payload": {"rom": "tea"}}"#).unwrap();
    let (_, details) = told(&unknown.payload::<Strict>().unwrap_err());
    assert_eq!(
        details,
        json!({"field": "rom", "reason": "unknown field `rom`, expected `room`"})
    );
}

#[test]
fn a_text_that_is_not_json_is_refused_with_the_place() {
    let refused = Inbound::parse("{\"type\": \"join\",\n \"room\": tea}").unwrap_err();
    assert_eq!(refused.fault.code(), "invalid-json");
    assert_eq!(
        refused.fault.message(),
        "Invalid message format: expected ident at line 2 column 11"
    );
    for text in ["", "{", r#"{"type": "a"} {}"#, "\u{feff}{}"] {
        let refused = Inbound::parse(text).unwrap_err();
        assert_eq!(refused.fault.code(), "invalid-json", "{text}");
    }
}

#[test]
fn json_without_an_envelope_is_refused() {
    for text in ["[]", "5", "null", r#""join""#] {
        let refused = Inbound::parse(text).unwrap_err();
        assert_eq!(refused.fault.code(), "invalid-message", "{text}");
        let message = refused.fault.message();
        assert!(
            message.ends_with("expected an object with a `type`"),
            "{message}"
        );
    }
}

#[test]
fn a_wrong_envelope_is_refused_with_what_is_known_of_it() {
    let refused = Inbound::parse(r#"{"id": 7}"#).unwrap_err();
    assert_eq!(
        told(&refused.fault).1,
        json!({"field": "type", "reason": "missing field"})
    );
    assert_eq!(refused.id.unwrap().get(), "7");
    let refused = Inbound::parse(r#"{"type": 5, "id": {}}"#).unwrap_err();
    assert_eq!(told(&refused.fault).1["field"], "type");
    assert!(refused.id.is_none() && refused.kind.is_none());
    let refused = Inbound::parse(r#"{"type": "join", "id": true}"#).unwrap_err();
    assert_eq!(told(&refused.fault).1["field"], "id");
    assert_eq!(refused.kind.unwrap(), "join");
    for timestamp in ["-1", r#""now""#, "[]"] {
        let text = format!(r#"{{"type": "join", "id": 7, "timestamp": {timestamp}}}"#);
        let refused = Inbound::parse(&text).unwrap_err();
        assert_eq!(told(&refused.fault).1["field"], "timestamp");
        assert_eq!(refused.id.unwrap().get(), "7");
    }
}

#[test]
fn a_payload_of_any_depth_is_refused_or_read_without_a_fault_of_ours() {
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let text = format!(r#"{{"type": "a", "payload": {}}}"#, deep(100_000));
    let inbound = Inbound::parse(&text).unwrap();
    let (code, _) = told(&inbound.payload::<Value>().unwrap_err());
    assert_eq!(code, "invalid-message");
}
