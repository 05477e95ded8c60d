//! Requests and responses: connect to `/`, and send `{"type": "user.get", "id": "1", "payload": {"id": "ann"}}`. Every
//! request needs an `id`, under which its answer comes as `requestId`.
//!
//! | `type` | fields | `data` of the answer, or code of the fault |
//! | --- | --- | --- |
//! | `user.get` | `id` | the user, or `not-found` |
//! | `user.put` | `id`, `name` | the user |
//! | `quote` | `symbol` | `symbol` and `price`, asked of the server `upstream` of `[plugin.config]`; or `upstream` if that fails |
//! | `slow` | `ms` | null, after that time; or `too-many` of them, or `id-in-use` |
//! | `fail` | | `internal`: why is in the log only |
//!
//! A client's requests are answered in order, so while `quote` waits for its server the next ones wait too; those of
//! other clients do not. `slow` answers by a timer and lets others pass.

mod messages;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use tidegate_sdk::{
    Call, Connection, Fault, Handler, Later, Message, Next, Result, Router, Routes, State, Ticket,
    Timer, config, error, http, store, valid,
};

use messages::{Ask, Get, Price, Quote, Slow, User};

/// Bytes of an id, as JSON has it. It is the name of a timer.
const ID_MAX: usize = 64;
/// `slow` requests of a connection that wait for their time.
const WAITING_MAX: usize = 16;

struct Rpc;

/// The requests whose answers come later, by their ids.
type Waiting = BTreeMap<String, Ticket>;

impl Handler for Rpc {
    fn on_message(connection: &Connection, message: Message) -> Result {
        Rpc::route(connection, &message)
    }

    fn on_timer(connection: Option<&Connection>, id: &str) -> Result {
        if let Some(connection) = connection {
            let mut waiting = State::<Waiting>::of(connection)?;
            if let Some(ticket) = waiting.remove(id) {
                waiting.save()?;
                ticket.answer(&())?;
            }
        }
        Ok(())
    }
}

impl Routes for Rpc {
    fn routes(router: &mut impl Router) {
        router.with(require_id);
        router.on("user.get", valid(get_user));
        router.on("user.put", valid(put_user));
        router.on("quote", valid(quote));
        router.on("slow", valid(slow));
        router.on("fail", fail);
    }
}

fn require_id(call: &Call, next: Next) -> Result<(), Fault> {
    match call.id().map(str::len) {
        None => {
            let fix = "every request needs an id: add \"id\", a text or a number";
            Err(Fault::new("missing-id", fix))
        }
        Some(len) if len > ID_MAX => Err(Fault::field("id", "at most 64 bytes")),
        Some(_) => next.run(call),
    }
}

fn get_user(_: &Call, Get { id }: Get) -> Result<User, Fault> {
    let user = store::bucket("users")?.entry(&id).get()?;
    user.ok_or_else(|| Fault::new("not-found", format!("no user is called {id:?}")))
}

fn put_user(_: &Call, user: User) -> Result<User, Fault> {
    store::bucket("users")?.entry(&user.id).set(&user)?;
    Ok(user)
}

fn quote(_: &Call, Ask { symbol }: Ask) -> Result<Quote, Fault> {
    let url = format!("{}/quotes/{symbol}", upstream()?);
    let response = http::get(&url).and_then(http::Response::success);
    let answer = response.map_err(no_quote)?.body_json();
    let Price { price } = answer.map_err(no_quote)?;
    Ok(Quote { symbol, price })
}

fn slow(call: &Call, Slow { ms }: Slow) -> Result<Later<()>, Fault> {
    let id = call.id().unwrap_or_default();
    let mut waiting = State::<Waiting>::of(call)?;
    if waiting.len() == WAITING_MAX {
        return Err(Fault::new("too-many", "at most 16 slow requests may wait"));
    }
    if waiting.insert(id.to_owned(), call.ticket()).is_some() {
        let fault = Fault::new("id-in-use", "a slow request with this id still waits");
        return Err(fault);
    }
    waiting.save()?;
    Timer::after(id, Duration::from_millis(ms)).on(call)?;
    Ok(Later::default())
}

/// Any error becomes a fault of the code `internal`.
fn fail(_: &Call, (): ()) -> Result<(), Fault> {
    Err(error!("failed because it was asked to"))?
}

fn upstream() -> Result<String> {
    let upstream = config::get("upstream");
    upstream.ok_or_else(|| error!("add upstream = \"https://..\" to [plugin.config]"))
}

fn no_quote(why: impl Display) -> Fault {
    Fault::new("upstream", format!("there is no quote: {why}"))
}

tidegate_sdk::export!(Rpc: describe);
