//! Everything at once, by seed: hostile and slow clients, event streams, guests that do their worst,
//! reloads and rollbacks, a log that nobody reads and a full disk. Clients that mean well check every
//! message. At the end every shard serves, each connection that opened has closed, nothing was torn,
//! and the memory is where it was.
//!
//! `TIDEGATE_CHAOS_SECONDS` (20) says how long, `TIDEGATE_CHAOS_SEED` which: the seed of a run is
//! printed when it fails. What it decides is who does what; how that falls together is up to the
//! machine.

mod dice;
mod honest;
mod hostile;
mod operator;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

use crate::PATIENCE;
use crate::client::Client;
use crate::event_stream;
use crate::gateway::Gateway;
use dice::Dice;
use hostile::{ACTS, Act};

const SHARDS: u64 = 2;
/// Hostile clients at a time.
const HOSTILE: u64 = 24;
/// How much memory may stay, in bytes.
const MEMORY_KEPT: u64 = 10 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_the_gateway_serves_and_forgets_nobody() {
    let variable = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let seconds = variable("TIDEGATE_CHAOS_SECONDS").unwrap_or(24);
    let seed = variable("TIDEGATE_CHAOS_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("chaos: TIDEGATE_CHAOS_SEED={seed}, {seconds} s");
    let gateway = Arc::new(start().await);
    let witness = Witness::attend(&gateway).await;
    // What is made once and kept, as caches and pools are, is made in the first half.
    storm(&gateway, seed, seconds / 2).await;
    gateway.until_metric("connections_open", 1).await;
    let base = gateway.memory();
    storm(&gateway, seed + 1, seconds - seconds / 2).await;
    gateway.until_metric("connections_open", 1).await;
    every_shard_serves(&gateway).await;
    the_store_takes_writes(&gateway).await;
    gateway.until_metric("connections_open", 1).await;
    witness.agree(&gateway).await;
    until_memory(&gateway, base).await;
    let mut gateway = Arc::into_inner(gateway).expect("all others have ended");
    gateway.signal("-TERM");
    assert_eq!(gateway.wait().await.code(), Some(0));
    // Guests do, as asked.
    let log = gateway.log();
    let ours = log.lines().filter(|line| !line.contains(" guest: "));
    assert_eq!(ours.filter(|line| line.contains("panicked")).count(), 0);
}

async fn start() -> Gateway {
    let setup = Gateway::with("chaos")
        // A write beyond the limit of a file's size fails then, and does not end the process.
        .within(&["sh", "-c", r#"trap '' XFSZ; exec "$0" "$@""#])
        .server(&format!("shards = {SHARDS}\ndrain_window = \"0s\""))
        .plugin("watch = false\nhistory = 2\ngrants.store = [\"chaos\"]")
        .route("compression = { mode = \"shared\" }")
        .route_limits(
            "message = \"1MiB\"\noutbox = \"4MiB\"\nping = \"1s\"\npong = \"5s\"\nidle = \"20s\"\n\
             close = \"500ms\"\nlinger = \"2s\"",
        );
    setup.more("[store]\npath = \"chaos.redb\"\n").start().await
}

/// All of it for so long, and the end of all who took part.
async fn storm(gateway: &Arc<Gateway>, seed: u64, seconds: u64) {
    let stop = Arc::new(AtomicBool::new(false));
    let (mut asking, mut hearing) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        hearing.push(tokio::spawn(honest::hear(connect(gateway, "/?news").await)));
        let mut stream = gateway.raw().await;
        stream
            .write(event_stream::request("/?news", "").as_bytes())
            .await;
        let head = stream.read_head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        hearing.push(tokio::spawn(honest::hear_events(stream)));
    }
    for who in 0..4 {
        let (client, stop) = (connect(gateway, "/").await, stop.clone());
        let dice = Dice::new(seed, 1000 + who);
        asking.push(tokio::spawn(async move {
            honest::ask(client, &stop, dice).await
        }));
    }
    let publisher = {
        let (client, stop) = (connect(gateway, "/").await, stop.clone());
        let dice = Dice::new(seed, 2000);
        tokio::spawn(async move { honest::publish(client, &stop, dice).await })
    };
    let operator = {
        let (gateway, stop) = (gateway.clone(), stop.clone());
        let dice = Dice::new(seed, 3000);
        tokio::spawn(async move { operator::operate(&gateway, &stop, dice).await })
    };
    let hostile = (0..HOSTILE).map(|who| harm(gateway, &stop, Dice::new(seed, who)));
    let hostile: Vec<_> = hostile.collect();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    stop.store(true, Ordering::Relaxed);
    let mut done = BTreeSet::new();
    for acts in hostile {
        done.extend(acts.await.expect("it does not panic"));
    }
    assert!(done.len() > ACTS.len() / 2, "only {done:?} was done");
    assert!(operator.await.expect("the operator's calls are answered") > 0);
    for asking in asking {
        assert!(asking.await.expect("each answer came") > 0);
    }
    let published = publisher.await.expect("each of the news went out");
    for hearing in hearing {
        let heard = hearing.await.expect("each of the news came whole");
        assert!(0 < heard && heard <= published, "{heard} of {published}");
    }
}

/// One hostile client after another; returns what they did.
fn harm(gateway: &Gateway, stop: &Arc<AtomicBool>, mut dice: Dice) -> JoinHandle<BTreeSet<Act>> {
    let (address, stop) = (gateway.address, stop.clone());
    tokio::spawn(async move {
        let mut done = BTreeSet::new();
        while !stop.load(Ordering::Relaxed) {
            let act = dice.one_of(&ACTS);
            if hostile::commit(act, address, &mut dice).await {
                done.insert(act);
            } else {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        done
    })
}

/// Connects, when the gateway has room.
async fn connect(gateway: &Gateway, path: &str) -> Client {
    let connecting = async {
        loop {
            match Client::try_connect(gateway.address, path, &[]).await {
                Ok(client) => return client,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, connecting)
        .await
        .expect("the gateway takes clients that mean well")
}

async fn every_shard_serves(gateway: &Gateway) {
    let mut serving = BTreeSet::new();
    for _ in 0..64 {
        let mut client = connect(gateway, "/").await;
        let id: u64 = client.ask("id").await.parse().expect("an id");
        serving.insert(id % SHARDS);
        client.close(1000, "").await;
    }
    assert_eq!(serving.len() as u64, SHARDS, "shards {serving:?} serve");
}

/// Waits until the store has noticed that its disk has room again.
async fn the_store_takes_writes(gateway: &Gateway) {
    let mut client = connect(gateway, "/").await;
    let written = async { while client.ask("put 100").await != "put" {} };
    let written = tokio::time::timeout(PATIENCE, written).await;
    written.expect("the store recovers when the disk has room");
    assert_eq!(gateway.admin("GET", "/readyz").await.status, 200);
    client.close(1000, "").await;
}

/// Waits until the memory is back near where it was.
async fn until_memory(gateway: &Gateway, base: u64) {
    let reached = async {
        while gateway.memory() > base + MEMORY_KEPT {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, reached).await.is_err() {
        panic!("{} bytes of memory, {base} before", gateway.memory());
    }
}

/// A connection to which the guest says who opens and who closes.
struct Witness {
    lines: UnboundedReceiver<String>,
}

impl Witness {
    async fn attend(gateway: &Gateway) -> Self {
        let mut client = connect(gateway, "/?audit").await;
        let (said, lines) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move { while said.send(client.recv().await).is_ok() {} });
        Self { lines }
    }

    /// Every connection that opened has closed, but for the witness's own; the metrics say so too.
    async fn agree(mut self, gateway: &Gateway) {
        let opens = gateway.metric("events_total{event=\"open\"}").await;
        let closes = gateway.metric("events_total{event=\"close\"}").await;
        assert_eq!(opens, closes + 1, "the metrics");
        let (mut opened, mut closed) = (BTreeSet::new(), BTreeSet::new());
        let heard = async {
            while (opened.len() as u64, closed.len() as u64) != (opens, closes) {
                let line = self.lines.recv().await.expect("the witness listens");
                let (what, id) = line.split_once(' ').expect("what and who");
                let is_new = match what {
                    "open" => opened.insert(id.to_owned()),
                    _ => closed.insert(id.to_owned()),
                };
                assert!(is_new, "{line}, twice");
            }
        };
        if tokio::time::timeout(PATIENCE, heard).await.is_err() {
            let open: Vec<_> = opened.difference(&closed).collect();
            let unknown: Vec<_> = closed.difference(&opened).collect();
            panic!("of {opens}: never closed {open:?}, closed only {unknown:?}");
        }
        assert!(closed.is_subset(&opened));
    }
}
