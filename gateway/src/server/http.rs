//! The HTTP side: requests, upgrades, refusals. Nothing of it stays in memory once a connection
//! has been upgraded.

mod events;
mod rules;

use std::convert::Infallible;
use std::net::{self, SocketAddr};
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::gate::Ticket;
use super::origin;
use super::refusal::Refusal;
use super::site::{Params, Place, Site};
use crate::codec::deflate::Agreement;
use crate::config::Origins;
use crate::connection::{self, Deflate, Terms, Upgraded, Wire};
use crate::console::Body;
use crate::handler::{Accept, Failure, Handler, Reject, Request, Upgrade};

use events::Handover;
use rules::{check, describe, is_ours, is_upgrade, parse_field, validate};

type HttpRequest = hyper::Request<Incoming>;

/// Serves a socket's requests until it is upgraded or closed.
pub(super) async fn serve<H: Handler>(
    site: Rc<Site<H>>,
    ticket: Ticket,
    socket: TcpStream,
    peer: SocketAddr,
) {
    // The ticket goes with the socket: to the connection, if it becomes one.
    let ticket = Rc::new(std::cell::Cell::new(Some(ticket)));
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(site.handshake_timeout)
        .max_buf_size(site.headers_max);
    let handover = Rc::new(Handover::new());
    let service = service_fn(|request| {
        let (site, ticket, handover) = (site.clone(), ticket.clone(), handover.clone());
        async move { Ok::<_, Infallible>(respond(&site, peer, request, &ticket, &handover).await) }
    });
    let mut serving = http
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    tokio::select! {
        served = &mut serving => {
            if let Err(error) = served {
                site.shard().counters().refusals.count("handshake");
                tracing::debug!(%peer, "handshake failed: {error}");
            }
        }
        granted = handover.taken() => {
            if let Some(parts) = serving.into_parts() {
                stream_events(&site, parts.io.into_inner(), granted, ticket.take()).await;
            }
        }
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
                tickets: Box::new((socket_ticket, ticket)),
            };
            connection::open(site.driver().clone(), terms, upgraded).await;
        }
        Err(error) => tracing::debug!(peer = %request.peer, "failed to begin a stream: {error}"),
    }
}

async fn respond<H: Handler>(
    site: &Rc<Site<H>>,
    peer: SocketAddr,
    mut request: HttpRequest,
    ticket: &std::cell::Cell<Option<Ticket>>,
    handover: &Handover<Granted<H>>,
) -> Response<Body> {
    if let Some(console) = site.console()
        && !is_upgrade(request.headers())
        && let Some(response) = console.respond(&request)
    {
        return response;
    }
    if let Some(client) = site.client()
        && !is_upgrade(request.headers())
        && let Some(response) = client.respond(&request)
    {
        return response;
    }
    let on_upgrade = hyper::upgrade::on(&mut request);
    let Some((place, params)) = site.find(request.uri().path()) else {
        return Refused::ByUs(Refusal::Route).response(site);
    };
    if place.event_stream && events::is_wanted(&request) {
        return match grant(site, place, params, peer, &request).await {
            Ok(granted) => handover.leave(granted).await,
            Err(refused) => refused.response(site),
        };
    }
    let key = match check(&request) {
        Ok(key) => key.clone(),
        Err(refusal) => return Refused::ByUs(refusal).response(site),
    };
    let granted = match grant(site, place, params, peer, &request).await {
        Ok(granted) => granted,
        Err(refused) => return refused.response(site),
    };
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
        accept,
        ticket: connection_ticket,
        ..
    } = granted;
    let response = switching_protocols(&key, &accept, agreement.as_ref());
    let (site, socket_ticket) = (site.clone(), ticket.take());
    tokio::task::spawn_local(async move {
        match upgraded(on_upgrade).await {
            Ok((stream, early)) => {
                let upgraded = Upgraded {
                    stream,
                    early,
                    request,
                    states: accept.states,
                    wire: Wire::WebSocket(deflate),
                    tickets: Box::new((socket_ticket, connection_ticket, agreed)),
                };
                connection::open(site.driver().clone(), terms, upgraded).await;
            }
            Err(error) => tracing::debug!(%peer, "upgrade failed: {error}"),
        }
    });
    response
}

/// A connection that the handler has granted.
struct Granted<H> {
    terms: Rc<Terms<H>>,
    origins: Origins,
    request: Request,
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
                refusals.count(refusal.name());
                refuse(&refusal)
            }
            Self::ByHandler(reject) => {
                refusals.count("handler");
                rejected(reject).unwrap_or_else(|refusal| refuse(&refusal))
            }
        }
    }
}

/// Whether a request may have a connection: our own rules, then the handler's.
async fn grant<H: Handler>(
    site: &Site<H>,
    place: &Place<H>,
    params: Params<'_>,
    peer: SocketAddr,
    http: &HttpRequest,
) -> Result<Granted<H>, Refused> {
    let field = |name| {
        http.headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    if !origin::is_allowed(&place.origins, field(header::ORIGIN), field(header::HOST)) {
        return Err(Refusal::Origin.into());
    }
    if site.is_draining() {
        return Err(Refusal::Draining.into());
    }
    let ticket = site.admit_connection().ok_or(Refusal::Full)?;
    let request = describe(http, params, peer)?;
    let accept = ask(site, place, &request).await?;
    validate(&accept, &request, place.terms.limits.state).map_err(|why| {
        tracing::warn!(path = request.path, "upgrade failed: {why}");
        Refusal::Failed(why)
    })?;
    Ok(Granted {
        terms: place.terms.clone(),
        origins: place.origins.clone(),
        request,
        accept,
        ticket,
    })
}

/// Asks the handler.
async fn ask<H: Handler>(
    site: &Site<H>,
    place: &Place<H>,
    request: &Request,
) -> Result<Accept, Refused> {
    let shard = site.shard();
    shard.counters().events.count("upgrade");
    let mut event = place.terms.take_event();
    let decision = place.terms.handler.upgrade(&mut event, request).await;
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
            shard.failed("upgrade", &event, &failure);
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

fn switching_protocols(
    key: &HeaderValue,
    accept: &Accept,
    agreement: Option<&Agreement>,
) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    let accepted = HeaderValue::try_from(derive_accept_key(key.as_bytes()));
    headers.insert(
        header::SEC_WEBSOCKET_ACCEPT,
        accepted.expect("base64 is a valid value"),
    );
    if let Some(subprotocol) = &accept.subprotocol {
        let subprotocol = HeaderValue::try_from(subprotocol);
        headers.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            subprotocol.expect("it was offered in a header field, so it is a valid value"),
        );
    }
    if let Some(agreement) = agreement {
        let agreement = HeaderValue::try_from(agreement.to_string());
        headers.insert(
            header::SEC_WEBSOCKET_EXTENSIONS,
            agreement.expect("it is made of tokens"),
        );
    }
    for (name, value) in accept
        .headers
        .iter()
        .filter_map(|field| parse_field(field).ok())
    {
        headers.append(name, value);
    }
    response
}

fn rejected(reject: Reject) -> Result<Response<Body>, Refusal> {
    let failed = |why: String| {
        tracing::warn!("upgrade failed: {why}");
        Refusal::Failed(why)
    };
    let status = StatusCode::from_u16(reject.status)
        .ok()
        .filter(|status| (200..600).contains(&status.as_u16()));
    let status = status.ok_or_else(|| {
        failed(format!(
            "the handler refused with status {}, which is not one of 200 to 599",
            reject.status
        ))
    })?;
    let mut response = Response::new(full(Bytes::from(reject.body)));
    *response.status_mut() = status;
    for field in &reject.headers {
        let (name, value) = parse_field(field).map_err(failed)?;
        if !is_ours(&name) {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}

fn refuse(refusal: &Refusal) -> Response<Body> {
    let mut response = Response::new(full(Bytes::from_static(refusal.words().as_bytes())));
    *response.status_mut() = refusal.status();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    if refusal.status() == StatusCode::UPGRADE_REQUIRED {
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(
            header::SEC_WEBSOCKET_VERSION,
            HeaderValue::from_static("13"),
        );
    }
    if refusal.status() == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The bare socket after the 101, and what came with the request.
async fn upgraded(on_upgrade: OnUpgrade) -> Result<(net::TcpStream, Bytes), String> {
    let upgraded = on_upgrade.await.map_err(|error| error.to_string())?;
    let parts = upgraded
        .downcast::<TokioIo<TcpStream>>()
        .map_err(|_| "the upgraded stream is not the socket it was served on".to_owned())?;
    let stream = parts.io.into_inner().into_std();
    // A copy: the buffer it came in is the handshake's and would stay for the connection's life.
    Ok((
        stream.map_err(|error| error.to_string())?,
        Bytes::copy_from_slice(&parts.read_buf),
    ))
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).boxed_unsync()
}

fn empty() -> Body {
    full(Bytes::new())
}
