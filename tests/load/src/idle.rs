//! `idle`: the memory that a connection which says nothing costs the server.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde::Serialize;

use crate::fleet::{Event, Fleet};
use crate::measure::Watched;
use crate::payload::{Mark, Template};
use crate::report::note;
use crate::{Target, report};

/// Bytes of the one message of --then-echo.
const ECHO_SIZE: usize = 1024;

/// Echoes under way at once: few, so that buffers the server shares are not counted as the connections'.
const ECHOING: usize = 64;

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The server, as ws://127.0.0.1:8080/path.
    #[arg(long)]
    pub url: Target,
    /// Connections.
    #[arg(long, default_value_t = 10_000)]
    pub connections: usize,
    /// Afterwards, echo one message of 1 KiB on each and measure again.
    #[arg(long)]
    pub then_echo: bool,
    /// Seconds of silence before each measurement.
    #[arg(long, default_value_t = 0.5)]
    pub rest: f64,
    /// Seconds that connecting, and echoing, may take.
    #[arg(long, default_value_t = 60.0)]
    pub connect_seconds: f64,
    /// The server's process.
    #[command(flatten)]
    pub watched: Watched,
}

/// Resident memory of the server at one moment.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sample {
    /// Open connections.
    pub connections: usize,
    /// Resident bytes.
    pub rss_bytes: u64,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// With no connection, a quarter, half and all.
    pub samples: Vec<Sample>,
    /// Bytes a connection, the slope from a quarter on: what a server sets up for its first connections is left out.
    pub bytes_per_connection: f64,
    /// The slope over all samples.
    pub bytes_per_connection_from_zero: f64,
    /// Resident bytes after the echoes.
    pub rss_after_echo_bytes: Option<u64>,
    /// Bytes a connection after the echoes, against the sample without connections.
    pub bytes_per_connection_after_echo: Option<f64>,
    /// Echoes that were not the message sent.
    pub wrong: u64,
    /// Connections that did not close as they should.
    pub unclean_closes: usize,
}

impl report::Report for Report {
    fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        note(
            &mut failures,
            self.wrong,
            "echoes were not the message sent",
        );
        note(
            &mut failures,
            self.unclean_closes as u64,
            "connections did not close as they should",
        );
        failures
    }
}

/// Runs the workload.
///
/// # Errors
/// When no --pid is given, or a connection cannot be opened or ends.
pub fn run(options: &Options) -> Result<Report> {
    ensure!(
        options.connections >= 4,
        "--connections must be 4 or more: memory is read at a quarter, half and all"
    );
    let processes = options.watched.required()?;
    let within = Duration::from_secs_f64(options.connect_seconds);
    let rest = Duration::from_secs_f64(options.rest);
    let mut fleet = Fleet::new()?;
    let mut samples = vec![Sample {
        connections: 0,
        rss_bytes: processes.rss_bytes()?,
    }];
    for stage in [
        options.connections / 4,
        options.connections / 2,
        options.connections,
    ] {
        let more = stage - fleet.live();
        fleet.connect_all(std::iter::repeat_n(&options.url, more), within)?;
        fleet.rest(rest)?;
        samples.push(Sample {
            connections: stage,
            rss_bytes: processes.rss_bytes()?,
        });
    }
    let (wrong, after) = if options.then_echo {
        let wrong = echo_each(&mut fleet, options.connections, within)?;
        fleet.rest(rest)?;
        (wrong, Some(processes.rss_bytes()?))
    } else {
        (0, None)
    };
    let unclean = fleet.close_all(Duration::from_secs(30))?;
    let empty = samples[0].rss_bytes as f64;
    let each = |rss: u64| ((rss as f64 - empty) / options.connections as f64).round();
    Ok(Report {
        bytes_per_connection: slope(&samples[1..]).round(),
        bytes_per_connection_from_zero: slope(&samples).round(),
        rss_after_echo_bytes: after,
        bytes_per_connection_after_echo: after.map(each),
        wrong,
        unclean_closes: unclean.len(),
        samples,
    })
}

/// Echoes one message on every connection, a few at a time; returns how many answers were wrong.
fn echo_each(fleet: &mut Fleet, connections: usize, within: Duration) -> Result<u64> {
    let template = Template::new(ECHO_SIZE)?;
    let deadline = Instant::now() + within;
    let (mut sent, mut answered, mut wrong) = (0, 0, 0);
    let mut bytes = Vec::new();
    while answered < connections {
        while sent < connections && sent - answered < ECHOING {
            bytes.clear();
            let mark = Mark {
                sender: sent,
                number: 0,
            };
            template.push(&mut bytes, mark);
            fleet.send(sent, &bytes);
            sent += 1;
        }
        let mut ended = None;
        fleet.turn(Duration::from_millis(50), |arrival, _| {
            match arrival.event {
                Event::Opened => {}
                Event::Message(frame) => {
                    answered += 1;
                    let mark = template.read(frame.payload);
                    wrong += u64::from(mark.map(|mark| mark.sender) != Some(arrival.id));
                }
                Event::Ended(end) => ended = Some(end),
            }
        })?;
        if let Some(end) = ended {
            bail!("a connection ended while it should have echoed: {end:?}");
        }
        ensure!(
            Instant::now() < deadline,
            "only {answered} of {connections} echoes came within {within:?}; does the path echo?"
        );
    }
    Ok(wrong)
}

/// Bytes a connection by least squares.
fn slope(samples: &[Sample]) -> f64 {
    let points = samples
        .iter()
        .map(|sample| (sample.connections as f64, sample.rss_bytes as f64));
    least_squares(points)
}

/// The slope of the line that fits `points` best.
pub(crate) fn least_squares(points: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let count = points.clone().count().max(1) as f64;
    let (sum_x, sum_y) = points
        .clone()
        .fold((0.0, 0.0), |(a, b), (x, y)| (a + x, b + y));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let (mut over, mut under) = (0.0, 0.0);
    for (x, y) in points {
        over += (x - mean_x) * (y - mean_y);
        under += (x - mean_x) * (x - mean_x);
    }
    if under == 0.0 { 0.0 } else { over / under }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_the_cost_of_one_more_connection() {
        let sample = |connections: usize, rss_bytes: u64| Sample {
            connections,
            rss_bytes,
        };
        let samples = [sample(0, 5_000), sample(10, 105_000), sample(20, 205_000)];
        assert!((slope(&samples) - 10_000.0).abs() < 1e-6);
        assert!(slope(&samples[..1]).abs() < 1e-6);
    }
}
