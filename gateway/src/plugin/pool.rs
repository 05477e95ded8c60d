//! The instances of one plugin on one shard: reused from event to event, replaced with the
//! generation or after a failure.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;

use super::generation::Generation;
use super::instance::{Instance, StartError};
use super::registry::Plugin;
use super::slot::Slot;
use crate::handler::Failure;

/// The instances of one plugin on one shard.
pub struct Pool {
    /// The plugin's name.
    name: Arc<str>,
    /// The plugin, as an index into the configuration.
    owner: usize,
    slot: Arc<Slot>,
    /// The slot's version that `current` and `idle` belong to.
    version: Cell<u64>,
    current: RefCell<Option<Arc<Generation>>>,
    #[expect(
        clippy::vec_box,
        reason = "an instance is moved out and in for each event"
    )]
    idle: RefCell<Vec<Box<Instance>>>,
    /// Events that have an instance or are about to get one.
    busy: Cell<usize>,
    /// Those that wait because the engine has none to give.
    starved: Cell<usize>,
    waiting: Cell<usize>,
    returned: Notify,
    limit: usize,
}

/// An instance that handles one event. Dropping it without [`Lease::keep`] throws it away.
pub(super) struct Lease<'a> {
    pool: &'a Pool,
    /// The slot's version the instance belongs to.
    version: u64,
    instance: Option<Box<Instance>>,
}

impl Pool {
    /// A pool of as many instances as the plugin may have on a shard, of its slot's generations.
    pub fn new(plugin: &Plugin) -> Rc<Self> {
        let slot = plugin.slot().clone();
        Rc::new(Self {
            name: plugin.name().clone(),
            owner: plugin.owner(),
            version: Cell::new(slot.version()),
            current: RefCell::new(slot.current()),
            slot,
            idle: RefCell::default(),
            busy: Cell::new(0),
            starved: Cell::new(0),
            waiting: Cell::new(0),
            returned: Notify::new(),
            limit: plugin.limits().instances as usize,
        })
    }

    /// The plugin's name.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The plugin, as an index into the configuration.
    pub(super) fn owner(&self) -> usize {
        self.owner
    }

    /// Whether the next event would have to wait.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.get() >= self.limit
    }

    /// Drops what belongs to a generation that is no longer current.
    pub fn tidy(&self) {
        let version = self.slot.version();
        if self.version.replace(version) != version {
            *self.current.borrow_mut() = self.slot.current();
            self.idle.borrow_mut().clear();
        }
    }

    /// An instance of the generation that is current now. Waits while `limit` events are under
    /// way.
    pub(super) async fn lease(&self) -> Result<Lease<'_>, Failure> {
        while self.is_busy() {
            self.wait().await;
        }
        self.tidy();
        let version = self.version.get();
        // Counted before the start, which may wait: else events beyond the limit could start.
        self.busy.set(self.busy.get() + 1);
        let mut lease = Lease {
            pool: self,
            version,
            instance: self.idle.borrow_mut().pop(),
        };
        if lease.instance.is_none() {
            lease.instance = Some(self.start(version).await?);
        }
        Ok(lease)
    }

    /// Starts an instance. When the engine has no more to give, waits for one of the others here.
    async fn start(&self, version: u64) -> Result<Box<Instance>, Failure> {
        let current = self.current.borrow().clone();
        let Some(generation) = current else {
            return Err(Failure::Unavailable(
                "no generation of the plugin is loaded yet".to_owned(),
            ));
        };
        loop {
            match Instance::start(&generation).await {
                Ok(mut instance) => {
                    instance.watch(self.slot.clone(), version);
                    return Ok(Box::new(instance));
                }
                Err(StartError::Start(failure)) => return Err(failure),
                // If all the others here wait for the same, nobody would end this wait.
                Err(StartError::Exhausted(_)) if self.busy.get() > self.starved.get() + 1 => {
                    let _starved = Count::of(&self.starved);
                    self.wait().await;
                }
                Err(error) => return Err(Failure::Unavailable(error.to_string())),
            }
            if let Some(instance) = self.idle.borrow_mut().pop() {
                return Ok(instance);
            }
        }
    }

    /// Waits until an instance comes back.
    async fn wait(&self) {
        let _waiting = Count::of(&self.waiting);
        self.returned.notified().await;
    }
}

/// One more for as long as it lives: an event may be given up while it waits.
struct Count<'a>(&'a Cell<usize>);

impl<'a> Count<'a> {
    fn of(cell: &'a Cell<usize>) -> Self {
        cell.set(cell.get() + 1);
        Self(cell)
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Lease<'_> {
    /// The generation the instance belongs to.
    pub(super) fn generation(&mut self) -> u64 {
        self.instance().generation()
    }

    /// The instance.
    pub(super) fn instance(&mut self) -> &mut Instance {
        self.instance
            .as_mut()
            .expect("a lease has its instance until it is kept or dropped")
    }

    /// Gives the instance back for the next event, unless its generation has gone meanwhile.
    pub(super) fn keep(mut self) {
        if self.version == self.pool.slot.version()
            && let Some(instance) = self.instance.take()
        {
            self.pool.idle.borrow_mut().push(instance);
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.instance = None;
        self.pool.busy.set(self.pool.busy.get() - 1);
        if self.pool.waiting.get() > 0 {
            self.pool.returned.notify_one();
        }
    }
}
