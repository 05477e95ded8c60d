//! How long a guest has run in one event: its own time and that of the host functions it called,
//! on this thread's processor.
//!
//! A call that is over within a tick reads no clock. From its first tick on a call is measured by
//! the processor's time of the thread: what passed while others had their turn, or while the system
//! ran other threads, is not the guest's. So a deadline ends a call up to a tick, and one host
//! function, late.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What an instance, its host functions and the call under way know of the guest's time.
///
/// All of them are on one thread; atomics, because wasmtime wants to be able to send what it keeps.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Nanoseconds on the thread's clock when the guest began to run, or nought if nobody looked.
    since: AtomicU64,
    /// Nanoseconds it has run before that and nobody has taken.
    ran: AtomicU64,
    /// The guest waits for its turn, and not in a host function.
    waits_for_turn: AtomicBool,
    /// The call had to wait or to let others run: it has a limit on that, which is for one event.
    has_stopped: AtomicBool,
}

impl Pace {
    /// A call begins.
    pub(super) fn begin(&self) {
        self.since.store(0, Ordering::Relaxed);
        self.ran.store(0, Ordering::Relaxed);
        self.waits_for_turn.store(false, Ordering::Relaxed);
        self.has_stopped.store(false, Ordering::Relaxed);
    }

    /// The guest is looked at while it runs. Returns how long it ran since it last was; the first
    /// time nobody knows, and it is less than a tick.
    pub(super) fn look(&self) -> Duration {
        let (now, since) = (thread_time(), self.since.load(Ordering::Relaxed));
        self.since.store(now, Ordering::Relaxed);
        let ran = self.ran.swap(0, Ordering::Relaxed);
        match since {
            0 => Duration::from_nanos(ran),
            since => Duration::from_nanos(ran + now.saturating_sub(since)),
        }
    }

    /// The guest stops until it is its turn.
    pub(super) fn stop_for_turn(&self) {
        self.waits_for_turn.store(true, Ordering::Relaxed);
    }

    /// The guest is stopped. Returns whether it waits in a host function.
    pub(super) fn stopped(&self) -> bool {
        self.has_stopped.store(true, Ordering::Relaxed);
        let waits = !self.waits_for_turn.load(Ordering::Relaxed);
        let since = self.since.load(Ordering::Relaxed);
        if waits && since != 0 {
            let ran = thread_time().saturating_sub(since);
            self.ran.fetch_add(ran, Ordering::Relaxed);
            self.since.store(0, Ordering::Relaxed);
        }
        waits
    }

    /// The guest goes on after it was stopped.
    pub(super) fn go_on(&self) {
        self.waits_for_turn.store(false, Ordering::Relaxed);
        self.since.store(thread_time(), Ordering::Relaxed);
    }

    /// Whether the call under way has been stopped.
    pub(super) fn has_stopped(&self) -> bool {
        self.has_stopped.load(Ordering::Relaxed)
    }
}

/// Nanoseconds this thread has run on a processor; never nought.
fn thread_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    (seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)).max(1)
}
