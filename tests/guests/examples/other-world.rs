//! A sound component that is no plugin at all.
#![cfg(target_family = "wasm")]
#![expect(unsafe_code, reason = "what wit-bindgen generates")]

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package example:other@1.0.0;

            world other {
                export greet: func(name: string) -> string;
            }
        ",
    });
}

struct Other;

impl bindings::Guest for Other {
    fn greet(name: String) -> String {
        format!("hello {name}")
    }
}

bindings::export!(Other with_types_in bindings);
