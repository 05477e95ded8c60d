//! What workloads of messages have in common: they send, count what comes, are measured for a while, and wait for the rest.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::fleet::{Arrival, End, Fleet, Reply};
use crate::histogram::{Histogram, Summary};
use crate::measure::{Cost, Meter, Span, Step, Watched};
use crate::report::note;

/// The longest wait for an event, so that the clock is looked at.
pub(crate) const WAIT: Duration = Duration::from_millis(50);

/// How long what was sent may take to arrive after the end.
const DRAINED_WITHIN: Duration = Duration::from_secs(2);

/// Messages over the connections of a fleet.
pub(crate) trait Workload {
    /// Sends what is due now; the answer is how long nothing will be, at most [`WAIT`].
    fn send(&mut self, fleet: &mut Fleet) -> Duration;

    /// Takes what happened on a connection.
    fn on(&mut self, arrival: Arrival<'_>, reply: &mut Reply);

    /// The counts of the measured time.
    fn tally(&mut self) -> &mut Tally;

    /// The measured time begins: counts beside the tally start anew.
    fn begin(&mut self) {}

    /// The measured time is over: answers call forth nothing more.
    fn stop(&mut self) {}

    /// Messages sent that have not come.
    fn missing(&self) -> u64;
}

/// What a workload counts.
#[derive(Default)]
pub(crate) struct Tally {
    /// What costs are divided by.
    pub(crate) items: u64,
    /// How long each took; `--messages` counts these.
    pub(crate) latency: Histogram,
    /// Messages that carried none of ours.
    pub(crate) skipped: u64,
    /// Messages that should not have come, or not so.
    pub(crate) wrong: u64,
    /// Connections that ended.
    pub(crate) dropped: Vec<String>,
}

/// What a run brought.
pub(crate) struct Measured {
    pub(crate) items: u64,
    pub(crate) cost: Cost,
    pub(crate) latency: Summary,
    pub(crate) skipped: u64,
    pub(crate) wrong: u64,
    pub(crate) lost: u64,
    pub(crate) dropped: Vec<String>,
}

impl Tally {
    /// Notes the end of a connection that should have stayed.
    pub(crate) fn drop(&mut self, id: usize, end: &End) {
        self.dropped.push(format!("connection {id} ended: {end:?}"));
    }
}

/// Runs `workload` on connected clients: warm-up, measured time, and what was under way.
pub(crate) fn measure(
    workload: &mut impl Workload,
    fleet: &mut Fleet,
    span: &Span,
    watched: &Watched,
) -> Result<Measured> {
    let mut progress = span.begin();
    let mut meter: Option<Meter> = None;
    loop {
        let wait = workload.send(fleet);
        fleet.turn(wait, |arrival, reply| workload.on(arrival, reply))?;
        match progress.step(workload.tally().latency.count()) {
            Step::Begin => {
                let tally = workload.tally();
                tally.items = 0;
                tally.latency.clear();
                workload.begin();
                meter = Some(watched.meter()?);
            }
            Step::Over => break,
            Step::WarmingUp | Step::Measuring => {}
        }
    }
    let items = workload.tally().items;
    let cost = meter
        .context("the run ended before its measured time began")?
        .finish(items)?;
    let latency = workload.tally().latency.summary();
    workload.stop();
    let deadline = Instant::now() + DRAINED_WITHIN;
    while workload.missing() > 0 && Instant::now() < deadline && fleet.live() > 0 {
        fleet.turn(WAIT, |arrival, reply| workload.on(arrival, reply))?;
    }
    let lost = workload.missing();
    let tally = std::mem::take(workload.tally());
    Ok(Measured {
        items,
        cost,
        latency,
        skipped: tally.skipped,
        wrong: tally.wrong,
        lost,
        dropped: tally.dropped,
    })
}

/// Sentences on what every workload may find: ends, wrong messages (`wrong` says of what kind), lost ones (`lost`).
pub(crate) fn failures(
    dropped: &[String],
    (count, wrong): (u64, &str),
    (missing, lost): (u64, &str),
) -> Vec<String> {
    let mut failures = dropped.to_vec();
    note(&mut failures, count, wrong);
    note(&mut failures, missing, lost);
    failures
}

/// The sentence on messages that were none of ours, where a run does not pass over them.
pub(crate) fn note_skipped(failures: &mut Vec<String>, skipped: u64, skip_texts: bool) {
    if !skip_texts {
        let what = "messages were none of ours; --skip-texts passes over them";
        note(failures, skipped, what);
    }
}
