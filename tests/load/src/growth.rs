//! `growth`: what a message costs Tidegate as connections, subscribers and topics grow.

mod family;
mod idle;
mod subscribers;
mod topics;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use self::family::Family;
use crate::cpu::Cpus;
use crate::gateway::{Built, Gateway, Setup, workspace};
use crate::machine::{Machine, first_line};
use crate::measure::{Span, Watched};
use crate::metrics::Series;
use crate::{chart, fleet, http, report};

/// What to grow, and how far.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Idle connections beside a constant load.
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000,10000,50000")]
    pub connections: Vec<usize>,
    /// Subscribers of one topic.
    #[arg(long, value_delimiter = ',', default_value = "1,10,100,1000,10000")]
    pub subscribers: Vec<usize>,
    /// Topics of each connection.
    #[arg(long, value_delimiter = ',', default_value = "1,10,100,1000,10000")]
    pub topics: Vec<usize>,
    /// Messages a second beside the idle connections.
    #[arg(long, default_value_t = 20_000.0)]
    pub rate: f64,
    /// Rounds; a round measures every size once.
    #[arg(long, default_value_t = 3)]
    pub rounds: u32,
    /// Measured seconds of each run.
    #[arg(long, default_value_t = 2.0)]
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
    rounds: u32,
    seconds: f64,
    families: Vec<Family>,
    /// What was not done as asked.
    notes: Vec<String>,
    #[serde(skip)]
    failures: Vec<String>,
}

impl report::Report for Report {
    fn failures(&self) -> Vec<String> {
        self.failures.clone()
    }
}

/// Measures and writes `growth.md`, `growth.svg` and `growth.json`.
///
/// # Errors
/// When something is not built, a run cannot be made, or a file cannot be written.
pub fn run(options: &Options) -> Result<Report> {
    ensure!(
        options.rounds > 0,
        "--rounds 0 measures nothing: use 1 or more"
    );
    options.cpus.check()?;
    fleet::raise_descriptor_limit();
    let binary = options.built.binary()?;
    let mut report = Report {
        machine: Machine::read(),
        tidegate: first_line(&binary.to_string_lossy(), &["--version"]),
        rounds: options.rounds,
        seconds: options.seconds,
        families: Vec::new(),
        notes: Vec::new(),
        failures: Vec::new(),
    };
    report.families = vec![
        idle::measure(options, &mut report)?,
        subscribers::measure(options, &mut report)?,
        topics::measure(options, &mut report)?,
    ];
    let default = || workspace().join("tests/load/results");
    report.write(&options.out.clone().unwrap_or_else(default))?;
    Ok(report)
}

impl Options {
    /// Starts a gateway with one route.
    fn start(
        &self,
        path: &'static str,
        plugin: &'static str,
        limits: [&str; 2],
    ) -> Result<Gateway> {
        let [of_plugin, of_route] = limits.map(str::to_owned);
        let setup = Setup {
            shards: 1,
            plugins: vec![(plugin, of_plugin)],
            routes: vec![(path, plugin, of_route)],
        };
        setup.start(&self.built, &self.cpus.server())
    }

    fn span(&self) -> Span {
        Span {
            seconds: self.seconds,
            messages: None,
            warmup: 0.5,
            connect_seconds: 120.0,
        }
    }
}

impl Report {
    /// Notes what a run found wrong.
    fn fail(&mut self, run: &str, failures: Vec<String>) {
        let told = failures.into_iter().map(|what| format!("{run}: {what}"));
        self.failures.extend(told);
    }

    /// Notes, once, that a size is out of reach here.
    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            eprintln!("{note}");
            self.notes.push(note);
        }
    }

    fn write(&self, folder: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self).context("results without a JSON form")?;
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(folder.join("growth.json"), json + "\n"))
            .and_then(|()| fs::write(folder.join("growth.md"), self.markdown()))
            .with_context(|| format!("failed to write into {}", folder.display()))?;
        let charts: Vec<_> = self.families.iter().flat_map(Family::charts).collect();
        chart::lines(&folder.join("growth.svg"), &charts)
    }

    fn markdown(&self) -> String {
        let mut text = format!(
            "# Growth\n\nMade by `tidegate-load growth`: {} with one shard on a CPU of its own, default limits unless said. \
             Medians of {} rounds of {} s.\n\n{}",
            self.tidegate,
            self.rounds,
            self.seconds,
            self.machine.markdown()
        );
        for family in &self.families {
            text.push_str(&family.markdown());
        }
        for (head, lines) in [("Not as asked", &self.notes), ("Failures", &self.failures)] {
            if !lines.is_empty() {
                text.push_str(&format!("\n## {head}\n\n- {}\n", lines.join("\n- ")));
            }
        }
        text
    }
}

/// The gateway's process, for measuring.
fn watched(gateway: &Gateway) -> Watched {
    Watched {
        pid: vec![gateway.process.pid()],
        tree: false,
    }
}

/// Checks that no handler has failed: a refused subscription would make a row of less than it says.
fn check_handlers(gateway: &Gateway) -> Result<()> {
    let metrics = http::request(gateway.admin, "GET", "/metrics", Duration::from_secs(5))?;
    let series: Series = "tidegate_failures_total".parse()?;
    let failures = series
        .sum(&metrics.body)
        .context("metrics without failures")?;
    ensure!(failures == 0, "{failures} events failed in their handler");
    Ok(())
}
