//! Exports the handler of a version that this gateway does not know.
#![cfg(target_family = "wasm")]
#![expect(unsafe_code, reason = "what wit-bindgen generates")]

mod bindings {
    wit_bindgen::generate!({ path: "wit-0.2" });
}

struct Future;

impl bindings::exports::tidegate::plugin::handler::Guest for Future {
    fn on_event(_connection: u64, _event: Vec<u8>) -> Result<(), String> {
        Ok(())
    }
}

bindings::export!(Future with_types_in bindings);
