//! The words of `wasi:keyvalue` in Rust types. wasmtime checks them against the component.

use wasmtime::component::{ComponentType, Lower, Resource};

use super::Cas;
use crate::store::{KeyPage, StoreError};

#[derive(ComponentType, Lower)]
#[component(variant)]
pub(super) enum KeyvalueError {
    #[component(name = "no-such-store")]
    NoSuchStore,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "other")]
    Other(String),
}

impl From<StoreError> for KeyvalueError {
    fn from(error: StoreError) -> Self {
        Self::Other(error.to_string())
    }
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct KeyResponse {
    keys: Vec<String>,
    cursor: Option<String>,
}

impl From<KeyPage> for KeyResponse {
    fn from(page: KeyPage) -> Self {
        Self {
            keys: page.keys.iter().map(|key| (**key).to_owned()).collect(),
            cursor: page.cursor.map(|key| (*key).to_owned()),
        }
    }
}

#[derive(ComponentType, Lower)]
#[component(variant)]
pub(super) enum CasError {
    #[component(name = "store-error")]
    Store(KeyvalueError),
    #[component(name = "cas-failed")]
    Failed(Resource<Cas>),
}
