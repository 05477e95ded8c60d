//! The HTTP side: requests, upgrades, refusals. Nothing of it stays in memory once a connection
//! has been upgraded.

mod answers;
mod carried;
mod events;
mod patience;
mod plain;
mod rules;

use std::cell::{Cell, OnceCell};
use std::convert::Infallible;
use std::error::Error as _;
use std::io;
use std::net::{self, SocketAddr};
use std::pin::pin;
use std::rc::Rc;

use bytes::Bytes;
use hyper::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::gate::Ticket;
use super::origin;
use super::refusal::Refusal;
use super::site::{Exchange, Place, Site};
use crate::config::Origins;
use crate::connection::{self, Deflate, Terms, Upgraded, Wire};
use crate::console::Body;
use crate::handler::{Accept, Failure, Handler, Reject, Request, Upgrade};
use crate::labels::{EventKind, Label, RefusalReason};
use crate::signs::Wish;

use answers::{full, refuse, rejected, switching_protocols};
use events::Handover;
use patience::Patient;
use rules::{check, describe, is_upgrade, validate};

type HttpRequest = hyper::Request<Incoming>;

/// Serves a socket's requests until it is upgraded or closed.
pub(super) async fn serve<H: Handler>(
    site: Rc<Site<H>>,
    ticket: Ticket,
    socket: TcpStream,
    peer: SocketAddr,
) {
    let held = Rc::new(Held {
        ticket: Cell::new(Some(ticket)),
        handover: Handover::new(),
        exchange: OnceCell::new(),
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(site.handshake_timeout)
        .max_buf_size(site.headers_max);
    let service = service_fn(|request| {
        let (site, held) = (site.clone(), held.clone());
        async move { Ok::<_, Infallible>(respond(&site, peer, request, &held).await) }
    });
    let socket = TokioIo::new(Patient::new(socket, site.handshake_timeout));
    let mut serving = http.serve_connection(socket, service).with_upgrades();
    let (mut drain, mut is_draining) = (pin!(site.drain_begun()), false);
    let granted = loop {
        tokio::select! {
            served = &mut serving => {
                if let Err(error) = served {
                    failed(&site, peer, &error, held.is_answering());
                }
                return;
            }
            granted = held.handover.taken() => break granted,
            () = &mut drain, if !is_draining => {
                is_draining = true;
                if held.is_answering() {
                    std::pin::Pin::new(&mut serving).graceful_shutdown();
                }
            }
        }
    };
    if let Some(parts) = serving.into_parts() {
        let socket = parts.io.into_inner().into_inner();
        // Boxed, as the calls of handlers below: the future of every socket would be as large.
        Box::pin(stream_events(&site, socket, granted, held.ticket.take())).await;
    }
}

/// A socket has ended otherwise than it should.
fn failed<H: Handler>(site: &Site<H>, peer: SocketAddr, error: &hyper::Error, has_answers: bool) {
    let source = error.source().and_then(|source| source.downcast_ref());
    let is_stalled =
        source.is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::TimedOut);
    let refusals = &site.shard().counters().refusals;
    if is_stalled {
        refusals.count(RefusalReason::Stalled);
        tracing::debug!(%peer, "took nothing of its response for too long");
    } else if !has_answers {
        // One that has had its answers may leave as it likes.
        refusals.count(RefusalReason::Handshake);
        tracing::debug!(%peer, "handshake failed: {error}");
    }
}

/// Opens a connection that only receives, on a socket that hyper has given back.
async fn stream_events<H: Handler>(
    site: &Rc<Site<H>>,
    socket: TcpStream,
    granted: Granted<H>,
    socket_ticket: Option<Ticket>,
) {
    let Granted {
        terms,
        request,
        signs,
        accept,
        ticket,
        ..
    } = granted;
    let field = request.headers.iter().find(|(name, _)| name == "origin");
    let origin = field.and_then(|(_, value)| std::str::from_utf8(value).ok());
    let head = events::head(&accept, &granted.origins, origin);
    match events::begin(socket, &head).await {
        Ok(stream) => {
            let upgraded = Upgraded {
                stream,
                early: Bytes::new(),
                request,
                states: accept.states,
                wire: Wire::EventStream,
                signs,
                tickets: Box::new((socket_ticket, ticket)),
            };
            connection::open(site.driver().clone(), terms, upgraded).await;
        }
        Err(error) => tracing::debug!(peer = %request.peer, "failed to begin a stream: {error}"),
    }
}

/// What a socket holds while it speaks HTTP.
struct Held<H> {
    /// Goes with the socket: to the connection, if it becomes one.
    ticket: Cell<Option<Ticket>>,
    /// For a request that is to become a connection that only receives.
    handover: Handover<Granted<H>>,
    /// Since it has sent a plain request that a plugin answers.
    exchange: OnceCell<Exchange>,
}

impl<H> Held<H> {
    fn is_answering(&self) -> bool {
        self.exchange.get().is_some()
    }
}

/// What a request is for.
enum Asked {
    /// A WebSocket.
    Upgrade,
    /// A connection that only receives.
    Events,
    /// Whether a page of another origin may ask for one, a preflight.
    Leave,
    /// No connection of any kind.
    Plain,
}

impl Asked {
    fn of<H: Handler>(site: &Site<H>, request: &HttpRequest) -> Self {
        let streams = || {
            let found = site.find(request.uri().path());
            found.is_some_and(|(place, _)| place.event_stream)
        };
        if is_upgrade(request.headers()) {
            Self::Upgrade
        } else if events::is_wanted(request) && streams() {
            Self::Events
        } else if events::asking_first(request).is_some() && streams() {
            Self::Leave
        } else {
            Self::Plain
        }
    }
}

async fn respond<H: Handler>(
    site: &Rc<Site<H>>,
    peer: SocketAddr,
    request: HttpRequest,
    held: &Held<H>,
) -> Response<Body> {
    if let Some(response) = serve_file(site, &request) {
        return response;
    }
    let answered = match Asked::of(site, &request) {
        Asked::Upgrade => upgrade(site, peer, request, held).await,
        Asked::Events => match grant(site, peer, &request).await {
            Ok(granted) => held.handover.leave(granted).await,
            Err(refused) => Err(refused),
        },
        Asked::Leave => leave(site, &request),
        Asked::Plain => {
            let begin = || {
                held.exchange.get_or_init(|| site.begin_exchange());
            };
            plain::respond(site, peer, request, begin).await
        }
    };
    answered.unwrap_or_else(|refused| refused.response(site))
}

/// Answers a preflight for a connection that only receives.
fn leave<H: Handler>(site: &Site<H>, request: &HttpRequest) -> Result<Response<Body>, Refused> {
    let (place, _) = site.find(request.uri().path()).ok_or(Refusal::Route)?;
    let origin = events::asking_first(request).ok_or(Refusal::NotAnUpgrade)?;
    if !origin::allows(&place.origins, request.headers()) {
        return Err(Refusal::Origin.into());
    }
    Ok(events::go_ahead(&place.origins, origin))
}

async fn upgrade<H: Handler>(
    site: &Rc<Site<H>>,
    peer: SocketAddr,
    mut request: HttpRequest,
    held: &Held<H>,
) -> Result<Response<Body>, Refused> {
    let (place, _) = site.find(request.uri().path()).ok_or(Refusal::Route)?;
    let key = check(&request)?.clone();
    let granted = grant(site, peer, &request).await?;
    let on_upgrade = hyper::upgrade::on(&mut request);
    let counters = site.shard().counters();
    let agreed = place
        .compression
        .agree(request.headers(), || counters.contexts_refused.add(1));
    let agreement = agreed.as_ref().map(|agreed| agreed.agreement);
    let deflate = agreement.map(|agreement| Deflate {
        takes_over: agreement.client_takeover,
        deflation: place.compression.deflation(&agreement),
    });
    let Granted {
        terms,
        request,
        signs,
        accept,
        ticket: connection_ticket,
        ..
    } = granted;
    let response = switching_protocols(&key, &accept, agreement.as_ref());
    let (site, socket_ticket) = (site.clone(), held.ticket.take());
    tokio::task::spawn_local(async move {
        match upgraded(on_upgrade).await {
            Ok((stream, early)) => {
                let upgraded = Upgraded {
                    stream,
                    early,
                    request,
                    states: accept.states,
                    wire: Wire::WebSocket(deflate),
                    signs,
                    tickets: Box::new((socket_ticket, connection_ticket, agreed)),
                };
                Box::pin(connection::open(site.driver().clone(), terms, upgraded)).await;
            }
            Err(error) => tracing::debug!(%peer, "upgrade failed: {error}"),
        }
    });
    Ok(response)
}

/// Answers what comes before the routes: the console's page and the browser client.
fn serve_file<H: Handler>(site: &Site<H>, request: &HttpRequest) -> Option<Response<Body>> {
    if is_upgrade(request.headers()) {
        return None;
    }
    let page = site.console().and_then(|console| console.respond(request));
    page.or_else(|| site.client().and_then(|client| client.respond(request)))
}

/// A connection that the handler has granted.
struct Granted<H> {
    terms: Rc<Terms<H>>,
    origins: Origins,
    request: Request,
    signs: Option<Wish>,
    accept: Accept,
    ticket: Ticket,
}

enum Refused {
    ByUs(Refusal),
    ByHandler(Reject),
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::ByUs(refusal)
    }
}

impl Refused {
    fn response<H: Handler>(self, site: &Site<H>) -> Response<Body> {
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

/// Whether a request may have a connection: our own rules, then the handler's.
async fn grant<H: Handler>(
    site: &Site<H>,
    peer: SocketAddr,
    http: &HttpRequest,
) -> Result<Granted<H>, Refused> {
    let (place, params) = site.find(http.uri().path()).ok_or(Refusal::Route)?;
    if !origin::allows(&place.origins, http.headers()) {
        return Err(Refusal::Origin.into());
    }
    if site.is_draining() {
        return Err(Refusal::Draining.into());
    }
    let ticket = site.admit_connection().ok_or(Refusal::Full)?;
    let mut request = describe(http, params, peer)?;
    // Before the handler sees the query: see `signs`.
    let signs = Wish::take(&mut request.query);
    let accept = ask(site, place, &request, None).await?;
    validate(&accept, &request, place.terms.limits.state).map_err(|why| {
        tracing::warn!(path = request.path, "upgrade failed: {why}");
        Refusal::Failed(why)
    })?;
    Ok(Granted {
        terms: place.terms.clone(),
        origins: place.origins.clone(),
        request,
        signs,
        accept,
        ticket,
    })
}

/// Asks the handler about an upgrade, or about a plain request for the plugin at that place in the
/// chain.
async fn ask<H: Handler>(
    site: &Site<H>,
    place: &Place<H>,
    request: &Request,
    responder: Option<usize>,
) -> Result<Accept, Refused> {
    let shard = site.shard();
    shard.counters().events.count(EventKind::Upgrade);
    let mut event = place.terms.take_event();
    let handler = &place.terms.handler;
    let decision = match responder {
        None => Box::pin(handler.upgrade(&mut event, request)).await,
        Some(responder) => Box::pin(handler.admit(&mut event, request, responder)).await,
    };
    let answer = match decision {
        Ok(upgrade) => {
            match upgrade {
                Upgrade::Accept(_) => event.commit(shard),
                Upgrade::Reject(_) => event.discard(),
            }
            Ok(upgrade)
        }
        Err(failure) => {
            event.discard();
            shard.failed(EventKind::Upgrade.name(), &event, &failure);
            Err(match failure {
                Failure::Unavailable(_) => Refusal::Unavailable,
                _ => Refusal::Failed(failure.to_string()),
            })
        }
    };
    place.terms.give_event(event);
    match answer? {
        Upgrade::Accept(accept) => Ok(accept),
        Upgrade::Reject(reject) => Err(Refused::ByHandler(reject)),
    }
}

/// The bare socket after the 101, and what came with the request.
async fn upgraded(on_upgrade: OnUpgrade) -> Result<(net::TcpStream, Bytes), String> {
    let upgraded = on_upgrade.await.map_err(|error| error.to_string())?;
    let parts = upgraded
        .downcast::<TokioIo<Patient<TcpStream>>>()
        .map_err(|_| "the upgraded stream is not the socket it was served on".to_owned())?;
    let stream = parts.io.into_inner().into_inner().into_std();
    // A copy: the buffer it came in is the handshake's and would stay for the connection's life.
    Ok((
        stream.map_err(|error| error.to_string())?,
        Bytes::copy_from_slice(&parts.read_buf),
    ))
}
