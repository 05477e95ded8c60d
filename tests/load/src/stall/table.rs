//! The result as Markdown and as a chart.

use std::fmt::Write;
use std::path::Path;

use anyhow::Result;

use super::{POLICIES, Report, Sample};
use crate::chart::{self, Bar, Panel};
use crate::median::median;

const MIB: f64 = 1_048_576.0;

impl Report {
    /// What the stalled connections made the server hold, beyond what it held without them.
    pub(super) fn held_bytes(&self, policy: &str) -> Option<f64> {
        let grown = |stalled| self.median(policy, stalled, |sample| sample.grown_bytes as f64);
        Some((grown(true)? - grown(false)?).max(0.0))
    }

    pub(super) fn markdown(&self) -> String {
        let Self {
            subscribers,
            stalled,
            size,
            rate,
            seconds,
            rounds,
            ..
        } = self;
        let mut text = format!(
            "# Stalled subscribers\n\nMade by `tidegate-load stall`: {stalled} of {subscribers} subscribers of one topic stop reading \
             while {size} B are published {rate} times a second, with {} on one shard. Medians of {rounds} rounds of {seconds} s, \
             without and with stalled subscribers in turn. Memory is what the stalled made the process hold at its most, beyond \
             what it held without them; the bound is what the configuration allows: stalled × (outbox + {} KiB). Latency is that \
             of the subscribers who read.\n\n{}\n\
             | policy | memory MiB | bound MiB | p50 µs without | with | p99 µs without | with | drops | closed |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
            self.tidegate,
            super::BESIDE_OUTBOX >> 10,
            self.machine.markdown()
        );
        for policy in POLICIES {
            let time =
                |stalled, of: fn(&Sample) -> f64| self.median(policy, stalled, of).unwrap_or(0.0);
            let p50 = |sample: &Sample| sample.p50_us;
            let p99 = |sample: &Sample| sample.p99_us;
            let _ = writeln!(
                text,
                "| {policy} | {:.2} | {:.2} | {:.0} | {:.0} | {:.0} | {:.0} | {} | {:.0} |",
                self.held_bytes(policy).unwrap_or(0.0) / MIB,
                self.bound_bytes as f64 / MIB,
                time(false, p50),
                time(true, p50),
                time(false, p99),
                time(true, p99),
                self.drops(policy),
                self.median(policy, true, |sample| sample.closed as f64)
                    .unwrap_or(0.0),
            );
        }
        if !self.failures.is_empty() {
            let _ = write!(text, "\n## Failures\n\n- {}\n", self.failures.join("\n- "));
        }
        text
    }

    pub(super) fn draw(&self, path: &Path) -> Result<()> {
        let bar = |label: String, value: f64, figure: String, ours| Bar {
            label,
            value,
            part: None,
            figure,
            ours,
        };
        let memory = POLICIES.map(|policy| {
            let value = self.held_bytes(policy).unwrap_or(0.0) / MIB;
            bar(policy.to_owned(), value, format!("{value:.1}"), true)
        });
        let latency = POLICIES.iter().flat_map(|policy| {
            [(false, "without"), (true, "with")].map(|(stalled, word)| {
                let p99 = self.median(policy, stalled, |sample| sample.p99_us);
                let p99 = p99.unwrap_or(0.0);
                bar(
                    format!("{policy}, {word}"),
                    p99,
                    format!("{p99:.0}"),
                    stalled,
                )
            })
        });
        let panels = [
            Panel {
                title: format!("Memory for {} stalled connections", self.stalled),
                unit: "MiB".to_owned(),
                bars: memory.into(),
                goal: Some(self.bound_bytes as f64 / MIB),
            },
            Panel {
                title: "p99 of the others, without and with stalled".to_owned(),
                unit: "µs".to_owned(),
                bars: latency.collect(),
                goal: None,
            },
        ];
        let legend = "shorter is better; red line: the bound that the configuration gives";
        chart::bars(path, "Subscribers that stop reading", legend, &panels)
    }

    fn median(&self, policy: &str, stalled: bool, of: impl Fn(&Sample) -> f64) -> Option<f64> {
        let samples = self.samples.iter();
        let fits = samples.filter(|one| one.policy == policy && (one.stalled > 0) == stalled);
        median(fits.map(of))
    }

    /// "drop-newest 120": the median of each reason that occurred.
    fn drops(&self, policy: &str) -> String {
        let count = |sample: &Sample, reason: &str| {
            let drops = sample.drops.iter().find(|(name, _)| *name == reason);
            drops.map_or(0.0, |(_, count)| *count as f64)
        };
        let reasons = self.samples.first().map_or(&[][..], |sample| &sample.drops);
        let counts = reasons.iter().filter_map(|(reason, _)| {
            let middle = self.median(policy, true, |sample| count(sample, reason))?;
            (middle > 0.0).then(|| format!("{reason} {middle:.0}"))
        });
        counts.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(policy: &'static str, stalled: usize, grown_bytes: u64) -> Sample {
        Sample {
            policy,
            stalled,
            p50_us: 100.0,
            p99_us: 900.0 + stalled as f64,
            grown_bytes,
            drops: vec![("drop-newest", stalled as i64 * 7), ("closing", 0)],
            closed: 0,
        }
    }

    #[test]
    fn only_what_the_stalled_add_is_held_against_the_bound() {
        let mut report = Report {
            machine: Default::default(),
            tidegate: "tidegate 0.1.0".to_owned(),
            subscribers: 1000,
            stalled: 10,
            size: 8192,
            rate: 50.0,
            seconds: 10.0,
            rounds: 1,
            bound_bytes: 10 << 20,
            samples: vec![
                sample("drop-newest", 0, 5 << 20),
                sample("drop-newest", 10, 12 << 20),
            ],
            failures: Vec::new(),
        };
        report.judge();
        assert!(report.failures.is_empty(), "{:?}", report.failures);
        let line = "| drop-newest | 7.00 | 10.00 | 100 | 100 | 900 | 910 | drop-newest 70 | 0 |";
        assert!(report.markdown().contains(line), "{}", report.markdown());
        report.samples[1].grown_bytes = 16 << 20;
        report.judge();
        assert!(report.failures[0].contains("the bound is 10485760"));
    }
}
