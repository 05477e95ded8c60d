//! Exports a handler of the right name and version, but `on-message` has another signature and `on-close` is missing.
#![cfg(target_family = "wasm")]
#![expect(unsafe_code, reason = "what wit-bindgen generates")]

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package tidegate:plugin@0.1.0;

            interface handler {
                on-open: func(connection: u64) -> result<_, string>;
                on-message: func(connection: u64, message: string) -> string;
            }

            world plugin {
                export handler;
            }
        ",
    });
}

struct WrongShape;

impl bindings::exports::tidegate::plugin::handler::Guest for WrongShape {
    fn on_open(_connection: u64) -> Result<(), String> {
        Ok(())
    }

    fn on_message(_connection: u64, message: String) -> String {
        message
    }
}

bindings::export!(WrongShape with_types_in bindings);
