//! `connect`: handshake, close handshake, end of the socket; again and again.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::fleet::{Arrival, End, Event, Fleet, Reply};
use crate::histogram::{Histogram, Summary};
use crate::measure::{Cost, Meter, Span, Step, Watched};
use crate::report::note;
use crate::{Target, report};

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The server, as ws://127.0.0.1:8080/path.
    #[arg(long)]
    pub url: Target,
    /// Connections under way at once.
    #[arg(long, default_value_t = 64)]
    pub concurrency: usize,
    /// How long.
    #[command(flatten)]
    pub span: Span,
    /// The server's process.
    #[command(flatten)]
    pub watched: Watched,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Connections opened and closed in the measured time.
    pub connects: u64,
    /// Rates and CPU, per connection.
    pub cost: Cost,
    /// From connect to upgrade.
    pub handshake: Summary,
    /// From connect to the end of the socket.
    pub whole: Summary,
    /// Connections that ended otherwise than by a close handshake with code 1000.
    pub wrong: u64,
    /// The first of those.
    pub first_wrong: Option<String>,
}

impl report::Report for Report {
    fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        note(
            &mut failures,
            self.wrong,
            "connections did not end by an answered close frame",
        );
        failures.extend(self.first_wrong.clone());
        note(
            &mut failures,
            u64::from(self.connects == 0),
            "run without a single connection",
        );
        failures
    }
}

struct Cycles {
    started: Vec<Instant>,
    /// Connections that ended since the last turn.
    ended: usize,
    connects: u64,
    handshake: Histogram,
    whole: Histogram,
    wrong: u64,
    first_wrong: Option<String>,
}

/// Runs the workload.
///
/// # Errors
/// When no socket can be had. Refused or badly ended connections are in the report.
pub fn run(options: &Options) -> Result<Report> {
    ensure!(
        options.concurrency > 0,
        "--concurrency 0 connects nothing: use 1 or more"
    );
    let mut fleet = Fleet::new()?;
    let mut cycles = Cycles {
        started: vec![Instant::now(); options.concurrency],
        ended: options.concurrency,
        connects: 0,
        handshake: Histogram::default(),
        whole: Histogram::default(),
        wrong: 0,
        first_wrong: None,
    };
    let mut progress = options.span.begin();
    let mut meter: Option<Meter> = None;
    loop {
        for _ in 0..std::mem::take(&mut cycles.ended) {
            let now = Instant::now();
            let id = fleet.open(&options.url)?;
            cycles.started[id] = now;
        }
        fleet.turn(Duration::from_millis(50), |arrival, reply| {
            cycles.on(arrival, reply);
        })?;
        match progress.step(cycles.connects) {
            Step::Begin => {
                cycles.restart();
                meter = Some(options.watched.meter()?);
            }
            Step::Over => break,
            Step::WarmingUp | Step::Measuring => {}
        }
        if cycles.connects == 0 && cycles.wrong > 100 {
            break; // A server that refuses everybody needs no full run.
        }
    }
    let meter = match meter {
        Some(meter) => meter,
        None => options.watched.meter()?,
    };
    let cost = meter.finish(cycles.connects)?;
    finish(&mut fleet, &mut cycles).context("failed to wait for the last connections")?;
    Ok(Report {
        connects: cycles.connects,
        cost,
        handshake: cycles.handshake.summary(),
        whole: cycles.whole.summary(),
        wrong: cycles.wrong,
        first_wrong: cycles.first_wrong,
    })
}

/// Lets the connections under way end, uncounted unless they end badly.
fn finish(fleet: &mut Fleet, cycles: &mut Cycles) -> Result<()> {
    let connects = cycles.connects;
    let deadline = Instant::now() + Duration::from_secs(2);
    while fleet.live() > 0 && Instant::now() < deadline {
        fleet.turn(Duration::from_millis(50), |arrival, reply| {
            cycles.on(arrival, reply);
        })?;
    }
    cycles.connects = connects;
    for id in 0..cycles.started.len().min(fleet.live()) {
        cycles.on_wrong(id, "no end of the socket within two seconds");
    }
    Ok(())
}

impl Cycles {
    fn on(&mut self, arrival: Arrival<'_>, reply: &mut Reply) {
        let since = arrival
            .at
            .saturating_duration_since(self.started[arrival.id]);
        match arrival.event {
            Event::Opened => {
                self.handshake.record(since);
                reply.close = true;
            }
            Event::Message(_) => {}
            Event::Ended(end) => {
                self.ended += 1;
                if end == End::Answered(Some(1000)) {
                    self.connects += 1;
                    self.whole.record(since);
                } else {
                    self.on_wrong(arrival.id, &format!("{end:?}"));
                }
            }
        }
    }

    fn on_wrong(&mut self, id: usize, how: &str) {
        self.wrong += 1;
        self.first_wrong
            .get_or_insert_with(|| format!("connection {id}: {how}"));
    }

    fn restart(&mut self) {
        self.connects = 0;
        self.handshake.clear();
        self.whole.clear();
    }
}
