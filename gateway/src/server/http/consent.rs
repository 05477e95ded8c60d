//! Whether a request may come in: our own rules, then the handler's.
//!
//! What a handler did while it accepted is held back: it takes force with the connection, or when the
//! plugin that answers a plain request is called. A client that has left by then gets neither, and
//! nothing of the acceptance takes force (G10). The call itself is carried to its end.

use std::net::SocketAddr;
use std::rc::Rc;

use hyper::Response;

use super::answers::{refuse, rejected};
use super::carried::Carried;
use super::cors::Marks;
use super::rules::{describe, has_host, validate};
use super::{Held, HttpRequest};
use crate::connection::Terms;
use crate::dispatch::failed;
use crate::event::Event;
use crate::handler::{Accept, Failure, Handler, Reject, Request, Upgrade};
use crate::http_body::HttpBody;
use crate::labels::{EventKind, Label, RefusalReason};
use crate::server::origin::Page;
use crate::server::refusal::Refusal;
use crate::server::site::{Exchange, Params, Place, Site};
use crate::signs::Wish;

/// A request with the route that it was found to be for.
pub(super) struct Found<'s, H> {
    pub(super) place: &'s Place<H>,
    pub(super) params: Params<'s>,
    pub(super) peer: SocketAddr,
}

impl<'s, H> Found<'s, H> {
    /// The page that the request came from, which may come in.
    pub(super) fn enter(&self, http: &HttpRequest) -> Result<(), Refusal> {
        has_host(http.headers())?;
        Page::of(&self.place.origins, http.headers())?.enter(self.place, http.headers())
    }
}

/// What handlers have granted. Dropped, nothing of what they did takes force.
pub(super) struct Consent<H> {
    pub(super) accept: Accept,
    pub(super) request: Request,
    pub(super) terms: Rc<Terms<H>>,
    /// What they did.
    pub(super) event: Box<Event>,
    /// A drain waits for what comes of it.
    pub(super) exchange: Exchange,
}

/// A connection that was granted.
pub(super) struct Granted<H> {
    pub(super) consent: Consent<H>,
    pub(super) signs: Option<Wish>,
    pub(super) marks: Marks,
}

/// A request that was not let in.
pub(super) enum Refused {
    ByUs(Refusal),
    ByHandler(Reject),
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::ByUs(refusal)
    }
}

impl Refused {
    /// Counts it, and answers.
    pub(super) fn response<H: Handler>(self, site: &Site<H>) -> Response<HttpBody> {
        let refusals = &site.shard().counters().refusals;
        match self {
            Self::ByUs(refusal) => {
                refusals.count(refusal.reason());
                refuse(&refusal)
            }
            Self::ByHandler(reject) => {
                refusals.count(RefusalReason::Handler);
                rejected(reject).unwrap_or_else(|refusal| refuse(&refusal))
            }
        }
    }
}

/// Whether a request may have a connection.
pub(super) async fn grant<H: Handler>(
    site: &Rc<Site<H>>,
    http: &HttpRequest,
    found: Found<'_, H>,
    marks: &Marks,
    held: &Held<H>,
) -> Result<Granted<H>, Refused> {
    found.enter(http)?;
    if site.is_draining() {
        return Err(Refusal::Draining.into());
    }
    held.connect()?;
    let place = found.place;
    let mut request = describe(http, found.params, found.peer)?;
    // Before the handler sees the query: see `signs`.
    let signs = Wish::take(&mut request.query);
    let mut consent = ask(site, &place.terms, request, None).await?;
    validate(&consent.accept, &consent.request, place.terms.limits.state).map_err(|why| {
        tracing::warn!(path = consent.request.path, "upgrade failed: {why}");
        Refusal::Failed(why)
    })?;
    if consent.accept.subprotocol.is_none() {
        consent.accept.subprotocol = consent.request.subprotocols.first().cloned();
    }
    Ok(Granted {
        consent,
        signs,
        marks: marks.clone(),
    })
}

/// Asks the handler about a connection, or about a plain request for the plugin at that place in the
/// chain. A caller that gives up does not cut the call off.
pub(super) async fn ask<H: Handler>(
    site: &Rc<Site<H>>,
    terms: &Rc<Terms<H>>,
    request: Request,
    responder: Option<usize>,
) -> Result<Consent<H>, Refused> {
    Carried::new(decide(site.clone(), terms.clone(), request, responder)).await
}

async fn decide<H: Handler>(
    site: Rc<Site<H>>,
    terms: Rc<Terms<H>>,
    request: Request,
    responder: Option<usize>,
) -> Result<Consent<H>, Refused> {
    let exchange = site.begin_exchange();
    let shard = site.shard();
    shard.counters().events.count(EventKind::Upgrade);
    let mut event = terms.take_event();
    let decision = match responder {
        None => terms.handler.upgrade(&mut event, &request).await,
        Some(responder) => terms.handler.admit(&mut event, &request, responder).await,
    };
    let refused = match decision {
        Ok(Upgrade::Accept(accept)) => {
            return Ok(Consent {
                accept,
                request,
                terms,
                event,
                exchange,
            });
        }
        Ok(Upgrade::Reject(reject)) => Refused::ByHandler(reject),
        Err(failure) => {
            failed(shard, EventKind::Upgrade.name(), &event, &failure);
            Refused::ByUs(match failure {
                Failure::Unavailable(_) | Failure::Busy(_) => Refusal::Unavailable,
                _ => Refusal::Failed(failure.to_string()),
            })
        }
    };
    event.discard();
    terms.give_event(event);
    Err(refused)
}
