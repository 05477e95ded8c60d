//! A reader that has stopped meets its route's policy; who publishes to it never waits, and nobody else notices.

use crate::client::{Client, Raw, frame};
use crate::gateway::Gateway;

/// Messages that a test publishes: together far more than an outbox and the system's buffers hold.
const MESSAGES: usize = 400;
/// Bytes of each, about.
const SIZE: usize = 16 << 10;

/// A connection that does not read, one that does, and one that publishes, all on one topic.
struct Room {
    gateway: Gateway,
    stopped: Raw,
    reader: Client,
    publisher: Client,
}

impl Room {
    async fn open(policy: &str, shards: usize) -> Self {
        let limits = format!("outbox = \"256KiB\"\nslow_consumer = {policy:?}");
        let setup = Gateway::with("directory").route_limits(&limits);
        let gateway = setup.server(&format!("shards = {shards}")).start().await;
        let mut stopped = Raw::upgraded(gateway.address, "/").await;
        stopped.shrink();
        stopped.write(&frame(0x81, b"subscribe tea")).await;
        assert_eq!(stopped.read_frame().await, (0x81, b"ok".to_vec()));
        let publisher = gateway.connect("/").await;
        // On the same shard as the one that has stopped: what it hears the other was sent too.
        let mut reader = gateway.connect("/").await;
        assert_eq!(reader.ask("subscribe tea").await, "ok");
        Self {
            gateway,
            stopped,
            reader,
            publisher,
        }
    }

    /// Publishes all messages; each is answered, and comes to who reads.
    async fn publish(&mut self) {
        for number in 0..MESSAGES {
            let message = message(number);
            let command = format!("publish tea {message}");
            assert_eq!(self.publisher.ask(&command).await, "ok");
            assert_eq!(self.reader.recv().await, message);
        }
    }

    /// What the stopped one finds when it reads again, by number, to the answer of its last question.
    async fn read_on(&mut self) -> Vec<usize> {
        let mut numbers = Vec::new();
        self.stopped.write(&frame(0x81, b"state")).await;
        loop {
            let (first, payload) = self.stopped.read_frame().await;
            if payload.is_empty() {
                return numbers;
            }
            assert_eq!(first, 0x81);
            numbers.push(number(&payload));
        }
    }

    async fn drops(&self, reason: &str) -> usize {
        let name = format!("drops_total{{reason={reason:?}}}");
        self.gateway.metric(&name).await as usize
    }
}

fn message(number: usize) -> String {
    format!("{number:06}{}", "x".repeat(SIZE))
}

fn number(payload: &[u8]) -> usize {
    let text = std::str::from_utf8(payload).expect("a text");
    text[..6].parse().expect("a number")
}

fn is_in_order(numbers: &[usize]) -> bool {
    numbers.windows(2).all(|pair| pair[0] < pair[1])
}

#[tokio::test]
async fn a_slow_consumer_is_closed_and_nobody_waits_for_it() {
    for shards in [1, 2] {
        let mut room = Room::open("close", shards).await;
        room.publish().await;
        let closes = r#"closes_total{cause="slow-consumer"}"#;
        room.gateway.until_metric(closes, 1).await;
        assert!(room.drops("slow-consumer").await >= 1);
        // What was under way comes whole, then the close frame.
        let mut numbers = Vec::new();
        let close = loop {
            match room.stopped.read_frame().await {
                (0x81, payload) => numbers.push(number(&payload)),
                (_, payload) => break payload,
            }
        };
        assert_eq!(numbers, Vec::from_iter(0..numbers.len()));
        assert_eq!(close, b"\x03\xf5slow consumer", "1013");
        room.gateway.until_metric("connections_open", 2).await;
    }
}

#[tokio::test]
async fn with_drop_newest_what_waits_is_kept() {
    for shards in [1, 2] {
        let mut room = Room::open("drop-newest", shards).await;
        room.publish().await;
        let drops = room.drops("drop-newest").await;
        let mut numbers = Vec::new();
        for _ in 0..MESSAGES - drops {
            let (first, payload) = room.stopped.read_frame().await;
            assert_eq!(first, 0x81);
            numbers.push(number(&payload));
        }
        assert!(drops > 0, "it has dropped some");
        assert_eq!(numbers, Vec::from_iter(0..numbers.len()));
        assert_eq!(room.read_on().await, Vec::<usize>::new());
    }
}

#[tokio::test]
async fn with_drop_oldest_the_newest_are_kept() {
    for shards in [1, 2] {
        let mut room = Room::open("drop-oldest", shards).await;
        room.publish().await;
        let numbers = room.read_on().await;
        assert!(is_in_order(&numbers), "{numbers:?}");
        assert_eq!(numbers.last(), Some(&(MESSAGES - 1)));
        assert!(numbers.len() < MESSAGES, "it has dropped some");
        assert_eq!(room.drops("drop-oldest").await, MESSAGES - numbers.len());
        // What the outbox holds is the newest without a gap.
        let newest = (256 << 10) / SIZE - 2;
        let tail = Vec::from_iter(MESSAGES - newest..MESSAGES);
        assert!(numbers.ends_with(&tail), "{numbers:?}");
    }
}

#[tokio::test]
async fn with_drop_oldest_the_newest_of_a_burst_are_kept() {
    for shards in [1, 2] {
        let mut room = Room::open("drop-oldest", shards).await;
        room.publish().await;
        // All in one read, and so in one turn, of small ones that together are more than the outbox.
        let mut burst = Vec::new();
        for number in 0..40 {
            let text = format!("publish tea {:06}{}", MESSAGES + number, "y".repeat(1500));
            burst.extend(frame(0x81, text.as_bytes()));
        }
        let mut publisher = Raw::upgraded(room.gateway.address, "/").await;
        for _ in 0..8 {
            publisher.write(&burst).await;
            for _ in 0..40 {
                assert_eq!(publisher.read_frame().await, (0x81, b"ok".to_vec()));
                room.reader.recv().await;
            }
        }
        let numbers = room.read_on().await;
        assert_eq!(numbers.last(), Some(&(MESSAGES + 39)), "{numbers:?}");
        let read = numbers.len();
        assert_eq!(
            room.drops("drop-oldest").await + room.drops("drop-newest").await,
            MESSAGES + 320 - read,
            "every one is read or counted"
        );
        assert_eq!(room.drops("drop-newest").await, 0);
    }
}

#[tokio::test]
async fn a_flood_in_one_event_keeps_its_newest_too() {
    let limits = "outbox = \"64KiB\"\nslow_consumer = \"drop-oldest\"";
    let setup = Gateway::with("flood")
        .route_limits(limits)
        .server("shards = 1");
    let setup = setup.limits("effects = \"4MiB\"\ndeadline = \"5s\"");
    let gateway = setup.start().await;
    let mut stopped = Raw::upgraded(gateway.address, "/").await;
    stopped.shrink();
    stopped.write(&frame(0x81, b"listen")).await;
    stopped.write(&frame(0x81, b"ready")).await;
    assert_eq!(stopped.read_frame().await, (0x81, b"ready".to_vec()));
    let mut culprit = gateway.connect("/").await;
    culprit.send("flood").await;
    assert_eq!(culprit.ask("hello").await, "hello");
    let published = gateway.metric("publishes_total").await;
    stopped.write(&frame(0x81, b"last")).await;
    let mut read = 0;
    while stopped.read_frame().await.0 == 0x82 {
        read += 1;
    }
    let oldest = gateway.metric(r#"drops_total{reason="drop-oldest"}"#).await;
    let newest = gateway.metric(r#"drops_total{reason="drop-newest"}"#).await;
    assert_eq!((newest, oldest + read), (0, published));
}

#[tokio::test]
async fn a_pong_gets_through_a_full_outbox() {
    for policy in ["drop-newest", "drop-oldest"] {
        let mut room = Room::open(policy, 1).await;
        room.publish().await;
        room.stopped.write(&frame(0x89, b"first")).await;
        room.stopped.write(&frame(0x89, b"second")).await;
        room.stopped.write(&frame(0x81, b"unknown")).await;
        let errors = r#"events_total{event="message"}"#;
        room.gateway
            .until_metric_is_at_least(errors, MESSAGES as u64 + 3)
            .await;
        // It stands behind what the system has taken already, not behind the outbox.
        let mut behind = 0;
        let pong = loop {
            match room.stopped.read_frame().await {
                (0x8a, payload) => break payload,
                _ => behind += 1,
            }
        };
        assert_eq!(pong, b"second", "only the latest ping needs an answer");
        let (first, _) = room.stopped.read_frame().await;
        assert_eq!(
            first, 0x81,
            "the outbox comes after it, {behind} came before"
        );
    }
}

#[tokio::test]
async fn a_close_gets_through_a_full_outbox() {
    let mut room = Room::open("drop-newest", 1).await;
    room.publish().await;
    room.stopped.write(&frame(0x81, b"close 4000 enough")).await;
    let closes = r#"closes_total{cause="kicked"}"#;
    room.gateway.until_metric(closes, 1).await;
    let close = loop {
        match room.stopped.read_frame().await {
            (0x88, payload) => break payload,
            (first, _) => assert_eq!(first, 0x81),
        }
    };
    assert_eq!(close, b"\x0f\xa0enough", "4000");
}
