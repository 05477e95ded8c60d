//! `stall`: some subscribers of a topic stop reading. What that costs Tidegate in memory, and the others in latency.

mod room;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use self::room::Room;
use crate::cpu::{Cpus, Pinned};
use crate::fleet::{self, Fleet};
use crate::gateway::{Built, Gateway, Setup, workspace};
use crate::machine::{Machine, first_line};
use crate::measure::{Span, Watched};
use crate::metrics::Series;
use crate::{Target, http, report, workload};

/// What a stalled connection may hold beside its outbox: the frame that is begun, a turn's ranges, the allocator's slack.
const BESIDE_OUTBOX: u64 = 256 << 10;

/// The route's answers to a full outbox.
const POLICIES: [&str; 3] = ["close", "drop-newest", "drop-oldest"];

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Subscribers of the topic.
    #[arg(long, default_value_t = 1000)]
    pub subscribers: usize,
    /// How many percent of them stop reading.
    #[arg(long, default_value_t = 1.0)]
    pub stalled: f64,
    /// Bytes of a message.
    #[arg(long, default_value_t = 8192)]
    pub size: usize,
    /// Publishes a second.
    #[arg(long, default_value_t = 50.0)]
    pub rate: f64,
    /// KiB that may wait for one connection; 1024 is the gateway's default.
    #[arg(long, default_value_t = 1024)]
    pub outbox_kib: u64,
    /// Rounds; a round runs every policy without and with stalled subscribers.
    #[arg(long, default_value_t = 3)]
    pub rounds: u32,
    /// Measured seconds of each run.
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
    /// Where table, chart and samples go [default: tests/load/results].
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Where server and generator run.
    #[command(flatten)]
    pub cpus: Cpus,
    /// Gateway and plugins.
    #[command(flatten)]
    pub built: Built,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Report {
    machine: Machine,
    tidegate: String,
    subscribers: usize,
    stalled: usize,
    size: usize,
    rate: f64,
    seconds: f64,
    rounds: u32,
    /// What the configuration allows the stalled to hold.
    bound_bytes: u64,
    samples: Vec<Sample>,
    #[serde(skip)]
    failures: Vec<String>,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
struct Sample {
    policy: &'static str,
    stalled: usize,
    p50_us: f64,
    p99_us: f64,
    /// Memory at its most, beyond that before the first publish.
    grown_bytes: u64,
    /// Messages not delivered, by the gateway's own reasons.
    drops: Vec<(&'static str, i64)>,
    /// Connections closed for a full outbox.
    closed: i64,
}

impl report::Report for Report {
    fn failures(&self) -> Vec<String> {
        self.failures.clone()
    }
}

/// Measures and writes `stall.md`, `stall.svg` and `stall.json`.
///
/// # Errors
/// When something is not built, a run cannot be made, or a file cannot be written.
pub fn run(options: &Options) -> Result<Report> {
    ensure!(
        options.rounds > 0,
        "--rounds 0 measures nothing: use 1 or more"
    );
    let stalled = (options.subscribers as f64 * options.stalled / 100.0).round() as usize;
    ensure!(
        (1..options.subscribers).contains(&stalled),
        "--stalled {} % of {} subscribers are {stalled}: some must stall and some must not",
        options.stalled,
        options.subscribers
    );
    options.cpus.check()?;
    fleet::raise_descriptor_limit();
    let binary = options.built.binary()?;
    let mut report = Report {
        machine: Machine::read(),
        tidegate: first_line(&binary.to_string_lossy(), &["--version"]),
        subscribers: options.subscribers,
        stalled,
        size: options.size,
        rate: options.rate,
        seconds: options.seconds,
        rounds: options.rounds,
        bound_bytes: stalled as u64 * (options.outbox_kib * 1024 + BESIDE_OUTBOX),
        samples: Vec::new(),
        failures: Vec::new(),
    };
    for round in 1..=options.rounds {
        for policy in POLICIES {
            for stalled in [0, stalled] {
                let sample = options.sample(policy, stalled, &mut report.failures)?;
                eprintln!(
                    "{policy} {round}/{}, {stalled} stalled: p99 {:.0} µs, memory +{:.1} MiB, {} closed, drops {:?}",
                    options.rounds,
                    sample.p99_us,
                    sample.grown_bytes as f64 / f64::from(1 << 20),
                    sample.closed,
                    sample.drops
                );
                report.samples.push(sample);
            }
        }
    }
    report.judge();
    let default = || workspace().join("tests/load/results");
    report.write(&options.out.clone().unwrap_or_else(default))?;
    Ok(report)
}

impl Options {
    fn sample(
        &self,
        policy: &'static str,
        stalled: usize,
        failures: &mut Vec<String>,
    ) -> Result<Sample> {
        let gateway = self.start(policy)?;
        let _pinned = Pinned::to(&self.cpus.generator())?;
        let target = Target::new(gateway.address, "/plain/1")?;
        let watched = Watched {
            pid: vec![gateway.process.pid()],
            tree: false,
        };
        let span = Span {
            seconds: self.seconds,
            messages: None,
            warmup: 0.5,
            connect_seconds: 60.0,
        };
        let mut fleet = Fleet::new()?;
        let targets = std::iter::repeat_n(&target, self.subscribers + 1);
        fleet.connect_all(targets, span.connect_within())?;
        fleet.settle(Duration::from_millis(300), Duration::from_secs(5))?;
        let readers = self.subscribers - stalled;
        for id in readers..self.subscribers {
            fleet.stop_reading(id)?;
        }
        let processes = watched.required()?;
        let before = processes.rss_bytes()?;
        let load = (self.size, self.rate);
        let mut room = Room::new(load, readers, self.subscribers, processes)?;
        let measured = workload::measure(&mut room, &mut fleet, &span, &watched)?;
        let found = workload::failures(
            &measured.dropped,
            (
                measured.wrong,
                "deliveries were repeated, out of order or made up",
            ),
            (measured.lost, "deliveries to those who read did not come"),
        );
        let told = found
            .into_iter()
            .map(|what| format!("{policy}, {stalled} stalled: {what}"));
        failures.extend(told);
        let metrics = http::request(gateway.admin, "GET", "/metrics", Duration::from_secs(5))?;
        let count = |series: &str| -> Result<i64> {
            let series: Series = series.parse()?;
            let sum = series.sum(&metrics.body);
            sum.with_context(|| format!("{series:?} is not among the gateway's metrics"))
        };
        let drops = |reason: &'static str| -> Result<_> {
            let series = format!("tidegate_drops_total{{reason={reason:?}}}");
            Ok((reason, count(&series)?))
        };
        let reasons = ["slow-consumer", "drop-newest", "drop-oldest", "closing"];
        Ok(Sample {
            policy,
            stalled,
            p50_us: measured.latency.p50_us,
            p99_us: measured.latency.p99_us,
            grown_bytes: room.peak_bytes.saturating_sub(before),
            drops: reasons.into_iter().map(drops).collect::<Result<_>>()?,
            closed: count("tidegate_closes_total{cause=\"slow-consumer\"}")?,
        })
    }

    fn start(&self, policy: &str) -> Result<Gateway> {
        let outbox = self.outbox_kib;
        let limits = format!("slow_consumer = {policy:?}\noutbox = \"{outbox}KiB\"");
        let setup = Setup {
            shards: 1,
            plugins: vec![("topics", String::new())],
            routes: vec![("/plain/{room}", "topics", limits)],
        };
        setup.start(&self.built, &self.cpus.server())
    }
}

impl Report {
    /// Memory beyond the bound is the server's fault.
    fn judge(&mut self) {
        for policy in POLICIES {
            let Some(held) = self.held_bytes(policy) else {
                continue;
            };
            if held > self.bound_bytes as f64 {
                let bound = self.bound_bytes;
                self.failures.push(format!(
                    "{policy}: {} stalled connections hold {held:.0} bytes, the bound is {bound}",
                    self.stalled
                ));
            }
        }
    }

    fn write(&self, folder: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self).context("results without a JSON form")?;
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(folder.join("stall.json"), json + "\n"))
            .and_then(|()| fs::write(folder.join("stall.md"), self.markdown()))
            .with_context(|| format!("failed to write into {}", folder.display()))?;
        self.draw(&folder.join("stall.svg"))
    }
}
