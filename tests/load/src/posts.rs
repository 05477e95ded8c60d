//! `posts`: plain HTTP requests on sockets that stay open, each of which a plugin publishes to subscribers.

mod poster;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mio::{Events, Interest, Poll, Token};
use serde::Serialize;
use tidegate_codec::Opcode;

use crate::fleet::{Event, Fleet};
use crate::histogram::{Histogram, Summary};
use crate::measure::{Cost, Meter, Span, Step, Watched};
use crate::report::note;
use crate::{Target, report};

use poster::{Post, Poster};

/// The longest wait for responses, so that the clock and the subscribers are looked at.
const WAIT: Duration = Duration::from_millis(1);
/// How long what was published may take to arrive after the end.
const DRAINED_WITHIN: Duration = Duration::from_secs(2);

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where the subscribers connect, as ws://127.0.0.1:8080/; the requests go to the same server.
    #[arg(long)]
    pub url: Target,
    /// The path of the requests.
    #[arg(long, default_value = "/publish/posts")]
    pub path: String,
    /// Sockets of requests, each with one under way.
    #[arg(long, default_value_t = 64)]
    pub connections: usize,
    /// WebSockets that receive what is published.
    #[arg(long, default_value_t = 1)]
    pub subscribers: usize,
    /// Bytes of a request's body.
    #[arg(long, default_value_t = 64)]
    pub size: usize,
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
    /// Responses in the measured time.
    pub posts: u64,
    /// Rates and CPU, per request.
    pub cost: Cost,
    /// From request to response.
    pub latency: Summary,
    /// Responses of another status than 2xx.
    pub refused: u64,
    /// What subscribers received that was not posted, or not its turn.
    pub wrong: u64,
    /// What was answered and not received by each subscriber two seconds after the end.
    pub lost: u64,
    /// Sockets that ended.
    pub dropped: Vec<String>,
}

impl report::Report for Report {
    fn failures(&self) -> Vec<String> {
        let mut failures = self.dropped.clone();
        note(&mut failures, self.refused, "requests were refused");
        note(&mut failures, self.wrong, "messages were not those posted");
        note(&mut failures, self.lost, "messages did not arrive");
        let none = u64::from(self.posts == 0);
        note(&mut failures, none, "run without any response");
        failures
    }
}

/// What subscribers have received.
struct Received {
    /// The number each subscriber expects next of each sender.
    next: Vec<Vec<u64>>,
    count: u64,
    wrong: u64,
    dropped: Vec<String>,
}

struct Posts {
    poll: Poll,
    events: Events,
    posters: Vec<Poster>,
    latency: Histogram,
    answered: u64,
    refused: u64,
    dropped: Vec<String>,
}

/// Runs the workload.
///
/// # Errors
/// When the options make no sense or the sockets cannot be opened. Wrong answers are in the report.
pub fn run(options: &Options) -> Result<Report> {
    ensure!(
        options.connections > 0,
        "--connections 0 has nothing to measure: use 1 or more"
    );
    let mut fleet = Fleet::new()?;
    let targets = std::iter::repeat_n(&options.url, options.subscribers);
    fleet.connect_all(targets, options.span.connect_within())?;
    let mut received = Received {
        next: vec![vec![0; options.connections]; options.subscribers],
        count: 0,
        wrong: 0,
        dropped: Vec::new(),
    };
    let mut posts = Posts::connect(options)?;
    let mut progress = options.span.begin();
    let mut meter: Option<Meter> = None;
    posts.begin()?;
    loop {
        posts.turn(true)?;
        received.turn(&mut fleet, Duration::ZERO)?;
        match progress.step(posts.latency.count()) {
            Step::Begin => {
                posts.latency.clear();
                meter = Some(options.watched.meter()?);
            }
            Step::Over => break,
            Step::WarmingUp | Step::Measuring => {}
        }
    }
    let measured = posts.latency.count();
    let meter = meter.context("the run ended before its measured time began")?;
    let (cost, latency) = (meter.finish(measured)?, posts.latency.summary());
    let lost = drain(&mut posts, &mut received, &mut fleet)?;
    Ok(Report {
        posts: measured,
        cost,
        latency,
        refused: posts.refused,
        wrong: received.wrong,
        lost,
        dropped: [posts.dropped, received.dropped].concat(),
    })
}

/// Waits for what is under way; returns how much never came.
fn drain(posts: &mut Posts, received: &mut Received, fleet: &mut Fleet) -> Result<u64> {
    let subscribers = received.next.len() as u64;
    let deadline = std::time::Instant::now() + DRAINED_WITHIN;
    loop {
        posts.turn(false)?;
        received.turn(fleet, WAIT)?;
        let expected = (posts.answered - posts.refused) * subscribers;
        let is_whole = !posts.is_waiting() && received.count >= expected;
        if is_whole || std::time::Instant::now() > deadline {
            return Ok(expected.saturating_sub(received.count));
        }
    }
}

impl Received {
    fn turn(&mut self, fleet: &mut Fleet, wait: Duration) -> Result<()> {
        fleet.turn(wait, |arrival, _| match arrival.event {
            Event::Opened => {}
            Event::Ended(end) => {
                let id = arrival.id;
                self.dropped.push(format!("subscriber {id} ended: {end:?}"));
            }
            Event::Message(frame) => {
                let post = Some(frame.payload).filter(|_| frame.opcode == Opcode::Text);
                let next = &mut self.next[arrival.id];
                match post.and_then(Post::read) {
                    Some(post) if next.get(post.sender) == Some(&post.number) => {
                        next[post.sender] += 1;
                    }
                    _ => self.wrong += 1,
                }
                self.count += 1;
            }
        })
    }
}

impl Posts {
    fn connect(options: &Options) -> Result<Self> {
        let poll = Poll::new().context("failed to make an epoll instance")?;
        let mut posters = Vec::new();
        for sender in 0..options.connections {
            let mut poster = Poster::connect(&options.url, &options.path, sender, options.size)?;
            let registry = poll.registry();
            registry
                .register(poster.socket(), Token(sender), Interest::READABLE)
                .context("failed to watch a socket")?;
            posters.push(poster);
        }
        Ok(Self {
            poll,
            events: Events::with_capacity(1024),
            posters,
            latency: Histogram::default(),
            answered: 0,
            refused: 0,
            dropped: Vec::new(),
        })
    }

    /// Sends the first request on each socket.
    fn begin(&mut self) -> Result<()> {
        self.posters.iter_mut().try_for_each(Poster::post)
    }

    fn is_waiting(&self) -> bool {
        self.posters.iter().any(Poster::is_waiting)
    }

    /// Takes the responses there are; with `goes_on` each calls forth the next request.
    fn turn(&mut self, goes_on: bool) -> Result<()> {
        match self.poll.poll(&mut self.events, Some(WAIT)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            other => other.context("failed to wait for responses")?,
        }
        for event in &self.events {
            let sender = event.token().0;
            let poster = &mut self.posters[sender];
            loop {
                match poster.read() {
                    Ok(None) => break,
                    Ok(Some(answer)) => {
                        self.answered += 1;
                        self.refused += u64::from(!answer.is_success);
                        self.latency.record(answer.took);
                        if goes_on {
                            poster.post()?;
                        }
                    }
                    Err(error) => {
                        let words = format!("socket {sender} ended: {error:#}");
                        self.dropped.push(words);
                        self.poll
                            .registry()
                            .deregister(poster.socket())
                            .context("failed to leave a socket")?;
                        poster.end();
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}
