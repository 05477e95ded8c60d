//! `timers`: what timers that are far from due cost Tidegate.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde::Serialize;
use tidegate_codec::Opcode;

use crate::cpu::{Cpus, Pinned};
use crate::fleet::{Event, Fleet};
use crate::gateway::{Built, Setup};
use crate::process::Processes;
use crate::report::note;
use crate::{Target, frame, report};

/// Connections that are being answered at once.
const ASKING: usize = 64;
/// How long setting all timers may take.
const WITHIN: Duration = Duration::from_secs(120);

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Connections.
    #[arg(long, default_value_t = 10_000)]
    pub connections: usize,
    /// Timers of each, due in an hour.
    #[arg(long, default_value_t = 10)]
    pub each: usize,
    /// Seconds of silence that are measured, without timers and with them.
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
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
    /// All timers.
    pub timers: usize,
    /// Milliseconds of CPU in a second of silence, before there were timers.
    pub idle_cpu_ms_per_second: f64,
    /// The processor time per second with the timers.
    pub timers_cpu_ms_per_second: f64,
    /// Resident bytes by which the gateway grew, for each timer.
    pub bytes_per_timer: f64,
    /// CPU µs to set one, its share of the message included.
    pub set_cpu_us: f64,
    /// Connections whose timers were not all set.
    pub refused: u64,
}

impl report::Report for Report {
    fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        let words = "connections could not set all their timers";
        note(&mut failures, self.refused, words);
        failures
    }
}

/// Runs the workload.
///
/// # Errors
/// When something is not built, or a connection cannot be opened or ends.
pub fn run(options: &Options) -> Result<Report> {
    let setup = Setup {
        shards: 1,
        plugins: vec![("timers", String::new())],
        routes: vec![("/", "timers", format!("timers = {}", options.each))],
    };
    let gateway = setup.start(&options.built, &options.cpus.server())?;
    let _pinned = Pinned::to(&options.cpus.generator())?;
    let target = Target::new(gateway.address, "/")?;
    let processes = Processes::new(vec![gateway.process.pid()], false);
    let mut fleet = Fleet::new()?;
    let targets = std::iter::repeat_n(&target, options.connections);
    fleet.connect_all(targets, WITHIN)?;
    let silence = Duration::from_secs_f64(options.seconds);
    let idle = silent(&mut fleet, &processes, silence)?;
    let (rss, cpu) = (processes.rss_bytes()?, processes.cpu()?);
    let refused = set_all(&mut fleet, options)?;
    let set = processes.cpu()?.since(&cpu).total_us;
    let grown = processes.rss_bytes()?.saturating_sub(rss);
    let timers = options.connections * options.each;
    Ok(Report {
        timers,
        idle_cpu_ms_per_second: idle,
        timers_cpu_ms_per_second: silent(&mut fleet, &processes, silence)?,
        bytes_per_timer: (grown as f64 / timers as f64).round(),
        set_cpu_us: set / timers as f64,
        refused,
    })
}

/// Milliseconds of CPU a second while nothing happens but pings, of which there is none for 30 s.
fn silent(fleet: &mut Fleet, processes: &Processes, silence: Duration) -> Result<f64> {
    // What connecting or setting timers has left to do is not meant.
    fleet.rest(Duration::from_millis(500))?;
    let (before, begun) = (processes.cpu()?, Instant::now());
    fleet.rest(silence)?;
    let used = processes.cpu()?.since(&before).total_us / 1000.0;
    Ok(used / begun.elapsed().as_secs_f64())
}

/// Has every connection set its timers; returns how many could not.
fn set_all(fleet: &mut Fleet, options: &Options) -> Result<u64> {
    let (request, answer) = (
        format!("many {}", options.each),
        format!("set {}", options.each),
    );
    let mut bytes = Vec::new();
    frame::push_client(&mut bytes, Opcode::Text, request.as_bytes());
    let deadline = Instant::now() + WITHIN;
    let (mut sent, mut answered, mut refused) = (0, 0, 0);
    while answered < options.connections {
        while sent < options.connections && sent - answered < ASKING {
            fleet.send(sent, &bytes);
            sent += 1;
        }
        let mut ended = None;
        fleet.turn(Duration::from_millis(50), |arrival, _| {
            match arrival.event {
                Event::Opened => {}
                Event::Message(frame) => {
                    answered += 1;
                    refused += u64::from(frame.payload != answer.as_bytes());
                }
                Event::Ended(end) => ended = Some(end),
            }
        })?;
        if let Some(end) = ended {
            bail!("a connection ended: {end:?}");
        }
        ensure!(
            Instant::now() < deadline,
            "only {answered} connections answered within {WITHIN:?}"
        );
    }
    Ok(refused)
}
