//! Routes of every kind, for the router's tests and for `tidegate types`.

use std::collections::BTreeMap;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_sdk::{
    Call, Connection, Fault, Handler, Later, Message, Next, Request, Result, Router, Routes, State,
    Ticket, Timer, Unanswered, User, publish, publish_event, require_role, require_user,
    subscriber_count, valid,
};

struct Desk;

impl Handler for Desk {
    fn on_open(connection: &Connection, _request: Request) -> Result {
        Ok(connection.subscribe("desk")?)
    }

    fn on_message(connection: &Connection, message: Message) -> Result {
        if message.as_text() == Some("error") {
            connection.send_error("odd", "an error without a router", &["one", "two"])?;
            return Ok(());
        }
        Desk::route(connection, &message)
    }
}

impl Routes for Desk {
    fn routes(router: &mut impl Router) {
        router.on("join", valid(join)).on("join", never);
        router.on("say", say).on("spoil", spoil).on("break", broken);
        router
            .on("count", count)
            .on("visit", visit)
            .on("draw", draw);
        router.on("ask", ask).on("settle", settle).on("wave", wave);
        router.on("sign-in", sign_in);
        router.group(|around| around.with(outer).with(inner).on("order", order));
        router.with(require_user).on("who", who);
        router.with(require_role("admin")).on("close", close);
        router.sends::<Joined>("joined").sends::<String>("said");
    }
}

/// What a client sends to enter a room.
///
/// A room is there as soon as somebody is in it.
#[derive(Deserialize, JsonSchema, Validate)]
#[serde(rename_all = "camelCase")]
struct Join {
    /// 1 to 8 characters.
    #[garde(length(chars, min = 1, max = 8))]
    room: String,
    #[garde(dive)]
    user: Person,
    #[serde(default)]
    #[garde(skip)]
    labels: Vec<String>,
    #[serde(default)]
    #[garde(inner(range(max = 99)))]
    seat_number: Option<u8>,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema, Validate)]
struct Person {
    #[garde(length(chars, min = 1))]
    name: String,
    #[serde(default)]
    #[garde(skip)]
    status: Status,
}

/// How somebody is.
#[derive(Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    #[default]
    Online,
    Away,
}

/// What whoever enters gets back, and the others hear.
#[derive(Serialize, JsonSchema)]
struct Joined {
    room: String,
    user: Person,
    /// How many are in each room.
    rooms: BTreeMap<String, u32>,
    at: (u8, Option<u8>),
}

fn join(call: &Call, join: Join) -> Result<Joined, Fault> {
    if join.labels.iter().any(|label| label == "banned") {
        return Err(Fault::field("labels", "says banned"));
    }
    call.subscribe(&join.room)?;
    let joined = Joined {
        rooms: BTreeMap::from([(join.room.clone(), subscriber_count(&join.room))]),
        at: (join.labels.len() as u8, join.seat_number),
        user: join.user,
        room: join.room,
    };
    call.publish_event_to_others(&joined.room, "joined", &joined)?;
    Ok(joined)
}

fn never(_: &Call, (): ()) -> Result<(), Fault> {
    Err(Fault::new("never", "the first route of a type is the one"))
}

fn say(call: &Call, text: String) -> Result<(), Fault> {
    publish_event("desk", "said", &text)?;
    call.send_event("echoed", &text)?;
    Ok(())
}

/// Does everything and fails.
fn spoil(call: &Call, (): ()) -> Result<(), Fault> {
    call.send("sent");
    publish("desk", "published")?;
    call.subscribe("spoilt")?;
    call.set_state("spoilt")?;
    Timer::after("spoilt", std::time::Duration::ZERO).on(call)?;
    call.close(4000, "spoilt")?;
    Err(Fault::new("spoilt", "all in vain").with_details(&["no", "effect"]))
}

fn broken(_: &Call, number: String) -> Result<u8, Fault> {
    Ok(number.parse()?)
}

fn count(_: &Call, topic: String) -> Result<u32, Fault> {
    Ok(subscriber_count(&topic))
}

/// How often somebody was here.
#[derive(Default, Serialize, Deserialize)]
struct Visits {
    count: u32,
}

fn visit(call: &Call, (): ()) -> Result<u32, Fault> {
    let mut visits = State::<Visits>::of(call)?;
    visits.count += 1;
    visits.save()?;
    Ok(visits.count)
}

/// Something to draw.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "shape", rename_all = "lowercase")]
enum Drawing {
    /// A rectangle as wide as high.
    Square {
        side: f64,
    },
    Line {
        points: Vec<(f64, f64)>,
    },
    Group(Group),
    Nothing,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Group {
    parts: Vec<Drawing>,
}

fn draw(_: &Call, drawing: Drawing) -> Result<Option<Drawing>, Fault> {
    Ok(Some(drawing))
}

fn ask(call: &Call, _question: String) -> Result<Later<u32>, Fault> {
    call.set_state_json(&call.ticket())?;
    Ok(Later::default())
}

/// Answers the question before, with that number or a fault.
fn settle(call: &Call, answer: Option<u32>) -> Result<Unanswered, Fault> {
    if let Some(ticket) = call.state_json::<Ticket>()? {
        match answer {
            Some(answer) => ticket.answer(&answer)?,
            None => ticket.fail(Fault::new("no-answer", "nobody knows"))?,
        };
    }
    Ok(Unanswered)
}

fn wave(_: &Call, (): ()) -> Result<Unanswered, Fault> {
    Ok(Unanswered)
}

fn outer(call: &Call, next: Next) -> Result<(), Fault> {
    call.send("outer before");
    next.run(call)?;
    call.send("outer after");
    Ok(())
}

/// Lets nobody through who asks for too much.
fn inner(call: &Call, next: Next) -> Result<(), Fault> {
    call.send("inner before");
    if call.payload::<u32>()? > 99 {
        return Err(Fault::new("too-much", "at most 99"));
    }
    let outcome = next.run(call);
    call.send("inner after");
    outcome
}

fn order(call: &Call, number: u32) -> Result<u32, Fault> {
    call.send("route");
    Ok(number)
}

fn sign_in(call: &Call, roles: Vec<String>) -> Result<(), Fault> {
    let user = User {
        id: "ann".to_owned(),
        roles,
        ..User::default()
    };
    Ok(call.set_state_json(&user)?)
}

fn who(call: &Call, (): ()) -> Result<String, Fault> {
    Ok(call.user()?.id)
}

fn close(call: &Call, (): ()) -> Result<(), Fault> {
    Ok(call.close(4001, "closed as asked")?)
}

tidegate_sdk::export!(Desk: describe);
