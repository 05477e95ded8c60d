//! A shard's thread: its runtime, its mail, its part of accepting and draining.

use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, broadcast};

use super::Plan;
use super::descriptors::Descriptors;
use super::gate::Gate;
use super::lone::Lone;
use super::refusal::Refusal;
use super::seldom::Seldom;
use super::site::Site;
use crate::close::CloseCause;
use crate::connection::{self, Driver};
use crate::counters::Counters;
use crate::handler::Handler;
use crate::labels::RefusalReason;
use crate::outbox::HIGH_WATER;
use crate::plugin::{Notice, Pool};
use crate::shard::{Link, Mail, Mailbox, Shard};
use crate::supervise;

/// After a failed accept (no file descriptors left, mostly) the next try waits this long.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// After mail of so many bytes the shard's own connections have their turn.
const MAIL_TURN: usize = 256 << 10;
/// Closes during a drain go out in steps of this length, or longer ones if there are few.
const DRAIN_STEP: Duration = Duration::from_millis(10);

/// Runs a shard until it has drained. Shard 0 is given the listener.
pub(super) fn run<H: Handler, F: Fn(Rc<Shard>, Vec<Rc<Pool>>) -> H>(
    index: usize,
    plan: &Plan<F>,
    counters: Arc<Counters>,
    mailbox: Mailbox,
    listener: Option<TcpListener>,
) -> supervise::End {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    let runtime = runtime.map_err(|error| format!("failed to start a runtime: {error}"))?;
    runtime.block_on(async {
        let (links, directory) = (plan.links.clone(), plan.directory.clone());
        let (pending, oversize) = (plan.pending.clone(), plan.oversize.clone());
        let shard = Shard::new(index, links, directory, pending, oversize, counters);
        let shard = shard.map_err(|error| format!("failed to watch sockets: {error}"))?;
        shard.start();
        let pools: Vec<_> = plan.registry.plugins().iter().map(Pool::new).collect();
        let driver = Driver::new(shard);
        supervise::lasting("turns", connection::drive(driver.clone()));
        for (owner, pool) in pools.iter().enumerate() {
            let shard = driver.shard();
            if shard.is_home(owner) {
                let handler = (plan.handler)(shard.clone(), vec![pool.clone()]);
                let lone = Lone::new(shard.clone(), handler, owner);
                supervise::lasting("a plugin's timers", lone.clone().tend_timers());
                if let Some(changes) = plan.registry.store().changes(owner) {
                    supervise::lasting("a plugin's changes", lone.tell_changes(changes.clone()));
                }
            }
        }
        let site = Site::new(driver, plan, &pools);
        let door = Door {
            gate: plan.gate.clone(),
            descriptors: plan.descriptors,
            unacknowledged: plan.config.server.unacknowledged,
        };
        supervise::lasting("tidying pools", tidy(plan.registry.notices(), pools));
        serve(site, door, plan.links.clone(), mailbox, listener).await;
        Ok(())
    })
}

/// Reads the shard's mail until it has drained.
async fn serve<H: Handler>(
    site: Rc<Site<H>>,
    door: Door,
    links: Box<[Link]>,
    mut mailbox: Mailbox,
    listener: Option<TcpListener>,
) {
    let accepting = listener.map(|listener| {
        supervise::lasting(
            "accept",
            accept(listener, site.clone(), links, door.clone()),
        )
    });
    let drained = Rc::new(Notify::new());
    let mut taken = 0;
    loop {
        let mail = tokio::select! {
            mail = mailbox.receive() => mail,
            () = drained.notified() => return,
        };
        match mail {
            None => return,
            Some(Mail::Socket(socket, peer)) => match TcpStream::from_std(socket) {
                Ok(socket) => door.welcome(&site, socket, peer),
                Err(error) => tracing::warn!(%peer, "failed to take a socket over: {error}"),
            },
            Some(Mail::Effects(effects)) => {
                site.shard().receive(&effects);
                taken += effects.cost();
                if taken >= MAIL_TURN {
                    taken = 0;
                    tokio::task::yield_now().await;
                }
            }
            Some(Mail::Close(connection, cause)) => {
                site.shard().request_close(connection, cause);
            }
            Some(Mail::Drain { window, deadline }) => {
                if let Some(accepting) = &accepting {
                    accepting.abort();
                }
                let (site, drained) = (site.clone(), drained.clone());
                supervise::passing("drain", async move {
                    drain(&site, window, deadline).await;
                    drained.notify_one();
                });
            }
        }
    }
}

/// Accepts sockets and hands them to the shards in turn.
async fn accept<H: Handler>(
    listener: TcpListener,
    site: Rc<Site<H>>,
    links: Box<[Link]>,
    door: Door,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("failed to listen: {error}"),
    };
    let seldom = Seldom::default();
    for shard in (0..links.len()).cycle() {
        let (socket, peer) = loop {
            match listener.accept().await {
                Ok((socket, peer)) if door.descriptors.allow(&socket) => break (socket, peer),
                Ok(_) => {
                    let refusals = &site.shard().counters().refusals;
                    refusals.count(RefusalReason::Descriptors);
                    if let Some(unsaid) = seldom.say() {
                        tracing::warn!(
                            unsaid,
                            "closed a client's socket: the rest of the descriptors are the gateway's own; raise the limit of open files, or lower `connections` in [server]"
                        );
                    }
                }
                Err(error) => {
                    if let Some(unsaid) = seldom.say() {
                        tracing::warn!(unsaid, "failed to accept: {error}");
                    }
                    // One that has left again is no reason to keep the others waiting.
                    if error.kind() != std::io::ErrorKind::ConnectionAborted {
                        tokio::time::sleep(ACCEPT_RETRY).await;
                    }
                }
            }
        };
        if shard == 0 {
            door.welcome(&site, socket, peer);
            continue;
        }
        match socket.into_std() {
            Ok(socket) => links[shard].post(Mail::Socket(socket, peer)),
            Err(error) => tracing::warn!(%peer, "failed to hand a socket over: {error}"),
        }
    }
}

/// What every socket passes on its way in.
#[derive(Clone)]
struct Door {
    gate: Arc<Gate>,
    descriptors: Descriptors,
    /// How long what we sent may stay unacknowledged; nought leaves it to the system.
    unacknowledged: Duration,
}

impl Door {
    /// Serves a socket, if there is a place for it.
    fn welcome<H: Handler>(&self, site: &Rc<Site<H>>, socket: TcpStream, peer: SocketAddr) {
        // On a listener for both families an IPv4 client has an address in IPv6 clothes.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let places = match self.gate.admit(peer.ip()) {
            Ok(places) => places,
            Err(refusal) => {
                site.shard().counters().refusals.count(refusal.reason());
                // In all there are too many even for a 503: those are answered while handshakes go on.
                if let Refusal::Crowded(_) = refusal {
                    let _ = socket.try_write(super::http::TURNED_AWAY);
                }
                return;
            }
        };
        self.prepare(&socket);
        let served = super::http::serve(site.clone(), places, socket, peer);
        supervise::passing("a request", served);
    }

    fn prepare(&self, socket: &TcpStream) {
        let options = socket2::SockRef::from(socket);
        // A turn's bytes leave in one write already; holding them back for more gains nothing.
        let no_delay = options.set_tcp_nodelay(true);
        // Without a bound the kernel takes megabytes for a reader that has stopped, and the outbox
        // would notice far too late.
        let low_water = options.set_tcp_notsent_lowat(HIGH_WATER as u32);
        let lost = (!self.unacknowledged.is_zero()).then_some(self.unacknowledged);
        let lost = options.set_tcp_user_timeout(lost);
        if let Err(error) = no_delay.and(low_water).and(lost) {
            tracing::debug!("failed to set a socket's options: {error}");
        }
    }
}

/// Drops instances of old generations as soon as there is a new one, also on a shard without
/// events.
async fn tidy(mut notices: broadcast::Receiver<Notice>, pools: Vec<Rc<Pool>>) {
    while !matches!(
        notices.recv().await,
        Err(broadcast::error::RecvError::Closed)
    ) {
        for pool in &pools {
            pool.tidy();
        }
    }
}

/// Closes the shard's connections, spread over `window`, and waits until they are gone, at most
/// until `deadline`.
async fn drain<H: Handler>(site: &Rc<Site<H>>, window: Duration, deadline: Duration) {
    let shard = site.shard();
    site.begin_drain();
    let gone = async {
        let connections = shard.ids();
        let steps_max = (window.as_millis() / DRAIN_STEP.as_millis()).max(1) as usize;
        let steps = connections.chunks(connections.len().div_ceil(steps_max).max(1));
        // Few connections are spread over the whole window too, by longer steps.
        let pause = window.div_f64(steps.len().max(1) as f64);
        for (index, step) in steps.enumerate() {
            if index > 0 {
                tokio::time::sleep(pause).await;
            }
            for &connection in step {
                shard.request_close(connection, CloseCause::Drained);
            }
        }
        loop {
            // Upgrades that were under way when the drain began have become connections since.
            for connection in shard.ids() {
                shard.request_close(connection, CloseCause::Drained);
            }
            if shard.connections() == 0 && site.exchanges() == 0 {
                return;
            }
            tokio::time::sleep(DRAIN_STEP).await;
        }
    };
    if tokio::time::timeout(deadline, gone).await.is_err() {
        tracing::warn!(
            connections = shard.connections(),
            "drain deadline reached; dropping the rest"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[tokio::test]
    async fn what_nobody_acknowledges_is_given_up_by_the_system() {
        let server = config::Server::default();
        let door = Door {
            gate: Gate::new(&server),
            descriptors: Descriptors::claim(1),
            unacknowledged: server.unacknowledged,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap());
        let socket = socket.await.unwrap();
        door.prepare(&socket);
        let set = socket2::SockRef::from(&socket).tcp_user_timeout().unwrap();
        assert_eq!(set, Some(server.unacknowledged));
    }
}
