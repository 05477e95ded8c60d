//! One thing that grows, and what it costs at each size.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::Result;
use serde::Serialize;

use crate::chart::Lines;
use crate::median::median;

/// A measure taken at each size.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Measure {
    /// What a column is called.
    pub(super) name: &'static str,
    /// The chart it is drawn in; those with the same title share one. None draws none.
    pub(super) chart: Option<&'static str>,
    /// The unit on that chart.
    pub(super) unit: &'static str,
    /// Whether the chart's axis is logarithmic.
    pub(super) log: bool,
}

/// Sizes and measures.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Family {
    pub(super) title: &'static str,
    /// How it was measured, in a sentence or two.
    pub(super) method: String,
    /// What grows.
    pub(super) grows: &'static str,
    pub(super) measures: &'static [Measure],
    /// By size: one list of values a round, in the order of the measures.
    pub(super) samples: BTreeMap<usize, Vec<Vec<f64>>>,
}

impl Family {
    /// Measures every size once a round.
    pub(super) fn fill(
        &mut self,
        sizes: &[usize],
        rounds: u32,
        mut measure: impl FnMut(usize) -> Result<Vec<f64>>,
    ) -> Result<()> {
        for round in 1..=rounds {
            for &size in sizes {
                let values = measure(size)?;
                let told = self.measures.iter().zip(&values);
                let told =
                    told.map(|(measure, value)| format!("{} {}", measure.name, show(*value)));
                let told = told.collect::<Vec<_>>().join(", ");
                eprintln!("{size} {} {round}/{rounds}: {told}", self.grows);
                self.samples.entry(size).or_default().push(values);
            }
        }
        Ok(())
    }

    fn median(&self, size: usize, index: usize) -> Option<f64> {
        let rounds = self.samples.get(&size)?;
        median(
            rounds
                .iter()
                .filter_map(|values| values.get(index).copied()),
        )
    }

    /// A section with a table.
    pub(super) fn markdown(&self) -> String {
        let mut text = format!(
            "\n## {}\n\n{}\n\n| {} |",
            self.title, self.method, self.grows
        );
        for measure in self.measures {
            let _ = write!(text, " {} |", measure.name);
        }
        let _ = write!(text, "\n|{}\n", " --- |".repeat(1 + self.measures.len()));
        for &size in self.samples.keys() {
            let _ = write!(text, "| {size} |");
            for index in 0..self.measures.len() {
                let value = self.median(size, index).map_or_else(String::new, show);
                let _ = write!(text, " {value} |");
            }
            text.push('\n');
        }
        text
    }

    /// The family's charts.
    pub(super) fn charts(&self) -> Vec<Lines> {
        let mut charts: Vec<Lines> = Vec::new();
        for (index, measure) in self.measures.iter().enumerate() {
            let Some(title) = measure.chart else {
                continue;
            };
            let points = self
                .samples
                .keys()
                .filter_map(|&size| Some((size as f64, self.median(size, index)?)));
            let series = (measure.name.to_owned(), points.collect::<Vec<_>>());
            match charts.iter_mut().find(|chart| chart.title == title) {
                Some(chart) => chart.series.push(series),
                None if series.1.is_empty() => {}
                None => charts.push(Lines {
                    title: title.to_owned(),
                    x: self.grows.to_owned(),
                    y: measure.unit.to_owned(),
                    log_y: measure.log,
                    series: vec![series],
                }),
            }
        }
        charts
    }
}

/// A figure in three digits or so.
fn show(value: f64) -> String {
    let digits = match value.abs() {
        small if small < 10.0 => 2,
        middle if middle < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_shows_the_median_of_each_size_and_groups_its_charts() {
        const MEASURES: [Measure; 3] = [
            Measure {
                name: "CPU µs",
                chart: Some("Cost"),
                unit: "µs",
                log: false,
            },
            Measure {
                name: "user µs",
                chart: Some("Cost"),
                unit: "µs",
                log: false,
            },
            Measure {
                name: "MiB",
                chart: None,
                unit: "MiB",
                log: false,
            },
        ];
        let mut family = Family {
            title: "Idle",
            method: "So.".to_owned(),
            grows: "connections",
            measures: &MEASURES,
            samples: BTreeMap::new(),
        };
        let mut round = 0.0;
        family
            .fill(&[10, 100], 3, |size| {
                round += 1.0;
                Ok(vec![size as f64 + round, 1.0, 2.0])
            })
            .unwrap();
        let text = family.markdown();
        assert!(text.contains("| 10 | 13.0 | 1.00 | 2.00 |"), "{text}");
        let charts = family.charts();
        assert_eq!(charts.len(), 1);
        assert_eq!(charts[0].series[0].1, [(10.0, 13.0), (100.0, 104.0)]);
        assert_eq!(charts[0].series[1].0, "user µs");
    }
}
