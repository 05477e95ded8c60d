//! One run: a fresh server on its CPUs, one workload from ours, one sample.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use anyhow::{Context, Result};

use super::peers::{Peers, Program};
use super::probe;
use super::results::Sample;
use super::row::{Load, Row};
use super::server::Server;
use crate::child::ServerProcess;
use crate::cpu::{Cpus, Pinned};
use crate::gateway::{Built, Gateway, Setup};
use crate::histogram::Summary;
use crate::measure::{Cost, Span, Watched};
use crate::median::median;
use crate::process::CpuTime;
use crate::report::Report;
use crate::{Target, chat, connect, echo, fanout, fleet, idle};

/// Everybody in a room has the same name, so that every server sends the same bytes.
pub(super) const NAME: &str = "member";

/// Connections of the echo rows.
const CONNECTIONS: usize = 64;

/// What runs need beside the row.
pub(super) struct Bench {
    pub(super) built: Built,
    /// The installed peers; none when no server of the run comes from npm.
    pub(super) peers: Option<Peers>,
    pub(super) cpus: Cpus,
    pub(super) seconds: f64,
    pub(super) warmup: f64,
}

/// A server that listens.
pub(super) struct Running {
    address: SocketAddr,
    keeper: Keeper,
}

/// Whose drop ends the server.
enum Keeper {
    Gateway(Gateway),
    Process(ServerProcess),
}

/// What one run brought.
struct Outcome {
    value: Option<f64>,
    cpu: Option<CpuTime>,
    figures: BTreeMap<String, f64>,
    failures: Vec<String>,
}

impl Outcome {
    fn failed(error: &anyhow::Error) -> Self {
        Self {
            value: None,
            cpu: None,
            figures: BTreeMap::new(),
            failures: vec![format!("{error:#}")],
        }
    }

    fn sample(self, row: &Row, server: Server, round: u32) -> Sample {
        Sample {
            row: row.key.to_owned(),
            server,
            round,
            value: self.value,
            cpu: self.cpu,
            figures: self.figures,
            failures: self.failures,
        }
    }
}

impl Running {
    pub(super) fn target(&self, resource: &str) -> Result<Target> {
        Target::new(self.address, resource)
    }

    fn watched(&self) -> Watched {
        let process = match &self.keeper {
            Keeper::Gateway(gateway) => &gateway.process,
            Keeper::Process(process) => process,
        };
        Watched {
            pid: vec![process.pid()],
            tree: false,
        }
    }
}

impl Bench {
    /// Runs `row` once against `server`; what goes wrong is in the sample.
    pub(super) fn sample(
        &self,
        row: &Row,
        server: Server,
        round: u32,
        offered: Option<f64>,
    ) -> Sample {
        let outcome = self.run(row, server, offered);
        let outcome = outcome.unwrap_or_else(|error| Outcome::failed(&error));
        outcome.sample(row, server, round)
    }

    /// Compares what `server` sends in `row` with what the others send; the sample says how it differs.
    pub(super) fn probe(&self, row: &Row, server: Server) -> Option<Sample> {
        let check = || probe::check(server, &self.start(server, row.load)?, row.load);
        let error = check().err()?;
        Some(Outcome::failed(&error).sample(row, server, 0))
    }

    /// Starts `server` with the program that `load` needs, on the server's CPU.
    pub(super) fn start(&self, server: Server, load: Load) -> Result<Running> {
        self.start_on(server, load, 1, &self.cpus.server())
    }

    /// Messages a second that `server` echoes on one core, when each connection waits for its answer: the middle of three.
    pub(super) fn saturation(&self, server: Server) -> Result<f64> {
        let load = Load::Echo {
            size: 20,
            in_flight: 1,
        };
        let mut rates = Vec::new();
        for _ in 0..3 {
            let running = self.start(server, load)?;
            let _pinned = Pinned::to(&self.cpus.generator())?;
            let report = echo::run(&self.echo(&running, 20, 1)?)?;
            rates.push(report.cost.per_second);
        }
        median(rates).context("no rate was measured")
    }

    fn start_on(
        &self,
        server: Server,
        load: Load,
        shards: usize,
        cpus: &[usize],
    ) -> Result<Running> {
        let rooms = matches!(load, Load::Fanout { .. } | Load::Chat);
        let program = if rooms { Program::Chat } else { Program::Echo };
        let mut command = match server {
            Server::Tidegate => {
                let gateway = setup(load, shards).start(&self.built, cpus)?;
                return Ok(Running {
                    address: gateway.address,
                    keeper: Keeper::Gateway(gateway),
                });
            }
            Server::TokioTungstenite => own("naive")?,
            Server::Floor => own("floor")?,
            Server::Bun | Server::Elysia | Server::Ws | Server::Workerd => {
                let peers = self
                    .peers
                    .as_ref()
                    .context("the npm peers are not installed")?;
                peers.command(server, program)?
            }
        };
        let mut process = ServerProcess::start(server.name(), &mut command, cpus)?;
        let address = process.address()?;
        Ok(Running {
            address,
            keeper: Keeper::Process(process),
        })
    }

    fn run(&self, row: &Row, server: Server, offered: Option<f64>) -> Result<Outcome> {
        if let Load::Shards { in_flight } = row.load {
            return self.shards(server, in_flight);
        }
        let running = self.start(server, row.load)?;
        let _pinned = Pinned::to(&self.cpus.generator())?;
        match row.load {
            Load::Echo { size, in_flight } => {
                let report = echo::run(&self.echo(&running, size, in_flight)?)?;
                Ok(outcome(&report.cost, &report.latency, report.failures()))
            }
            Load::Fanout {
                subscribers,
                in_flight,
                plain,
            } => {
                let subscribers = possible(subscribers, server);
                let report = fanout::run(&self.fanout(&running, subscribers, in_flight, plain)?)?;
                let mut outcome = outcome(&report.cost, &report.last_delivery, report.failures());
                let subscribers = ("subscribers".to_owned(), report.subscribers as f64);
                outcome.figures.extend([subscribers]);
                Ok(outcome)
            }
            Load::Chat => {
                let report = chat::run(&self.chat(&running)?)?;
                Ok(outcome(&report.cost, &report.latency, report.failures()))
            }
            Load::Connect => {
                let report = connect::run(&connect::Options {
                    url: running.target("/echo")?,
                    concurrency: CONNECTIONS,
                    span: self.span(),
                    watched: running.watched(),
                })?;
                Ok(outcome(&report.cost, &report.handshake, report.failures()))
            }
            Load::Idle => idle_memory(&running, server),
            Load::Latency => self.latency(&running, offered),
            Load::Shards { .. } => unreachable!("handled above"),
        }
    }

    fn latency(&self, running: &Running, offered: Option<f64>) -> Result<Outcome> {
        let offered = offered.context("no rate was found at which to offer messages")?;
        let mut options = self.echo(running, 20, 1)?;
        options.rate = Some(offered);
        options.in_flight = None;
        let report = echo::run(&options)?;
        let mut outcome = outcome(&report.cost, &report.latency, report.failures());
        outcome.value = Some(report.latency.p99_us);
        outcome.cpu = None;
        let withheld = report.withheld as f64;
        outcome.figures.insert("withheld".to_owned(), withheld);
        if let Some(lateness) = report.lateness {
            let late = lateness.p99_us;
            outcome.figures.insert("lateness_p99_us".to_owned(), late);
        }
        Ok(outcome)
    }

    /// What two shards could do in the messages of one. The generator needs a core too, so their rate cannot be seen
    /// where there are two cores only; what a message costs can, and a core has 1,000,000 µs a second.
    fn shards(&self, server: Server, in_flight: usize) -> Result<Outcome> {
        let cpus = crate::cpu::allowed()?;
        let shared = &cpus[..cpus.len().min(2)];
        let generator = if cpus.len() > 2 { &cpus[2..] } else { shared };
        let mut outcomes = Vec::new();
        for shards in [1, 2] {
            let load = Load::Shards { in_flight };
            let running = self.start_on(server, load, shards, shared)?;
            let _pinned = Pinned::to(generator)?;
            let report = echo::run(&self.echo(&running, 20, in_flight)?)?;
            outcomes.push(outcome(&report.cost, &report.latency, report.failures()));
        }
        let cost = |index: usize| outcomes[index].value.context("no CPU time was read");
        let rate = |index: usize| outcomes[index].figures["per_second"];
        let figures = [
            ("one_shard_us", cost(0)?),
            ("two_shards_us", cost(1)?),
            ("one_shard_per_second", rate(0)),
            ("two_shards_per_second", rate(1)),
        ];
        Ok(Outcome {
            value: Some(2.0 * cost(0)? / cost(1)?),
            cpu: None,
            figures: figures.map(|(name, value)| (name.to_owned(), value)).into(),
            failures: outcomes.into_iter().flat_map(|one| one.failures).collect(),
        })
    }

    fn echo(&self, running: &Running, size: usize, in_flight: usize) -> Result<echo::Options> {
        Ok(echo::Options {
            url: running.target("/echo")?,
            connections: CONNECTIONS,
            in_flight: Some(in_flight),
            size,
            rate: None,
            span: self.span(),
            watched: running.watched(),
        })
    }

    fn fanout(
        &self,
        running: &Running,
        subscribers: usize,
        in_flight: usize,
        plain: bool,
    ) -> Result<fanout::Options> {
        let folder = if plain { "plain" } else { "rooms" };
        Ok(fanout::Options {
            subscribe_url: running.target(&format!("/{folder}/1?username={NAME}"))?,
            publish_url: None,
            subscribers,
            size: 64,
            in_flight,
            skip_texts: true,
            span: self.span(),
            watched: running.watched(),
        })
    }

    fn chat(&self, running: &Running) -> Result<chat::Options> {
        Ok(chat::Options {
            url: running.target(&format!("/rooms/{{room}}?username={NAME}"))?,
            rooms: 32,
            members: 32,
            size: 64,
            to_self: false,
            skip_texts: true,
            span: self.span(),
            watched: running.watched(),
        })
    }

    fn span(&self) -> Span {
        Span {
            seconds: self.seconds,
            messages: None,
            warmup: self.warmup,
            // Ten thousand that join one room are told of each other: that takes its time.
            connect_seconds: 300.0,
        }
    }
}

/// `wanted` connections, or as many as `server` may have: workerd takes two descriptors each. What one connection or
/// delivery costs does not hang on some hundreds of ten thousand.
fn possible(wanted: usize, server: Server) -> usize {
    let each = if server == Server::Workerd { 2 } else { 1 };
    wanted.min(fleet::raise_descriptor_limit().saturating_sub(200) / each)
}

fn idle_memory(running: &Running, server: Server) -> Result<Outcome> {
    let report = idle::run(&idle::Options {
        url: running.target("/echo")?,
        connections: possible(10_000, server),
        then_echo: false,
        rest: 0.5,
        connect_seconds: 120.0,
        watched: running.watched(),
    })?;
    let last = report.samples.last();
    let figures = last.map(|sample| {
        [
            ("connections".to_owned(), sample.connections as f64),
            ("rss_bytes".to_owned(), sample.rss_bytes as f64),
        ]
    });
    Ok(Outcome {
        value: Some(report.bytes_per_connection),
        cpu: None,
        figures: figures.into_iter().flatten().collect(),
        failures: report.failures(),
    })
}

fn outcome(cost: &Cost, latency: &Summary, failures: Vec<String>) -> Outcome {
    let mut figures = BTreeMap::from([
        ("per_second", cost.per_second),
        ("generator_us", cost.generator_cpu_us.total_us),
        ("p50_us", latency.p50_us),
        ("p99_us", latency.p99_us),
    ]);
    figures.extend(cost.server_busy.map(|busy| ("busy", busy)));
    Outcome {
        value: cost.server_cpu_us.map(|cpu| cpu.total_us),
        cpu: cost.server_cpu_us,
        figures: figures
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        failures,
    }
}

/// Real plugins, with the deadlines and memory limits that are the default.
fn setup(load: Load, shards: usize) -> Setup {
    let (path, plugin) = match load {
        Load::Fanout { plain: true, .. } => ("/plain/{room}", "topics"),
        Load::Fanout { .. } | Load::Chat => ("/rooms/{room}", "chat"),
        _ => ("/echo", "echo"),
    };
    Setup {
        shards,
        plugins: vec![(plugin, String::new())],
        routes: vec![(path, plugin, String::new())],
    }
}

/// A server that is a subcommand of this program.
fn own(subcommand: &str) -> Result<Command> {
    let own = std::env::current_exe().context("failed to find this program's own path")?;
    let mut command = Command::new(own);
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).to_string();
    command.args([subcommand, "--listen", &listen]);
    Ok(command)
}
