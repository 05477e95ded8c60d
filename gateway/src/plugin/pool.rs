//! The instances of one plugin on one shard: reused from event to event, replaced with the
//! generation or after a failure.

mod pins;
mod places;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::generation::Generation;
use super::instance::{Instance, StartError};
use super::registry::Plugin;
use super::slot::Slot;
use super::turns;
use crate::config::OnRefusedState;
use crate::handler::Failure;

pub(super) use pins::Pin;

use pins::Pins;
use places::{Place, Places};

/// More generations than this no plugin's history keeps.
const EARLIER_MAX: usize = 32;
/// While others hold all places, one of a pool's events looks again this often. They may be on other
/// threads, which do not tell.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The instances of one plugin on one shard.
pub struct Pool {
    /// The plugin's name.
    name: Arc<str>,
    /// The plugin, as an index into the configuration.
    owner: usize,
    slot: Arc<Slot>,
    /// Generations that were current before, as long as the plugin's history keeps them.
    earlier: RefCell<VecDeque<Weak<Generation>>>,
    /// The generations that connections stay with.
    pins: Pins,
    /// The slot's version that `current` and `idle` belong to.
    version: Cell<u64>,
    current: RefCell<Option<Arc<Generation>>>,
    #[expect(
        clippy::vec_box,
        reason = "an instance is moved out and in for each event"
    )]
    idle: RefCell<Vec<Box<Placed>>>,
    /// Where its instances have their places, beside those of the plugin's other generations here.
    places: Rc<Places>,
    /// Events that have an instance or are about to get one.
    busy: Cell<usize>,
    waiting: Cell<usize>,
    /// One of those that wait looks whether there is a place.
    looks: Cell<bool>,
    returned: Notify,
    limit: usize,
    /// How long an event waits for an instance.
    patience: Duration,
    /// Has a permit for each HTTP request that the instances may have under way together.
    requests: Arc<Semaphore>,
}

/// An instance and its place, which is given back after it is gone.
struct Placed {
    instance: Instance,
    place: Place,
}

/// An instance that handles one event. Dropping it without [`Lease::keep`] throws it away.
pub(super) struct Lease {
    pool: Rc<Pool>,
    /// The slot's version the instance belongs to.
    version: u64,
    placed: Option<Box<Placed>>,
}

impl Pool {
    /// A pool of as many instances as the plugin may have on a shard, of its slot's generations.
    pub fn new(plugin: &Plugin) -> Rc<Self> {
        let limits = plugin.limits();
        Self::over(Self {
            name: plugin.name().clone(),
            owner: plugin.owner(),
            version: Cell::new(plugin.slot().version()),
            current: RefCell::new(plugin.slot().current()),
            slot: plugin.slot().clone(),
            earlier: RefCell::default(),
            pins: Pins::new(plugin.pinned().clone(), limits.pinned),
            idle: RefCell::default(),
            places: Places::new(plugin.reserve().clone()),
            busy: Cell::new(0),
            waiting: Cell::new(0),
            looks: Cell::new(false),
            returned: Notify::new(),
            limit: limits.instances as usize,
            patience: limits.queue_wait,
            requests: Arc::new(Semaphore::new(limits.http_requests)),
        })
    }

    /// A pool of the instances of one generation, for ever.
    fn of_generation(&self, generation: Arc<Generation>) -> Rc<Self> {
        let slot = Arc::new(Slot::default());
        slot.swap(generation);
        Self::over(Self {
            name: self.name.clone(),
            owner: self.owner,
            version: Cell::new(slot.version()),
            current: RefCell::new(slot.current()),
            slot,
            earlier: RefCell::default(),
            pins: Pins::new(Arc::default(), 0),
            idle: RefCell::default(),
            places: self.places.clone(),
            busy: Cell::new(0),
            waiting: Cell::new(0),
            looks: Cell::new(false),
            returned: Notify::new(),
            limit: self.limit,
            patience: self.patience,
            requests: self.requests.clone(),
        })
    }

    fn over(pool: Self) -> Rc<Self> {
        let pool = Rc::new(pool);
        pool.places.join(&pool);
        pool
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
        self.busy.get() >= self.limit || self.waiting.get() > 0 || turns::is_spent(self.owner)
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

    /// An instance of the generation that is current now. Waits while `limit` events are under way,
    /// or others hold all places, for `limits.queue_wait` at most; with `endless` however long it
    /// takes.
    pub(super) async fn lease(self: &Rc<Self>, endless: bool) -> Result<Lease, Failure> {
        self.tidy();
        // Behind those who wait already.
        let idle = match self.waiting.get() {
            0 => self.idle(),
            _ => None,
        };
        let lease = match idle {
            Some(lease) => lease,
            None => Box::pin(self.obtain(endless)).await?,
        };
        if turns::is_spent(self.owner) {
            turns::begin(self.owner).await;
        }
        Ok(lease)
    }

    /// An instance that is there.
    fn idle(self: &Rc<Self>) -> Option<Lease> {
        if self.busy.get() >= self.limit {
            return None;
        }
        let placed = self.idle.borrow_mut().pop()?;
        Some(self.lease_of(Some(placed)))
    }

    /// Counted before a start, which may wait: else events beyond the limit could start.
    fn lease_of(self: &Rc<Self>, placed: Option<Box<Placed>>) -> Lease {
        self.busy.set(self.busy.get() + 1);
        Lease {
            pool: self.clone(),
            version: self.version.get(),
            placed,
        }
    }

    /// Starts an instance, or waits for one.
    async fn obtain(self: &Rc<Self>, endless: bool) -> Result<Lease, Failure> {
        let end = (!endless).then(|| Instant::now() + self.patience);
        let mut is_behind = self.waiting.get() > 0;
        let mut looks = None;
        loop {
            if !is_behind {
                self.tidy();
                let lease = match self.idle() {
                    Some(lease) => Some(lease),
                    None => self.start().await?,
                };
                if let Some(lease) = lease {
                    // There may be more than one that nobody has.
                    self.ring();
                    return Ok(lease);
                }
            }
            is_behind = false;
            self.wait(end, &mut looks).await?;
        }
    }

    /// Starts an instance, if there is a place for it.
    async fn start(self: &Rc<Self>) -> Result<Option<Lease>, Failure> {
        let current = self.current.borrow().clone();
        let Some(generation) = current else {
            return Err(Failure::Unavailable(
                "no generation of the plugin is loaded yet".to_owned(),
            ));
        };
        if self.busy.get() >= self.limit {
            return Ok(None);
        }
        let Some(place) = self.places.take(generation.places(), self) else {
            return Ok(None);
        };
        let mut lease = self.lease_of(None);
        match Instance::start(&generation, self.requests.clone()).await {
            Ok(mut instance) => {
                instance.watch(self.slot.versions().clone(), lease.version);
                lease.placed = Some(Box::new(Placed { instance, place }));
                Ok(Some(lease))
            }
            // A generation of more memories has just been given places that others still hold. The
            // place is held meanwhile, so that nobody else tries the same.
            Err(StartError::Exhausted(_)) => {
                sleep_until(Instant::now() + LOOK_AGAIN).await;
                drop(place);
                Ok(None)
            }
            Err(StartError::Start(failure)) => Err(failure),
            Err(error) => Err(Failure::Unavailable(error.to_string())),
        }
    }

    /// Waits until an instance may have come free. `looks` is kept from one wait to the next: given up
    /// in between, it would wake whoever waits, this event among them, again and again.
    async fn wait<'a>(
        &'a self,
        end: Option<Instant>,
        looks: &mut Option<Looks<'a>>,
    ) -> Result<(), Failure> {
        // Only what is a matter of places and not of this pool's limit has to be looked for.
        let has_room = self.busy.get() < self.limit;
        if has_room && looks.is_none() && !self.looks.replace(true) {
            *looks = Some(Looks(self));
        }
        let _want = (has_room && looks.is_some()).then(|| self.places.want());
        let _waiting = Count::of(&self.waiting);
        let again = looks.as_ref().map(|_| Instant::now() + LOOK_AGAIN);
        let Some(first) = again.into_iter().chain(end).min() else {
            self.returned.notified().await;
            return Ok(());
        };
        tokio::select! {
            () = self.returned.notified() => return Ok(()),
            () = sleep_until(first) => {}
        }
        match end {
            Some(end) if end <= Instant::now() => Err(Failure::Busy(self.too_long())),
            _ => Ok(()),
        }
    }

    fn too_long(&self) -> String {
        let (patience, limit) = (self.patience, self.limit);
        match self.busy.get() >= limit {
            true => format!(
                "all {limit} on this shard were in use for {patience:?} (`limits.queue_wait`): raise `limits.instances` of the plugin, or have its handlers wait less"
            ),
            false => format!(
                "plugins held all that there may be for {patience:?} (`limits.queue_wait`): raise `engine.instances`"
            ),
        }
    }

    /// Has the next of those that wait look.
    fn ring(&self) {
        if self.waiting.get() > 0 {
            self.returned.notify_one();
        }
    }
}

/// One of those that wait looks for a place. When it is done, another does.
struct Looks<'a>(&'a Pool);

impl Drop for Looks<'_> {
    fn drop(&mut self) {
        self.0.looks.set(false);
        self.0.ring();
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
        let placed = self.placed.as_mut();
        let placed = placed.expect("a lease has its instance until it is kept or dropped");
        &mut placed.instance
    }

    /// Gives the instance back for the next event, unless its generation has gone meanwhile, it holds
    /// much more memory than it began with, or its place is wanted elsewhere.
    pub(super) fn keep(mut self) {
        let pool = self.pool.clone();
        if self.version == pool.slot.version()
            && let Some(placed) = self.placed.take_if(|placed| {
                !placed.instance.is_swollen() && !pool.places.is_wanted(&placed.place, &pool)
            })
        {
            pool.idle.borrow_mut().push(placed);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.placed = None;
        self.pool.busy.set(self.pool.busy.get() - 1);
        self.pool.ring();
    }
}
