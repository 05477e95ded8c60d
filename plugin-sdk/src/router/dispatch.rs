//! Finds the route of a message and runs it.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::middleware::Middleware;
use super::names::Names;
use super::{Next, Reply, Router, Routes};
use crate::envelope::{ERROR, Inbound, Refused};
use crate::{Call, Connection, Fault, Message};

/// What came of a message. Nothing has been sent yet.
pub(super) enum Outcome<'a> {
    /// A route has handled it, perhaps with an answer.
    Answered(Option<Message>),
    /// The message has a route, and failed. Answers have that type and id.
    Failed {
        kind: Cow<'a, str>,
        id: Option<&'a RawValue>,
        fault: Fault,
    },
    /// The message is for none of the routes; without a fault because its type is unknown.
    Elsewhere {
        kind: Cow<'a, str>,
        id: Option<&'a RawValue>,
        fault: Option<Fault>,
    },
}

/// Handles a message, up to the answer.
pub(super) fn dispatch<R: Routes + ?Sized>(
    connection: Connection,
    message: &Message,
) -> Outcome<'_> {
    let (inbound, bytes) = match message {
        Message::Text(text) => match Inbound::parse(text) {
            Ok(inbound) => (inbound, None),
            Err(refused) => return refuse::<R>(refused),
        },
        Message::Binary(bytes) => (Inbound::binary(), Some(&bytes[..])),
    };
    let call = Call::new(connection, inbound);
    let mut dispatch = Dispatch {
        call: &call,
        bytes,
        middleware: Vec::new(),
        result: None,
    };
    R::routes(&mut dispatch);
    let result = dispatch.result;
    let (inbound, answer) = call.into_parts();
    let (kind, id) = (inbound.kind, inbound.id);
    match result {
        Some(Ok(())) => Outcome::Answered(answer),
        Some(Err(fault)) => Outcome::Failed { kind, id, fault },
        None if bytes.is_some() => Outcome::Elsewhere {
            kind: ERROR.into(),
            id,
            fault: Some(Fault::new(
                "binary-message",
                "binary messages are not read here: send JSON as text",
            )),
        },
        None => Outcome::Elsewhere {
            kind,
            id,
            fault: None,
        },
    }
}

/// What comes of a message whose envelope is wrong.
fn refuse<R: Routes + ?Sized>(refused: Refused<'_>) -> Outcome<'_> {
    let Refused { kind, id, fault } = refused;
    match kind {
        Some(kind) if Names::of::<R>().has(&kind) => Outcome::Failed {
            kind,
            id,
            fault: *fault,
        },
        kind => Outcome::Elsewhere {
            kind: kind.unwrap_or(Cow::Borrowed(ERROR)),
            id,
            fault: Some(*fault),
        },
    }
}

/// Goes over the routes and runs the first that fits.
struct Dispatch<'c, 'a> {
    call: &'c Call<'a>,
    /// Of a binary message.
    bytes: Option<&'a [u8]>,
    /// The middleware around the next route.
    middleware: Vec<Middleware>,
    result: Option<Result<(), Fault>>,
}

impl Dispatch<'_, '_> {
    fn run(&mut self, route: &dyn Fn(&Call) -> Result<(), Fault>) {
        let middleware = &self.middleware;
        self.result = Some(Next { middleware, route }.run(self.call));
    }
}

impl Router for Dispatch<'_, '_> {
    fn on<T, R>(
        &mut self,
        kind: &'static str,
        handle: impl Fn(&Call, T) -> Result<R, Fault>,
    ) -> &mut Self
    where
        T: DeserializeOwned + JsonSchema + 'static,
        R: Reply,
    {
        if self.result.is_none() && self.bytes.is_none() && self.call.kind() == kind {
            self.run(&|call| handle(call, call.payload()?)?.answer(call));
        }
        self
    }

    fn binary<R: Reply>(&mut self, handle: impl Fn(&Call, &[u8]) -> Result<R, Fault>) -> &mut Self {
        if let (None, Some(bytes)) = (&self.result, self.bytes) {
            self.run(&|call| handle(call, bytes)?.answer(call));
        }
        self
    }

    fn with(
        &mut self,
        middleware: impl Fn(&Call, Next) -> Result<(), Fault> + 'static,
    ) -> &mut Self {
        if self.result.is_none() {
            // A function has no size, so that its box is no allocation.
            self.middleware.push(Box::new(middleware));
        }
        self
    }

    fn group(&mut self, routes: impl FnOnce(&mut Self) -> &mut Self) -> &mut Self {
        let outside = self.middleware.len();
        routes(self);
        self.middleware.truncate(outside);
        self
    }

    fn sends<T: JsonSchema>(&mut self, _kind: &'static str) -> &mut Self {
        self
    }
}

#[cfg(test)]
mod tests;
