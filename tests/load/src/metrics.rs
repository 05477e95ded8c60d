//! The audit: whether a server's own metrics say that every connection that opened has closed.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use crate::http;

/// The series of one metric: its name, and labels they must have; their values are summed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    name: String,
    labels: Vec<(String, String)>,
}

/// Where a server's metrics are and what they are called.
#[derive(Clone, Debug)]
pub struct Audit {
    /// The address of the HTTP side with the metrics.
    pub address: SocketAddr,
    /// The path there.
    pub path: String,
    /// Gauge of open connections.
    pub open: Series,
    /// Counter of connections that opened.
    pub opens: Series,
    /// Counter of connections that closed.
    pub closes: Series,
    /// How long the server may take until its counts are even.
    pub within: Duration,
}

/// The counts at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Open connections.
    pub open: i64,
    /// Connections that ever opened.
    pub opens: i64,
    /// Connections that ever closed.
    pub closes: i64,
}

/// What the audit found, as differences to the counts before the run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Findings {
    /// More connections open than before.
    pub still_open: i64,
    /// Connections that opened.
    pub opened: i64,
    /// Connections that closed.
    pub closed: i64,
    /// Connections of ours that were never counted as opened.
    pub uncounted: i64,
    /// Connections that the server takes for alive, or closed twice: 0 is right.
    pub zombies: i64,
}

impl Audit {
    /// The audit of Tidegate's own metrics at its admin address.
    #[must_use]
    pub fn tidegate(admin: SocketAddr) -> Self {
        let event = |event: &str| Series {
            name: "tidegate_events_total".to_owned(),
            labels: vec![("event".to_owned(), event.to_owned())],
        };
        Self {
            address: admin,
            path: "/metrics".to_owned(),
            open: Series {
                name: "tidegate_connections_open".to_owned(),
                labels: Vec::new(),
            },
            opens: event("open"),
            closes: event("close"),
            within: Duration::from_secs(5),
        }
    }

    /// The counts before a run. A series that does not exist yet counts 0.
    ///
    /// # Errors
    /// When the metrics cannot be read.
    pub fn before(&self) -> Result<Counts> {
        let text = self.fetch()?;
        Ok(Counts {
            open: self.open.sum(&text).unwrap_or(0),
            opens: self.opens.sum(&text).unwrap_or(0),
            closes: self.closes.sum(&text).unwrap_or(0),
        })
    }

    /// What became of `connections` that were opened and closed since `before`: waits until the counts are even, or for as
    /// long as the server may take.
    ///
    /// # Errors
    /// When the metrics cannot be read, or a series still does not exist: nothing would be checked.
    pub fn after(&self, before: Counts, connections: usize) -> Result<Findings> {
        let deadline = Instant::now() + self.within;
        let mut even_before = false;
        loop {
            let findings = Findings::new(before, self.counts()?, connections);
            let even = findings.zombies == 0;
            // Twice, because a close counted double makes the counts even once on the way.
            if even && even_before || Instant::now() >= deadline {
                return Ok(findings);
            }
            even_before = even;
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn counts(&self) -> Result<Counts> {
        let text = self.fetch()?;
        let of = |series: &Series| {
            series.sum(&text).with_context(|| {
                format!(
                    "{series:?} is not among the metrics at http://{}{}; name the right one",
                    self.address, self.path
                )
            })
        };
        Ok(Counts {
            open: of(&self.open)?,
            opens: of(&self.opens)?,
            closes: of(&self.closes)?,
        })
    }

    fn fetch(&self) -> Result<String> {
        let response = http::request(self.address, "GET", &self.path, Duration::from_secs(5))?;
        ensure!(
            response.is_success(),
            "the metrics at http://{}{} answered {}",
            self.address,
            self.path,
            response.status
        );
        Ok(response.body)
    }
}

impl Findings {
    fn new(before: Counts, after: Counts, connections: usize) -> Self {
        let still_open = after.open - before.open;
        let opened = after.opens - before.opens;
        let closed = after.closes - before.closes;
        // More opens than connections is right for a chain of plugins: each gets the event.
        let uncounted = (connections as i64 - opened).max(0);
        Self {
            still_open,
            opened,
            closed,
            uncounted,
            zombies: (opened - closed).abs().max(still_open.abs()) + uncounted,
        }
    }
}

impl FromStr for Series {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some((name, rest)) = text.split_once('{') else {
            return Ok(Self {
                name: text.trim().to_owned(),
                labels: Vec::new(),
            });
        };
        let Some(inside) = rest.trim_end().strip_suffix('}') else {
            bail!("the series {text:?} lacks its closing brace: write name{{label=\"value\"}}");
        };
        let labels = labels(inside)
            .with_context(|| format!("the series {text:?} is not name{{label=\"value\"}}"))?;
        Ok(Self {
            name: name.trim().to_owned(),
            labels,
        })
    }
}

impl Series {
    /// The sum of the matching lines of `text`, none if there is no such line.
    #[must_use]
    pub fn sum(&self, text: &str) -> Option<i64> {
        let values = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| self.value(line));
        values
            .reduce(|sum, value| sum + value)
            .map(|sum| sum as i64)
    }

    fn value(&self, line: &str) -> Option<f64> {
        let rest = line.strip_prefix(self.name.as_str())?;
        let (found, value) = match rest.strip_prefix('{') {
            Some(rest) => {
                let (inside, value) = rest.rsplit_once('}')?;
                (labels(inside)?, value)
            }
            None => (Vec::new(), rest.strip_prefix(' ')?),
        };
        if !self.labels.iter().all(|label| found.contains(label)) {
            return None;
        }
        value.split_whitespace().next()?.parse().ok()
    }
}

/// The labels in `a="b",c="d"`.
fn labels(text: &str) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut rest = text.trim_matches([' ', ',']);
    while !rest.is_empty() {
        let (key, after) = rest.split_once("=\"")?;
        let end = (0..after.len()).find(|&at| {
            let escapes = after[..at]
                .bytes()
                .rev()
                .take_while(|&b| b == b'\\')
                .count();
            after.as_bytes()[at] == b'"' && escapes % 2 == 0
        })?;
        found.push((key.trim().to_owned(), after[..end].to_owned()));
        rest = after[end + 1..].trim_matches([' ', ',']);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP tidegate_events_total Events.\n\
        tidegate_events_total{event=\"open\",plugin=\"a,\\\"b}\"} 3\n\
        tidegate_events_total{plugin=\"c\",event=\"open\"} 4\n\
        tidegate_events_total{event=\"close\",plugin=\"c\"} 6\n\
        tidegate_connections_open 1\ntidegate_connections_opened 9\n# EOF\n";

    #[test]
    fn matching_series_are_summed() {
        let sum = |series: &str| series.parse::<Series>().unwrap().sum(TEXT);
        assert_eq!(sum("tidegate_events_total{event=\"open\"}"), Some(7));
        assert_eq!(sum("tidegate_events_total"), Some(13));
        assert_eq!(
            sum("tidegate_events_total{event=\"close\",plugin=\"c\"}"),
            Some(6)
        );
        assert_eq!(sum("tidegate_connections_open"), Some(1));
        assert_eq!(sum("tidegate_events_total{event=\"message\"}"), None);
        assert!("name{a=b}".parse::<Series>().is_err());
    }

    #[test]
    fn every_uneven_count_is_a_zombie() {
        let before = Counts {
            open: 2,
            opens: 10,
            closes: 8,
        };
        let zombies = |open, opens, closes| {
            let after = Counts {
                open,
                opens,
                closes,
            };
            Findings::new(before, after, 5).zombies
        };
        assert_eq!(zombies(2, 15, 13), 0);
        assert_eq!(zombies(2, 20, 18), 0);
        assert_eq!(zombies(3, 15, 13), 1);
        assert_eq!(zombies(2, 15, 12), 1);
        assert_eq!(zombies(2, 15, 14), 1);
        assert_eq!(zombies(2, 14, 12), 1);
    }
}
