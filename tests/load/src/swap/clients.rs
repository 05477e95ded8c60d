//! The clients of a swap check: they send by the clock and judge every answer.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Result;
use tidegate_codec::Opcode;

use super::Options;
use super::ledger::{Answer, Ledger, Sent};
use super::schedule::Board;
use crate::fleet::{Arrival, End, Event, Fleet};
use crate::frame::Frame;
use crate::histogram::Histogram;
use crate::pace::Pace;
use crate::payload::{self, Mark, Template};

/// Unanswered messages a connection may have before it sends no more.
const UNANSWERED_LIMIT: usize = 10_000;

/// Faults kept in words.
const FAULTS_KEPT: usize = 10;

/// What happened, by kind; the fields are those of the report.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) sent: u64,
    pub(super) answered: u64,
    pub(super) drops: u64,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) reordered: u64,
    pub(super) backwards: u64,
    pub(super) stale: u64,
    pub(super) wrong: u64,
    pub(super) withheld: u64,
}

pub(super) struct Clients<'a> {
    board: &'a Board,
    ledgers: Vec<Ledger>,
    template: Template,
    rate: f64,
    turn: usize,
    bytes: Vec<u8>,
    pub(super) newest: u64,
    pub(super) generations: BTreeSet<u64>,
    pub(super) counts: Counts,
    pub(super) faults: Vec<String>,
    pub(super) inside: Histogram,
    pub(super) outside: Histogram,
    pub(super) lateness: Histogram,
}

impl<'a> Clients<'a> {
    pub(super) fn new(options: &Options, board: &'a Board) -> Result<Self> {
        let ledgers = std::iter::repeat_with(Ledger::default);
        Ok(Self {
            board,
            ledgers: ledgers.take(options.connections).collect(),
            template: Template::new(options.size)?,
            rate: options.rate,
            turn: 0,
            bytes: Vec::new(),
            newest: 0,
            generations: BTreeSet::new(),
            counts: Counts::default(),
            faults: Vec::new(),
            inside: Histogram::default(),
            outside: Histogram::default(),
            lateness: Histogram::default(),
        })
    }

    pub(super) fn connections(&self) -> usize {
        self.ledgers.len()
    }

    /// Sends for `time`, and on until the swaps are done, but never for more than twice as long and `grace`; then waits up
    /// to `grace` for the last answers.
    pub(super) fn run(&mut self, fleet: &mut Fleet, time: Duration, grace: Duration) -> Result<()> {
        let start = Instant::now();
        let mut pace = Pace::new(self.rate, start);
        loop {
            let running = start.elapsed();
            let swaps_over = running >= time && self.board.is_over();
            if swaps_over || running > time * 2 + grace {
                break;
            }
            let wait = self.send_due(&mut pace, fleet);
            fleet.turn(wait, |arrival, _| self.on(arrival))?;
        }
        let deadline = Instant::now() + grace;
        while self.unanswered() > 0 && Instant::now() < deadline && fleet.live() > 0 {
            fleet.turn(Duration::from_millis(20), |arrival, _| self.on(arrival))?;
        }
        // What nobody waits for must not come either: a second answer, a socket that closes.
        let quiet = Instant::now() + Duration::from_millis(50);
        while Instant::now() < quiet {
            fleet.turn(Duration::from_millis(10), |arrival, _| self.on(arrival))?;
        }
        Ok(())
    }

    /// Takes what is unanswered for lost.
    pub(super) fn stop(&mut self) {
        self.counts.lost = self.unanswered();
        for (id, ledger) in self.ledgers.iter().enumerate() {
            let missing = ledger.unanswered();
            if missing > 0 && self.faults.len() < FAULTS_KEPT {
                self.faults.push(format!(
                    "connection {id}: {missing} messages without an answer"
                ));
            }
        }
    }

    fn unanswered(&self) -> u64 {
        self.ledgers
            .iter()
            .map(|ledger| ledger.unanswered() as u64)
            .sum()
    }

    /// Sends what is due, connections in turn, and returns the time until the next.
    fn send_due(&mut self, pace: &mut Pace, fleet: &mut Fleet) -> Duration {
        let now = Instant::now();
        while let Some(due) = pace.due(now) {
            let id = self.turn % self.ledgers.len();
            self.turn += 1;
            let ledger = &mut self.ledgers[id];
            if ledger.unanswered() >= UNANSWERED_LIMIT {
                self.counts.withheld += 1;
                continue;
            }
            self.lateness.record(now.saturating_duration_since(due));
            let mark = Mark {
                sender: id,
                number: ledger.next(),
            };
            self.bytes.clear();
            self.template.push(&mut self.bytes, mark);
            // Read before the clock and the write: a swap answered in between proves nothing about this message.
            let in_place = self.board.in_place();
            let at = self.board.nanos(Instant::now());
            ledger.send(Sent { at, in_place });
            self.counts.sent += 1;
            fleet.send(id, &self.bytes);
        }
        let wait = pace.next().saturating_duration_since(Instant::now());
        wait.min(Duration::from_millis(20))
    }

    fn on(&mut self, arrival: Arrival<'_>) {
        match arrival.event {
            Event::Opened => {}
            Event::Message(frame) => self.on_message(arrival.id, arrival.at, frame),
            Event::Ended(end) => self.on_end(arrival.id, &end),
        }
    }

    fn on_end(&mut self, id: usize, end: &End) {
        self.counts.drops += 1;
        self.fault(id, || format!("dropped: {end:?}"));
    }

    fn on_message(&mut self, id: usize, at: Instant, frame: Frame<'_>) {
        let text =
            || String::from_utf8_lossy(&frame.payload[..frame.payload.len().min(80)]).into_owned();
        let Some((generation, mark)) = self.read(id, frame) else {
            self.counts.wrong += 1;
            self.fault(id, || {
                format!("an answer to nothing sent there: {:?}", text())
            });
            return;
        };
        let backwards = self.ledgers[id].is_backwards(generation);
        if backwards {
            self.counts.backwards += 1;
            self.fault(id, || format!("generation {generation} after a newer one"));
        }
        self.note_generation(generation);
        let sent = match self.ledgers[id].answer(mark.number) {
            Answer::InTurn(sent) => sent,
            Answer::Late(sent) => {
                self.counts.reordered += 1;
                self.fault(id, || {
                    format!("message {} answered after a later one", mark.number)
                });
                sent
            }
            Answer::Again => {
                self.counts.duplicated += 1;
                self.fault(id, || format!("message {} answered twice", mark.number));
                return;
            }
            Answer::NeverSent => {
                self.counts.wrong += 1;
                self.fault(id, || {
                    format!("an answer to message {}, not sent yet", mark.number)
                });
                return;
            }
        };
        if generation < sent.in_place {
            self.counts.stale += 1;
            self.fault(id, || {
                let (number, in_place) = (mark.number, sent.in_place);
                format!("message {number} answered by generation {generation} when {in_place} was in place")
            });
        }
        self.counts.answered += 1;
        let took = Duration::from_nanos(self.board.nanos(at).saturating_sub(sent.at));
        if self.board.is_inside(sent.at) {
            self.inside.record(took);
        } else {
            self.outside.record(took);
        }
    }

    /// The generation and the message of an answer on `id`.
    fn read(&self, id: usize, frame: Frame<'_>) -> Option<(u64, Mark)> {
        if frame.opcode != Opcode::Text {
            return None;
        }
        let blank = frame.payload.iter().position(|&byte| byte == b' ')?;
        let (generation, message) = frame.payload.split_at(blank);
        let mark = self.template.read(&message[1..])?;
        let generation = payload::read_digits(generation)?;
        (mark.sender == id).then_some((generation, mark))
    }

    fn note_generation(&mut self, generation: u64) {
        if generation != self.newest {
            self.generations.insert(generation);
            self.newest = self.newest.max(generation);
            self.board.saw(generation);
        }
    }

    fn fault(&mut self, id: usize, what: impl FnOnce() -> String) {
        if self.faults.len() < FAULTS_KEPT {
            self.faults.push(format!("connection {id}: {}", what()));
        }
    }
}
