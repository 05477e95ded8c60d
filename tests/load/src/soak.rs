//! `soak`: very many swaps under light load; what the server holds must not grow with them.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::idle::least_squares;
use crate::measure::Watched;
use crate::process::{Holdings, Processes};
use crate::{report, swap};

/// Time from a swap's answer to the sample, for the old generation to be freed. It shows in the report as the time
/// of the swaps that were sampled.
const SETTLE: Duration = Duration::from_millis(50);

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The swaps and the clients.
    #[command(flatten)]
    pub swap: swap::Arguments,
    /// Where samples are taken, and the bounds.
    #[command(flatten)]
    pub bounds: Bounds,
    /// The server's process.
    #[command(flatten)]
    pub watched: Watched,
}

/// Where samples are taken and how much may be gained between the first and the last.
#[derive(Clone, Debug, clap::Args)]
pub struct Bounds {
    /// The swap after which the first sample is taken: caches and pools are warm then.
    #[arg(long, default_value_t = 100)]
    pub from: u32,
    /// Swaps from one sample to the next.
    #[arg(long, default_value_t = 100)]
    pub every: u32,
    /// Fail if resident memory grew by more KiB.
    #[arg(long)]
    pub max_rss_growth_kib: Option<i64>,
    /// Fail if there are more open descriptors than this above the first sample.
    #[arg(long)]
    pub max_descriptor_growth: Option<i64>,
    /// Fail if there are more threads than this above the first sample.
    #[arg(long)]
    pub max_thread_growth: Option<i64>,
    /// Fail if there are more executable mappings than this above the first sample.
    #[arg(long)]
    pub max_mapping_growth: Option<i64>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            from: 100,
            every: 100,
            max_rss_growth_kib: None,
            max_descriptor_growth: None,
            max_thread_growth: None,
            max_mapping_growth: None,
        }
    }
}

/// What the server held after a number of swaps.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sample {
    /// Swaps made.
    pub swaps: u32,
    /// What it held.
    #[serde(flatten)]
    pub holdings: Holdings,
}

/// From the first sample to the last.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Growth {
    /// Resident memory in KiB.
    pub rss_kib: i64,
    /// Resident bytes a swap, the slope over all samples.
    pub rss_bytes_per_swap: f64,
    /// Open descriptors.
    pub descriptors: i64,
    /// Threads.
    pub threads: i64,
    /// Executable mappings.
    pub executable_mappings: i64,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What the server held, over time.
    pub samples: Vec<Sample>,
    /// What it gained.
    pub growth: Growth,
    /// Bounds that were exceeded.
    pub exceeded: Vec<String>,
    /// What the clients saw.
    pub swap: swap::Report,
}

impl report::Report for Report {
    fn failures(&self) -> Vec<String> {
        let mut failures = self.exceeded.clone();
        failures.extend(report::Report::failures(&self.swap));
        failures
    }
}

impl Arguments {
    /// Runs the soak these arguments ask for.
    ///
    /// # Errors
    /// When they make no sense, or the server cannot be reached.
    pub fn run(mut self) -> Result<Report> {
        self.swap.swaps.get_or_insert(1000);
        self.swap.rate.get_or_insert(200.0);
        self.swap.seconds.get_or_insert(100.0);
        let processes = self.watched.required()?;
        run(self.swap.options()?, &self.bounds, processes)
    }
}

/// Runs a swap check and samples what `processes` hold on the way.
///
/// # Errors
/// When the server cannot be reached, or there are too few swaps for two samples.
pub fn run(mut options: swap::Options, bounds: &Bounds, processes: Processes) -> Result<Report> {
    let every = bounds.every.max(1);
    ensure!(
        options.swaps >= bounds.from + every,
        "{} swaps are too few for two samples: make {} or more",
        options.swaps,
        bounds.from + every
    );
    // Held for a push only: the swapping thread fills it, this one reads it afterwards.
    let samples = Arc::new(Mutex::new(Vec::new()));
    let mut trigger = options.trigger;
    let (from, filled) = (bounds.from, Arc::clone(&samples));
    let mut made = 0;
    options.trigger = Box::new(move |order| {
        let outcome = trigger(order)?;
        made += u32::from(!order.bad);
        if !order.bad && made >= from && (made - from).is_multiple_of(every) {
            thread::sleep(SETTLE);
            let sample = Sample {
                swaps: made,
                holdings: processes.holdings()?,
            };
            filled
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(sample);
        }
        Ok(outcome)
    });
    let swap = swap::run(options)?;
    let samples = samples
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let growth = Growth::of(&samples);
    Ok(Report {
        exceeded: bounds.exceeded(&samples, growth),
        samples,
        growth,
        swap,
    })
}

impl Growth {
    fn of(samples: &[Sample]) -> Self {
        let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
            return Self::default();
        };
        let (first, last) = (first.holdings, last.holdings);
        let gained = |then: u64, now: u64| now as i64 - then as i64;
        let points = samples
            .iter()
            .map(|sample| (f64::from(sample.swaps), sample.holdings.rss_bytes as f64));
        Self {
            rss_kib: gained(first.rss_bytes, last.rss_bytes) / 1024,
            rss_bytes_per_swap: least_squares(points).round(),
            descriptors: gained(first.descriptors, last.descriptors),
            threads: gained(first.threads, last.threads),
            executable_mappings: gained(first.executable_mappings, last.executable_mappings),
        }
    }
}

impl Bounds {
    fn exceeded(&self, samples: &[Sample], growth: Growth) -> Vec<String> {
        let mut exceeded = Vec::new();
        if samples.len() < 2 {
            exceeded.push("there are not two samples to compare: the swaps failed".to_owned());
        }
        let mut check = |what: &str, grown: i64, bound: Option<i64>| {
            if let Some(bound) = bound.filter(|bound| grown > *bound) {
                exceeded.push(format!("{what} grew by {grown}, more than {bound}"));
            }
        };
        check(
            "resident memory in KiB",
            growth.rss_kib,
            self.max_rss_growth_kib,
        );
        check(
            "open descriptors",
            growth.descriptors,
            self.max_descriptor_growth,
        );
        check("threads", growth.threads, self.max_thread_growth);
        check(
            "executable mappings",
            growth.executable_mappings,
            self.max_mapping_growth,
        );
        exceeded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(swaps: u32, rss_bytes: u64, descriptors: u64) -> Sample {
        let holdings = Holdings {
            rss_bytes,
            descriptors,
            threads: 3,
            executable_mappings: 9,
        };
        Sample { swaps, holdings }
    }

    #[test]
    fn a_bound_is_exceeded_only_by_more_than_it() {
        let samples = [sample(100, 1 << 20, 10), sample(1000, 3 << 20, 12)];
        let growth = Growth::of(&samples);
        assert_eq!(
            (growth.rss_kib, growth.descriptors, growth.threads),
            (2048, 2, 0)
        );
        let bounds = |rss, descriptors| Bounds {
            max_rss_growth_kib: rss,
            max_descriptor_growth: descriptors,
            ..Bounds::default()
        };
        assert!(bounds(None, None).exceeded(&samples, growth).is_empty());
        assert!(
            bounds(Some(2048), Some(2))
                .exceeded(&samples, growth)
                .is_empty()
        );
        assert_eq!(
            bounds(Some(2047), Some(1)).exceeded(&samples, growth).len(),
            2
        );
        assert_eq!(bounds(None, None).exceeded(&samples[..1], growth).len(), 1);
    }
}
