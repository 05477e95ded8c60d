//! What the process holds at most for those who do not read, and that it comes back: measured as the
//! kernel sees it.

use crate::client::{Client, Raw, frame};
use crate::event_stream::request;
use crate::gateway::{Gateway, Setup};

const MIB: u64 = 1 << 20;

/// Room for large messages, whatever else the machine does.
fn unhurried(fixture: &str) -> Setup {
    let setup = Gateway::with(fixture).limits("deadline = \"20s\"\nmemory = \"256MiB\"");
    setup.server("shards = 2")
}

/// Connections that listen to the topic `tea` and do not read.
async fn stalled(gateway: &Gateway, count: usize) -> Vec<Raw> {
    let mut readers = Vec::new();
    for _ in 0..count {
        let mut raw = Raw::upgraded(gateway.address, "/").await;
        raw.shrink();
        raw.write(&frame(0x81, b"subscribe tea")).await;
        assert_eq!(raw.read_frame().await, (0x81, b"ok".to_vec()));
        readers.push(raw);
    }
    readers
}

async fn publish(publisher: &mut Client, text: &str) {
    assert_eq!(publisher.ask(&format!("publish tea {text}")).await, "ok");
}

#[tokio::test]
async fn one_copy_of_a_publish_is_held_however_many_do_not_read() {
    let gateway = unhurried("directory").start().await;
    let mut readers = stalled(&gateway, 100).await;
    let mut publisher = gateway.connect("/").await;
    // Its way into the guest and out of it costs what it costs, with no one listening too.
    let text = "x".repeat(10 << 20);
    assert_eq!(publisher.ask(&format!("publish none {text}")).await, "ok");
    let before = gateway.peak_memory();
    publish(&mut publisher, &text).await;
    publish(&mut publisher, "the end").await;
    let deliveries = "deliveries_total";
    gateway.until_metric_is_at_least(deliveries, 202).await;
    let grown = gateway.peak_memory().saturating_sub(before);
    assert!(grown < 40 * MIB, "{} MiB more", grown / MIB);
    // Each gets all of it.
    for reader in &mut readers {
        let (_, payload) = reader.read_frame().await;
        assert!(payload == text.as_bytes());
    }
}

#[tokio::test]
async fn an_event_of_line_ends_is_held_once_too() {
    let gateway = unhurried("stream").start().await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        let mut raw = gateway.raw().await;
        raw.shrink();
        raw.write(request("/", "").as_bytes()).await;
        raw.read_head().await;
        streams.push(raw);
    }
    let mut publisher = gateway.connect("/").await;
    assert_eq!(publisher.recv().await, "hello none");
    let lines = format!("1 {}", "\n".repeat(4 << 20));
    publisher.send(&lines).await;
    assert_eq!(publisher.recv().await.len(), 4 << 20);
    // As an event it is 28 MiB long, on each shard.
    let peak = gateway.peak_memory() / MIB;
    assert!(peak < 220, "{peak} MiB");
}

#[tokio::test]
async fn long_messages_that_nobody_reads_share_one_budget() {
    let setup = unhurried("topics").server("oversize = \"16MiB\"");
    let gateway = setup.start().await;
    let message = frame(0x82, &vec![7; 4 << 20]);
    let mut clients = Vec::new();
    for _ in 0..24 {
        let mut raw = Raw::upgraded(gateway.address, "/?topics=0").await;
        raw.shrink();
        raw.write(&message).await;
        clients.push(raw);
    }
    let refused = r#"drops_total{reason="oversize"}"#;
    // One more for each shard may be taken at the same moment.
    gateway.until_metric_is_at_least(refused, 24 - 4 - 1).await;
    let waiting = gateway.metric("oversize_bytes").await;
    assert!((1..=24 << 20).contains(&waiting), "{waiting} bytes");
    let peak = gateway.peak_memory() / MIB;
    assert!(peak < 160, "{peak} MiB");
    // Who reads is served again as soon as there is room.
    drop(clients);
    gateway.until_metric("connections_open", 0).await;
    gateway.until_metric("oversize_bytes", 0).await;
    let mut client = gateway.connect("/?topics=0").await;
    client.send_binary(&vec![7; 4 << 20]).await;
    assert_eq!(client.recv_binary().await.len(), 4 << 20);
}

#[tokio::test]
async fn a_burst_of_large_messages_leaves_little_behind() {
    let gateway = unhurried("topics").start().await;
    let burst = async || {
        for _ in 0..4 {
            let mut client = gateway.connect("/?topics=0").await;
            client.send_binary(&vec![7; 12 << 20]).await;
            assert_eq!(client.recv_binary().await.len(), 12 << 20);
        }
        let mut halves = Vec::new();
        for _ in 0..30 {
            let mut raw = Raw::upgraded(gateway.address, "/?topics=0").await;
            let whole = frame(0x82, &vec![7; 4 << 20]);
            raw.write(&whole[..whole.len() - 1]).await;
            halves.push(raw);
        }
        let bytes = "received_bytes_total";
        gateway.until_metric_is_at_least(bytes, 30 * 4 * MIB).await;
        drop(halves);
        gateway.until_metric("connections_open", 0).await;
    };
    // The first grows the guests' memories, which are theirs to keep.
    burst().await;
    let held = gateway.memory() / MIB;
    assert!(held < 160, "{held} MiB");
    for _ in 0..3 {
        burst().await;
    }
    let now = gateway.memory() / MIB;
    assert!(
        now < held + 24,
        "{held} MiB after one burst, {now} after four"
    );
}
