use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::*;
use crate::{Later, Unanswered, connection, valid};

#[derive(Deserialize, JsonSchema, garde::Validate)]
struct Add {
    #[garde(range(max = 100))]
    left: u8,
    #[garde(range(max = 100))]
    right: u8,
}

#[derive(Serialize, JsonSchema)]
struct Sum {
    sum: u8,
}

struct Sums;

impl Routes for Sums {
    fn routes(router: &mut impl Router) {
        router
            .on("add", valid(add))
            .on("add", |_: &Call, (): ()| Ok("never"))
            .on("done", |_: &Call, (): ()| Ok(()))
            .on("later", |_: &Call, (): ()| Ok(Later::<Sum>::default()))
            .on("wave", |_: &Call, (): ()| Ok(Unanswered))
            .group(|open| open.with(closed).on("open", |_: &Call, _: bool| Ok(())))
            .on("free", |_: &Call, _: bool| Ok(()))
            .with(closed)
            .with(|call, next| {
                next.run(call)?;
                call.answer("changed")
            })
            .on("around", |_: &Call, open: bool| Ok(open))
            .sends::<Sum>("summed");
    }
}

fn add(_: &Call, add: Add) -> Result<Sum, Fault> {
    let sum = add.left.checked_add(add.right);
    let sum = sum.ok_or_else(|| Fault::new("overflow", "too much"))?;
    Ok(Sum { sum })
}

/// Lets only open calls through.
fn closed(call: &Call, next: Next) -> Result<(), Fault> {
    match call.payload::<bool>()? {
        true => next.run(call),
        false => Err(Fault::new("closed", "come back tomorrow")),
    }
}

fn sent(text: &str) -> Message {
    Message::from(text)
}

/// The answer to a message that a route has handled.
fn answer(text: &str) -> Option<Value> {
    let message = sent(text);
    match dispatch::<Sums>(connection(1), &message) {
        Outcome::Answered(answer) => answer.map(|answer| answer.json().unwrap()),
        Outcome::Failed { fault, .. } => panic!("{fault}"),
        Outcome::Elsewhere { kind, .. } => panic!("no route for {kind}"),
    }
}

/// The type, the id and the fault's code of a message that a route has failed at.
fn failed(text: &str) -> (String, Option<String>, String) {
    let message = sent(text);
    match dispatch::<Sums>(connection(1), &message) {
        Outcome::Failed { kind, id, fault } => (
            kind.into_owned(),
            id.map(|id| id.get().to_owned()),
            fault.code().to_owned(),
        ),
        Outcome::Answered(_) | Outcome::Elsewhere { .. } => panic!("{text} has not failed"),
    }
}

#[test]
fn a_message_is_answered_under_its_id() {
    let sum = json!({"type": "add", "requestId": "a", "success": true, "data": {"sum": 3}});
    let asked = r#"{"type": "add", "id": "a", "payload": {"left": 1, "right": 2}}"#;
    assert_eq!(answer(asked), Some(sum));
    let sum = json!({"type": "add", "success": true, "data": {"sum": 3}});
    assert_eq!(
        answer(r#"{"type": "add", "left": 1, "right": 2}"#),
        Some(sum)
    );
}

#[test]
fn nothing_to_tell_is_told_to_those_who_ask() {
    assert_eq!(answer(r#"{"type": "done"}"#), None);
    let done = json!({"type": "done", "requestId": 5, "success": true, "data": null});
    assert_eq!(answer(r#"{"type": "done", "id": 5}"#), Some(done));
    assert_eq!(answer(r#"{"type": "later", "id": 5}"#), None);
    assert_eq!(answer(r#"{"type": "wave", "id": 5}"#), None);
}

#[test]
fn a_fault_is_that_of_the_message() {
    let failed_with =
        |id: &str, code: &str| ("add".to_owned(), Some(id.to_owned()), code.to_owned());
    assert_eq!(
        failed(r#"{"type": "add", "id": 1, "left": 1}"#),
        failed_with("1", "invalid-message")
    );
    assert_eq!(
        failed(r#"{"type": "add", "id": "x", "left": 101, "right": 101}"#),
        failed_with("\"x\"", "invalid-message")
    );
    assert_eq!(failed(r#"{"type": "add", "id": {}}"#).2, "invalid-message");
}

#[test]
fn middleware_is_around_the_routes_behind_it_only() {
    assert!(answer(r#"{"type": "done", "payload": false}"#).is_none());
    assert_eq!(failed(r#"{"type": "open", "payload": false}"#).2, "closed");
    assert!(answer(r#"{"type": "free", "payload": false}"#).is_none());
    let changed = json!({"type": "around", "success": true, "data": "changed"});
    assert_eq!(
        answer(r#"{"type": "around", "payload": true}"#),
        Some(changed)
    );
    assert_eq!(
        failed(r#"{"type": "around", "payload": false}"#).2,
        "closed"
    );
}

#[test]
fn what_is_for_no_route_is_told_apart() {
    for text in [
        "{",
        "[]",
        r#"{"id": 1}"#,
        r#"{"type": "sub"}"#,
        r#"{"type": "sub", "id": []}"#,
    ] {
        let message = sent(text);
        let outcome = dispatch::<Sums>(connection(1), &message);
        assert!(matches!(outcome, Outcome::Elsewhere { .. }), "{text}");
    }
    let binary = Message::from(vec![0_u8]);
    let outcome = dispatch::<Sums>(connection(1), &binary);
    let Outcome::Elsewhere {
        fault: Some(fault), ..
    } = outcome
    else {
        panic!("no route reads binary messages");
    };
    assert_eq!(fault.code(), "binary-message");
    let unknown = Names::of::<Sums>().unknown("sub");
    let known = json!(["add", "done", "later", "wave", "open", "free", "around"]);
    assert_eq!(unknown.details().unwrap()["known"], known);
}

#[test]
fn a_binary_route_reads_the_bytes() {
    struct Lengths;
    impl Routes for Lengths {
        fn routes(router: &mut impl Router) {
            router
                .on("binary", |_: &Call, (): ()| Ok("text"))
                .binary(|_: &Call, bytes: &[u8]| Ok(bytes.len()));
        }
    }
    let length = |message: &Message| match dispatch::<Lengths>(connection(1), message) {
        Outcome::Answered(Some(answer)) => answer.json::<Value>().unwrap()["data"].clone(),
        _ => panic!("it is answered"),
    };
    assert_eq!(length(&Message::from(vec![1_u8, 2])), json!(2));
    assert_eq!(length(&sent(r#"{"type": "binary"}"#)), json!("text"));
}
