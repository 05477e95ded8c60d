//! Documents that several people write at once. Who connects to `/docs/notes?name=ann` is told `init`: the document's
//! `version` and `text`, the `users` that have it open, and who `you` are among them.
//!
//! | `type` | fields | |
//! | --- | --- | --- |
//! | `edit` | `baseVersion`, `position`, `delete`, `insert` | if the base is current it is answered with the new `version`, and the others hear `edited` |
//! | `cursor` | `position` | the others hear `cursor`; not answered |
//! | `sync` | | answered with the document |
//!
//! An edit of a base that is no longer current changes nothing: its answer is the fault `conflict`, followed by the event
//! `sync` with the whole document, on which the client tries again. A client takes up `edited` in order of `version`,
//! keeps what comes early, even before `init`, and passes over what it has: then no two ever differ. Who comes and goes
//! is told by `joined` and `left`.

mod document;
mod messages;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_sdk::{
    Accept, Call, CloseCause, Connection, Fault, Handler, Later, Message, Reject, Request, Result,
    Router, Routes, Timer, Unanswered, error, members_up_to, publish_event, store, valid,
};

use document::{CONFLICT, Document, Edit, Edited};
use messages::{Cursor, Init, Place, Saved, User};

const BUCKET: &str = "documents";
const INIT: &str = "init";
/// More are not listed, though they may write.
const USERS_MAX: u32 = 100;

struct Collab;

/// What a connection has open.
#[derive(Serialize, Deserialize)]
struct Seat {
    /// The document's key in the store, and its topic.
    document: String,
    name: String,
}

impl Handler for Collab {
    fn on_upgrade(request: Request) -> Result<Accept, Reject> {
        let (document, name) = (request.param("doc"), request.query("name"));
        let mut given = document.into_iter().chain(name.as_deref());
        if given.all(|word| (1..=32).contains(&word.chars().count())) {
            return Ok(Accept::default());
        }
        let fix = "document and name take 1 to 32 characters: /docs/notes?name=ann\n";
        Err(Reject::new(400, fix))
    }

    fn on_open(connection: &Connection, request: Request) -> Result {
        let document = format!("document:{}", request.param("doc").unwrap_or_default());
        let guest = || format!("guest-{connection}");
        let name = request.query("name").unwrap_or_else(guest);
        connection.subscribe_as(&document, &name)?;
        connection.set_state_json(&Seat {
            document: document.clone(),
            name: name.clone(),
        })?;
        connection.publish_event_to_others(&document, "joined", &User::new(connection, name))?;
        // Read in an event of its own, when the subscription is in force: nothing is missed in between.
        Ok(Timer::after(INIT, Duration::ZERO).on(connection)?)
    }

    fn on_timer(connection: Option<&Connection>, _init: &str) -> Result {
        if let Some(connection) = connection {
            let seat = seat(connection)?;
            let users = members_up_to(&seat.document, USERS_MAX).into_iter();
            let init = Init {
                document: read(&seat)?,
                you: connection.id(),
                users: users
                    .map(|member| User::new(&member.connection, member.label))
                    .collect(),
            };
            connection.send_event(INIT, &init)?;
        }
        Ok(())
    }

    fn on_message(connection: &Connection, message: Message) -> Result {
        Collab::route(connection, &message)
    }

    fn on_close(connection: &Connection, _cause: CloseCause) -> Result {
        let Seat { document, name } = seat(connection)?;
        publish_event(&document, "left", &User::new(connection, name))
    }
}

impl Routes for Collab {
    fn routes(router: &mut impl Router) {
        router.on("edit", valid(edit));
        router.on("cursor", valid(cursor));
        router.on("sync", sync);
        router.sends::<Init>(INIT).sends::<Document>("sync");
        router.sends::<Edited>("edited").sends::<Cursor>("cursor");
        router.sends::<User>("joined").sends::<User>("left");
    }
}

fn edit(call: &Call, edit: Edit) -> Result<Later<Saved>, Fault> {
    let seat = seat(call)?;
    let bucket = store::bucket(BUCKET)?;
    let saved: Result<_, Fault> = bucket
        .entry::<Document>(&seat.document)
        .try_update(|document| {
            let mut document = document.unwrap_or_default();
            document.apply(&edit)?;
            Ok(document)
        });
    match saved {
        Ok(Document { version, .. }) => {
            let by = call.connection().id();
            let edited = Edited { version, by, edit };
            call.publish_event_to_others(&seat.document, "edited", &edited)?;
            call.ticket().answer(&Saved { version })?;
        }
        // A fault that is returned would undo the event behind it: so this one is told here.
        Err(fault) if fault.code() == CONFLICT => {
            call.ticket().fail(fault)?;
            call.send_event("sync", &read(&seat)?)?;
        }
        Err(fault) => return Err(fault),
    }
    Ok(Later::default())
}

fn cursor(call: &Call, Place { position }: Place) -> Result<Unanswered, Fault> {
    let cursor = Cursor {
        user: call.connection().id(),
        position,
    };
    call.publish_event_to_others(&seat(call)?.document, "cursor", &cursor)?;
    Ok(Unanswered)
}

fn sync(call: &Call, (): ()) -> Result<Document, Fault> {
    Ok(read(&seat(call)?)?)
}

fn seat(connection: &Connection) -> Result<Seat> {
    let seat = connection.state_json()?;
    seat.ok_or_else(|| error!("connection {connection} has no document open"))
}

fn read(seat: &Seat) -> Result<Document> {
    let document = store::bucket(BUCKET)?.entry(&seat.document).get()?;
    Ok(document.unwrap_or_default())
}

tidegate_sdk::export!(Collab: describe);
