use serde_json::json;

use super::*;

/// The type of a schema, where `Join` and `a/b c` are definitions.
fn typed(schema: Value) -> String {
    let definitions = ["Join".to_owned(), "a/b c".to_owned()];
    type_of(&schema, &Names::new(definitions.iter())).to_string()
}

/// What is printed for one definition called `Thing`.
fn defined(schema: Value) -> String {
    let text = types(&json!({"$defs": {"Thing": schema}}).to_string()).unwrap();
    let definition = text.strip_prefix(HEAD).unwrap();
    let (definition, _) = definition.split_once(MESSAGES).unwrap();
    definition.trim_start().to_owned()
}

#[test]
fn simple_types() {
    for (kind, of) in [
        ("string", "string"),
        ("integer", "number"),
        ("number", "number"),
        ("boolean", "boolean"),
        ("null", "null"),
        ("object", "{ [key: string]: unknown }"),
        ("array", "unknown[]"),
        ("function", "unknown"),
    ] {
        assert_eq!(typed(json!({"type": kind})), of);
    }
    assert_eq!(typed(json!({"type": ["string", "null"]})), "string | null");
    assert_eq!(typed(json!(true)), "unknown");
    assert_eq!(typed(json!(false)), "never");
    assert_eq!(typed(json!({"not": {"type": "string"}})), "unknown");
    assert_eq!(typed(json!(5)), "unknown");
}

#[test]
fn values() {
    assert_eq!(
        typed(json!({"const": "a\"b", "type": "string"})),
        r#""a\"b""#
    );
    assert_eq!(
        typed(json!({"enum": ["a", 1, null, "a"]})),
        r#""a" | 1 | null"#
    );
    assert_eq!(
        typed(json!({"const": {"a b": [1, true]}})),
        r#"{ "a b": [1, true] }"#
    );
    assert_eq!(typed(json!({"enum": []})), "never");
}

#[test]
fn references() {
    assert_eq!(typed(json!({"$ref": "#/$defs/Join"})), "Join");
    assert_eq!(typed(json!({"$ref": "#/$defs/a~1b%20c"})), "a_b_c");
    assert_eq!(typed(json!({"$ref": "#/$defs/Other"})), "unknown");
    assert_eq!(
        typed(json!({"$ref": "https://example.com/join"})),
        "unknown"
    );
    let nullable = json!({"anyOf": [{"$ref": "#/$defs/Join"}, {"type": "null"}]});
    assert_eq!(typed(nullable), "Join | null");
    let tagged = json!({"$ref": "#/$defs/Join", "type": "object",
                        "properties": {"type": {"const": "join"}}, "required": ["type"]});
    assert_eq!(typed(tagged), r#"Join & { type: "join" }"#);
}

#[test]
fn lists_and_tuples() {
    let nullable = json!({"type": ["string", "null"]});
    assert_eq!(
        typed(json!({"type": "array", "items": nullable})),
        "(string | null)[]"
    );
    assert_eq!(typed(json!({"items": {"type": "array"}})), "unknown[][]");
    let pair = json!({"type": "array", "prefixItems": [{"type": "number"}, nullable],
                      "minItems": 2, "maxItems": 2});
    assert_eq!(typed(pair), "[number, string | null]");
    let open = json!({"prefixItems": [{"type": "number"}, nullable], "minItems": 1,
                      "items": {"type": "string"}});
    assert_eq!(typed(open), "[number, (string | null)?, ...string[]]");
    let closed = json!({"prefixItems": [true], "minItems": 1, "items": false});
    assert_eq!(typed(closed), "[unknown]");
}

#[test]
fn objects_and_maps() {
    let number = json!({"type": "number"});
    let seat = json!({"type": "object", "properties": {"row": number, "seat-number": number},
                      "required": ["row"]});
    assert_eq!(
        typed(seat.clone()),
        r#"{ row: number; "seat-number"?: number }"#
    );
    let map = json!({"type": "object", "additionalProperties": number});
    assert_eq!(typed(map), "{ [key: string]: number }");
    let by_number = json!({"type": "object", "patternProperties": {"^\\d+$": number},
                           "additionalProperties": false});
    assert_eq!(typed(by_number), "{ [key: string]: number }");
    let empty = json!({"type": "object", "additionalProperties": false});
    assert_eq!(typed(empty), "{ [key: string]: never }");
    let both = json!({"properties": {"row": number}, "required": ["row"],
                      "additionalProperties": true});
    assert_eq!(typed(both), "{ row: number } & { [key: string]: unknown }");
    let all = json!({"allOf": [{"$ref": "#/$defs/Join"}, {"anyOf": [seat, {"type": "null"}]}]});
    assert_eq!(
        typed(all),
        r#"Join & ({ row: number; "seat-number"?: number } | null)"#
    );
}

#[test]
fn a_plain_object_is_an_interface_with_comments() {
    let schema = json!({
        "type": "object",
        "description": "What a client sends.\n\nNot */ the end.",
        "properties": {
            "at": {"type": "string", "format": "date-time", "description": "When."},
            "room": {"type": "string", "default": "tea"},
            "old": {"type": "null", "deprecated": true},
        },
        "required": ["at"],
    });
    let expected = "/**
 * What a client sends.
 *
 * Not *\\/ the end.
 */
export interface Thing {
  /**
   * When.
   * @format date-time
   */
  at: string;
  /** @deprecated */
  old?: null;
  /** @default \"tea\" */
  room?: string;
}
";
    assert_eq!(defined(schema), expected);
}

#[test]
fn one_of_several_is_a_union_with_comments() {
    let schema = json!({"oneOf": [
        {"const": "online", "type": "string", "description": "Here."},
        {"type": "object", "properties": {"since": {"type": "integer"}}, "required": ["since"]},
    ]});
    let expected = r#"export type Thing =
  /** Here. */
  | "online"
  | { since: number };
"#;
    assert_eq!(defined(schema), expected);
    assert_eq!(
        defined(json!({"type": "string", "enum": ["a", "b"]})),
        "export type Thing = \"a\" | \"b\";\n"
    );
}

#[test]
fn messages_are_listed_by_type() {
    let description = json!({
        "x-requests": {
            "wave": {"payload": {"type": "null"}, "reply": null},
            "add one": {"payload": {"type": "integer"}, "reply": {"type": "integer"}},
        },
        "x-events": {"said": {"type": "string"}},
    });
    let expected = r#"  requests: {
    "add one": { payload: number; reply: number };
    "wave": { payload: null; reply: never };
  };
  events: {
    "said": string;
  };
}
"#;
    let text = types(&description.to_string()).unwrap();
    assert_eq!(text, format!("{HEAD}{MESSAGES}{expected}"));
}

#[test]
fn names_are_identifiers_that_differ() {
    let thing = json!({"type": "string"});
    let definitions = json!({"a b": thing, "a_b": thing, "Messages": thing, "1": thing,
                             "string": thing, "": thing});
    let text = types(&json!({"$defs": definitions}).to_string()).unwrap();
    for name in ["a_b", "a_b_", "Messages_", "_1", "string_", "_"] {
        let line = format!("export type {name} = string;\n");
        assert_eq!(text.matches(&line).count(), 1, "{name}\n{text}");
    }
}

#[test]
fn what_is_no_description_is_refused() {
    for text in [
        "",
        "5",
        r#"{"$defs": []}"#,
        r#"{"x-requests": {"join": {}}}"#,
    ] {
        assert!(types(text).is_err(), "{text}");
    }
}
