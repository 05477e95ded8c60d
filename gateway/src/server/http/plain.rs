//! Plain requests, which ask for no WebSocket: answered by the first plugin of the route's chain
//! that exports `wasi:http/incoming-handler`, once the plugins in front of it have let them in.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::{self, HeaderMap};
use hyper::{Method, Request, Response};

use super::HttpRequest;
use super::answers::full;
use super::carried::Carried;
use super::consent::{Consent, Found, Refused, ask};
use super::rules::{describe, has_host, is_ours, parse_field};
use crate::config::RouteLimits;
use crate::connection::Terms;
use crate::dispatch::failed;
use crate::event::States;
use crate::handler::{Accept, Failure, Handler};
use crate::http_body::HttpBody;
use crate::labels::{EventKind, Label};
use crate::pending::Share;
use crate::pieces::Pieces;
use crate::server::refusal::Refusal;
use crate::server::site::Site;

/// Answers a plain request.
pub(super) async fn respond<H: Handler>(
    site: &Rc<Site<H>>,
    http: HttpRequest,
    found: Found<'_, H>,
    begin: impl FnOnce(),
) -> Result<Response<HttpBody>, Refused> {
    let terms = &found.place.terms;
    let responder = terms.handler.responder().ok_or(Refusal::NotAnUpgrade)?;
    check(&found, &http)?;
    if site.is_draining() {
        return Err(Refusal::Draining.into());
    }
    begin();
    let mut consent = None;
    if responder > 0 {
        let request = describe(&http, found.params, found.peer)?;
        consent = Some(ask(site, terms, request, Some(responder)).await?);
    }
    let (mut parts, body) = http.into_parts();
    let mut share = site.shard().pending().share();
    let body = read(body, &terms.limits, &mut share).await?;
    if !body.is_empty() {
        // However it came, it has a length now.
        parts
            .headers
            .insert(header::CONTENT_LENGTH, body.len().into());
    }
    let is_head = parts.method == Method::HEAD;
    let request = Request::from_parts(parts, body);
    let accept = consent.map_or_else(Accept::default, |consent| take_up(site, consent));
    let call = answer(
        site.clone(),
        terms.clone(),
        responder,
        accept.states,
        request,
        share,
    );
    let mut response = Carried::new(call).await?;
    dress(response.headers_mut(), &accept.headers, is_head);
    Ok(response.map(full))
}

/// Puts into force what the plugins in front did when they let the request in: it is whole now, and
/// is handed on whatever becomes of its client.
fn take_up<H: Handler>(site: &Site<H>, consent: Consent<H>) -> Accept {
    let mut event = consent.event;
    site.shard().commit(&mut event);
    consent.terms.give_event(event);
    consent.accept
}

/// What every plain request must be. A page may read only what its own origin answers, so browsers
/// keep foreign ones from the answers of GET and HEAD; the other methods change something, and a
/// site's cookies are sent along with any page's request.
fn check<H>(found: &Found<'_, H>, http: &HttpRequest) -> Result<(), Refusal> {
    match *http.method() {
        Method::GET | Method::HEAD => has_host(http.headers()),
        _ => found.enter(http),
    }
}

/// Reads a body before the guest is called: one that comes slowly holds no instance, and its time is
/// not the event's.
async fn read(
    mut body: Incoming,
    limits: &RouteLimits,
    share: &mut Share,
) -> Result<Bytes, Refusal> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let read =
        tokio::time::timeout(limits.body_timeout, collect(&mut body, limits.body, share)).await;
    let refusal = match read {
        Ok(Ok(body)) => return Ok(body),
        Ok(Err(refusal)) => refusal,
        Err(_) => return Err(Refusal::Slow),
    };
    // Closing on a client that still sends would reset the socket, and our answer would be lost.
    let discard = async { while let Some(Ok(_)) = body.frame().await {} };
    let _ = tokio::time::timeout(LINGER, discard).await;
    Err(refusal)
}

/// How long we take in what is too much, for the sake of clients that read after they have written.
const LINGER: Duration = Duration::from_secs(1);

async fn collect(body: &mut Incoming, max: usize, share: &mut Share) -> Result<Bytes, Refusal> {
    if body.size_hint().lower() > max as u64 {
        return Err(Refusal::TooLarge);
    }
    let mut pieces = Pieces::default();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::Malformed("the body is not whole\n"))?;
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        if !share.resize(share.bytes() + piece.len()) {
            return Err(Refusal::Pending);
        }
        if !pieces.add(piece, max) {
            return Err(Refusal::TooLarge);
        }
    }
    Ok(pieces.join())
}

/// Has the plugin answer; `states` is what those in front have granted, and the body's share of what
/// has come in is held meanwhile. Its effects are in force before
/// the response can be seen.
async fn answer<H: Handler>(
    site: Rc<Site<H>>,
    terms: Rc<Terms<H>>,
    responder: usize,
    states: States,
    request: Request<Bytes>,
    _share: Share,
) -> Result<Response<Bytes>, Refusal> {
    // A drain waits for the call, also when its client has left.
    let _exchange = site.begin_exchange();
    let shard = site.shard();
    shard.counters().events.count(EventKind::Request);
    let mut event = terms.take_event();
    event.states = states;
    let answered = terms.handler.respond(&mut event, responder, request).await;
    let answered = match answered {
        Ok(response) => {
            shard.commit(&mut event);
            Ok(response)
        }
        Err(failure) => {
            event.discard();
            failed(shard, EventKind::Request.name(), &event, &failure);
            Err(match failure {
                Failure::Unavailable(_) | Failure::Busy(_) => Refusal::Unavailable,
                _ => Refusal::Failed(failure.to_string()),
            })
        }
    };
    terms.give_event(event);
    answered
}

/// Leaves of the plugin's header fields those that are its to set, and adds those of the plugins in
/// front. The length of a body that is not there is known to the plugin only.
fn dress(headers: &mut HeaderMap, more: &[(String, Vec<u8>)], is_head: bool) {
    let length = headers.remove(header::CONTENT_LENGTH);
    let ours: Vec<_> = headers
        .keys()
        .filter(|name| is_ours(name))
        .cloned()
        .collect();
    for name in ours {
        headers.remove(name);
    }
    if let Some(length) = length.filter(|_| is_head) {
        headers.insert(header::CONTENT_LENGTH, length);
    }
    for (name, value) in more.iter().filter_map(|field| parse_field(field).ok()) {
        if !is_ours(&name) {
            headers.append(name, value);
        }
    }
}
