//! One publisher by the clock; subscribers of whom some have stopped reading.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::fleet::{Arrival, Event, Fleet, Reply};
use crate::pace::Pace;
use crate::payload::{Mark, Template};
use crate::process::Processes;
use crate::workload::{Tally, Workload};

/// Send times kept: the slowest reader may be that many publishes behind.
const KEPT: usize = 1024;

/// How often the server's memory is read.
const MEMORY_EVERY: Duration = Duration::from_millis(100);

pub(super) struct Room {
    template: Template,
    pace: Pace,
    sent: u64,
    sent_at: Vec<Instant>,
    /// The number each subscriber that reads must get next.
    expected: Vec<u64>,
    publisher: usize,
    processes: Processes,
    memory_due: Instant,
    /// The most memory the server held.
    pub(super) peak_bytes: u64,
    bytes: Vec<u8>,
    tally: Tally,
}

impl Room {
    /// `readers` are connections 0 on; behind them those that stopped; the last is the publisher.
    pub(super) fn new(
        (size, rate): (usize, f64),
        readers: usize,
        publisher: usize,
        processes: Processes,
    ) -> Result<Self> {
        let now = Instant::now();
        Ok(Self {
            template: Template::new(size)?,
            pace: Pace::new(rate, now),
            sent: 0,
            sent_at: vec![now; KEPT],
            expected: vec![0; readers],
            publisher,
            peak_bytes: processes.rss_bytes()?,
            processes,
            memory_due: now,
            bytes: Vec::new(),
            tally: Tally::default(),
        })
    }

    fn on_delivery(&mut self, id: usize, at: Instant, mark: Mark) {
        let expected = self.expected.get_mut(id);
        let Some(expected) = expected.filter(|expected| **expected == mark.number) else {
            self.tally.wrong += 1;
            return;
        };
        *expected += 1;
        let sent_at = self.sent_at[mark.number as usize % KEPT];
        let took = at.saturating_duration_since(sent_at);
        self.tally.latency.record(took);
        self.tally.items += 1;
    }

    fn read_memory(&mut self, now: Instant) {
        if now >= self.memory_due {
            self.memory_due = now + MEMORY_EVERY;
            // A server that is gone shows as lost deliveries.
            let bytes = self.processes.rss_bytes().unwrap_or(0);
            self.peak_bytes = self.peak_bytes.max(bytes);
        }
    }
}

impl Workload for Room {
    fn send(&mut self, fleet: &mut Fleet) -> Duration {
        let now = Instant::now();
        self.read_memory(now);
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        while self.pace.due(now).is_some() {
            self.sent_at[self.sent as usize % KEPT] = now;
            let mark = Mark {
                sender: self.publisher,
                number: self.sent,
            };
            self.template.push(&mut bytes, mark);
            self.sent += 1;
        }
        if !bytes.is_empty() {
            fleet.send(self.publisher, &bytes);
        }
        self.bytes = bytes;
        self.pace.wait()
    }

    fn on(&mut self, arrival: Arrival<'_>, _: &mut Reply) {
        match arrival.event {
            Event::Opened => {}
            Event::Message(frame) => match self.template.read(frame.payload) {
                Some(mark) => self.on_delivery(arrival.id, arrival.at, mark),
                None => self.tally.skipped += 1,
            },
            Event::Ended(end) => self.tally.drop(arrival.id, &end),
        }
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn missing(&self) -> u64 {
        let missing = self.expected.iter().map(|expected| self.sent - expected);
        missing.sum()
    }
}
