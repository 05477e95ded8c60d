//! The HTTP side: requests, upgrades, refusals. Nothing of it stays in memory once a connection
//! has been upgraded.

mod answers;
mod carried;
mod consent;
mod cors;
mod events;
mod plain;
mod rules;
mod upgradable;
mod upgrade;

use std::cell::{Cell, OnceCell, RefCell};
use std::convert::Infallible;
use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use hyper::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::gate::Places;
use super::origin::Page;
use super::patience::Patient;
use super::refusal::Refusal;
use super::site::{Exchange, Place, Site};
use crate::connection::{self, Upgraded, Wire};
use crate::handler::Handler;
use crate::http_body::HttpBody;
use crate::labels::RefusalReason;

use consent::{Consent, Found, Granted, Refused, grant};
use cors::Marks;
use events::Handover;
use rules::is_upgrade;
use upgradable::{Upgradable, check_presence};

type HttpRequest = hyper::Request<Incoming>;

/// Serves a socket's requests until it is upgraded or closed.
pub(super) async fn serve<H: Handler>(
    site: Rc<Site<H>>,
    places: Places,
    socket: TcpStream,
    peer: SocketAddr,
) {
    let held = Rc::new(Held {
        places: RefCell::new(Some(places)),
        has_asked: Cell::new(false),
        handover: Handover::new(),
        exchange: OnceCell::new(),
        is_granted: Arc::default(),
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(site.handshake_timeout)
        .max_buf_size(site.headers_max)
        // Who has asked and ended its side of the socket waits for the answer.
        .half_close(true);
    let service = service_fn(|request| {
        let (site, held) = (site.clone(), held.clone());
        async move { Ok::<_, Infallible>(respond(&site, peer, request, &held).await) }
    });
    let socket = Upgradable::new(socket, held.is_granted.clone());
    let socket = TokioIo::new(Patient::new(socket, site.handshake_timeout));
    let mut serving = http.serve_connection(socket, service).with_upgrades();
    let (mut drain, mut is_draining) = (pin!(site.drain_begun()), false);
    let mut is_waiting = false;
    let granted = loop {
        tokio::select! {
            biased;
            served = &mut serving => {
                if let Err(error) = served {
                    failed(&site, peer, &error, held.is_answering());
                }
                return;
            }
            granted = held.handover.taken() => break granted,
            // It has been looked at once, and its request was not there.
            () = std::future::ready(()), if !is_waiting => {
                is_waiting = true;
                if let Err(refusal) = held.wait() {
                    let socket = serving.into_parts().map(|parts| bare(parts.io));
                    return turn_away(&site, socket, &refusal);
                }
            }
            () = &mut drain, if !is_draining => {
                is_draining = true;
                if held.is_answering() {
                    std::pin::Pin::new(&mut serving).graceful_shutdown();
                }
            }
        }
    };
    if let Some(parts) = serving.into_parts() {
        let socket = bare(parts.io);
        // Boxed, as the calls of handlers below: the future of every socket would be as large.
        Box::pin(stream_events(&site, socket, granted, held.places.take())).await;
    }
}

/// The socket itself.
fn bare(io: TokioIo<Patient<Upgradable>>) -> TcpStream {
    io.into_inner().into_inner().into_inner()
}

/// Refuses a socket whose request is not there: says so, and closes.
fn turn_away<H: Handler>(site: &Site<H>, socket: Option<TcpStream>, refusal: &Refusal) {
    site.shard().counters().refusals.count(refusal.reason());
    if let Some(socket) = socket {
        // Nobody waits for one that does not take it.
        let _ = socket.try_write(TURNED_AWAY);
    }
}

/// What a client is told that has sent no request yet.
pub(super) const TURNED_AWAY: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\n\
    retry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A socket has ended otherwise than it should.
fn failed<H: Handler>(site: &Site<H>, peer: SocketAddr, error: &hyper::Error, has_answers: bool) {
    let source = error.source().and_then(|source| source.downcast_ref());
    let kind = source.map(io::Error::kind);
    let refusals = &site.shard().counters().refusals;
    match kind {
        Some(io::ErrorKind::TimedOut) => {
            refusals.count(RefusalReason::Stalled);
            tracing::debug!(%peer, "took nothing of its response for too long");
        }
        Some(io::ErrorKind::ConnectionAborted) => gone(site, peer),
        // One that has had its answers may leave as it likes.
        _ if has_answers => {}
        _ => {
            refusals.count(RefusalReason::Handshake);
            tracing::debug!(%peer, "handshake failed: {error}");
        }
    }
}

/// A client has left while its handler decided; what that did is dropped.
fn gone<H: Handler>(site: &Site<H>, peer: SocketAddr) {
    site.shard().counters().refusals.count(RefusalReason::Gone);
    tracing::debug!(%peer, "left before its connection was granted");
}

/// Opens a connection that only receives, on a socket that hyper has given back.
async fn stream_events<H: Handler>(
    site: &Rc<Site<H>>,
    socket: TcpStream,
    granted: Granted<H>,
    places: Option<Places>,
) {
    let Granted {
        consent,
        signs,
        marks,
    } = granted;
    if check_presence(&socket).is_err() {
        return gone(site, consent.request.peer);
    }
    let Consent {
        accept,
        request,
        terms,
        event,
        exchange: _exchange,
    } = consent;
    match events::begin(socket, &events::head(&accept, &marks)).await {
        Ok(stream) => {
            let upgraded = Upgraded {
                stream,
                early: Bytes::new(),
                request,
                states: accept.states,
                granted: event,
                wire: Wire::EventStream,
                signs,
                tickets: Box::new(places),
            };
            connection::open(site.driver().clone(), terms, upgraded).await;
        }
        Err(error) => tracing::debug!(peer = %request.peer, "failed to begin a stream: {error}"),
    }
}

/// What a socket holds while it speaks HTTP.
struct Held<H> {
    /// Go with the socket: to the connection, if it becomes one.
    places: RefCell<Option<Places>>,
    has_asked: Cell<bool>,
    /// For a request that is to become a connection that only receives.
    handover: Handover<Granted<H>>,
    /// Since it has sent a plain request that a plugin answers.
    exchange: OnceCell<Exchange>,
    /// The next thing to be written is a 101.
    is_granted: Arc<AtomicBool>,
}

impl<H> Held<H> {
    fn asked(&self) {
        self.has_asked.set(true);
        if let Some(places) = &mut *self.places.borrow_mut() {
            places.asked();
        }
    }

    /// Whether its first request may be waited for.
    fn wait(&self) -> Result<(), Refusal> {
        match &mut *self.places.borrow_mut() {
            Some(places) if !self.has_asked.get() => places.wait(),
            _ => Ok(()),
        }
    }

    /// Takes a place for the connection that it is to become.
    fn connect(&self) -> Result<(), Refusal> {
        let mut places = self.places.borrow_mut();
        places.as_mut().map_or(Ok(()), Places::connect)
    }

    /// Gives that place back, if it has one.
    fn disconnect(&self) {
        if let Some(places) = &mut *self.places.borrow_mut() {
            places.disconnect();
        }
    }

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
    /// Leave for a page of another origin to ask for one of the others, a preflight.
    Leave(hyper::header::HeaderValue),
    /// No connection of any kind.
    Plain,
}

impl Asked {
    fn of<H: Handler>(place: &Place<H>, request: &HttpRequest) -> Self {
        if is_upgrade(request.headers()) {
            return Self::Upgrade;
        }
        if place.event_stream && events::is_wanted(request) {
            return Self::Events;
        }
        let is_served = |method: &&hyper::header::HeaderValue| {
            let streams = place.event_stream && *method == "GET";
            streams || place.terms.handler.responder().is_some()
        };
        match cors::asked_first(request).filter(is_served) {
            Some(method) => Self::Leave(method.clone()),
            None => Self::Plain,
        }
    }
}

async fn respond<H: Handler>(
    site: &Rc<Site<H>>,
    peer: SocketAddr,
    request: HttpRequest,
    held: &Held<H>,
) -> Response<HttpBody> {
    held.asked();
    if !site.hosts().admit(request.headers()) {
        return Refused::from(Refusal::Host).response(site);
    }
    if let Some(response) = serve_file(site, &request) {
        return response;
    }
    let uri = request.uri().clone();
    let Some((place, params)) = site.find(uri.path()) else {
        return Refused::from(Refusal::Route).response(site);
    };
    let marks = match Page::of(&place.origins, request.headers()) {
        Ok(page) => Marks::of(&place.origins, page),
        Err(refusal) => return Refused::from(refusal).response(site),
    };
    let found = Found {
        place,
        params,
        peer,
    };
    let answered = match Asked::of(place, &request) {
        Asked::Upgrade => {
            let upgraded = upgrade::upgrade(site, request, found, held).await;
            return upgraded.unwrap_or_else(|refused| {
                held.disconnect();
                refused.response(site)
            });
        }
        Asked::Events => match grant(site, &request, found, &marks, held).await {
            Ok(granted) => held.handover.leave(granted).await,
            Err(refused) => {
                held.disconnect();
                Err(refused)
            }
        },
        Asked::Leave(method) => match found.enter(&request) {
            Ok(()) => Ok(cors::go_ahead(&request, &method)),
            Err(refusal) => Err(refusal.into()),
        },
        Asked::Plain => {
            let begin = || {
                held.exchange.get_or_init(|| site.begin_exchange());
            };
            plain::respond(site, request, found, begin).await
        }
    };
    let mut response = answered.unwrap_or_else(|refused| refused.response(site));
    marks.put(response.headers_mut());
    response
}

/// Answers what comes before the routes: the console's page and the browser client.
fn serve_file<H: Handler>(site: &Site<H>, request: &HttpRequest) -> Option<Response<HttpBody>> {
    if is_upgrade(request.headers()) {
        return None;
    }
    let page = site.console().and_then(|console| console.respond(request));
    page.or_else(|| site.client().and_then(|client| client.respond(request)))
}
