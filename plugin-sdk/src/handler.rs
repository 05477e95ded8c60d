//! The trait that a plugin implements.

use crate::bindings::tidegate::plugin::host;
use crate::store::Bucket;
use crate::{Accept, CloseCause, Connection, Message, Reject, Request, Result, Verdict};

/// A plugin: what happens on each event of its connections. Only [`on_message`](Self::on_message) is required.
///
/// # No `self`
///
/// The gateway may throw an instance of a plugin away between any two events, run many side by side, and put another
/// version in its place. Whatever a `self` or a `static` remembered would be gone, or would be another connection's,
/// so there is none. What must last goes into the connection's [state](Connection::set_state), into a
/// [topic](Connection::subscribe_as) or into the [store](crate::store).
///
/// # Order, and what an `Err` does
///
/// Events of one connection come one at a time and in order, and for every `on_open` there is exactly one `on_close`.
/// An `Err` is logged and counted, and nothing that this event did takes effect; the connection stays unless its
/// route says otherwise. A panic ends the instance and, by default, the connection.
///
/// Three things act at once and are not undone: writes to the [store](crate::store), [HTTP](crate::http) requests, and
/// the log. Do them last, when nothing behind them can fail any more.
///
/// # To tell a newcomer what there is, and miss nothing that comes
///
/// What an event did is seen by other connections when the event has ended. In an `on_open` that subscribes and tells
/// how things are, a change in between would be in neither: so subscribe there, and tell in an event of its own.
///
/// ```no_run
/// # use std::time::Duration;
/// # use tidegate_sdk::{Connection, Handler, Message, Request, Result, Timer, store};
/// # struct News;
/// impl Handler for News {
///     fn on_open(connection: &Connection, _request: Request) -> Result {
///         connection.subscribe("news")?;
///         Ok(Timer::after("subscribed", Duration::ZERO).on(connection)?)
///     }
///
///     fn on_timer(connection: Option<&Connection>, _name: &str) -> Result {
///         if let (Some(connection), Some(latest)) = (connection, store::bucket("news")?.get("latest")?) {
///             connection.send(latest);
///         }
///         Ok(())
///     }
/// #   fn on_message(_: &Connection, _: Message) -> Result { Ok(()) }
/// }
/// ```
///
/// A plugin may be told of a change twice, and never not at all.
///
/// # Several plugins on one route
///
/// A handler that returns `Ok(())` has dealt with the message, and the route's next plugin does not see it. One that
/// wants to choose implements `Handler<Verdict>`:
///
/// ```no_run
/// use tidegate_sdk::{Connection, Handler, Message, Result, Verdict};
///
/// /// Answers pings, and leaves everything else to the plugins behind it.
/// struct Pong;
///
/// impl Handler<Verdict> for Pong {
///     fn on_message(connection: &Connection, message: Message) -> Result<Verdict> {
///         if message.as_text() != Some("ping") {
///             return Ok(Verdict::Next);
///         }
///         connection.send("pong");
///         Ok(Verdict::Done)
///     }
/// }
///
/// tidegate_sdk::export!(Pong);
/// # fn main() {}
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a plugin",
    note = "implement `tidegate_sdk::Handler` for it; only `on_message` is required"
)]
pub trait Handler<V: Into<Verdict> = ()> {
    /// A message has arrived.
    fn on_message(connection: &Connection, message: Message) -> Result<V>;

    /// Somebody asks for a connection. There is none yet: only sends to others and closing them,
    /// [`publish`](crate::publish), reads of topics, the store and the plugin's own timers work here. Behind `auth` in a
    /// chain, [`Request::user`] is who asks. Accepts everybody unless written.
    ///
    /// ```no_run
    /// # use tidegate_sdk::{Accept, Connection, Handler, Message, Reject, Request, Result};
    /// # struct Chat;
    /// # impl Handler for Chat {
    /// # fn on_message(_: &Connection, _: Message) -> Result { Ok(()) }
    /// fn on_upgrade(request: Request) -> Result<Accept, Reject> {
    ///     let Some(token) = request.query("token") else {
    ///         return Err(Reject::new(401, "add ?token=...").header("www-authenticate", "Bearer"));
    ///     };
    ///     Ok(Accept::default().subprotocol("chat.v1").state(token))
    /// }
    /// # }
    /// ```
    fn on_upgrade(request: Request) -> Result<Accept, Reject> {
        let _ = request;
        Ok(Accept::default())
    }

    /// A connection has opened.
    fn on_open(connection: &Connection, request: Request) -> Result {
        let _ = (connection, request);
        Ok(())
    }

    /// All that was [`Queued`](crate::Delivery::Queued) for a slow connection has been written: send it more. An
    /// `Err` is logged, and nothing that was done takes effect.
    fn on_drain(connection: &Connection) -> Result {
        let _ = connection;
        Ok(())
    }

    /// A [`Timer`](crate::Timer) has fired: one of the connection, in order with its other events, or without one of
    /// the plugin itself. That event has no connection to act on; it can send, publish, close, set the plugin's own
    /// timers and write to the store.
    fn on_timer(connection: Option<&Connection>, name: &str) -> Result {
        let _ = (connection, name);
        Ok(())
    }

    /// The connection has ended and is unsubscribed from everything, so [`members`](crate::members) are those who stay.
    /// The state can still be read, and all but what is the connection's own can be done: publish, set the plugin's
    /// timers, write to the store.
    fn on_close(connection: &Connection, cause: CloseCause) -> Result {
        let _ = (connection, cause);
        Ok(())
    }

    /// A check before this version of the plugin takes over, in an instance that is thrown away afterwards. With an
    /// `Err` the last good version stays. It can read the configuration and the store, so this is the place to find
    /// that a key is wrong or a grant is missing. Nothing done here takes effect, a write to the store is refused, and
    /// there are no connections and topics to see.
    fn on_load() -> Result {
        Ok(())
    }
}

/// A plugin that takes over what an earlier version of it kept for a connection: `export!(Chat: migrate);`.
///
/// Without it a new version gets the bytes as the old one left them. That is enough for JSON with `#[serde(default)]`
/// on new fields; this is for changes beyond.
///
/// ```no_run
/// # use tidegate_sdk::{Connection, Handler, Message, Result};
/// # struct Chat;
/// # impl Handler for Chat {
/// # fn on_message(_: &Connection, _: Message) -> Result { Ok(()) }
/// # }
/// impl tidegate_sdk::Migrator for Chat {
///     fn migrate_state(state: Vec<u8>, _generation: u64) -> Result<Vec<u8>> {
///         // It was the bare name, and is an object now.
///         let name = String::from_utf8(state)?;
///         Ok(format!(r#"{{"name": {name:?}}}"#).into_bytes())
///     }
/// }
///
/// tidegate_sdk::export!(Chat: migrate);
/// # fn main() {}
/// ```
pub trait Migrator {
    /// Called with a connection's state before its first event on this generation, if it has one. `generation` left
    /// it. Nothing else can be done here. With an `Err` the connection stays with the generation it has, or is closed,
    /// as `on_refused_state` of the plugin says.
    fn migrate_state(state: Vec<u8>, generation: u64) -> Result<Vec<u8>>;
}

/// A plugin that hears of changes in the store: `export!(Scores: watch);`.
///
/// A plugin hears of the buckets in its `grants.watch`, which `grants.store` has too, of every change in them: by whichever connection, plugin or event,
/// its own among them, and by the end of an entry's time. What writes a key that it watches should therefore see when
/// to stop. A bucket's changes come one at a time and in order; when more wait than `limits.changes` of the plugin
/// allows, the oldest are left out, so that what is heard last is how things are.
///
/// Each is an event without a connection. It can send, publish and write to the store; what it sends and publishes
/// takes effect when it returns `Ok`. An `Err` is logged, but not counted as a failure: the interface returns nothing.
/// Nothing that was done takes effect then, but what was written to the store stays.
///
/// ```no_run
/// # use tidegate_sdk::{Connection, Handler, Message, Result};
/// # struct Scores;
/// # impl Handler for Scores {
/// # fn on_message(_: &Connection, _: Message) -> Result { Ok(()) }
/// # }
/// impl tidegate_sdk::Watcher for Scores {
///     fn on_set(_: &tidegate_sdk::store::Bucket, key: &str, value: &[u8]) -> Result {
///         Ok(tidegate_sdk::publish(&format!("score:{key}"), value)?)
///     }
/// }
///
/// tidegate_sdk::export!(Scores: watch);
/// # fn main() {}
/// ```
pub trait Watcher {
    /// A key was set.
    fn on_set(bucket: &Bucket, key: &str, value: &[u8]) -> Result;

    /// A key was removed, by somebody or because its time was over.
    fn on_delete(bucket: &Bucket, key: &str) -> Result {
        let _ = (bucket, key);
        Ok(())
    }
}

/// Forgets all that this event has done so far, as if it had failed here: sends, publishes, subscriptions, timers,
/// state, close. The event goes on, and can still tell its client what went wrong.
pub fn discard() {
    host::discard();
}

/// The generation of the plugin that this event runs on: 1 for the first load, then 2, 3, ...
pub fn generation() -> u64 {
    host::generation()
}

impl From<()> for Verdict {
    /// A handler that says nothing has dealt with the message.
    fn from((): ()) -> Self {
        Self::Done
    }
}
