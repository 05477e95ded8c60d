//! The listener for operators: health, metrics, plugins. Runs on the control thread; no event
//! waits for it.

mod answer;
mod api;
mod metrics;
mod publish;
mod visitors;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use visitors::{Standing, Visitor, Visitors};

use crate::config::Token;
use crate::counters::{Counters, Family};
use crate::hosts::Hosts;
use crate::labels::PublishResult;
use crate::outbox::Oversize;
use crate::pending::Pending;
use crate::plugin::Registry;
use crate::server::{Patient, Publisher};
use crate::supervise;

/// Requests served at once. Operators and their scrapers are few; a loop gone wrong should not
/// take the control thread's memory.
const SOCKETS_MAX: usize = 64;
/// A request's head must arrive within this, and an idle socket is closed after it. So is one that
/// takes nothing of its answers for as long.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the admin side shows and changes.
pub struct Admin {
    /// The plugins.
    pub registry: Arc<Registry>,
    /// The counters of each shard.
    pub counters: Vec<Arc<Counters>>,
    /// The budget of messages and bodies that are not whole yet.
    pub pending: Arc<Pending>,
    /// The budget of long messages that wait for slow clients.
    pub oversize: Arc<Oversize>,
    /// Set when the gateway shuts down: it is no longer ready.
    pub draining: Arc<AtomicBool>,
    /// Asked of every request but for health, if set.
    pub token: Option<Token>,
    /// The names under which it is asked.
    pub hosts: Hosts,
    /// Closes a connection.
    pub close: Box<dyn Fn(crate::message::ConnectionId, crate::close::CloseCause)>,
    /// Publishes to the connections.
    pub publisher: Publisher,
    /// Bytes of a message to publish.
    pub message_max: usize,
    /// Publishes asked for here, by what became of them.
    pub publishes: Family<PublishResult>,
}

impl Admin {
    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// Serves the admin API until dropped. Call in a local runtime.
pub async fn serve(listener: TcpListener, admin: Rc<Admin>) {
    let visitors = Visitors::new(SOCKETS_MAX);
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                // Without a place it is closed: whoever has the token has them all.
                let Some(visitor) = visitors.enter() else {
                    continue;
                };
                let (admin, visitors) = (admin.clone(), visitors.clone());
                supervise::passing("an admin request", async move {
                    tokio::select! {
                        () = serve_socket(socket, peer, &admin, &visitor) => {}
                        () = visitor.sent_away() => tracing::debug!(%peer, "admin: gave way to a later request"),
                    }
                    visitors.leave(&visitor);
                });
            }
            Err(error) => {
                tracing::warn!("admin: failed to accept: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve_socket(socket: TcpStream, peer: SocketAddr, admin: &Admin, visitor: &Visitor) {
    let service = service_fn(async |request| {
        visitor.stands(match api::is_trusted(admin, &request) {
            true => Standing::Trusted,
            false => Standing::Asking,
        });
        let answer = api::respond(admin, request).await;
        visitor.stands(Standing::Idle);
        Ok::<_, Infallible>(answer)
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .half_close(true);
    let socket = TokioIo::new(Patient::new(socket, PATIENCE));
    if let Err(error) = http.serve_connection(socket, service).await {
        tracing::debug!(%peer, "admin request failed: {error}");
    }
}
