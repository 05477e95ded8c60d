//! What a route may return.

use std::any::TypeId;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use crate::{Call, Fault};

/// What the function of a route returns:
///
/// - any value of a type that is `Serialize` and `JsonSchema`: the answer's `data`;
/// - `()`: "done"; it is answered with `null` if the message had an `id`, and else not at all;
/// - [`Later<T>`]: the answer of type `T` comes by a [`Ticket`](crate::Ticket) in another event;
/// - [`Unanswered`]: there is no answer.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be an answer",
    note = "derive `serde::Serialize` and `schemars::JsonSchema` for it"
)]
pub trait Reply {
    /// Makes the answer ready.
    #[doc(hidden)]
    fn answer(self, call: &Call) -> Result<(), Fault>;

    /// Describes the answer's data; none if there is no answer.
    #[doc(hidden)]
    fn schema(generator: &mut SchemaGenerator) -> Option<Schema>;
}

impl<T: Serialize + JsonSchema + 'static> Reply for T {
    fn answer(self, call: &Call) -> Result<(), Fault> {
        if TypeId::of::<T>() == TypeId::of::<()>() && call.id().is_none() {
            return Ok(());
        }
        call.answer(&self)
    }

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<T>())
    }
}

/// What a route returns whose answer, a `T`, comes later: by the [`Ticket`](crate::Ticket) of the call.
#[derive(Clone, Copy, Debug)]
pub struct Later<T>(PhantomData<fn() -> T>);

impl<T> Default for Later<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Serialize + JsonSchema> Reply for Later<T> {
    fn answer(self, _call: &Call) -> Result<(), Fault> {
        Ok(())
    }

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<T>())
    }
}

/// What a route returns whose messages are not answered, even if they have an `id`. A fault is told nevertheless.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unanswered;

impl Reply for Unanswered {
    fn answer(self, _call: &Call) -> Result<(), Fault> {
        Ok(())
    }

    fn schema(_generator: &mut SchemaGenerator) -> Option<Schema> {
        None
    }
}
