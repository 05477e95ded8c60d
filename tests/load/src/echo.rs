//! `echo`: every message must come back unchanged, in order.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::fleet::{Arrival, Event, Fleet, Reply};
use crate::frame::{self, Frame};
use crate::histogram::{Histogram, Summary};
use crate::measure::{Cost, Span, Step, Watched};
use crate::pace::Pace;
use crate::payload::{Mark, Template};
use crate::report::note;
use crate::{Target, report};

/// Messages a connection may have unanswered in an open-loop run, if nothing else is said.
const OPEN_LOOP_DEPTH: usize = 1024;

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The server, as ws://127.0.0.1:8080/path.
    #[arg(long)]
    pub url: Target,
    /// Connections.
    #[arg(long, default_value_t = 64)]
    pub connections: usize,
    /// Unanswered messages per connection: 1 by default, the bound (1024) of a run with --rate.
    #[arg(long)]
    pub in_flight: Option<usize>,
    /// Bytes of a message.
    #[arg(long, default_value_t = 20)]
    pub size: usize,
    /// Send this many a second in all, whatever the answers do, instead of one for each answer.
    #[arg(long)]
    pub rate: Option<f64>,
    /// How long.
    #[command(flatten)]
    pub span: Span,
    /// The server's process.
    #[command(flatten)]
    pub watched: Watched,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Answers in the measured time.
    pub messages: u64,
    /// Rates and CPU, per message.
    pub cost: Cost,
    /// From send to answer.
    pub latency: Summary,
    /// Open loop: how late the generator itself sent.
    pub lateness: Option<Summary>,
    /// Open loop: messages not sent because a connection had its bound unanswered.
    pub withheld: u64,
    /// Answers that were not the message sent, or not its turn.
    pub wrong: u64,
    /// Messages without an answer two seconds after the end.
    pub lost: u64,
    /// Connections that ended.
    pub dropped: Vec<String>,
}

impl report::Report for Report {
    fn failures(&self) -> Vec<String> {
        let mut failures = self.dropped.clone();
        note(
            &mut failures,
            self.wrong,
            "answers were not the message sent",
        );
        note(&mut failures, self.lost, "messages were not answered");
        note(
            &mut failures,
            u64::from(self.messages == 0),
            "run without any answer",
        );
        failures
    }
}

/// The numbered messages of one connection.
struct Flow {
    sent: u64,
    answered: u64,
    /// When message `n` was sent, at `n % depth`.
    sent_at: Vec<Instant>,
}

struct Flows {
    flows: Vec<Flow>,
    template: Template,
    depth: usize,
    /// Whether an answer calls forth the next message.
    closed_loop: bool,
    latency: Histogram,
    answered: u64,
    wrong: u64,
    dropped: Vec<String>,
}

/// Runs the workload.
///
/// # Errors
/// When the options make no sense or the connections cannot be opened. Wrong answers are in the report.
pub fn run(options: &Options) -> Result<Report> {
    let mut flows = Flows::new(options)?;
    let mut fleet = Fleet::new()?;
    let targets = std::iter::repeat_n(&options.url, options.connections);
    fleet.connect_all(targets, options.span.connect_within())?;

    let mut sender = options.rate.map(OpenLoop::new);
    if flows.closed_loop {
        flows.fill(&mut fleet);
    }
    let mut progress = options.span.begin();
    let mut meter = None;
    loop {
        let timeout = match &mut sender {
            Some(sender) => sender.send_due(&mut flows, &mut fleet),
            None => Duration::from_millis(50),
        };
        fleet.turn(timeout, |arrival, reply| flows.on(arrival, reply))?;
        match progress.step(flows.answered) {
            Step::Begin => {
                flows.restart();
                meter = Some(options.watched.meter()?);
            }
            Step::Over => break,
            Step::WarmingUp | Step::Measuring => {}
        }
    }
    let messages = flows.answered;
    let cost = meter
        .context("the run ended before its measured time began")?
        .finish(messages)?;
    let latency = flows.latency.summary();
    flows.closed_loop = false;
    let drained_by = Instant::now() + Duration::from_secs(2);
    while flows.unanswered() > 0 && Instant::now() < drained_by && fleet.live() > 0 {
        fleet.turn(Duration::from_millis(50), |arrival, reply| {
            flows.on(arrival, reply);
        })?;
    }
    Ok(Report {
        messages,
        cost,
        latency,
        lateness: sender.as_ref().map(|sender| sender.lateness.summary()),
        withheld: sender.map_or(0, |sender| sender.withheld),
        wrong: flows.wrong,
        lost: flows.unanswered(),
        dropped: flows.dropped,
    })
}

impl Flows {
    fn new(options: &Options) -> Result<Self> {
        ensure!(
            options.connections > 0,
            "--connections 0 has nothing to measure: use 1 or more"
        );
        let closed_loop = options.rate.is_none();
        let default_depth = if closed_loop { 1 } else { OPEN_LOOP_DEPTH };
        let depth = options.in_flight.unwrap_or(default_depth);
        ensure!(depth > 0, "--in-flight 0 sends nothing: use 1 or more");
        let flow = || Flow {
            sent: 0,
            answered: 0,
            sent_at: vec![Instant::now(); depth],
        };
        Ok(Self {
            flows: std::iter::repeat_with(flow)
                .take(options.connections)
                .collect(),
            template: Template::new(options.size)?,
            depth,
            closed_loop,
            latency: Histogram::default(),
            answered: 0,
            wrong: 0,
            dropped: Vec::new(),
        })
    }

    /// Sends the first messages of a closed loop.
    fn fill(&mut self, fleet: &mut Fleet) {
        let now = Instant::now();
        let mut bytes = Vec::new();
        for id in 0..self.flows.len() {
            bytes.clear();
            for _ in 0..self.depth {
                self.push(id, now, &mut bytes);
            }
            fleet.send(id, &bytes);
        }
    }

    /// Appends the next message of `id`.
    fn push(&mut self, id: usize, now: Instant, bytes: &mut Vec<u8>) {
        let flow = &mut self.flows[id];
        let slot = (flow.sent % self.depth as u64) as usize;
        flow.sent_at[slot] = now;
        let mark = Mark {
            sender: id,
            number: flow.sent,
        };
        flow.sent += 1;
        self.template.push(bytes, mark);
    }

    fn on(&mut self, arrival: Arrival<'_>, reply: &mut Reply) {
        match arrival.event {
            Event::Opened => {}
            Event::Message(frame) => self.on_message(arrival.id, arrival.at, frame, reply),
            Event::Ended(end) => {
                self.dropped
                    .push(format!("connection {} ended: {end:?}", arrival.id));
            }
        }
    }

    fn on_message(&mut self, id: usize, at: Instant, frame: Frame<'_>, reply: &mut Reply) {
        let flow = &mut self.flows[id];
        let expected = Mark {
            sender: id,
            number: flow.answered,
        };
        if flow.answered == flow.sent {
            self.wrong += 1;
            return;
        }
        if frame.opcode != frame::TEXT || self.template.read(frame.payload) != Some(expected) {
            self.wrong += 1;
        }
        let slot = (flow.answered % self.depth as u64) as usize;
        self.latency
            .record(at.saturating_duration_since(flow.sent_at[slot]));
        flow.answered += 1;
        self.answered += 1;
        if self.closed_loop {
            self.push(id, at, &mut reply.bytes);
        }
    }

    fn restart(&mut self) {
        self.answered = 0;
        self.latency.clear();
    }

    fn unanswered(&self) -> u64 {
        self.flows
            .iter()
            .map(|flow| flow.sent - flow.answered)
            .sum()
    }
}

/// Sends by the clock, connections in turn.
struct OpenLoop {
    pace: Pace,
    turn: usize,
    withheld: u64,
    lateness: Histogram,
    bytes: Vec<u8>,
}

impl OpenLoop {
    fn new(rate: f64) -> Self {
        Self {
            pace: Pace::new(rate, Instant::now()),
            turn: 0,
            withheld: 0,
            lateness: Histogram::default(),
            bytes: Vec::new(),
        }
    }

    /// Sends what is due and returns the time until the next.
    fn send_due(&mut self, flows: &mut Flows, fleet: &mut Fleet) -> Duration {
        let now = Instant::now();
        while let Some(due) = self.pace.due(now) {
            let id = self.turn % flows.flows.len();
            self.turn += 1;
            let flow = &flows.flows[id];
            if flow.sent - flow.answered == flows.depth as u64 {
                self.withheld += 1;
                continue;
            }
            self.lateness.record(now.saturating_duration_since(due));
            self.bytes.clear();
            flows.push(id, Instant::now(), &mut self.bytes);
            fleet.send(id, &self.bytes);
        }
        let wait = self.pace.next().saturating_duration_since(Instant::now());
        wait.min(Duration::from_millis(50))
    }
}
