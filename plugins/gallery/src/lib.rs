//! Everything that comes in is checked: query and header before there is a connection, messages after. Connect to
//! `/gallery?room=impressionists&page=2`, with `x-client-version: 2.4.1` if you are no browser, and send `submit`, `rate`,
//! `book` or `where`. What is wrong is named: before the 101 as a 400 with
//! `{"code": "invalid-message", "message": "page: ..", "details": {"field": "page", "reason": ".."}}`, after it as the
//! `error` of an answer, and the connection stays.
//!
//! What messages look like is in `picture.rs`; `tidegate types gallery.wasm` prints it as TypeScript.

mod picture;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_sdk::{
    Accept, Call, Connection, Fault, Handler, Message, Reject, Request, Result, Router, Routes,
    State, check, valid,
};

use picture::{Booking, Hung, Picture, Rated, Rating, Ticket};

/// The major versions of clients that we understand.
const VERSIONS: std::ops::RangeInclusive<u32> = 1..=2;

struct Gallery;

/// Where a visitor is: what the query said.
#[derive(Default, Serialize, Deserialize, JsonSchema, Validate)]
struct Place {
    /// 1 to 32 of a-z, 0-9 and -.
    #[garde(custom(picture::is_slug))]
    room: String,
    /// 1 to 100.
    #[garde(range(min = 1, max = 100))]
    page: u32,
}

impl Handler for Gallery {
    fn on_upgrade(request: Request) -> Result<Accept, Reject> {
        let room = request
            .query("room")
            .ok_or_else(|| Fault::field("room", "missing: add ?room=.."))?;
        let page = request.query("page").map_or(Ok(1), |page| page.parse());
        let page = page.map_err(|_| Fault::field("page", "not a number"))?;
        let place = Place { room, page };
        check(&place)?;
        // A browser's WebSocket can't set header fields.
        if let Some(version) = request.header("x-client-version") {
            let major = version
                .split('.')
                .next()
                .and_then(|major| major.parse().ok());
            if !major.is_some_and(|major| VERSIONS.contains(&major)) {
                let reason = format!("{version:?} is not understood here: {VERSIONS:?}");
                return Err(Fault::field("x-client-version", reason).into());
            }
        }
        Ok(Accept::default().state_json(&place)?)
    }

    fn on_open(connection: &Connection, _request: Request) -> Result {
        Ok(connection.subscribe(&topic(&State::<Place>::of(connection)?.room))?)
    }

    fn on_message(connection: &Connection, message: Message) -> Result {
        Gallery::route(connection, &message)
    }
}

impl Routes for Gallery {
    fn routes(router: &mut impl Router) {
        router.on("submit", valid(submit)).on("rate", valid(rate));
        router.on("book", valid(book)).on("where", place);
        router.sends::<Hung>("hung");
    }
}

fn place(call: &Call, (): ()) -> Result<Place, Fault> {
    Ok(State::<Place>::of(call)?.into_inner())
}

fn submit(call: &Call, picture: Picture) -> Result<Hung, Fault> {
    let room = State::<Place>::of(call)?.into_inner().room;
    let hung = Hung::new(picture);
    call.publish_event_to_others(&topic(&room), "hung", &hung)?;
    Ok(hung)
}

fn rate(_: &Call, rating: Rating) -> Result<Rated, Fault> {
    Ok(rating.into())
}

fn book(_: &Call, booking: Booking) -> Result<Ticket, Fault> {
    Ok(booking.into())
}

/// A name that a client chose is no topic's as it is.
fn topic(room: &str) -> String {
    format!("room:{room}")
}

tidegate_sdk::export!(Gallery: describe);
