//! What a guest logs with a level: the function of `wasi:logging`.

use wasmtime::component::{Linker, WasmStr};
use wasmtime::{Result, StoreContextMut};

use super::context::Context;
use super::contract::{LOGGING, Level};
use super::log;

/// Offers the interface to guests.
pub(super) fn add_to_linker(linker: &mut Linker<Context>) -> Result<()> {
    linker.instance(LOGGING)?.func_wrap(
        "log",
        |cx: StoreContextMut<'_, Context>, (level, context, message): (Level, WasmStr, WasmStr)| {
            if log::is_enabled(level) {
                let (context, message) = (context.to_str(&cx)?, message.to_str(&cx)?);
                cx.data().log().message(level, &context, &message);
            }
            Ok(())
        },
    )
}
