//! The HTTP side: requests, upgrades, refusals. Nothing of it stays in memory once a connection
//! has been upgraded.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Response, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::gate::Ticket;
use super::origin;
use super::refusal::Refusal;
use super::site::{Place, Site};
use crate::connection::{self, Upgraded};
use crate::console::Body;
use crate::handler::{Accept, Event, Failure, Handler, Reject, Request, Upgrade};

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
    let service = service_fn(|request| {
        let (site, ticket) = (site.clone(), ticket.clone());
        async move { Ok::<_, Infallible>(respond(&site, peer, request, &ticket).await) }
    });
    let served = http
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        site.shard().counters().refusals.count("handshake");
        tracing::debug!(%peer, "handshake failed: {error}");
    }
}

async fn respond<H: Handler>(
    site: &Rc<Site<H>>,
    peer: SocketAddr,
    mut request: HttpRequest,
    ticket: &std::cell::Cell<Option<Ticket>>,
) -> Response<Body> {
    if let Some(console) = site.console()
        && !is_upgrade(request.headers())
        && let Some(response) = console.respond(&request)
    {
        return response;
    }
    let on_upgrade = hyper::upgrade::on(&mut request);
    let granted = match upgrade(site, peer, &request).await {
        Ok(granted) => granted,
        Err(refused) => return refused.response(site),
    };
    let Granted {
        place,
        request,
        accept,
        key,
        connection_ticket,
    } = granted;
    let response = switching_protocols(&key, &accept);
    let terms = place.terms.clone();
    let (site, socket_ticket) = (site.clone(), ticket.take());
    tokio::task::spawn_local(async move {
        let _tickets = (socket_ticket, connection_ticket);
        match upgraded(on_upgrade).await {
            Ok((stream, early)) => {
                let upgraded = Upgraded {
                    stream,
                    early,
                    request,
                    state: accept.state,
                };
                connection::run(site.shard().clone(), terms, upgraded).await;
            }
            Err(error) => tracing::debug!(%peer, "upgrade failed: {error}"),
        }
    });
    response
}

/// An upgrade that the handler has granted.
struct Granted<'s, H> {
    place: &'s Place<H>,
    request: Request,
    accept: Accept,
    key: HeaderValue,
    connection_ticket: Ticket,
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

async fn upgrade<'s, H: Handler>(
    site: &'s Site<H>,
    peer: SocketAddr,
    http: &HttpRequest,
) -> Result<Granted<'s, H>, Refused> {
    let (place, params) = site.find(http.uri().path()).ok_or(Refusal::Route)?;
    let key = check(http)?.clone();
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
    let connection_ticket = site.admit_connection().ok_or(Refusal::Full)?;
    let request = describe(http, params, peer)?;
    let accept = ask(site, place, &request).await?;
    validate(&accept, &request).map_err(|why| {
        tracing::warn!(path = request.path, "upgrade failed: {why}");
        Refusal::Failed(why)
    })?;
    Ok(Granted {
        place,
        request,
        accept,
        key,
        connection_ticket,
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
    let mut event = Event {
        effects: shard.take_effects(),
        ..Event::default()
    };
    let decision = place.terms.handler.upgrade(&mut event, request).await;
    let answer = match decision {
        Ok(upgrade) => {
            if matches!(upgrade, Upgrade::Accept(_)) {
                shard.apply(None, &event.effects);
            }
            Ok(upgrade)
        }
        Err(failure) => {
            shard.counters().failures.count(failure.name());
            tracing::warn!(
                path = request.path,
                generation = event.generation,
                event = "upgrade",
                "{failure}"
            );
            Err(match failure {
                Failure::Unavailable(_) => Refusal::Unavailable,
                _ => Refusal::Failed(failure.to_string()),
            })
        }
    };
    shard.give_effects(event.effects);
    match answer? {
        Upgrade::Accept(accept) => Ok(accept),
        Upgrade::Reject(reject) => Err(Refused::ByHandler(reject)),
    }
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    has_token(headers, header::UPGRADE, "websocket")
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name);
    values
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}

/// The rules of RFC 6455 section 4.2.1. Returns the key.
fn check(request: &HttpRequest) -> Result<&HeaderValue, Refusal> {
    let headers = request.headers();
    if !is_upgrade(headers) {
        return Err(Refusal::NotAnUpgrade);
    }
    if request.method() != Method::GET {
        return Err(Refusal::Malformed("an upgrade request is a GET\n"));
    }
    if request.version() != Version::HTTP_11 {
        return Err(Refusal::Malformed("an upgrade request is HTTP/1.1\n"));
    }
    if !has_token(headers, header::CONNECTION, "upgrade") {
        return Err(Refusal::Malformed(
            "the header field `Connection: Upgrade` is missing\n",
        ));
    }
    if !headers.contains_key(header::HOST) {
        return Err(Refusal::Malformed("the header field `Host` is missing\n"));
    }
    if headers
        .get(header::SEC_WEBSOCKET_VERSION)
        .is_none_or(|version| version != "13")
    {
        return Err(Refusal::Version);
    }
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    match (keys.next(), keys.next()) {
        (Some(key), None) if is_key(key.as_bytes()) => Ok(key),
        _ => Err(Refusal::Malformed(
            "`Sec-WebSocket-Key` is not 16 bytes in base64, once\n",
        )),
    }
}

/// 16 bytes in base64: 22 characters and the padding.
fn is_key(key: &[u8]) -> bool {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(is_base64)
}

fn describe(
    http: &HttpRequest,
    params: Vec<(String, &str)>,
    peer: SocketAddr,
) -> Result<Request, Refusal> {
    let decode = |(name, value): (String, &str)| match percent_decode_str(value).decode_utf8() {
        Ok(value) => Ok((name, value.into_owned())),
        Err(_) => Err(Refusal::Malformed(
            "the path is not UTF-8 once percent-decoded\n",
        )),
    };
    let headers = http.headers();
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
    Ok(Request {
        path: http.uri().path().to_owned(),
        params: params.into_iter().map(decode).collect::<Result<_, _>>()?,
        query: http.uri().query().map(str::to_owned),
        headers: headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_owned()))
            .collect(),
        peer,
        subprotocols: offered
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect(),
    })
}

/// What a handler may put into a 101.
fn validate(accept: &Accept, request: &Request) -> Result<(), String> {
    if let Some(subprotocol) = &accept.subprotocol
        && !request.subprotocols.contains(subprotocol)
    {
        return Err(format!(
            "the handler chose the subprotocol {subprotocol:?}, which was not offered"
        ));
    }
    accept
        .headers
        .iter()
        .try_for_each(|field| match parse_field(field)? {
            (name, _) if is_ours(&name) => Err(format!(
                "the handler set the header field {:?}, which is the gateway's",
                name.as_str()
            )),
            _ => Ok(()),
        })
}

fn is_ours(name: &HeaderName) -> bool {
    const OURS: [HeaderName; 4] = [
        header::UPGRADE,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
    ];
    OURS.contains(name) || name.as_str().starts_with("sec-websocket-")
}

fn parse_field((name, value): &(String, Vec<u8>)) -> Result<(HeaderName, HeaderValue), String> {
    let invalid = || format!("the handler set an invalid header field {name:?}");
    let parsed = HeaderName::try_from(name.as_str()).map_err(|_| invalid())?;
    Ok((
        parsed,
        HeaderValue::from_bytes(value).map_err(|_| invalid())?,
    ))
}

fn switching_protocols(key: &HeaderValue, accept: &Accept) -> Response<Body> {
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
async fn upgraded(on_upgrade: OnUpgrade) -> Result<(TcpStream, Bytes), String> {
    let upgraded = on_upgrade.await.map_err(|error| error.to_string())?;
    let parts = upgraded
        .downcast::<TokioIo<TcpStream>>()
        .map_err(|_| "the upgraded stream is not the socket it was served on".to_owned())?;
    // A copy: the buffer it came in is the handshake's and would stay for the connection's life.
    Ok((
        parts.io.into_inner(),
        Bytes::copy_from_slice(&parts.read_buf),
    ))
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).boxed_unsync()
}

fn empty() -> Body {
    full(Bytes::new())
}
