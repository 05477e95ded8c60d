//! A swap check as the command line asks for it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::Options;
use super::trigger::{Files, Trigger, Write, admin};
use crate::Target;
use crate::metrics::{Audit, Series};
use crate::target::resolve;

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The path whose handler answers "GENERATION MESSAGE", as ws://127.0.0.1:8080/generation.
    #[arg(long)]
    pub url: Target,
    /// Connections [default: 100].
    #[arg(long)]
    pub connections: Option<usize>,
    /// Messages a second in all [default: 1000; soak: 200].
    #[arg(long)]
    pub rate: Option<f64>,
    /// Seconds the swaps are spread over [default: 10; soak: 100].
    #[arg(long)]
    pub seconds: Option<f64>,
    /// Swaps [default: 20; soak: 1000].
    #[arg(long)]
    pub swaps: Option<u32>,
    /// Bytes of a message.
    #[arg(long, default_value_t = 32)]
    pub size: usize,
    /// Swaps in between that must be refused; needs --bad-files.
    #[arg(long, default_value_t = 0)]
    pub bad_swaps: u32,
    /// Swap by POST /plugins/PLUGIN/reload at this address.
    #[arg(long, value_name = "HOST:PORT")]
    pub admin: Option<String>,
    /// The plugin to reload by the admin API.
    #[arg(long, default_value = "generation")]
    pub plugin: String,
    /// Swap by putting these files into the watched place, in turn (before the reload, with --admin).
    #[arg(long, num_args = 2.., requires = "into")]
    pub swap_files: Vec<PathBuf>,
    /// Files that must be refused, put there in turn by the bad swaps.
    #[arg(long, num_args = 1.., requires = "into")]
    pub bad_files: Vec<PathBuf>,
    /// The watched place.
    #[arg(long)]
    pub into: Option<PathBuf>,
    /// How files get there.
    #[arg(long, value_enum, default_value = "rename")]
    pub by: Write,
    /// Milliseconds until a newer generation must answer after a good file was put there.
    #[arg(long, default_value_t = 5000)]
    pub seen_within_ms: u64,
    /// Milliseconds during which none may answer after a bad one was.
    #[arg(long, default_value_t = 500)]
    pub bad_for_ms: u64,
    /// Milliseconds after a swap's trigger that count as inside the swap.
    #[arg(long, default_value_t = 100)]
    pub window_ms: u64,
    /// Seconds that the last answers, and closing, may take.
    #[arg(long, default_value_t = 5.0)]
    pub grace: f64,
    /// Seconds that connecting may take.
    #[arg(long, default_value_t = 60.0)]
    pub connect_seconds: f64,
    /// Where the metrics of the audit are [default: those of --admin].
    #[arg(long, value_name = "HOST:PORT")]
    pub metrics: Option<String>,
    /// Do not check the server's own counts of opens and closes.
    #[arg(long)]
    pub no_audit: bool,
    /// Path of the metrics.
    #[arg(long, default_value = "/metrics")]
    pub metrics_path: String,
    /// Gauge of open connections.
    #[arg(long, default_value = "tidegate_connections_open")]
    pub open_metric: Series,
    /// Counter of opens.
    #[arg(long, default_value = "tidegate_events_total{event=\"open\"}")]
    pub opens_metric: Series,
    /// Counter of closes.
    #[arg(long, default_value = "tidegate_events_total{event=\"close\"}")]
    pub closes_metric: Series,
}

impl Arguments {
    /// The check these arguments ask for.
    ///
    /// # Errors
    /// When they say no way to swap, or bad swaps without files.
    pub fn options(self) -> Result<Options> {
        let audit = self.audit()?;
        let trigger = self.trigger()?;
        let defaults = Options::new(self.url, trigger);
        Ok(Options {
            connections: self.connections.unwrap_or(defaults.connections),
            rate: self.rate.unwrap_or(defaults.rate),
            time: self.seconds.map_or(defaults.time, Duration::from_secs_f64),
            size: self.size,
            swaps: self.swaps.unwrap_or(defaults.swaps),
            bad_swaps: self.bad_swaps,
            window: Duration::from_millis(self.window_ms),
            grace: Duration::from_secs_f64(self.grace),
            connect_within: Duration::from_secs_f64(self.connect_seconds),
            audit,
            ..defaults
        })
    }

    fn audit(&self) -> Result<Option<Audit>> {
        let Some(host) = self.metrics.as_ref().or(self.admin.as_ref()) else {
            ensure!(
                self.no_audit,
                "without --admin or --metrics the server's counts cannot be checked: give one, or --no-audit"
            );
            return Ok(None);
        };
        let audit = Audit {
            path: self.metrics_path.clone(),
            open: self.open_metric.clone(),
            opens: self.opens_metric.clone(),
            closes: self.closes_metric.clone(),
            ..Audit::tidegate(resolve(host)?)
        };
        Ok((!self.no_audit).then_some(audit))
    }

    fn trigger(&self) -> Result<Trigger> {
        ensure!(
            self.bad_swaps == 0 || !self.bad_files.is_empty(),
            "--bad-swaps {} needs --bad-files to put in place",
            self.bad_swaps
        );
        let files = self.into.clone().map(|into| Files {
            good: self.swap_files.clone(),
            bad: self.bad_files.clone(),
            into,
            write: self.by,
            seen_within: Duration::from_millis(self.seen_within_ms),
            bad_for: Duration::from_millis(self.bad_for_ms),
        });
        match (&self.admin, files) {
            (Some(_), Some(files)) if files.good.is_empty() => {
                bail!("--bad-files needs --swap-files too: a good file must follow a bad one")
            }
            (Some(host), files) => Ok(admin(resolve(host)?, &self.plugin, files)),
            (None, Some(files)) if !files.good.is_empty() => Ok(files.trigger()),
            (None, _) => {
                bail!("there is no way to swap: give --admin, or --swap-files with --into")
            }
        }
    }
}
