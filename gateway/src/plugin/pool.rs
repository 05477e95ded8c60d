//! The instances of one plugin on one shard: reused from event to event, replaced with the
//! generation or after a failure.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use tokio::sync::{Notify, Semaphore};

use super::generation::Generation;
use super::instance::{Instance, StartError};
use super::pins::{Pin, Pins};
use super::registry::Plugin;
use super::slot::Slot;
use super::turns;
use crate::config::OnRefusedState;
use crate::handler::Failure;

/// More generations than this no plugin's history keeps.
const EARLIER_MAX: usize = 32;

/// The instances of one plugin on one shard.
pub struct Pool {
    /// The plugin's name.
    name: Arc<str>,
    /// The plugin, as an index into the configuration.
    owner: usize,
    slot: Arc<Slot>,
    /// Generations that were current before, as long as the plugin's history keeps them.
    earlier: RefCell<VecDeque<Weak<Generation>>>,
    /// Those of them that connections stay with.
    pins: Pins,
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
    /// Has a permit for each HTTP request that the instances may have under way together.
    requests: Arc<Semaphore>,
}

/// An instance that handles one event. Dropping it without [`Lease::keep`] throws it away.
pub(super) struct Lease {
    pool: Rc<Pool>,
    /// The slot's version the instance belongs to.
    version: u64,
    instance: Option<Box<Instance>>,
}

impl Pool {
    /// A pool of as many instances as the plugin may have on a shard, of its slot's generations.
    pub fn new(plugin: &Plugin) -> Rc<Self> {
        let pins = Pins::new(plugin.pinned().clone(), plugin.limits().pinned);
        let limit = plugin.limits().instances as usize;
        let requests = Arc::new(Semaphore::new(plugin.limits().http_requests));
        let (name, owner) = (plugin.name().clone(), plugin.owner());
        Self::over(plugin.slot().clone(), name, owner, pins, limit, requests)
    }

    /// A pool of the instances of one generation, for ever.
    fn of_generation(&self, generation: Arc<Generation>) -> Rc<Self> {
        let slot = Arc::new(Slot::default());
        slot.swap(generation);
        let pins = Pins::new(Arc::default(), 0);
        let (name, requests) = (self.name.clone(), self.requests.clone());
        Self::over(slot, name, self.owner, pins, self.limit, requests)
    }

    fn over(
        slot: Arc<Slot>,
        name: Arc<str>,
        owner: usize,
        pins: Pins,
        limit: usize,
        requests: Arc<Semaphore>,
    ) -> Rc<Self> {
        Rc::new(Self {
            name,
            owner,
            version: Cell::new(slot.version()),
            current: RefCell::new(slot.current()),
            slot,
            earlier: RefCell::default(),
            pins,
            idle: RefCell::default(),
            busy: Cell::new(0),
            starved: Cell::new(0),
            waiting: Cell::new(0),
            returned: Notify::new(),
            limit,
            requests,
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

    /// Whether the generation that is current now answers plain HTTP requests.
    pub(super) fn answers_requests(&self) -> bool {
        self.tidy();
        let current = self.current.borrow();
        let exports = current.as_ref().map(|current| current.exports());
        exports.is_some_and(|exports| exports.on_request.is_some())
    }

    /// Whether the next event would have to wait.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.get() >= self.limit || turns::is_spent(self.owner)
    }

    /// Drops what belongs to a generation that is no longer current.
    pub fn tidy(&self) {
        let version = self.slot.version();
        if self.version.replace(version) != version {
            let before = self.current.replace(self.slot.current());
            self.idle.borrow_mut().clear();
            self.keep_earlier(before);
        }
        self.pins.tidy();
    }

    fn keep_earlier(&self, before: Option<Arc<Generation>>) {
        let mut earlier = self.earlier.borrow_mut();
        earlier.retain(|generation| generation.strong_count() > 0);
        earlier.extend(before.as_ref().map(Arc::downgrade));
        if earlier.len() > EARLIER_MAX {
            earlier.pop_front();
        }
    }

    /// Whether a connection whose state was refused stays with the generation it has.
    pub(super) fn keeps_refused(&self) -> bool {
        let current = self.current.borrow();
        let rule = current.as_ref().map(|current| current.on_refused_state());
        rule == Some(OnRefusedState::Keep)
    }

    /// Keeps a connection with an earlier generation. None if that is gone, or there are as many
    /// such connections as may be.
    pub(super) fn pin(&self, generation: u64) -> Option<Arc<Pin>> {
        let earlier = self.earlier.borrow();
        let mut earlier = earlier.iter().rev().filter_map(Weak::upgrade);
        let generation = earlier.find(|earlier| earlier.number() == generation)?;
        self.pins
            .pin(&generation, |generation| self.of_generation(generation))
    }

    /// The instances of the generation that a connection stays with.
    pub(super) fn pinned(&self, pin: &Pin) -> Option<Rc<Self>> {
        self.pins.pool(pin)
    }

    /// An instance of the generation that is current now. Waits while `limit` events are under
    /// way.
    pub(super) async fn lease(self: &Rc<Self>) -> Result<Lease, Failure> {
        while self.busy.get() >= self.limit {
            self.wait().await;
        }
        self.tidy();
        let version = self.version.get();
        // Counted before the start, which may wait: else events beyond the limit could start.
        self.busy.set(self.busy.get() + 1);
        let mut lease = Lease {
            pool: self.clone(),
            version,
            instance: self.idle.borrow_mut().pop(),
        };
        if lease.instance.is_none() {
            lease.instance = Some(self.start(version).await?);
        }
        if turns::is_spent(self.owner) {
            turns::begin(self.owner).await;
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
            match Instance::start(&generation, self.requests.clone()).await {
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

impl Lease {
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

impl Drop for Lease {
    fn drop(&mut self) {
        self.instance = None;
        self.pool.busy.set(self.pool.busy.get() - 1);
        if self.pool.waiting.get() > 0 {
            self.pool.returned.notify_one();
        }
    }
}
