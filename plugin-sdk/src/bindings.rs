//! What wit-bindgen generates from `wit/`; nothing here is written by hand or promised to anybody.
//!
//! `Borrowing` makes the imports take `&str` and `&[u8]` inside `message`, so that a plugin sends what it has without
//! a copy; a type that is both taken and given exists twice for that (`MessageParam`, `MessageResult`).

wit_bindgen::generate!({
    world: "full-plugin",
    path: "../wit",
    ownership: Borrowing { duplicate_if_necessary: true },
    export_macro_name: "export_full_plugin",
    pub_export_macro: true,
    default_bindings_module: "tidegate_sdk::bindings",
});
