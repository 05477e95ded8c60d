//! What wit-bindgen generates from `wit/`; nothing here is written by hand or promised to anybody.
//!
//! `Borrowing` makes the imports take `&str` and `&[u8]` inside `message`, so that a plugin sends what it has without
//! a copy; a type that is both taken and given exists twice for that (`MessageParam`, `MessageResult`).
//!
//! Each world that a plugin may have or not has a module of its own, because all of a world's exports must be there.

wit_bindgen::generate!({
    world: "full-plugin",
    path: "../wit",
    ownership: Borrowing { duplicate_if_necessary: true },
    export_macro_name: "export_full_plugin",
    pub_export_macro: true,
    default_bindings_module: "tidegate_sdk::bindings",
    generate_all,
});

pub mod migrating {
    wit_bindgen::generate!({
        world: "migrating-plugin",
        path: "../wit",
        export_macro_name: "export_migrating_plugin",
        pub_export_macro: true,
        default_bindings_module: "tidegate_sdk::bindings::migrating",
    });
}

pub mod watching {
    wit_bindgen::generate!({
        world: "watching-plugin",
        path: "../wit",
        with: { "wasi:keyvalue/store@0.2.0-draft2": crate::bindings::wasi::keyvalue::store },
        export_macro_name: "export_watching_plugin",
        pub_export_macro: true,
        default_bindings_module: "tidegate_sdk::bindings::watching",
    });
}

pub mod describing {
    wit_bindgen::generate!({
        world: "described-plugin",
        path: "../wit",
        export_macro_name: "export_described_plugin",
        pub_export_macro: true,
        default_bindings_module: "tidegate_sdk::bindings::describing",
    });
}

pub mod http_client {
    wit_bindgen::generate!({
        world: "http-client",
        path: "../wit",
        generate_all,
    });
}

pub mod http_plugin {
    wit_bindgen::generate!({
        world: "http-plugin",
        path: "../wit",
        export_macro_name: "export_http_plugin",
        pub_export_macro: true,
        default_bindings_module: "tidegate_sdk::bindings::http_plugin",
        with: {
            "wasi:http/types@0.2.12": crate::bindings::http_client::wasi::http::types,
            "wasi:io/error@0.2.12": crate::bindings::http_client::wasi::io::error,
            "wasi:io/poll@0.2.12": crate::bindings::http_client::wasi::io::poll,
            "wasi:io/streams@0.2.12": crate::bindings::http_client::wasi::io::streams,
            "wasi:clocks/monotonic-clock@0.2.12": crate::bindings::http_client::wasi::clocks::monotonic_clock,
        },
    });
}
