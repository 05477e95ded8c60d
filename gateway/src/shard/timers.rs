//! Timers of a shard's connections, and of the plugins that live on it.
//!
//! One task sleeps until the earliest of them, so timers that are not due cost nothing but their
//! memory. A timer that fires marks itself; its event takes the mark. So one that fires again
//! before that fires once.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use foldhash::HashMap;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Shard;
use crate::effects::Schedule;
use crate::message::Seat;

/// Milliseconds since the shard was started.
type Time = u64;

/// The longest delay and period: beyond it nobody can tell whether it works.
const TIME_MAX: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);
/// The longest sleep at once; tokio's own clock ends after two years.
const SLEEP_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The most timers that fire in one go.
const FIRED_MAX: usize = 1024;

/// Whose a timer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Whose {
    /// A connection's.
    Connection(Seat),
    /// A plugin's own, by its index in the configuration.
    Plugin(usize),
}

/// One timer.
#[derive(Debug)]
struct Timer {
    /// The plugin that has set it, and is told.
    owner: usize,
    name: Rc<str>,
    /// The timer's place in the queue; none once it has fired for the last time.
    queued: Option<(Time, u64)>,
    every: Option<Time>,
    /// When it fired, until an event takes that.
    fired: Option<(Time, u64)>,
}

/// The timers of one shard.
#[derive(Debug, Default)]
pub(super) struct Timers {
    /// By whose they are, sorted by plugin and name.
    set: HashMap<Whose, Vec<Timer>>,
    /// What is to fire, the earliest first. The number tells timers of the same time apart.
    queue: BTreeSet<(Time, u64, Whose)>,
    serial: u64,
}

impl Timers {
    /// Sets a timer. Returns whether it is the earliest now.
    fn set(
        &mut self,
        whose: Whose,
        owner: usize,
        name: &str,
        now: Time,
        schedule: Schedule,
    ) -> bool {
        let timers = self.set.entry(whose).or_default();
        let found =
            timers.binary_search_by(|timer| (timer.owner, &*timer.name).cmp(&(owner, name)));
        let index = match found {
            Ok(_) if schedule.keep => return false,
            Ok(index) => {
                if let Some((time, serial)) = timers[index].queued {
                    self.queue.remove(&(time, serial, whose));
                }
                index
            }
            Err(index) => {
                let name = name.into();
                timers.insert(
                    index,
                    Timer {
                        owner,
                        name,
                        queued: None,
                        every: None,
                        fired: None,
                    },
                );
                index
            }
        };
        let due = now + millis(schedule.delay);
        self.serial += 1;
        let timer = &mut timers[index];
        timer.queued = Some((due, self.serial));
        timer.every = schedule.every.map(millis);
        timer.fired = None;
        self.queue.insert((due, self.serial, whose));
        self.next() == Some(due)
    }

    /// Forgets a timer, and that it has fired.
    fn clear(&mut self, whose: Whose, owner: usize, name: &str) {
        let Some(timers) = self.set.get_mut(&whose) else {
            return;
        };
        let found =
            timers.binary_search_by(|timer| (timer.owner, &*timer.name).cmp(&(owner, name)));
        if let Ok(index) = found {
            if let Some((time, serial)) = timers.remove(index).queued {
                self.queue.remove(&(time, serial, whose));
            }
            if timers.is_empty() {
                self.set.remove(&whose);
            }
        }
    }

    fn clear_all(&mut self, whose: Whose) {
        for timer in self.set.remove(&whose).into_iter().flatten() {
            if let Some((time, serial)) = timer.queued {
                self.queue.remove(&(time, serial, whose));
            }
        }
    }

    /// When the next one fires.
    fn next(&self) -> Option<Time> {
        self.queue.first().map(|&(time, ..)| time)
    }

    /// Fires one timer that is due; returns whose it is.
    fn fire(&mut self, now: Time) -> Option<Whose> {
        let (time, serial, whose) = *self.queue.first().filter(|(time, ..)| *time <= now)?;
        self.queue.pop_first();
        let timers = self.set.get_mut(&whose);
        let timer = timers
            .into_iter()
            .flatten()
            .find(|timer| timer.queued == Some((time, serial)))
            .expect("what is queued is set");
        timer.fired.get_or_insert((time, serial));
        timer.queued = None;
        if let Some(every) = timer.every {
            // From its own time and not from now, so that it does not drift; but what was missed,
            // because the shard was busy, is not made up for.
            let next = (time + every).max(now + 1);
            self.serial += 1;
            timer.queued = Some((next, self.serial));
            self.queue.insert((next, self.serial, whose));
        }
        Some(whose)
    }

    /// The plugin and the name of the timer that fired first. It has not fired any more then, and
    /// is gone if it fires once.
    fn take(&mut self, whose: Whose) -> Option<(usize, Rc<str>)> {
        let timers = self.set.get_mut(&whose)?;
        let fired = timers
            .iter()
            .enumerate()
            .filter(|(_, timer)| timer.fired.is_some());
        let (index, _) = fired.min_by_key(|(_, timer)| timer.fired)?;
        let timer = &mut timers[index];
        timer.fired = None;
        let taken = (timer.owner, timer.name.clone());
        if timer.queued.is_none() {
            timers.remove(index);
            if timers.is_empty() {
                self.set.remove(&whose);
            }
        }
        Some(taken)
    }

    fn has_fired(&self, whose: Whose) -> bool {
        let timers = self.set.get(&whose).into_iter().flatten();
        timers.into_iter().any(|timer| timer.fired.is_some())
    }

    fn is_set(&self, whose: Whose, owner: usize, name: &str) -> bool {
        let timers = self.set.get(&whose).into_iter().flatten();
        timers
            .into_iter()
            .any(|timer| timer.owner == owner && &*timer.name == name)
    }

    fn count(&self, whose: Whose) -> usize {
        self.set.get(&whose).map_or(0, Vec::len)
    }
}

fn millis(time: Duration) -> Time {
    time.min(TIME_MAX).as_millis() as Time
}

impl Shard {
    /// Sets a timer of `owner`; a plugin's own is in the directory already.
    pub(super) fn set_timer(&self, whose: Whose, owner: usize, name: &str, schedule: Schedule) {
        let now = millis(self.started.elapsed());
        let mut timers = self.timers.borrow_mut();
        if timers.set(whose, owner, name, now, schedule) {
            self.timer_set.notify_one();
        }
    }

    /// Clears a timer of `owner`, whether it is about to fire or has fired.
    pub(super) fn clear_timer(&self, whose: Whose, owner: usize, name: &str) {
        if whose == Whose::Plugin(owner) {
            self.directory.timers().remove(owner, name);
        }
        self.timers.borrow_mut().clear(whose, owner, name);
    }

    /// Whether the timers of a plugin live on this shard.
    pub fn is_home(&self, owner: usize) -> bool {
        self.home(owner) == self.index
    }

    /// The shard on which the timers of a plugin live.
    pub(super) fn home(&self, owner: usize) -> usize {
        owner % self.links.len()
    }

    /// Clears a connection's timers.
    pub fn clear_timers(&self, seat: Seat) {
        self.timers.borrow_mut().clear_all(Whose::Connection(seat));
    }

    /// Whether a connection has a timer of that plugin and name.
    pub fn is_timer_set(&self, seat: Seat, owner: usize, name: &str) -> bool {
        self.timers
            .borrow()
            .is_set(Whose::Connection(seat), owner, name)
    }

    /// Whether a connection may have one more timer beside those it has and `added`, if it may have
    /// `max`.
    pub fn has_timer_room(&self, seat: Seat, added: isize, max: usize) -> bool {
        let count = self.timers.borrow().count(Whose::Connection(seat));
        count.saturating_add_signed(added) < max
    }

    /// The plugin and the name of a connection's timer that has fired and was not taken yet, the
    /// earliest first.
    pub fn take_timer(&self, seat: Seat) -> Option<(usize, Rc<str>)> {
        let whose = Whose::Connection(seat);
        let mut timers = self.timers.borrow_mut();
        let taken = timers.take(whose);
        if timers.has_fired(whose) {
            // It is told of the next one behind what its peer has sent meanwhile.
            self.table.borrow_mut().set_fired(seat);
            self.wake_turn();
        }
        taken
    }

    /// The name of the next timer of a plugin's own that fires, once it does.
    pub async fn next_timer(&self, owner: usize) -> Rc<str> {
        let whose = Whose::Plugin(owner);
        loop {
            let taken = self.timers.borrow_mut().take(whose);
            let Some((_, name)) = taken else {
                let fired = self.plugin_timer(owner);
                fired.notified().await;
                continue;
            };
            if !self.timers.borrow().is_set(whose, owner, &name) {
                self.directory.timers().remove(owner, &name);
            }
            return name;
        }
    }

    /// Rung when a timer of the plugin's own fires.
    fn plugin_timer(&self, owner: usize) -> Rc<Notify> {
        let mut bells = self.plugin_timers.borrow_mut();
        bells.entry(owner).or_default().clone()
    }

    /// Fires the timers that are due, as many as have their turn; the rest is still due then.
    fn fire(&self) {
        let now = millis(self.started.elapsed());
        for _ in 0..FIRED_MAX {
            let fired = self.timers.borrow_mut().fire(now);
            match fired {
                Some(Whose::Connection(seat)) => {
                    self.table.borrow_mut().set_fired(seat);
                    self.wake_turn();
                }
                Some(Whose::Plugin(owner)) => self.plugin_timer(owner).notify_one(),
                None => return,
            }
        }
    }
}

/// Fires the shard's timers, for ever.
pub(super) async fn run(shard: Rc<Shard>) {
    loop {
        let next = shard.timers.borrow().next();
        let set = shard.timer_set.notified();
        match next {
            None => set.await,
            Some(next) => {
                let due = shard.started + Duration::from_millis(next);
                let due = due.min(Instant::now() + SLEEP_MAX);
                tokio::select! {
                    () = tokio::time::sleep_until(due) => {
                        shard.fire();
                        // What is due may never end: others go first.
                        tokio::task::yield_now().await;
                    }
                    () = set => {}
                }
            }
        }
    }
}
