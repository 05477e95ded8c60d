//! What was measured, as it is kept in `compare.json`: tables and charts are made from it alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::row::Row;
use super::server::Server;
use crate::machine::Machine;
use crate::median::median;
use crate::process::CpuTime;

/// The file of the raw samples.
const FILE: &str = "compare.json";

/// All of one comparison.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// Where and when.
    pub machine: Machine,
    /// Programs and their versions.
    pub versions: Vec<(String, String)>,
    /// Rounds of each row.
    pub rounds: u32,
    /// Measured seconds of each run.
    pub seconds: f64,
    /// Where servers and generator ran.
    pub pinning: String,
    /// Messages offered a second in the latency row.
    pub offered: Option<f64>,
    /// One for each run.
    pub samples: Vec<Sample>,
}

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// Key of the row.
    pub row: String,
    /// Who was measured.
    pub server: Server,
    /// Round, from 1.
    pub round: u32,
    /// The row's figure, in its unit; none if the run failed.
    pub value: Option<f64>,
    /// The figure's parts, where it is CPU time.
    pub cpu: Option<CpuTime>,
    /// What else was read.
    pub figures: BTreeMap<String, f64>,
    /// What went wrong.
    pub failures: Vec<String>,
}

/// The middle of a row's samples of one server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Median {
    /// The figure.
    pub value: f64,
    /// The least and the greatest of the samples.
    pub range: (f64, f64),
    /// User and system part, where it is CPU time.
    pub parts: Option<(f64, f64)>,
    /// The middle of what else was read.
    pub figures: BTreeMap<String, f64>,
}

impl Results {
    /// Reads what [`Results::save`] left in `folder`.
    ///
    /// # Errors
    /// When there is no such file, or another version of this program wrote it.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let text = fs::read_to_string(&path)
            .with_context(|| format!("failed to read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} has no results", path.display()))
    }

    /// Writes the raw samples into `folder`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        let text = serde_json::to_string_pretty(self).context("results without a JSON form")?;
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, text + "\n"))
            .with_context(|| format!("failed to write {}", path.display()))
    }

    /// The samples of a row and a server.
    fn of(&self, row: &Row, server: Server) -> impl Iterator<Item = &Sample> {
        let samples = self.samples.iter();
        samples.filter(move |sample| sample.row == row.key && sample.server == server)
    }

    /// Whether the row was run at all.
    #[must_use]
    pub fn has(&self, row: &Row) -> bool {
        self.samples.iter().any(|sample| sample.row == row.key)
    }

    /// The middle of the samples that did not fail, if there is one.
    #[must_use]
    pub fn median(&self, row: &Row, server: Server) -> Option<Median> {
        let sound: Vec<_> = self
            .of(row, server)
            .filter(|sample| sample.failures.is_empty())
            .collect();
        let values = || sound.iter().filter_map(|sample| sample.value);
        let part = |part: fn(&CpuTime) -> f64| {
            median(sound.iter().filter_map(|s| s.cpu.as_ref().map(part)))
        };
        let names = sound.iter().flat_map(|sample| sample.figures.keys());
        let figures = names.filter_map(|name| {
            let values = sound.iter().filter_map(|sample| sample.figures.get(name));
            Some((name.clone(), median(values.copied())?))
        });
        Some(Median {
            value: median(values())?,
            range: (
                values().fold(f64::INFINITY, f64::min),
                values().fold(f64::NEG_INFINITY, f64::max),
            ),
            parts: part(|cpu| cpu.user_us).zip(part(|cpu| cpu.system_us)),
            figures: figures.collect(),
        })
    }

    /// All that went wrong, a sentence each.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        let sentences = self.samples.iter().flat_map(|sample| {
            let name = sample.server.name();
            let told = sample.failures.iter();
            told.map(move |what| {
                format!("{} of {name}, round {}: {what}", sample.row, sample.round)
            })
        });
        sentences.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::row::ROWS;

    fn sample(round: u32, value: f64, failures: &[&str]) -> Sample {
        Sample {
            row: ROWS[0].key.to_owned(),
            server: Server::Bun,
            round,
            value: Some(value),
            cpu: Some(CpuTime {
                total_us: value,
                user_us: value / 4.0,
                system_us: value * 3.0 / 4.0,
            }),
            figures: BTreeMap::from([("per_second".to_owned(), value * 10.0)]),
            failures: failures.iter().map(|&what| what.to_owned()).collect(),
        }
    }

    #[test]
    fn one_bad_round_does_not_move_the_median_and_a_failed_one_does_not_count() {
        let mut results = Results {
            samples: vec![
                sample(1, 8.0, &[]),
                sample(2, 4.0, &[]),
                sample(3, 100.0, &[]),
                sample(4, 1.0, &["3 messages were not answered"]),
            ],
            ..Results::default()
        };
        let median = results.median(&ROWS[0], Server::Bun).unwrap();
        assert_eq!((median.value, median.range), (8.0, (4.0, 100.0)));
        assert_eq!(median.parts, Some((2.0, 6.0)));
        assert_eq!(median.figures["per_second"], 80.0);
        assert_eq!(
            results.failures(),
            ["echo-20 of Bun, round 4: 3 messages were not answered"]
        );
        assert!(results.median(&ROWS[0], Server::Tidegate).is_none());
        assert!(results.median(&ROWS[1], Server::Bun).is_none());
        results.samples.remove(2);
        assert_eq!(results.median(&ROWS[0], Server::Bun).unwrap().value, 6.0);
    }

    #[test]
    fn results_are_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let results = Results {
            samples: vec![sample(1, 8.5, &[])],
            rounds: 5,
            ..Results::default()
        };
        results.save(folder.path()).unwrap();
        let read = Results::load(folder.path()).unwrap();
        assert_eq!(read.rounds, 5);
        assert_eq!(read.samples[0].value, Some(8.5));
        assert!(Results::load(&folder.path().join("none")).is_err());
    }
}
