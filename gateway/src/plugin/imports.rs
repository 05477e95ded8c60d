//! What components may import: all that the gateway offers, by name.

use wasmtime::StoreContextMut;
use wasmtime::component::{Component, InstancePre, Linker, Resource};
use wasmtime_wasi_http::Error;

use super::context::Context;
use super::contract::ContractError;
use super::engine::Engine;
use super::{host, keyvalue, logging, outgoing};

/// The types of `wasi:http`, as the library links them.
const TYPES: &str = "wasi:http/types@0.2.12";

/// What components may import.
pub(super) struct Imports(Linker<Context>);

impl Imports {
    /// All that the gateway offers to components of an engine.
    pub(super) fn of(engine: &Engine) -> Self {
        let mut linker = Linker::new(engine.wasmtime());
        let offered = offer(&mut linker);
        offered.expect("each name is the gateway's own, and offered once");
        Self(linker)
    }

    /// Links a component.
    ///
    /// # Errors
    /// When it imports what is not offered.
    pub(super) fn link(
        &self,
        component: &Component,
    ) -> Result<InstancePre<Context>, ContractError> {
        let linked = self.0.instantiate_pre(component);
        linked.map_err(|error| ContractError::Import(format!("{error:#}")))
    }
}

fn offer(linker: &mut Linker<Context>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_config::add_to_linker(linker, Context::settings)?;
    logging::add_to_linker(linker)?;
    host::add_to_linker(linker)?;
    keyvalue::add_to_linker(linker)?;
    http(linker)
}

/// Offers `wasi:http`; `outgoing` sends what a guest asks for.
fn http(linker: &mut Linker<Context>) -> wasmtime::Result<()> {
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    // The library's own looks for an error of another type than its bodies give, and finds none.
    linker.allow_shadowing(true);
    linker.instance(TYPES)?.func_wrap(
        "http-error-code",
        |cx: StoreContextMut<'_, Context>, (error,): (Resource<wasmtime::Error>,)| {
            let error = cx.data().resource(&error)?.downcast_ref::<Error>();
            Ok((error.map(outgoing::code_of),))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}
