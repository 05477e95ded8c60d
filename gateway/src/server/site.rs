//! What a shard needs to answer requests: its routes with their handlers.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::Plan;
use super::compression::Offer;
use super::seldom::Seldom;
use crate::client::Client;
use crate::config::{Origins, Route};
use crate::connection::{Driver, SpareEvents, Terms};
use crate::console::Console;
use crate::handler::Handler;
use crate::hosts::Hosts;
use crate::plugin::Pool;
use crate::shard::Shard;

/// One shard's view of the routes.
pub(super) struct Site<H> {
    driver: Rc<Driver<H>>,
    router: matchit::Router<usize>,
    places: Vec<Place<H>>,
    console: Option<Arc<Console>>,
    client: Option<Client>,
    hosts: Hosts,
    draining: Arc<AtomicBool>,
    /// Told when this shard begins to drain.
    drain: Notify,
    exchanges: Rc<Cell<usize>>,
    /// How long a client may take to send a request.
    pub(super) handshake_timeout: Duration,
    /// Largest head of a request, in bytes.
    pub(super) headers_max: usize,
}

/// What a route's `{name}` segments matched, still percent-encoded.
pub(super) type Params<'p> = Vec<(String, &'p str)>;

/// A route.
pub(super) struct Place<H> {
    /// The path as the configuration has it.
    pub(super) path: String,
    pub(super) origins: Origins,
    /// Pages of other origins that were refused.
    pub(super) strangers: Seldom,
    pub(super) terms: Rc<Terms<H>>,
    pub(super) compression: Offer,
    /// Whether connections that only receive are opened too.
    pub(super) event_stream: bool,
}

/// Stands for a socket on which plugins answer plain requests, or for a call about a request.
pub(super) struct Exchange(Rc<Cell<usize>>);

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl<H: Handler> Site<H> {
    pub(super) fn new<F: Fn(Rc<Shard>, Vec<Rc<Pool>>) -> H>(
        driver: Rc<Driver<H>>,
        plan: &Plan<F>,
        pools: &[Rc<Pool>],
    ) -> Rc<Self> {
        let mut router = matchit::Router::new();
        let mut places = Vec::new();
        for route in &plan.config.routes {
            router
                .insert(&route.path, places.len())
                .expect("the configuration was checked");
            places.push(Place {
                path: route.path.clone(),
                origins: route.origins.clone(),
                strangers: Seldom::default(),
                terms: terms(route, &driver, plan, pools),
                compression: Offer::new(&route.compression, plan.links.len()),
                event_stream: route.event_stream,
            });
        }
        let server = &plan.config.server;
        Rc::new(Self {
            driver,
            router,
            places,
            console: plan.console.clone(),
            client: server.client.then(Client::default),
            // A page of its own is what `dev` serves, on a developer's own machine.
            hosts: Hosts::new(
                &server.hosts,
                plan.console.is_none() || !server.listen.ip().is_loopback(),
            ),
            draining: plan.draining.clone(),
            drain: Notify::new(),
            exchanges: Rc::default(),
            handshake_timeout: server.handshake_timeout,
            headers_max: server.headers,
        })
    }

    pub(super) fn driver(&self) -> &Rc<Driver<H>> {
        &self.driver
    }

    pub(super) fn shard(&self) -> &Rc<Shard> {
        self.driver.shard()
    }

    pub(super) fn console(&self) -> Option<&Arc<Console>> {
        self.console.as_ref()
    }

    pub(super) fn client(&self) -> Option<&Client> {
        self.client.as_ref()
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Waits until this shard begins to drain.
    pub(super) async fn drain_begun(&self) {
        self.drain.notified().await;
    }

    /// Tells all who wait for it that this shard begins to drain.
    pub(super) fn begin_drain(&self) {
        self.drain.notify_waiters();
    }

    /// A socket that plugins answer on, or a call, until this is dropped: a drain waits for it.
    pub(super) fn begin_exchange(&self) -> Exchange {
        self.exchanges.set(self.exchanges.get() + 1);
        Exchange(self.exchanges.clone())
    }

    /// How many of these there are.
    pub(super) fn exchanges(&self) -> usize {
        self.exchanges.get()
    }

    /// The names under which it is asked.
    pub(super) fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// The route for a path, with what its `{name}` segments matched, still percent-encoded.
    pub(super) fn find<'p>(&self, path: &'p str) -> Option<(&Place<H>, Params<'p>)> {
        let found = self.router.at(path).ok()?;
        let params = found
            .params
            .iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        Some((&self.places[*found.value], params))
    }
}

fn terms<H: Handler, F: Fn(Rc<Shard>, Vec<Rc<Pool>>) -> H>(
    route: &Route,
    driver: &Driver<H>,
    plan: &Plan<F>,
    pools: &[Rc<Pool>],
) -> Rc<Terms<H>> {
    let find = |plugin: &String| plan.registry.find(plugin);
    let owners: Result<Rc<[usize]>, _> = route.plugins.iter().map(find).collect();
    let owners = owners.expect("the configuration was checked");
    let chain = owners.iter().map(|&owner| pools[owner].clone()).collect();
    Rc::new(Terms {
        handler: (plan.handler)(driver.shard().clone(), chain),
        owners,
        limits: Arc::new(route.limits.clone()),
        on_failure: route.on_failure,
        failure_reply: route.failure_reply,
        on_error: route.on_error,
        spare: SpareEvents::default(),
    })
}
