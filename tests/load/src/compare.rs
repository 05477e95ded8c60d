//! `compare`: Tidegate beside its peers, on this machine, by one command.
//!
//! Every run starts a fresh server as a process of its own on one CPU and generates its load from another. Rounds are
//! interleaved, so that what else the machine does meets all servers alike. The results become `compare.md`, charts, and
//! `compare.json`, from which `--rebuild` makes the other two again.

mod bench;
mod charts;
mod peers;
mod probe;
pub mod results;
pub mod row;
pub mod server;
mod table;
pub mod verdict;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::Serialize;

use self::bench::Bench;
use self::peers::Peers;
use self::results::Results;
use self::row::{Load, ROWS, Row};
use self::server::Server;
use self::verdict::Verdict;
use crate::cpu::Cpus;
use crate::gateway::{Built, workspace};
use crate::machine::{Machine, first_line};
use crate::{fleet, report};

/// What to compare.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Rows, by key and separated by commas; all by default. An unknown one is answered with all keys.
    #[arg(long, value_delimiter = ',', value_parser = Row::named)]
    pub rows: Vec<&'static Row>,
    /// Servers, separated by commas; all by default.
    #[arg(long, value_delimiter = ',')]
    pub servers: Vec<Server>,
    /// Rounds of each row.
    #[arg(long, default_value_t = 5)]
    pub rounds: u32,
    /// Measured seconds of each run.
    #[arg(long, default_value_t = 2.0)]
    pub seconds: f64,
    /// Unmeasured seconds before: what a compiler at run time needs to be done.
    #[arg(long, default_value_t = 1.0)]
    pub warmup: f64,
    /// Where server and generator run.
    #[command(flatten)]
    pub cpus: Cpus,
    /// Where tables, charts and samples go [default: tests/load/results].
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Measure nothing: make tables and charts from the samples in --out.
    #[arg(long)]
    pub rebuild: bool,
    /// Gateway and plugins.
    #[command(flatten)]
    pub built: Built,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Where tables, charts and samples are.
    pub out: PathBuf,
    /// The rows and how Tidegate fared.
    pub rows: Vec<RowReport>,
    failures: Vec<String>,
}

/// How Tidegate fared in one row.
#[derive(Debug, Serialize)]
pub struct RowReport {
    /// The row's key.
    pub row: &'static str,
    /// Tidegate's figure, in the row's unit.
    pub tidegate: Option<f64>,
    /// Bun's.
    pub bun: Option<f64>,
    /// Whether the goal is reached.
    pub verdict: &'static str,
}

impl report::Report for Report {
    fn failures(&self) -> Vec<String> {
        self.failures.clone()
    }
}

/// Measures, or reads what was measured, and writes tables and charts.
///
/// # Errors
/// When something is not built or installed, or a file cannot be written. A run that fails is in the report.
pub fn run(options: &Options) -> Result<Report> {
    let out = options
        .out
        .clone()
        .unwrap_or_else(|| workspace().join("tests/load/results"));
    let results = if options.rebuild {
        Results::load(&out)?
    } else {
        measure(options, &out)?
    };
    charts::draw(&results, &out)?;
    let path = out.join("compare.md");
    fs::write(&path, table::markdown(&results))
        .with_context(|| format!("failed to write {}", path.display()))?;
    let rows = ROWS.iter().filter(|row| results.has(row));
    let value = |row, server| results.median(row, server).map(|median| median.value);
    let rows = rows.map(|row| RowReport {
        row: row.key,
        tidegate: value(row, Server::Tidegate),
        bun: value(row, Server::Bun),
        verdict: Verdict::of(row, &results).word(),
    });
    Ok(Report {
        rows: rows.collect(),
        failures: results.failures(),
        out,
    })
}

fn measure(options: &Options, out: &std::path::Path) -> Result<Results> {
    let servers = chosen(&options.servers, Server::value_variants());
    let every: Vec<_> = ROWS.iter().collect();
    let rows = chosen(&options.rows, &every);
    let bench = prepare(options, &servers)?;
    let mut results = Results {
        machine: Machine::read(),
        versions: versions(&bench, &servers)?,
        rounds: options.rounds,
        seconds: options.seconds,
        pinning: format!(
            "The server runs on CPU {} alone, the generator on CPU {}.",
            options.cpus.server_cpu, options.cpus.generator_cpu
        ),
        ..Results::default()
    };
    for row in rows {
        let mut servers: Vec<_> = servers
            .iter()
            .copied()
            .filter(|server| row.has(*server))
            .collect();
        if servers.is_empty() {
            continue;
        }
        if row.load == Load::Latency {
            let measure = if servers.contains(&Server::Bun) {
                Server::Bun
            } else {
                servers[0]
            };
            results.offered = Some((bench.saturation(measure)? / 2.0).round());
        }
        // A server that sends something else is not measured: its figure would be of another row.
        servers.retain(|&server| match bench.probe(row, server) {
            None => true,
            Some(failed) => {
                say(row, &failed, options.rounds);
                results.samples.push(failed);
                false
            }
        });
        for round in 1..=options.rounds {
            for &server in &servers {
                let sample = bench.sample(row, server, round, results.offered);
                say(row, &sample, options.rounds);
                results.samples.push(sample);
            }
            servers.rotate_left(1);
        }
        // After each row: what was measured is kept if a later one cannot be.
        results.save(out)?;
    }
    Ok(results)
}

fn chosen<T: Clone>(some: &[T], all: &[T]) -> Vec<T> {
    if some.is_empty() { all } else { some }.to_vec()
}

fn prepare(options: &Options, servers: &[Server]) -> Result<Bench> {
    ensure!(
        options.rounds > 0,
        "--rounds 0 measures nothing: use 1 or more"
    );
    options.cpus.check()?;
    // Before the first server starts: it inherits the limit.
    fleet::raise_descriptor_limit();
    let packages = servers.iter().any(|server| server.is_package());
    Ok(Bench {
        built: options.built.clone(),
        peers: if packages {
            Some(Peers::install()?)
        } else {
            None
        },
        cpus: options.cpus,
        seconds: options.seconds,
        warmup: options.warmup,
    })
}

fn versions(bench: &Bench, servers: &[Server]) -> Result<Vec<(String, String)>> {
    let package = |name: &str| {
        let peers = bench
            .peers
            .as_ref()
            .context("the npm peers are not installed")?;
        peers.version(name)
    };
    let mut versions = Vec::new();
    let mut add = |program: &str, version: String| versions.push((program.to_owned(), version));
    for server in servers {
        match server {
            Server::Tidegate => {
                let binary = bench.built.binary()?;
                let line = first_line(&binary.to_string_lossy(), &["--version"]);
                add("Tidegate", line.trim_start_matches("tidegate ").to_owned());
            }
            Server::Bun => add("Bun", package("bun")?),
            Server::Elysia => add("Elysia", package("elysia")?),
            Server::Ws => {
                add("ws", package("ws")?);
                add("Node", first_line("node", &["--version"]));
            }
            Server::Workerd => add("workerd", package("workerd")?),
            Server::TokioTungstenite => {
                let lock = include_str!("../../../Cargo.lock");
                add("tokio-tungstenite", locked(lock, "tokio-tungstenite"));
            }
            Server::Floor => {}
        }
    }
    Ok(versions)
}

/// The version of a crate in the text of a `Cargo.lock`.
fn locked(lock: &str, name: &str) -> String {
    let mut lines = lock.lines();
    let line = lines
        .find(|line| *line == format!("name = {name:?}"))
        .and_then(|_| lines.next());
    let version = line.and_then(|line| line.strip_prefix("version = "));
    version.unwrap_or("unknown").trim_matches('"').to_owned()
}

fn say(row: &Row, sample: &results::Sample, rounds: u32) {
    let (key, round, name) = (row.key, sample.round, sample.server.name());
    let unit = row.unit();
    let value = sample.value.map_or_else(
        || "failed".to_owned(),
        |value| format!("{} {}", unit.show(value), unit.name()),
    );
    eprintln!("{key} {round}/{rounds} {name}: {value}");
    for failure in &sample.failures {
        eprintln!("  {failure}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_in_the_lock_file() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"b\"\nversion = \"2.1.0\"\n";
        assert_eq!(locked(lock, "b"), "2.1.0");
        assert_eq!(locked(lock, "c"), "unknown");
    }
}
