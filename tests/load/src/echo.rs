//! `echo`: every message must come back unchanged, in order.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;
use tidegate_codec::Opcode;

use crate::fleet::{Arrival, Event, Fleet, Reply};
use crate::frame::Frame;
use crate::histogram::{Histogram, Summary};
use crate::measure::{Cost, Span, Watched};
use crate::pace::Pace;
use crate::payload::{Mark, Template};
use crate::report::note;
use crate::workload::{self, Tally, Workload};
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
        let mut failures = workload::failures(
            &self.dropped,
            (self.wrong, "answers were not the message sent"),
            (self.lost, "messages were not answered"),
        );
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
    /// The clock of an open loop; without one, an answer calls forth the next message.
    clock: Option<Clock>,
    begun: bool,
    stopping: bool,
    tally: Tally,
}

/// When an open loop sends, connections in turn.
struct Clock {
    pace: Pace,
    turn: usize,
    withheld: u64,
    lateness: Histogram,
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
    let measured = workload::measure(&mut flows, &mut fleet, &options.span, &options.watched)?;
    let clock = flows.clock.as_ref();
    Ok(Report {
        messages: measured.items,
        cost: measured.cost,
        latency: measured.latency,
        lateness: clock.map(|clock| clock.lateness.summary()),
        withheld: clock.map_or(0, |clock| clock.withheld),
        wrong: measured.wrong,
        lost: measured.lost,
        dropped: measured.dropped,
    })
}

impl Flows {
    fn new(options: &Options) -> Result<Self> {
        ensure!(
            options.connections > 0,
            "--connections 0 has nothing to measure: use 1 or more"
        );
        let default_depth = options.rate.map_or(1, |_| OPEN_LOOP_DEPTH);
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
            clock: options.rate.map(Clock::new),
            begun: false,
            stopping: false,
            tally: Tally::default(),
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

    fn on_message(&mut self, id: usize, at: Instant, frame: Frame<'_>, reply: &mut Reply) {
        let flow = &mut self.flows[id];
        let expected = Mark {
            sender: id,
            number: flow.answered,
        };
        if flow.answered == flow.sent {
            self.tally.wrong += 1;
            return;
        }
        if frame.opcode != Opcode::Text || self.template.read(frame.payload) != Some(expected) {
            self.tally.wrong += 1;
        }
        let slot = (flow.answered % self.depth as u64) as usize;
        let took = at.saturating_duration_since(flow.sent_at[slot]);
        flow.answered += 1;
        self.tally.latency.record(took);
        self.tally.items += 1;
        if self.clock.is_none() && !self.stopping {
            self.push(id, at, &mut reply.bytes);
        }
    }

    /// Sends what is due by the clock and returns the time until the next.
    fn send_due(&mut self, clock: &mut Clock, fleet: &mut Fleet) -> Duration {
        let now = Instant::now();
        let mut bytes = Vec::new();
        while let Some(due) = clock.pace.due(now) {
            let id = clock.turn % self.flows.len();
            clock.turn += 1;
            let flow = &self.flows[id];
            if flow.sent - flow.answered == self.depth as u64 {
                clock.withheld += 1;
                continue;
            }
            clock.lateness.record(now.saturating_duration_since(due));
            bytes.clear();
            self.push(id, Instant::now(), &mut bytes);
            fleet.send(id, &bytes);
        }
        clock.pace.wait()
    }
}

impl Workload for Flows {
    fn send(&mut self, fleet: &mut Fleet) -> Duration {
        if let Some(mut clock) = self.clock.take() {
            let wait = self.send_due(&mut clock, fleet);
            self.clock = Some(clock);
            return wait;
        }
        if !self.begun {
            self.begun = true;
            self.fill(fleet);
        }
        workload::WAIT
    }

    fn on(&mut self, arrival: Arrival<'_>, reply: &mut Reply) {
        match arrival.event {
            Event::Opened => {}
            Event::Message(frame) => self.on_message(arrival.id, arrival.at, frame, reply),
            Event::Ended(end) => self.tally.drop(arrival.id, &end),
        }
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn begin(&mut self) {
        if let Some(clock) = &mut self.clock {
            clock.withheld = 0;
            clock.lateness.clear();
        }
    }

    fn stop(&mut self) {
        self.stopping = true;
    }

    fn missing(&self) -> u64 {
        let unanswered = self.flows.iter().map(|flow| flow.sent - flow.answered);
        unanswered.sum()
    }
}

impl Clock {
    fn new(rate: f64) -> Self {
        Self {
            pace: Pace::new(rate, Instant::now()),
            turn: 0,
            withheld: 0,
            lateness: Histogram::default(),
        }
    }
}
