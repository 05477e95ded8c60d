//! `chat`: rooms in which every member publishes. A member sends its next message once it has got as many deliveries as
//! a round of all others brings, so that no room runs ahead of its slowest member.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::fleet::{Arrival, Event, Fleet, Reply};
use crate::histogram::Summary;
use crate::measure::{Cost, Span, Watched};
use crate::payload::{Mark, Template};
use crate::report::note;
use crate::workload::{self, Tally, Workload};
use crate::{Target, report};

/// Send times kept per member, a power of two; nobody can be that many rounds ahead of a delivery.
const ROUNDS_KEPT: usize = 64;

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where members connect; {room} becomes the room's number, as in ws://127.0.0.1:8080/rooms/{room}.
    #[arg(long)]
    pub url: Target,
    /// Rooms.
    #[arg(long, default_value_t = 32)]
    pub rooms: usize,
    /// Members of each room.
    #[arg(long, default_value_t = 32)]
    pub members: usize,
    /// Bytes of a message.
    #[arg(long, default_value_t = 64)]
    pub size: usize,
    /// The server delivers a message to its sender as well.
    #[arg(long)]
    pub to_self: bool,
    /// Pass over messages that carry none of ours (join notices and the like) instead of calling them wrong.
    #[arg(long)]
    pub skip_texts: bool,
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
    /// Deliveries in the measured time.
    pub deliveries: u64,
    /// Rates and CPU, per delivery.
    pub cost: Cost,
    /// From a message's send to each of its deliveries.
    pub latency: Summary,
    /// Messages that carried none of ours.
    pub skipped: u64,
    /// Deliveries that were repeated, out of order, in a wrong room or of a message never sent.
    pub wrong: u64,
    /// Deliveries that had not come two seconds after the end.
    pub lost: u64,
    /// Connections that ended.
    pub dropped: Vec<String>,
    #[serde(skip)]
    skip_texts: bool,
}

impl report::Report for Report {
    fn failures(&self) -> Vec<String> {
        let mut failures = workload::failures(
            &self.dropped,
            (
                self.wrong,
                "deliveries were repeated, out of order, misdirected or made up",
            ),
            (self.lost, "deliveries did not come"),
        );
        note(
            &mut failures,
            u64::from(self.deliveries == 0),
            "run without any delivery",
        );
        workload::note_skipped(&mut failures, self.skipped, self.skip_texts);
        failures
    }
}

struct Member {
    sent: u64,
    received: u64,
    sent_at: [Instant; ROUNDS_KEPT],
}

struct Rooms {
    members: Vec<Member>,
    room_size: usize,
    /// Deliveries of one round to one member.
    round: u64,
    /// The number `receiver` must get next from the `n`-th member of its room, at `receiver * room_size + n`.
    expected: Vec<u64>,
    to_self: bool,
    template: Template,
    begun: bool,
    stopping: bool,
    tally: Tally,
}

/// Runs the workload.
///
/// # Errors
/// When the options make no sense or the connections cannot be opened. Lost deliveries are in the report.
pub fn run(options: &Options) -> Result<Report> {
    let mut rooms = Rooms::new(options)?;
    let mut fleet = Fleet::new()?;
    let targets: Vec<Target> = (0..options.rooms)
        .map(|room| options.url.with("room", &room.to_string()))
        .flat_map(|target| std::iter::repeat_n(target, options.members))
        .collect();
    fleet.connect_all(&targets, options.span.connect_within())?;
    fleet.settle(Duration::from_millis(200), Duration::from_secs(20))?;

    let measured = workload::measure(&mut rooms, &mut fleet, &options.span, &options.watched)?;
    Ok(Report {
        deliveries: measured.items,
        cost: measured.cost,
        latency: measured.latency,
        skipped: measured.skipped,
        wrong: measured.wrong,
        lost: measured.lost,
        dropped: measured.dropped,
        skip_texts: options.skip_texts,
    })
}

impl Rooms {
    fn new(options: &Options) -> Result<Self> {
        let Options { rooms, members, .. } = *options;
        ensure!(rooms > 0, "--rooms 0 has nothing to measure: use 1 or more");
        ensure!(
            members > 1,
            "--members {members} leaves nobody to deliver to: use 2 or more"
        );
        ensure!(
            rooms == 1 || options.url.resource().contains("{room}"),
            "with {rooms} rooms the --url needs {{room}} where the room's number goes"
        );
        let member = || Member {
            sent: 0,
            received: 0,
            sent_at: [Instant::now(); ROUNDS_KEPT],
        };
        Ok(Self {
            members: std::iter::repeat_with(member)
                .take(rooms * members)
                .collect(),
            room_size: members,
            round: (members - usize::from(!options.to_self)) as u64,
            expected: vec![0; rooms * members * members],
            to_self: options.to_self,
            template: Template::new(options.size)?,
            begun: false,
            stopping: false,
            tally: Tally::default(),
        })
    }

    /// Appends the next message of `id`.
    fn push(&mut self, id: usize, now: Instant, bytes: &mut Vec<u8>) {
        let member = &mut self.members[id];
        member.sent_at[member.sent as usize % ROUNDS_KEPT] = now;
        let mark = Mark {
            sender: id,
            number: member.sent,
        };
        member.sent += 1;
        self.template.push(bytes, mark);
    }

    fn on_delivery(&mut self, id: usize, at: Instant, mark: Mark, reply: &mut Reply) {
        let size = self.room_size;
        let own = mark.sender == id && !self.to_self;
        if mark.sender / size != id / size || own {
            self.tally.wrong += 1;
            return;
        }
        let expected = &mut self.expected[id * size + mark.sender % size];
        let sender = &self.members[mark.sender];
        if mark.number != *expected || mark.number >= sender.sent {
            self.tally.wrong += 1;
            return;
        }
        *expected += 1;
        let sent_at = sender.sent_at[mark.number as usize % ROUNDS_KEPT];
        let took = at.saturating_duration_since(sent_at);
        self.tally.latency.record(took);
        self.tally.items += 1;
        let member = &mut self.members[id];
        member.received += 1;
        // Each of ours must be matched by a round from the others.
        if !self.stopping && member.received >= member.sent * self.round {
            self.push(id, at, &mut reply.bytes);
        }
    }
}

impl Workload for Rooms {
    fn send(&mut self, fleet: &mut Fleet) -> Duration {
        // All but the first messages are called forth by deliveries.
        let first = if self.begun { 0 } else { self.members.len() };
        self.begun = true;
        let mut bytes = Vec::new();
        for id in 0..first {
            bytes.clear();
            self.push(id, Instant::now(), &mut bytes);
            fleet.send(id, &bytes);
        }
        workload::WAIT
    }

    fn on(&mut self, arrival: Arrival<'_>, reply: &mut Reply) {
        match arrival.event {
            Event::Opened => {}
            Event::Message(frame) => match self.template.find(frame.payload) {
                Some(mark) => self.on_delivery(arrival.id, arrival.at, mark, reply),
                None => self.tally.skipped += 1,
            },
            Event::Ended(end) => self.tally.drop(arrival.id, &end),
        }
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn stop(&mut self) {
        self.stopping = true;
    }

    fn missing(&self) -> u64 {
        let sent: u64 = self.members.iter().map(|member| member.sent).sum();
        let received: u64 = self.members.iter().map(|member| member.received).sum();
        (sent * self.round).saturating_sub(received)
    }
}
