//! Messages to functions, by their type.

mod dispatch;
mod middleware;
mod names;
mod reply;
mod rules;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

pub use middleware::{Next, require_role, require_user};
pub use reply::{Later, Reply, Unanswered};
pub use rules::{check, valid};

use crate::{Call, Connection, Fault, Message, Result, Verdict, discard};

use dispatch::Outcome;
use names::Names;

/// The messages of a plugin: which function handles which type.
///
/// `on_message` hands over to [`route`](Self::route):
///
/// ```no_run
/// use garde::Validate;
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
/// use tidegate_sdk::{Call, Connection, Fault, Handler, Message, Next, Result, Router, Routes};
/// use tidegate_sdk::{require_role, require_user, valid};
///
/// struct Rooms;
///
/// impl Handler for Rooms {
///     fn on_message(connection: &Connection, message: Message) -> Result {
///         Rooms::route(connection, &message)
///     }
/// }
///
/// impl Routes for Rooms {
///     fn routes(router: &mut impl Router) {
///         router.with(logged).on("join", valid(join));
///         router.with(require_user).on("leave", leave);
///         router.with(require_role("admin")).on("close", close);
///         router.sends::<Joined>("joined");
///     }
/// }
///
/// /// What a client sends to enter a room.
/// #[derive(Deserialize, JsonSchema, Validate)]
/// struct Join {
///     /// 1 to 32 characters.
///     #[garde(length(chars, min = 1, max = 32))]
///     room: String,
/// }
///
/// /// What it gets back, and what the others hear.
/// #[derive(Serialize, JsonSchema)]
/// struct Joined {
///     room: String,
///     count: u32,
/// }
///
/// fn join(call: &Call, join: Join) -> Result<Joined, Fault> {
///     call.subscribe(&join.room)?;
///     let count = tidegate_sdk::subscriber_count(&join.room);
///     let room = join.room.clone();
///     let joined = Joined { room, count };
///     call.publish_event_to_others(&join.room, "joined", &joined)?;
///     Ok(joined)
/// }
///
/// fn leave(call: &Call, join: Join) -> Result<(), Fault> {
///     Ok(call.unsubscribe(&join.room)?)
/// }
///
/// fn close(call: &Call, (): ()) -> Result<(), Fault> {
///     Ok(call.close(1000, "closed by its owner")?)
/// }
///
/// /// Runs around every route: before it, after it, or instead of it.
/// fn logged(call: &Call, next: Next) -> Result<(), Fault> {
///     let outcome = next.run(call);
///     if let Err(fault) = &outcome {
///         tidegate_sdk::log::info!("{} failed: {fault}", call.kind());
///     }
///     outcome
/// }
///
/// tidegate_sdk::export!(Rooms: describe);
/// # fn main() {}
/// ```
///
/// A client that sends `{"type": "join", "id": 1, "room": "tea"}` gets
/// `{"type": "join", "requestId": 1, "success": true, "data": {"room": "tea", "count": 1}}`, and with `"room": ""` an
/// error that names `room`. [The envelope](crate::envelope) tells all of it.
///
/// `export!(Rooms: describe)` adds a description of these types, for `tidegate types rooms.wasm` to print them as
/// TypeScript. It costs room in the component, and nothing else.
pub trait Routes {
    /// Names the routes. Called for every message, so it does nothing but that.
    fn routes(router: &mut impl Router);

    /// Handles a message: finds its route, runs it, and answers. Only an answer that can't be written in JSON is an
    /// `Err`; all other faults are told to the client.
    ///
    /// After a fault, [`discard`] has forgotten what this event did before, outside the router too.
    fn route(connection: &Connection, message: &Message) -> Result {
        let outcome = dispatch::dispatch::<Self>(*connection, message);
        conclude::<Self>(connection, outcome)
    }

    /// Like [`route`](Self::route), for a plugin in a chain: a message that is for none of the routes, because it has
    /// another type or none, is left to the plugins behind this one.
    ///
    /// ```no_run
    /// # use tidegate_sdk::{Connection, Handler, Message, Result, Router, Routes, Verdict};
    /// # struct Admin;
    /// # impl Routes for Admin { fn routes(_: &mut impl Router) {} }
    /// impl Handler<Verdict> for Admin {
    ///     fn on_message(connection: &Connection, message: Message) -> Result<Verdict> {
    ///         Admin::route_or_next(connection, &message)
    ///     }
    /// }
    /// ```
    fn route_or_next(connection: &Connection, message: &Message) -> Result<Verdict> {
        match dispatch::dispatch::<Self>(*connection, message) {
            Outcome::Elsewhere { .. } => Ok(Verdict::Next),
            outcome => conclude::<Self>(connection, outcome).map(Verdict::from),
        }
    }
}

/// Takes the routes of a plugin: see [`Routes`]. The SDK implements it, once to find the route of a message and once to
/// describe the messages.
///
/// The first route of a type is the one that is run, and no other is tried after it.
pub trait Router: Sized {
    /// A route: messages of the type `kind` go to that function, with the payload read as `T`. What it returns is the
    /// answer; [`Reply`] says how to answer later, or not at all.
    ///
    /// A payload of `()` takes any, none too.
    fn on<T, R>(
        &mut self,
        kind: &'static str,
        handle: impl Fn(&Call, T) -> Result<R, Fault>,
    ) -> &mut Self
    where
        T: DeserializeOwned + JsonSchema + 'static,
        R: Reply;

    /// The route of all binary messages, given as they came. Their `kind` is `binary`, also in the answer.
    fn binary<R: Reply>(&mut self, handle: impl Fn(&Call, &[u8]) -> Result<R, Fault>) -> &mut Self;

    /// Runs a function around the routes that follow, the binary one too; among several the first is outermost. It is
    /// a `fn(&Call, Next) -> Result<(), Fault>`, or a closure.
    ///
    /// [`next.run(call)`](Next::run) runs what is inside it, reading the payload included. Without it the message is
    /// not handled: return a fault then, or the client waits in vain.
    fn with(
        &mut self,
        middleware: impl Fn(&Call, Next) -> Result<(), Fault> + 'static,
    ) -> &mut Self;

    /// Routes among themselves: what is said in there by [`with`](Self::with) is around them only.
    ///
    /// ```no_run
    /// # use tidegate_sdk::{Call, Fault, Router, Routes, require_role};
    /// # struct Rooms;
    /// # fn kick(_: &Call, _: String) -> Result<(), Fault> { Ok(()) }
    /// # fn say(_: &Call, _: String) -> Result<(), Fault> { Ok(()) }
    /// # impl Routes for Rooms {
    /// fn routes(router: &mut impl Router) {
    ///     router
    ///         .group(|admin| admin.with(require_role("admin")).on("kick", kick))
    ///         .on("say", say);
    /// }
    /// # }
    /// ```
    fn group(&mut self, routes: impl FnOnce(&mut Self) -> &mut Self) -> &mut Self {
        routes(self)
    }

    /// Says that clients will hear of events of the type `kind` with a payload of `T`. It only describes.
    fn sends<T: JsonSchema>(&mut self, kind: &'static str) -> &mut Self;
}

/// Answers, and undoes what the message did if it failed.
fn conclude<R: Routes + ?Sized>(connection: &Connection, outcome: Outcome<'_>) -> Result {
    let (kind, id, fault) = match outcome {
        Outcome::Answered(answer) => {
            if let Some(answer) = answer {
                connection.send(answer);
            }
            return Ok(());
        }
        Outcome::Failed { kind, id, fault } => (kind, id, fault),
        Outcome::Elsewhere { kind, id, fault } => {
            let fault = fault.unwrap_or_else(|| Names::of::<R>().unknown(&kind));
            (kind, id, fault)
        }
    };
    discard();
    fault.log(&kind);
    connection.send(crate::envelope::refusal(&kind, id, &fault)?);
    Ok(())
}
