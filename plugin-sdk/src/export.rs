//! From the contract's exports to a [`Handler`]. Only [`export!`](crate::export!) uses this.

use crate::bindings::tidegate::plugin::{host, types};
use crate::{
    CloseCause, Handler, HttpHandler, Message, Migrator, Request, Result, Verdict, Watcher,
    connection,
};

pub use crate::bindings::describing::exports::tidegate::plugin::describer::Guest as Describer;
pub use crate::bindings::exports::tidegate::plugin::batch_handler::Guest as Batches;
pub use crate::bindings::exports::tidegate::plugin::drainer::Guest as Drainer;
pub use crate::bindings::exports::tidegate::plugin::handler::Guest as Events;
pub use crate::bindings::exports::tidegate::plugin::lifecycle::Guest as Lifecycle;
pub use crate::bindings::exports::tidegate::plugin::timer::Guest as Timers;
pub use crate::bindings::exports::tidegate::plugin::upgrader::Guest as Upgrader;
pub use crate::bindings::http_client::wasi::http::types::{IncomingRequest, ResponseOutparam};
pub use crate::bindings::http_plugin::exports::wasi::http::incoming_handler::Guest as IncomingHandler;
pub use crate::bindings::migrating::exports::tidegate::plugin::migrator::Guest as StateMigrator;
pub use crate::bindings::tidegate::plugin::types::{
    Accept, CloseCause as Cause, Connection as Id, MessageResult, Reject,
};
pub use crate::bindings::wasi::keyvalue::store::Bucket;
pub use crate::bindings::watching::exports::wasi::keyvalue::watcher::Guest as StoreWatcher;

/// Makes a component of a [`Handler`](crate::Handler): `export!(Chat);`, once in a crate of type `cdylib`.
///
/// All events of a handler are exported, so that one can be added without touching this line. What changes how the
/// gateway treats a plugin is named, and asks for a trait: `export!(Chat: migrate);`.
///
/// | word | trait |
/// | --- | --- |
/// | `describe` | [`Routes`](crate::Routes): describes its messages, for `tidegate types` |
/// | `http` | [`HttpHandler`](crate::HttpHandler): answers plain HTTP requests |
/// | `migrate` | [`Migrator`](crate::Migrator): takes over the states of the version before |
/// | `watch` | [`Watcher`](crate::Watcher): hears of changes in the store |
#[macro_export]
macro_rules! export {
    ($handler:ty: $($more:ident),+ $(,)?) => {
        $crate::export!($handler);
        $($crate::export_more!($more $handler);)+
    };
    ($handler:ty) => {
        const _: () = {
            use $crate::export as tidegate_export;

            struct TidegateExports;

            // `_` finds the handler's verdict type, which only an expression can infer: hence these bodies.
            impl tidegate_export::Events for TidegateExports {
                fn on_open(
                    id: tidegate_export::Id,
                    request: $crate::Request,
                ) -> ::core::result::Result<(), ::std::string::String> {
                    tidegate_export::on_open::<$handler, _>(id, request)
                }
                fn on_message(
                    id: tidegate_export::Id,
                    message: tidegate_export::MessageResult,
                ) -> ::core::result::Result<$crate::Verdict, ::std::string::String> {
                    tidegate_export::on_message::<$handler, _>(id, message)
                }
                fn on_close(
                    id: tidegate_export::Id,
                    cause: tidegate_export::Cause,
                ) -> ::core::result::Result<(), ::std::string::String> {
                    tidegate_export::on_close::<$handler, _>(id, cause)
                }
            }
            impl tidegate_export::Batches for TidegateExports {
                fn on_messages(
                    id: tidegate_export::Id,
                    payloads: ::std::vec::Vec<u8>,
                    ends: ::std::vec::Vec<u32>,
                ) -> ::core::result::Result<(), ::std::string::String> {
                    tidegate_export::on_messages::<$handler, _>(id, &payloads, &ends)
                }
            }
            impl tidegate_export::Upgrader for TidegateExports {
                fn on_upgrade(
                    request: $crate::Request,
                ) -> ::core::result::Result<tidegate_export::Accept, tidegate_export::Reject>
                {
                    tidegate_export::on_upgrade::<$handler, _>(request)
                }
            }
            impl tidegate_export::Drainer for TidegateExports {
                fn on_drain(
                    id: tidegate_export::Id,
                ) -> ::core::result::Result<(), ::std::string::String> {
                    tidegate_export::on_drain::<$handler, _>(id)
                }
            }
            impl tidegate_export::Timers for TidegateExports {
                fn on_timer(
                    id: ::core::option::Option<tidegate_export::Id>,
                    name: ::std::string::String,
                ) -> ::core::result::Result<(), ::std::string::String> {
                    tidegate_export::on_timer::<$handler, _>(id, &name)
                }
            }
            impl tidegate_export::Lifecycle for TidegateExports {
                fn on_load() -> ::core::result::Result<(), ::std::string::String> {
                    tidegate_export::on_load::<$handler, _>()
                }
            }

            // Elsewhere no linker takes the names of these exports, which have colons in them.
            #[cfg(target_family = "wasm")]
    $crate::bindings::export_full_plugin!(TidegateExports with_types_in $crate::bindings);
            #[cfg(not(target_family = "wasm"))]
            tidegate_export::check::<TidegateExports>();
        };
    };
}

/// What [`export!`](crate::export!) does for each word behind the handler.
#[doc(hidden)]
#[macro_export]
macro_rules! export_more {
    (describe $handler:ty) => {
        const _: () = {
            use $crate::export as tidegate_export;

            struct TidegateDescriber;

            impl tidegate_export::Describer for TidegateDescriber {
                fn describe() -> ::std::string::String {
                    tidegate_export::describe::<$handler>()
                }
            }

            #[cfg(target_family = "wasm")]
            $crate::bindings::describing::export_described_plugin!(
                TidegateDescriber with_types_in $crate::bindings::describing
            );
            #[cfg(not(target_family = "wasm"))]
            let _ = <TidegateDescriber as tidegate_export::Describer>::describe;
        };
    };
    (migrate $handler:ty) => {
        const _: () = {
            use $crate::export as tidegate_export;

            struct TidegateMigrator;

            impl tidegate_export::StateMigrator for TidegateMigrator {
                fn migrate_state(
                    state: ::std::vec::Vec<u8>,
                    generation: u64,
                ) -> ::core::result::Result<::std::vec::Vec<u8>, ::std::string::String> {
                    tidegate_export::migrate_state::<$handler>(state, generation)
                }
            }

            #[cfg(target_family = "wasm")]
            $crate::bindings::migrating::export_migrating_plugin!(
                TidegateMigrator with_types_in $crate::bindings::migrating
            );
            #[cfg(not(target_family = "wasm"))]
            let _ = <TidegateMigrator as tidegate_export::StateMigrator>::migrate_state;
        };
    };
    (watch $handler:ty) => {
        const _: () = {
            use $crate::export as tidegate_export;

            struct TidegateWatcher;

            impl tidegate_export::StoreWatcher for TidegateWatcher {
                fn on_set(
                    bucket: tidegate_export::Bucket,
                    key: ::std::string::String,
                    value: ::std::vec::Vec<u8>,
                ) {
                    tidegate_export::on_set::<$handler>(bucket, &key, &value);
                }
                fn on_delete(bucket: tidegate_export::Bucket, key: ::std::string::String) {
                    tidegate_export::on_delete::<$handler>(bucket, &key);
                }
            }

            #[cfg(target_family = "wasm")]
            $crate::bindings::watching::export_watching_plugin!(
                TidegateWatcher with_types_in $crate::bindings::watching
            );
            #[cfg(not(target_family = "wasm"))]
            let _ = <TidegateWatcher as tidegate_export::StoreWatcher>::on_set;
        };
    };
    (http $handler:ty) => {
        const _: () = {
            use $crate::export as tidegate_export;

            struct TidegateHttp;

            impl tidegate_export::IncomingHandler for TidegateHttp {
                fn handle(
                    request: tidegate_export::IncomingRequest,
                    out: tidegate_export::ResponseOutparam,
                ) {
                    tidegate_export::on_request::<$handler>(request, out)
                }
            }

            #[cfg(target_family = "wasm")]
            $crate::bindings::http_plugin::export_http_plugin!(
                TidegateHttp with_types_in $crate::bindings::http_plugin
            );
            #[cfg(not(target_family = "wasm"))]
            let _ = <TidegateHttp as tidegate_export::IncomingHandler>::handle;
        };
    };
    ($other:ident $handler:ty) => {
        ::core::compile_error!("`export!` knows `describe`, `http`, `migrate` and `watch`");
    };
}

pub use crate::describe::describe;

pub fn migrate_state<H: Migrator>(state: Vec<u8>, generation: u64) -> Result<Vec<u8>, String> {
    H::migrate_state(state, generation).map_err(|error| error.to_string())
}

pub fn on_set<H: Watcher>(bucket: Bucket, key: &str, value: &[u8]) {
    settle("on_set", key, H::on_set(&bucket.into(), key, value));
}

pub fn on_delete<H: Watcher>(bucket: Bucket, key: &str) {
    settle("on_delete", key, H::on_delete(&bucket.into(), key));
}

/// The contract's watcher returns nothing, so what an `Err` does is done here.
fn settle(event: &str, key: &str, result: Result) {
    if let Err(error) = result {
        host::discard();
        crate::log::error!("{event} of {key:?}: {error}");
    }
}

pub fn on_request<H: HttpHandler>(request: IncomingRequest, out: ResponseOutparam) {
    crate::http::answer::<H>(request, out);
}

pub const fn check<P: Events + Batches + Upgrader + Drainer + Timers + Lifecycle>() {}

pub fn on_open<H: Handler<V>, V: Into<Verdict>>(id: Id, request: Request) -> Result<(), String> {
    H::on_open(&connection(id), request).map_err(|error| error.to_string())
}

pub fn on_message<H: Handler<V>, V: Into<Verdict>>(
    id: Id,
    message: MessageResult,
) -> Result<Verdict, String> {
    match H::on_message(&connection(id), Message::from(message)) {
        Ok(verdict) => Ok(verdict.into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Each message as if it had come alone.
pub fn on_messages<H: Handler<V>, V: Into<Verdict>>(
    id: Id,
    payloads: &[u8],
    ends: &[u32],
) -> Result<(), String> {
    let mut start = 0;
    for &mark in ends {
        let end = (mark / 2) as usize;
        let payload = payloads[start..end].to_vec();
        start = end;
        let message = match mark % 2 {
            0 => Message::Binary(payload),
            _ => Message::Text(text(payload)),
        };
        let verdict = H::on_message(&connection(id), message);
        if !host::handled(verdict.map_err(|error| error.to_string())?.into()) {
            break;
        }
    }
    Ok(())
}

#[expect(
    unsafe_code,
    reason = "checking again costs more than the rest of the call"
)]
fn text(payload: Vec<u8>) -> String {
    debug_assert!(std::str::from_utf8(&payload).is_ok());
    // SAFETY: the contract says that what is marked as text is valid UTF-8; the gateway has checked
    // it where it read it. For a message that comes alone wit-bindgen relies on the same.
    unsafe { String::from_utf8_unchecked(payload) }
}

pub fn on_close<H: Handler<V>, V: Into<Verdict>>(id: Id, cause: CloseCause) -> Result<(), String> {
    H::on_close(&connection(id), cause).map_err(|error| error.to_string())
}

pub fn on_upgrade<H: Handler<V>, V: Into<Verdict>>(
    request: Request,
) -> Result<types::Accept, types::Reject> {
    match H::on_upgrade(request) {
        Ok(accept) => Ok(accept.into()),
        Err(reject) => Err(reject.into()),
    }
}

pub fn on_drain<H: Handler<V>, V: Into<Verdict>>(id: Id) -> Result<(), String> {
    H::on_drain(&connection(id)).map_err(|error| error.to_string())
}

pub fn on_timer<H: Handler<V>, V: Into<Verdict>>(id: Option<Id>, name: &str) -> Result<(), String> {
    let connection = id.map(connection);
    H::on_timer(connection.as_ref(), name).map_err(|error| error.to_string())
}

pub fn on_load<H: Handler<V>, V: Into<Verdict>>() -> Result<(), String> {
    H::on_load().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Connection, Error, Message};

    struct Quiet;

    impl Handler for Quiet {
        fn on_message(_: &Connection, message: Message) -> Result {
            Err(Error::msg(message.as_text().unwrap_or_default()))
        }
    }

    struct Filter;

    impl Handler<Verdict> for Filter {
        fn on_message(_: &Connection, message: Message) -> Result<Verdict> {
            match message {
                Message::Text(_) => Ok(Verdict::Next),
                Message::Binary(_) => Ok(().into()),
            }
        }
    }

    #[test]
    fn an_error_crosses_as_its_text() {
        let message = MessageResult::Text("no room called tea".to_owned());
        let error = on_message::<Quiet, _>(1, message).unwrap_err();
        assert_eq!(error, "no room called tea");
    }

    #[test]
    fn a_verdict_is_done_unless_it_says_otherwise() {
        let text = MessageResult::Text(String::new());
        let binary = MessageResult::Binary(Vec::new());
        assert_eq!(on_message::<Filter, _>(1, text), Ok(Verdict::Next));
        assert_eq!(on_message::<Filter, _>(1, binary), Ok(Verdict::Done));
    }

    #[test]
    fn what_is_not_written_accepts_and_agrees() {
        let request = Request {
            path: "/".to_owned(),
            params: Vec::new(),
            query: None,
            headers: Vec::new(),
            peer: "127.0.0.1:50000".to_owned(),
            subprotocols: Vec::new(),
        };
        assert!(on_upgrade::<Quiet, _>(request.clone()).is_ok());
        assert_eq!(on_open::<Quiet, _>(1, request), Ok(()));
        assert_eq!(on_load::<Quiet, _>(), Ok(()));
    }
}
