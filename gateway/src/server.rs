//! Listener, shards, accept and drain.
//!
//! One thread a shard, each with a current-thread runtime; a connection lives and dies on the shard
//! its socket was handed to. Shard 0 accepts and hands sockets out in turn, which balances few
//! connections better than the kernel's hash does.

mod addresses;
mod compression;
mod descriptors;
mod gate;
mod http;
mod lone;
mod origin;
mod patience;
mod publisher;
mod refusal;
mod seldom;
mod site;
mod worker;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::close::CloseCause;
use crate::config::Config;
use crate::console::Console;
use crate::counters::Counters;
use crate::directory::Directory;
use crate::handler::Handler;
use crate::message::ConnectionId;
use crate::outbox::Oversize;
use crate::pending::Pending;
use crate::plugin::{Pool, Registry};
use crate::shard::{Link, Mail, Shard};
use crate::supervise;

use descriptors::Descriptors;
use gate::Gate;

pub(crate) use patience::Patient;
pub use publisher::{Publisher, QueueFull};

/// A running gateway, without its admin side.
pub struct Server {
    address: SocketAddr,
    links: Box<[Link]>,
    directory: Arc<Directory>,
    pending: Arc<Pending>,
    oversize: Arc<Oversize>,
    counters: Vec<Arc<Counters>>,
    threads: Vec<JoinHandle<()>>,
    draining: Arc<AtomicBool>,
}

/// What every shard is started with.
struct Plan<F> {
    config: Arc<Config>,
    registry: Arc<Registry>,
    console: Option<Arc<Console>>,
    gate: Arc<Gate>,
    descriptors: Descriptors,
    directory: Arc<Directory>,
    pending: Arc<Pending>,
    oversize: Arc<Oversize>,
    links: Box<[Link]>,
    draining: Arc<AtomicBool>,
    handler: F,
}

impl Server {
    /// Starts the shards. `handler` makes a route's handler over a shard and its pools of the route's
    /// plugins; it is called on the shard's thread.
    pub fn start<H, F>(
        listener: TcpListener,
        config: Arc<Config>,
        registry: Arc<Registry>,
        console: Option<Arc<Console>>,
        handler: F,
    ) -> io::Result<Self>
    where
        H: Handler,
        F: Fn(Rc<Shard>, Vec<Rc<Pool>>) -> H + Send + Sync + 'static,
    {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shards = config.server.shards().get();
        let (links, mailboxes): (Vec<_>, Vec<_>) =
            (0..shards).map(|_| Link::new(config.server.queue)).unzip();
        let links: Box<[Link]> = links.into();
        let draining = Arc::new(AtomicBool::new(false));
        let directory = Arc::new(Directory::new(shards));
        let pending = Pending::new(config.server.pending);
        let oversize = Oversize::new(config.server.oversize);
        let plan = Arc::new(Plan {
            gate: Gate::new(&config.server),
            descriptors: Descriptors::claim(config.server.connections),
            directory: directory.clone(),
            pending: pending.clone(),
            oversize: oversize.clone(),
            config,
            registry,
            console,
            links: links.clone(),
            draining: draining.clone(),
            handler,
        });
        let counters: Vec<_> = (0..shards).map(|_| Arc::new(Counters::default())).collect();
        let mut listener = Some(listener);
        let mut threads = Vec::new();
        for (index, mailbox) in mailboxes.into_iter().enumerate() {
            let (plan, counters, listener) =
                (plan.clone(), counters[index].clone(), listener.take());
            let name = format!("shard-{index}");
            threads.push(supervise::thread(&name, move || {
                worker::run(index, &plan, counters, mailbox, listener)
            })?);
        }
        Ok(Self {
            address,
            links,
            directory,
            pending,
            oversize,
            counters,
            threads,
            draining,
        })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The counters of each shard.
    pub fn counters(&self) -> &[Arc<Counters>] {
        &self.counters
    }

    /// The budget of messages and bodies that are not whole yet.
    pub fn pending(&self) -> &Arc<Pending> {
        &self.pending
    }

    /// The budget of long messages that wait for slow clients.
    pub fn oversize(&self) -> &Arc<Oversize> {
        &self.oversize
    }

    /// Whether it is shutting down.
    pub fn draining(&self) -> &Arc<AtomicBool> {
        &self.draining
    }

    /// The way to close single connections.
    pub fn closer(&self) -> Closer {
        Closer {
            links: self.links.clone(),
        }
    }

    /// The way to publish from outside the shards.
    pub fn publisher(&self) -> Publisher {
        Publisher::new(self.links.clone(), self.directory.clone())
    }

    /// Stops accepting, closes every connection within `window`, and returns when all are gone or
    /// `deadline` has passed.
    pub async fn drain(self, window: Duration, deadline: Duration) {
        self.draining.store(true, Ordering::Relaxed);
        for link in &self.links {
            link.post(Mail::Drain { window, deadline });
        }
        let threads = self.threads;
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                // One that has panicked has ended the process.
                let _ = thread.join();
            }
        });
        let _ = joined.await;
    }
}

/// Closes connections from outside the shards.
pub struct Closer {
    links: Box<[Link]>,
}

impl Closer {
    /// Asks for the end of a connection; whether there is such a one is not known here.
    pub fn close(&self, connection: ConnectionId, cause: CloseCause) {
        self.links[connection.shard(self.links.len())].post(Mail::Close(connection, cause));
    }
}
