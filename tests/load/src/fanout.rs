//! `fanout`: one connection publishes, every subscriber must get each message once and in order.

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

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where subscribers connect, as ws://127.0.0.1:8080/sub.
    #[arg(long)]
    pub subscribe_url: Target,
    /// Where the publisher connects; the same as the subscribers by default.
    #[arg(long)]
    pub publish_url: Option<Target>,
    /// Subscribers.
    #[arg(long, default_value_t = 64)]
    pub subscribers: usize,
    /// Bytes of a published message.
    #[arg(long, default_value_t = 64)]
    pub size: usize,
    /// Publishes whose deliveries are not complete.
    #[arg(long, default_value_t = 1)]
    pub in_flight: usize,
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
    /// Subscribers.
    pub subscribers: usize,
    /// Publishes that reached everybody in the measured time.
    pub publishes: u64,
    /// Deliveries in the measured time.
    pub deliveries: u64,
    /// Rates and CPU, per delivery.
    pub cost: Cost,
    /// From publish to the last of its deliveries.
    pub last_delivery: Summary,
    /// Messages of ours that came back to the publisher.
    pub to_publisher: u64,
    /// Messages that carried none of ours.
    pub skipped: u64,
    /// Deliveries that were repeated, out of order or of a message never sent.
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
                "deliveries were repeated, out of order or made up",
            ),
            (self.lost, "deliveries did not come"),
        );
        note(
            &mut failures,
            u64::from(self.publishes == 0),
            "run in which no publish reached everybody",
        );
        workload::note_skipped(&mut failures, self.skipped, self.skip_texts);
        failures
    }
}

struct Publish {
    at: Instant,
    missing: usize,
}

struct Room {
    template: Template,
    /// The number each subscriber must get next; the publisher's place, the last, is not used.
    expected: Vec<u64>,
    publisher: usize,
    sent: u64,
    /// Publish `n` at `n % in_flight`.
    outstanding: Vec<Publish>,
    to_publisher: u64,
    bytes: Vec<u8>,
    tally: Tally,
}

/// Runs the workload.
///
/// # Errors
/// When the options make no sense or the connections cannot be opened. Lost deliveries are in the report.
pub fn run(options: &Options) -> Result<Report> {
    let mut room = Room::new(options)?;
    let mut fleet = Fleet::new()?;
    let publish_url = options
        .publish_url
        .as_ref()
        .unwrap_or(&options.subscribe_url);
    let targets = std::iter::repeat_n(&options.subscribe_url, options.subscribers);
    fleet.connect_all(targets.chain([publish_url]), options.span.connect_within())?;
    // A server may subscribe a connection, or tell others of it, a little after its handshake.
    fleet.settle(Duration::from_millis(200), Duration::from_secs(20))?;

    let measured = workload::measure(&mut room, &mut fleet, &options.span, &options.watched)?;
    Ok(Report {
        subscribers: options.subscribers,
        publishes: measured.latency.count,
        deliveries: measured.items,
        cost: measured.cost,
        last_delivery: measured.latency,
        to_publisher: room.to_publisher,
        skipped: measured.skipped,
        wrong: measured.wrong,
        lost: measured.lost,
        dropped: measured.dropped,
        skip_texts: options.skip_texts,
    })
}

impl Room {
    fn new(options: &Options) -> Result<Self> {
        ensure!(
            options.subscribers > 0,
            "--subscribers 0 has nothing to measure: use 1 or more"
        );
        ensure!(
            options.in_flight > 0,
            "--in-flight 0 publishes nothing: use 1 or more"
        );
        let none = || Publish {
            at: Instant::now(),
            missing: 0,
        };
        Ok(Self {
            template: Template::new(options.size)?,
            expected: vec![0; options.subscribers],
            publisher: options.subscribers,
            sent: 0,
            outstanding: std::iter::repeat_with(none)
                .take(options.in_flight)
                .collect(),
            to_publisher: 0,
            bytes: Vec::new(),
            tally: Tally::default(),
        })
    }

    /// Appends as many publishes as are allowed to be outstanding.
    fn publish(&mut self, bytes: &mut Vec<u8>) {
        loop {
            let slot = (self.sent % self.outstanding.len() as u64) as usize;
            let publish = &mut self.outstanding[slot];
            if publish.missing > 0 {
                return;
            }
            *publish = Publish {
                at: Instant::now(),
                missing: self.expected.len(),
            };
            let mark = Mark {
                sender: self.publisher,
                number: self.sent,
            };
            self.template.push(bytes, mark);
            self.sent += 1;
        }
    }

    fn on_delivery(&mut self, id: usize, at: Instant, mark: Mark) {
        if id == self.publisher {
            self.to_publisher += 1;
            return;
        }
        let expected = &mut self.expected[id];
        if mark.sender != self.publisher || mark.number != *expected || mark.number >= self.sent {
            self.tally.wrong += 1;
            return;
        }
        *expected += 1;
        self.tally.items += 1;
        let slot = (mark.number % self.outstanding.len() as u64) as usize;
        let publish = &mut self.outstanding[slot];
        publish.missing -= 1;
        if publish.missing == 0 {
            let took = at.saturating_duration_since(publish.at);
            self.tally.latency.record(took);
        }
    }
}

impl Workload for Room {
    fn send(&mut self, fleet: &mut Fleet) -> Duration {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        self.publish(&mut bytes);
        if !bytes.is_empty() {
            fleet.send(self.publisher, &bytes);
        }
        self.bytes = bytes;
        workload::WAIT
    }

    fn on(&mut self, arrival: Arrival<'_>, _: &mut Reply) {
        match arrival.event {
            Event::Opened => {}
            Event::Message(frame) => match self.template.find(frame.payload) {
                Some(mark) => self.on_delivery(arrival.id, arrival.at, mark),
                None => self.tally.skipped += 1,
            },
            Event::Ended(end) => self.tally.drop(arrival.id, &end),
        }
    }

    fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn begin(&mut self) {
        self.to_publisher = 0;
    }

    fn missing(&self) -> u64 {
        let missing = self.outstanding.iter();
        missing.map(|publish| publish.missing as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use tidegate_codec::Opcode;

    use super::*;
    use crate::frame::{self, Frame, Parsed};

    /// A room of two subscribers and one publish under way, and that publish as it was sent.
    fn room() -> (Room, Vec<u8>) {
        let options = Options {
            subscribe_url: "ws://127.0.0.1:1/".parse().unwrap(),
            publish_url: None,
            subscribers: 2,
            size: 64,
            in_flight: 1,
            skip_texts: false,
            span: Span {
                seconds: 1.0,
                messages: None,
                warmup: 0.0,
                connect_seconds: 1.0,
            },
            watched: Watched::default(),
        };
        let mut room = Room::new(&options).unwrap();
        let mut bytes = Vec::new();
        room.publish(&mut bytes);
        let Parsed::Whole(frame, _) = frame::parse_client(&mut bytes) else {
            panic!("the publish is not a frame")
        };
        let payload = frame.payload.to_vec();
        (room, payload)
    }

    fn deliver(room: &mut Room, id: usize, payload: &[u8]) {
        let frame = Frame {
            opcode: Opcode::Text,
            payload,
        };
        let arrival = Arrival {
            id,
            at: Instant::now(),
            event: Event::Message(frame),
        };
        room.on(arrival, &mut Reply::default());
    }

    fn publishes(room: &Room) -> u64 {
        room.tally.latency.count()
    }

    #[test]
    fn a_publish_is_over_when_all_have_it_and_only_then() {
        let (mut room, payload) = room();
        deliver(&mut room, 0, &payload);
        assert_eq!((publishes(&room), room.missing()), (0, 1));
        deliver(
            &mut room,
            1,
            &[b"{\"text\":\"", &payload[..], b"\"}"].concat(),
        );
        assert_eq!(
            (publishes(&room), room.missing(), room.tally.wrong),
            (1, 0, 0)
        );
    }

    #[test]
    fn repeated_and_foreign_deliveries_are_wrong_or_skipped() {
        let (mut room, payload) = room();
        deliver(&mut room, 0, &payload);
        deliver(&mut room, 0, &payload);
        assert_eq!((room.tally.wrong, room.missing()), (1, 1));
        let mut later = payload.clone();
        later[crate::payload::MARKER - 1] += 1;
        deliver(&mut room, 1, &later);
        assert_eq!((room.tally.wrong, room.missing()), (2, 1));
        deliver(&mut room, 1, b"somebody joined");
        assert_eq!((room.tally.skipped, room.missing()), (1, 1));
        deliver(&mut room, 2, &payload);
        assert_eq!((room.to_publisher, room.missing()), (1, 1));
    }
}
