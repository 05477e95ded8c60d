//! Connections that say nothing, kept by a thread of their own while others are measured.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::Target;
use crate::fleet::{self, Event, Fleet};

/// Connections from one address: the kernel has some 28,000 ports for those to one server.
const PER_SOURCE: usize = 20_000;

/// Descriptors a process needs beside its connections.
const OTHERS: usize = 300;

/// The connections; they end when it is dropped.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

/// How many of `wanted` connections a process may hold on this machine, this one or the server.
#[must_use]
pub fn possible(wanted: usize) -> usize {
    wanted.min(fleet::raise_descriptor_limit().saturating_sub(OTHERS))
}

impl Crowd {
    /// Opens `count` connections to `target`. They stay on the CPUs of this thread.
    ///
    /// # Errors
    /// When one cannot be opened within `within`.
    pub fn open(target: &Target, count: usize, within: Duration) -> Result<Self> {
        let mut fleet = Fleet::new()?;
        let targets: Vec<_> = (0..count.div_ceil(PER_SOURCE))
            .map(|source| target.from_source(source_address(source)))
            .collect();
        let each = (0..count).map(|index| &targets[index / PER_SOURCE]);
        fleet.connect_all(each, within)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || keep(&mut fleet, &stopped));
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Ends the thread.
    ///
    /// # Errors
    /// When a connection ended before.
    pub fn end(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => bail!("the thread of the idle connections panicked"),
            None => Ok(()),
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Answers pings until told to stop.
fn keep(fleet: &mut Fleet, stop: &AtomicBool) -> Result<()> {
    let mut ended = None;
    while !stop.load(Ordering::Relaxed) {
        fleet.turn(Duration::from_millis(100), |arrival, _| {
            if let Event::Ended(end) = arrival.event {
                ended.get_or_insert((arrival.id, end));
            }
        })?;
    }
    match ended {
        Some((id, end)) => bail!("idle connection {id} ended: {end:?}"),
        None => Ok(()),
    }
}

/// 127.0.0.2, 127.0.0.3 and so on.
fn source_address(index: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2 + (index % 250) as u8))
}
