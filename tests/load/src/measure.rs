//! How long a workload runs and what it costs the server meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::process::{CpuSample, CpuTime, Processes};

/// How long a workload runs.
#[derive(Clone, Debug, clap::Args)]
pub struct Span {
    /// Measured time in seconds.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// End earlier, after this many items.
    #[arg(long)]
    pub messages: Option<u64>,
    /// Unmeasured seconds before.
    #[arg(long, default_value_t = 0.5)]
    pub warmup: f64,
    /// Seconds that connecting may take.
    #[arg(long, default_value_t = 60.0)]
    pub connect_seconds: f64,
}

/// The server whose costs are read.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Watched {
    /// A process of the server; may be given more than once.
    #[arg(long)]
    pub pid: Vec<u32>,
    /// Count the descendants of each --pid as well.
    #[arg(long)]
    pub tree: bool,
}

/// What a measured time cost.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Cost {
    /// Measured time.
    pub seconds: f64,
    /// Items a second.
    pub per_second: f64,
    /// Server CPU per item, if --pid was given.
    pub server_cpu_us: Option<CpuTime>,
    /// The share of the time the server was running: near 1 on one pinned core, the server is the limit.
    pub server_busy: Option<f64>,
    /// The generator's own CPU per item.
    pub generator_cpu_us: CpuTime,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Before the measured time.
    WarmingUp,
    /// The measured time begins now: start the meter, clear the counters.
    Begin,
    /// Inside it.
    Measuring,
    /// The measurement is over.
    Over,
}

/// The way of one run through its steps.
pub struct Progress {
    begins: Instant,
    ends: Instant,
    items: u64,
    begun: bool,
}

/// Costs since a moment.
pub struct Meter {
    server: Option<(Processes, CpuSample)>,
    own: CpuSample,
    started: Instant,
}

impl Span {
    /// The time connecting may take.
    #[must_use]
    pub fn connect_within(&self) -> Duration {
        Duration::from_secs_f64(self.connect_seconds.max(0.1))
    }

    /// Starts the warm-up now.
    #[must_use]
    pub fn begin(&self) -> Progress {
        let begins = Instant::now() + Duration::from_secs_f64(self.warmup.max(0.0));
        Progress {
            begins,
            ends: begins + Duration::from_secs_f64(self.seconds.max(0.01)),
            items: self.messages.unwrap_or(u64::MAX),
            begun: false,
        }
    }
}

impl Progress {
    /// The step at this moment, when `items` are done since the measured time began.
    pub fn step(&mut self, items: u64) -> Step {
        let now = Instant::now();
        if !self.begun {
            self.begun = now >= self.begins;
            return if self.begun {
                Step::Begin
            } else {
                Step::WarmingUp
            };
        }
        if now >= self.ends || items >= self.items {
            return Step::Over;
        }
        Step::Measuring
    }
}

impl Watched {
    /// The processes, if any was given.
    #[must_use]
    pub fn processes(&self) -> Option<Processes> {
        (!self.pid.is_empty()).then(|| Processes::new(self.pid.clone(), self.tree))
    }

    /// The processes, for a workload that is nothing without them.
    ///
    /// # Errors
    /// When none was given.
    pub fn required(&self) -> Result<Processes> {
        self.processes()
            .context("this measures the server's process: give its --pid")
    }

    /// Starts to measure.
    ///
    /// # Errors
    /// When a process cannot be read.
    pub fn meter(&self) -> Result<Meter> {
        let server = match self.processes() {
            Some(processes) => {
                let sample = processes.cpu()?;
                Some((processes, sample))
            }
            None => None,
        };
        Ok(Meter {
            server,
            own: Processes::own().cpu()?,
            started: Instant::now(),
        })
    }
}

impl Meter {
    /// What the time until now cost for each of `items`.
    ///
    /// # Errors
    /// When a process cannot be read any more.
    pub fn finish(self, items: u64) -> Result<Cost> {
        let elapsed = self.started.elapsed();
        let own = Processes::own().cpu()?.since(&self.own);
        let server = match &self.server {
            Some((processes, before)) => Some(processes.cpu()?.since(before)),
            None => None,
        };
        let seconds = elapsed.as_secs_f64();
        let three_digits = |value: f64| (value * 1e3).round() / 1e3;
        Ok(Cost {
            seconds: three_digits(seconds),
            per_second: (items as f64 / seconds).round(),
            server_cpu_us: server.map(|spent| spent.per(items)),
            server_busy: server.map(|spent| three_digits(spent.total_us / 1e6 / seconds)),
            generator_cpu_us: own.per(items),
        })
    }
}
