use serde::{Deserialize, Serialize};

use super::*;
use crate::{Later, Unanswered};

/// A place.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Seat {
    row: u8,
    #[serde(default)]
    number: u8,
}

#[derive(Deserialize, JsonSchema)]
struct Take {
    #[expect(dead_code, reason = "only described")]
    seat: Seat,
}

#[derive(Serialize, JsonSchema)]
struct Taken {
    seat: Seat,
    by: Name,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Name {
    first: String,
}

struct Theatre;

impl Routes for Theatre {
    fn routes(router: &mut impl Router) {
        router
            .on("take", |_: &Call, _: Take| Ok(Later::<Taken>::default()))
            .on("name", |_: &Call, name: Name| Ok(name))
            .on("name", |_: &Call, _: u8| Ok(()))
            .on("wave", |_: &Call, (): ()| Ok(Unanswered))
            .sends::<Taken>("taken");
    }
}

fn description() -> Value {
    serde_json::from_str(&describe::<Theatre>()).unwrap()
}

#[test]
fn every_route_and_event_is_described() {
    let description = description();
    assert_eq!(
        description["x-requests"],
        json!({
            "take": {"payload": {"$ref": "#/$defs/Take"}, "reply": {"$ref": "#/$defs/Taken"}},
            "name": {"payload": {"$ref": "#/$defs/Name"}, "reply": {"$ref": "#/$defs/Name"}},
            "wave": {"payload": {"type": "null"}, "reply": null},
        })
    );
    assert_eq!(
        description["x-events"],
        json!({"taken": {"$ref": "#/$defs/Taken"}})
    );
}

#[test]
fn a_type_that_is_read_and_written_differently_is_two() {
    let description = description();
    let definitions = description["$defs"].as_object().unwrap();
    let names: Vec<_> = definitions.keys().collect();
    assert_eq!(names, ["Name", "Seat", "SeatReceived", "Take", "Taken"]);
    assert_eq!(definitions["Seat"]["required"], json!(["row"]));
    assert_eq!(
        definitions["SeatReceived"]["required"],
        json!(["row", "number"])
    );
    let seat = |of: &str| &definitions[of]["properties"]["seat"]["$ref"];
    assert_eq!(seat("Take"), "#/$defs/Seat");
    assert_eq!(seat("Taken"), "#/$defs/SeatReceived");
    assert_eq!(definitions["Seat"]["description"], "A place.");
}

#[test]
fn what_refers_to_a_type_that_is_two_is_two_as_well() {
    let definitions = |inner: Value| {
        let all = json!({"Outer": {"items": {"$ref": "#/$defs/Inner"}}, "Inner": inner});
        all.as_object().cloned().unwrap()
    };
    let read = definitions(json!(true));
    let written = definitions(json!(false));
    let renamed = clashes_of(&read, &written);
    assert_eq!(
        renamed["Outer"],
        json!({"items": {"$ref": "#/$defs/Inner"}})
    );
    assert_eq!(
        renamed["OuterReceived"],
        json!({"items": {"$ref": "#/$defs/InnerReceived"}})
    );
    assert_eq!(
        (&renamed["Inner"], &renamed["InnerReceived"]),
        (&json!(true), &json!(false))
    );
}

/// Both sides' definitions in one.
fn clashes_of(read: &Map<String, Value>, written: &Map<String, Value>) -> Map<String, Value> {
    let renamed = definitions::clashes(read, written);
    let mut schemas = Value::Object(written.clone());
    renamed.apply(&mut schemas);
    let mut all = renamed.names_of(schemas);
    all.extend(read.clone());
    all
}
