//! The black-box swap checker: clients whose numbered messages must all be answered, once and in order, by generations that
//! only go forward, while the handler behind them is replaced again and again.
//!
//! The handler answers "GENERATION MESSAGE". What is checked, and by which count of the [`Report`], stands there.

mod arguments;
mod clients;
mod ledger;
mod schedule;
mod trigger;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

pub use self::arguments::Arguments;
use self::clients::Clients;
use self::schedule::{Board, Plan, Tally};
pub use self::trigger::{Files, Order, Outcome, Trigger, Write, admin};
use crate::fleet::Fleet;
use crate::histogram::Summary;
use crate::metrics::{Audit, Findings};
use crate::report::note;
use crate::{Target, report};

/// What to run. [`Options::new`] fills in a short run; change what differs.
pub struct Options {
    /// The path whose handler answers "GENERATION MESSAGE".
    pub target: Target,
    /// Makes one swap and says what came of it.
    pub trigger: Trigger,
    /// Connections.
    pub connections: usize,
    /// Messages a second in all, sent by the clock whatever the answers do.
    pub rate: f64,
    /// How long; longer only if the swaps do not get done.
    pub time: Duration,
    /// Bytes of a message.
    pub size: usize,
    /// Swaps, evenly spread over the time.
    pub swaps: u32,
    /// Swaps in between that must be refused.
    pub bad_swaps: u32,
    /// An answer counts as inside a swap if its message was under way up to this long after the swap was triggered, or until
    /// the trigger returned.
    pub window: Duration,
    /// How long the last answers, and the closing of the connections, may take.
    pub grace: Duration,
    /// How long connecting may take.
    pub connect_within: Duration,
    /// The server's own counts of opens and closes, checked afterwards.
    pub audit: Option<Audit>,
}

/// What came of it. Every count but those of what was asked for should be 0.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Connections.
    pub connections: usize,
    /// Messages sent.
    pub sent: u64,
    /// Right answers.
    pub answered: u64,
    /// Swaps asked for.
    pub swaps_asked: u32,
    /// Swaps that took place.
    pub swaps: u32,
    /// Bad swaps asked for.
    pub bad_swaps_asked: u32,
    /// Bad swaps that were refused, as they must be.
    pub bad_swaps_refused: u32,
    /// Swaps that failed, bad ones that were accepted, and those there was no time for.
    pub swap_failures: Vec<String>,
    /// Connections that ended before we closed them.
    pub drops: u64,
    /// Messages never answered.
    pub lost: u64,
    /// Messages answered twice.
    pub duplicated: u64,
    /// Answers that came after the answer to a later message.
    pub reordered: u64,
    /// Answers by an older generation than the answer before, on the same connection.
    pub backwards: u64,
    /// Answers by an older generation than was in place when the message was sent.
    pub stale: u64,
    /// Answers that are none to any message sent on that connection.
    pub wrong: u64,
    /// Messages not sent because a connection had too many unanswered: the server did not keep up.
    pub withheld: u64,
    /// Connections whose close frame was not answered as it should be.
    pub unclean_closes: u64,
    /// Connections the server takes for alive after all have closed, if there was an audit.
    pub zombies: Option<i64>,
    /// The audit's numbers.
    pub audit: Option<Findings>,
    /// The first faults, in words.
    pub first_faults: Vec<String>,
    /// The newest generation that answered.
    pub newest_generation: u64,
    /// Generations that answered.
    pub generations: usize,
    /// Answer times inside swaps.
    pub inside: Summary,
    /// Answer times outside.
    pub outside: Summary,
    /// From trigger to its return.
    pub swap_time: Summary,
    /// How late the generator itself sent.
    pub lateness: Summary,
}

impl Options {
    /// A run of ten seconds: 100 connections, 1,000 messages a second, 20 swaps by `trigger`, no audit.
    #[must_use]
    pub fn new(target: Target, trigger: Trigger) -> Self {
        Self {
            target,
            trigger,
            connections: 100,
            rate: 1000.0,
            time: Duration::from_secs(10),
            size: 32,
            swaps: 20,
            bad_swaps: 0,
            window: Duration::from_millis(100),
            grace: Duration::from_secs(5),
            connect_within: Duration::from_secs(60),
            audit: None,
        }
    }
}

impl Report {
    /// Whether nothing was at fault.
    #[must_use]
    pub fn passed(&self) -> bool {
        report::Report::failures(self).is_empty()
    }
}

impl report::Report for Report {
    fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        note(&mut failures, self.drops, "connections were dropped");
        note(&mut failures, self.lost, "messages were lost");
        note(&mut failures, self.duplicated, "answers were duplicated");
        note(&mut failures, self.reordered, "answers were reordered");
        note(
            &mut failures,
            self.backwards,
            "answers went back to an older generation",
        );
        note(
            &mut failures,
            self.stale,
            "messages sent after a swap were answered by a generation before it",
        );
        note(&mut failures, self.wrong, "answers had the wrong content");
        note(
            &mut failures,
            self.unclean_closes,
            "connections did not close as they should",
        );
        note(
            &mut failures,
            self.zombies.unwrap_or(0).unsigned_abs(),
            "connections are zombies",
        );
        note(
            &mut failures,
            u64::from(self.answered == 0),
            "run without a single answer",
        );
        failures.extend(self.swap_failures.iter().cloned());
        failures.extend(self.first_faults.iter().cloned());
        failures
    }
}

/// Runs the check. It blocks until the trigger has returned from its last call.
///
/// # Errors
/// When the connections cannot be opened or the metrics not be read. Faults of the server are in the report.
pub fn run(options: Options) -> Result<Report> {
    ensure!(
        options.connections > 0,
        "a swap check needs at least one connection"
    );
    ensure!(options.rate > 0.0, "a swap check needs a rate above 0");
    let audit = match &options.audit {
        Some(audit) => Some((audit.clone(), audit.before()?)),
        None => None,
    };
    let mut fleet = Fleet::new()?;
    let targets = std::iter::repeat_n(&options.target, options.connections);
    fleet.connect_all(targets, options.connect_within)?;

    let board = Board::new(options.window);
    let mut clients = Clients::new(&options, &board)?;
    let plan = Plan {
        time: options.time,
        swaps: options.swaps,
        bad: options.bad_swaps,
    };
    let mut trigger = options.trigger;
    let tally = std::thread::scope(|scope| {
        let driver = scope.spawn(|| plan.drive(&mut trigger, &board));
        let ran = clients.run(&mut fleet, options.time, options.grace);
        // The scope waits for the driver: whatever became of the clients, it must stop.
        board.stop();
        let tally = driver
            .join()
            .map_err(|_| anyhow::anyhow!("the trigger panicked"));
        ran.and(tally)
    })?;

    clients.stop();
    let unclean = fleet.close_all(options.grace)?;
    let findings = match audit {
        Some((audit, before)) => Some(
            audit
                .after(before, options.connections)
                .context("failed to audit the server's counts")?,
        ),
        None => None,
    };
    let mut report = clients.report(&plan, &tally);
    report.unclean_closes = unclean.len() as u64;
    report.first_faults.extend(unclean.into_iter().take(5));
    report.zombies = findings.map(|findings| findings.zombies);
    report.audit = findings;
    Ok(report)
}

impl Clients<'_> {
    fn report(&self, plan: &Plan, tally: &Tally) -> Report {
        let counts = &self.counts;
        let mut swap_failures = tally.failures.clone();
        if self.newest < tally.in_place {
            swap_failures.push(format!(
                "generation {} was put in place, but the newest that answered is {}",
                tally.in_place, self.newest
            ));
        }
        Report {
            connections: self.connections(),
            sent: counts.sent,
            answered: counts.answered,
            swaps_asked: plan.swaps,
            swaps: tally.swaps,
            bad_swaps_asked: plan.bad,
            bad_swaps_refused: tally.refused,
            swap_failures,
            drops: counts.drops,
            lost: counts.lost,
            duplicated: counts.duplicated,
            reordered: counts.reordered,
            backwards: counts.backwards,
            stale: counts.stale,
            wrong: counts.wrong,
            withheld: counts.withheld,
            unclean_closes: 0,
            zombies: None,
            audit: None,
            first_faults: self.faults.clone(),
            newest_generation: self.newest,
            generations: self.generations.len(),
            inside: self.inside.summary(),
            outside: self.outside.summary(),
            swap_time: tally.time.summary(),
            lateness: self.lateness.summary(),
        }
    }
}
