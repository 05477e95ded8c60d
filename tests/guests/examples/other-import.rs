//! A plugin that imports what no gateway has: files by name.
#![cfg(target_family = "wasm")]
#![allow(unsafe_code, reason = "what wit-bindgen generates, on some targets")]

use tidegate_sdk::{Connection, Handler, Message, Result};

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package example:files@1.0.0;

            interface files {
                read: func(name: string) -> string;
            }

            world reader {
                import files;
            }
        ",
    });
}

struct Reader;

impl Handler for Reader {
    fn on_message(connection: &Connection, message: Message) -> Result {
        let name = message.as_text().unwrap_or_default();
        connection.send(bindings::example::files::files::read(name));
        Ok(())
    }
}

tidegate_sdk::export!(Reader);
