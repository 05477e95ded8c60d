//! The functions of `wasi:keyvalue/watcher`, which a plugin may export. They return nothing.

use wasmtime::component::Resource;

use super::Handle;
use crate::plugin::contract::Signature;

/// A key was set.
pub(in crate::plugin) struct OnSet;

/// A key was removed.
pub(in crate::plugin) struct OnDelete;

impl Signature for OnSet {
    type Params<'a> = (Resource<Handle>, &'a str, &'a [u8]);
    type Results = ();
}

impl Signature for OnDelete {
    type Params<'a> = (Resource<Handle>, &'a str);
    type Results = ();
}
