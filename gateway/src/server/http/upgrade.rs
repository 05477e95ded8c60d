//! An upgrade that was granted: from the 101 to the connection.

use std::net;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use hyper::Response;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::answers::switching_protocols;
use super::consent::{Consent, Found, Refused, grant};
use super::cors::Marks;
use super::rules::check;
use super::upgradable::Upgradable;
use super::{Held, HttpRequest, bare};
use crate::connection::{self, Deflate, Upgraded, Wire};
use crate::handler::Handler;
use crate::http_body::HttpBody;
use crate::server::patience::Patient;
use crate::server::site::Site;
use crate::supervise;

/// Answers an upgrade, and opens the connection behind the answer.
pub(super) async fn upgrade<H: Handler>(
    site: &Rc<Site<H>>,
    mut request: HttpRequest,
    found: Found<'_, H>,
    held: &Held<H>,
) -> Result<Response<HttpBody>, Refused> {
    let (place, peer) = (found.place, found.peer);
    let key = check(&request)?.clone();
    // No page reads the answer of an upgrade by fetch.
    let granted = grant(site, &request, found, &Marks::default(), held).await?;
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
    let response = switching_protocols(&key, &granted.consent.accept, agreement.as_ref());
    held.is_granted.store(true, Ordering::Relaxed);
    let (site, places) = (site.clone(), held.places.take());
    supervise::passing("an upgrade", async move {
        let Consent {
            accept,
            request,
            terms,
            event,
            exchange: _exchange,
        } = granted.consent;
        match upgraded(on_upgrade).await {
            Ok((stream, early)) => {
                let upgraded = Upgraded {
                    stream,
                    early,
                    request,
                    states: accept.states,
                    granted: event,
                    wire: Wire::WebSocket(deflate),
                    signs: granted.signs,
                    tickets: Box::new((places, agreed)),
                };
                Box::pin(connection::open(site.driver().clone(), terms, upgraded)).await;
            }
            Err(error) => tracing::debug!(%peer, "upgrade failed: {error}"),
        }
    });
    Ok(response)
}

/// The bare socket after the 101, and what came with the request.
async fn upgraded(on_upgrade: OnUpgrade) -> Result<(net::TcpStream, Bytes), String> {
    let upgraded = on_upgrade.await.map_err(|error| error.to_string())?;
    let parts = upgraded
        .downcast::<TokioIo<Patient<Upgradable>>>()
        .map_err(|_| "the upgraded stream is not the socket it was served on".to_owned())?;
    let stream = bare(parts.io).into_std();
    // A copy: the buffer it came in is the handshake's and would stay for the connection's life.
    Ok((
        stream.map_err(|error| error.to_string())?,
        Bytes::copy_from_slice(&parts.read_buf),
    ))
}
