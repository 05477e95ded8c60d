//! A handler around another that tells the console of every event.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;

use super::Console;
use super::report::{Report, Trace, bounded, describe, microseconds};
use crate::close::CloseCause;
use crate::event::Event;
use crate::handler::{Batch, Failure, Handler, Reject, Request, Upgrade};
use crate::message::Message;
use crate::store::Change;

/// Handles events with `H` and reports each of them.
pub struct Traced<H> {
    inner: H,
    console: Arc<Console>,
}

impl<H> Traced<H> {
    /// A handler that reports to `console` what `inner` does.
    pub fn new(inner: H, console: Arc<Console>) -> Self {
        Self { inner, console }
    }

    fn report(&self, trace: Trace) {
        self.console.report(&Report::Event(trace));
    }

    fn report_decision(
        &self,
        begun: Instant,
        event: &Event,
        request: &Request,
        decision: &Result<Upgrade, Failure>,
    ) {
        let failure = decision.as_ref().err();
        let mut trace = trace("upgrade", begun, event, target(request), failure);
        if let Ok(Upgrade::Reject(reject)) = decision {
            trace.effects.push(refusal(reject));
        }
        self.report(trace);
    }
}

/// What there is to say of an event that began at `begun`. Its effects are looked at before the
/// connection applies them, so the page as a rule hears of an event before it receives what that
/// event sent.
fn trace(
    name: &'static str,
    begun: Instant,
    event: &Event,
    detail: String,
    failure: Option<&Failure>,
) -> Trace {
    let took_us = microseconds(begun.elapsed());
    // Without an instance no generation handled the event; the number is an earlier event's then.
    let handled = !matches!(failure, Some(Failure::Unavailable(_) | Failure::Busy(_)))
        && event.generation > 0;
    let mut effects = describe(&event.effects);
    effects.extend(
        event
            .next_state
            .as_ref()
            .map(|state| format!("state {} B", state.len())),
    );
    Trace {
        event: name,
        connection: event.connection().map(|id| id.0),
        generation: handled.then_some(event.generation),
        took_us,
        detail: bounded(detail),
        outcome: failure.map_or_else(|| "ok".to_owned(), |failure| bounded(failure.to_string())),
        effects,
    }
}

fn target(request: &Request) -> String {
    match &request.query {
        Some(query) => format!("{}?{query}", request.path),
        None => request.path.clone(),
    }
}

fn refusal(reject: &Reject) -> String {
    match std::str::from_utf8(&reject.body) {
        Ok(body) if !body.trim().is_empty() => {
            bounded(format!("refuse {}: {}", reject.status, body.trim()))
        }
        _ => format!("refuse {}", reject.status),
    }
}

fn describe_message(message: &Message<'_>) -> String {
    match message {
        Message::Text(text) => format!("text, {} B", text.len()),
        Message::Binary(bytes) => format!("binary, {} B", bytes.len()),
    }
}

impl<H: Handler> Handler for Traced<H> {
    fn is_busy(&self) -> bool {
        self.inner.is_busy()
    }

    async fn upgrade(&self, event: &mut Box<Event>, request: &Request) -> Result<Upgrade, Failure> {
        let begun = Instant::now();
        let result = self.inner.upgrade(event, request).await;
        self.report_decision(begun, event, request, &result);
        result
    }

    fn responder(&self) -> Option<usize> {
        self.inner.responder()
    }

    async fn admit(
        &self,
        event: &mut Box<Event>,
        request: &Request,
        responder: usize,
    ) -> Result<Upgrade, Failure> {
        let begun = Instant::now();
        let result = self.inner.admit(event, request, responder).await;
        self.report_decision(begun, event, request, &result);
        result
    }

    async fn respond(
        &self,
        event: &mut Box<Event>,
        responder: usize,
        request: hyper::Request<Bytes>,
    ) -> Result<hyper::Response<Bytes>, Failure> {
        let begun = Instant::now();
        let detail = format!("{} {}", request.method(), request.uri());
        let result = self.inner.respond(event, responder, request).await;
        let mut trace = trace("request", begun, event, detail, result.as_ref().err());
        if let Ok(response) = &result {
            let (status, length) = (response.status(), response.body().len());
            trace
                .effects
                .push(format!("respond {}, {length} B", status.as_u16()));
        }
        self.report(trace);
        result
    }

    async fn open(&self, event: &mut Box<Event>, request: &Request) -> Result<(), Failure> {
        self.console.connections.fetch_add(1, Ordering::Relaxed);
        let begun = Instant::now();
        let result = self.inner.open(event, request).await;
        self.report(trace(
            "open",
            begun,
            event,
            target(request),
            result.as_ref().err(),
        ));
        result
    }

    /// One at a time, so that each has its own line.
    async fn messages(&self, event: &mut Box<Event>, messages: &[Message<'_>]) -> Batch {
        let first = &messages[..messages.len().min(1)];
        let detail = match first {
            [] => String::new(),
            [message, ..] => describe_message(message),
        };
        let begun = Instant::now();
        let batch = self.inner.messages(event, first).await;
        self.report(trace(
            "message",
            begun,
            event,
            detail,
            batch.last.as_ref().err(),
        ));
        batch
    }

    async fn timer(&self, event: &mut Box<Event>, owner: usize, name: &str) -> Result<(), Failure> {
        let begun = Instant::now();
        let result = self.inner.timer(event, owner, name).await;
        let failure = result.as_ref().err();
        self.report(trace("timer", begun, event, name.to_owned(), failure));
        result
    }

    async fn drain(&self, event: &mut Box<Event>) -> Result<(), Failure> {
        let begun = Instant::now();
        let result = self.inner.drain(event).await;
        self.report(trace(
            "drain",
            begun,
            event,
            String::new(),
            result.as_ref().err(),
        ));
        result
    }

    async fn change(&self, event: &mut Box<Event>, change: &Change) -> Result<(), Failure> {
        let begun = Instant::now();
        let result = self.inner.change(event, change).await;
        let verb = if change.value.is_some() {
            "set"
        } else {
            "delete"
        };
        let detail = format!("{verb} {:?} in {:?}", change.key, change.bucket);
        self.report(trace("change", begun, event, detail, result.as_ref().err()));
        result
    }

    async fn close(&self, event: &mut Box<Event>, cause: &CloseCause) -> Result<(), Failure> {
        let begun = Instant::now();
        let result = self.inner.close(event, cause).await;
        // G2: one for every `open`, so the count cannot drift.
        self.console.connections.fetch_sub(1, Ordering::Relaxed);
        self.report(trace(
            "close",
            begun,
            event,
            cause.to_string(),
            result.as_ref().err(),
        ));
        result
    }
}
