//! The types of message that there are routes for, to tell a client who asked for another.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{Next, Reply, Router, Routes};
use crate::{Call, Fault};

/// The types of message that there are routes for.
#[derive(Default)]
pub(super) struct Names(Vec<&'static str>);

impl Names {
    pub(super) fn of<R: Routes + ?Sized>() -> Self {
        let mut names = Self::default();
        R::routes(&mut names);
        names
    }

    pub(super) fn has(&self, kind: &str) -> bool {
        self.0.contains(&kind)
    }

    /// The fault of a message that has another type.
    pub(super) fn unknown(self, kind: &str) -> Fault {
        Fault::new("unknown-type", format!("no route for the type {kind:?}"))
            .with_details(&json!({"known": self.0}))
    }
}

impl Router for Names {
    fn on<T, R>(
        &mut self,
        kind: &'static str,
        _handle: impl Fn(&Call, T) -> Result<R, Fault>,
    ) -> &mut Self
    where
        T: DeserializeOwned + JsonSchema + 'static,
        R: Reply,
    {
        if !self.has(kind) {
            self.0.push(kind);
        }
        self
    }

    fn binary<R: Reply>(
        &mut self,
        _handle: impl Fn(&Call, &[u8]) -> Result<R, Fault>,
    ) -> &mut Self {
        self
    }

    fn with(
        &mut self,
        _middleware: impl Fn(&Call, Next) -> Result<(), Fault> + 'static,
    ) -> &mut Self {
        self
    }

    fn sends<T: JsonSchema>(&mut self, _kind: &'static str) -> &mut Self {
        self
    }
}
