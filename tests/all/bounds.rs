//! Every limit on what a connection or an event may take: what happens at it, and that it is told.

use crate::client::{Client, Raw, frame};
use crate::gateway::{Gateway, Setup};

fn directory() -> Setup {
    Gateway::with("directory")
}

async fn tell(client: &mut Client, command: &str) {
    assert_eq!(client.ask(command).await, "ok", "{command}");
}

async fn refused(client: &mut Client, command: &str, words: &str) {
    let answer = client.ask(command).await;
    assert!(answer.starts_with("error: "), "{command}: {answer}");
    assert!(answer.contains(words), "{command}: {answer}");
}

#[tokio::test]
async fn one_who_overfills_its_own_outbox_is_told() {
    let setup = Gateway::with("overfill").route_limits("outbox = \"1MiB\"");
    let gateway = setup.limits("deadline = \"5s\"").start().await;
    let mut client = gateway.connect("/").await;
    client.send("overfill").await;
    // Two chunks and their heads are over what is sent at once, sixteen over the outbox.
    for _ in 0..15 {
        assert_eq!(client.recv_binary().await.len(), 64 << 10);
    }
    let report = client.ask("report").await;
    assert_eq!(report, "sent 1 queued 14 dropped 101");
    let dropped = gateway.metric(r#"drops_total{reason="drop-newest"}"#).await;
    assert_eq!(dropped, 101);
}

#[tokio::test]
async fn what_one_event_does_is_bounded_too() {
    let setup = Gateway::with("overfill").route_limits("outbox = \"64MiB\"");
    let limits = "effects = \"1MiB\"\ndeadline = \"5s\"";
    let gateway = setup.limits(limits).start().await;
    let mut client = gateway.connect("/").await;
    client.send("overfill").await;
    for _ in 0..15 {
        assert_eq!(client.recv_binary().await.len(), 64 << 10);
    }
    assert!(client.ask("report").await.ends_with("dropped 101"));
}

#[tokio::test]
async fn memory_stays_bounded_however_much_is_sent_to_who_does_not_read() {
    let limits = "outbox = \"1MiB\"\nslow_consumer = \"drop-newest\"";
    let setup = Gateway::with("overfill").route_limits(limits);
    let gateway = setup.limits("deadline = \"5s\"").start().await;
    let mut readers = Vec::new();
    for _ in 0..4 {
        let raw = Raw::upgraded(gateway.address, "/").await;
        raw.shrink();
        readers.push(raw);
    }
    let drops = r#"drops_total{reason="drop-newest"}"#;
    for round in 1..6 {
        for raw in &mut readers {
            raw.write(&frame(0x81, b"overfill")).await;
        }
        gateway.until_metric_is_at_least(drops, round * 404).await;
    }
    let before = gateway.peak_memory();
    for round in 6..60 {
        for raw in &mut readers {
            raw.write(&frame(0x81, b"overfill")).await;
        }
        gateway.until_metric_is_at_least(drops, round * 404).await;
    }
    let grown = gateway.peak_memory() - before;
    assert!(grown < 8 << 20, "{grown} bytes more");
}

#[tokio::test]
async fn on_drain_comes_when_all_that_was_queued_is_read() {
    let gateway = Gateway::with("drain").start().await;
    let mut raw = Raw::upgraded(gateway.address, "/").await;
    raw.shrink();
    let drains = r#"events_total{event="drain"}"#;
    let deliveries = async || gateway.metric("deliveries_total").await;
    // Far more than the system takes for one who does not read, and less than the outbox.
    for round in 1..14 {
        raw.write(&frame(0x81, b"fill 1")).await;
        gateway
            .until_metric(r#"events_total{event="message"}"#, round)
            .await;
    }
    let (chunks, drained) = (deliveries().await, gateway.metric(drains).await);
    assert_eq!(drained, 0, "nobody has read");
    for _ in 0..chunks {
        assert_eq!(raw.read_frame().await, (0x82, vec![0; 64 << 10]));
    }
    assert_eq!(raw.read_frame().await, (0x81, b"drained".to_vec()));
    assert_eq!(gateway.metric(drains).await, 1, "once for all of them");
}

#[tokio::test]
async fn a_state_has_a_limit() {
    let gateway = directory().route_limits("state = \"8B\"").start().await;
    let mut client = gateway.connect("/").await;
    tell(&mut client, "set-state 12345678").await;
    refused(&mut client, "set-state 123456789", "limits.state").await;
    assert_eq!(client.ask("state").await, "12345678");
}

#[tokio::test]
async fn subscriptions_have_a_limit() {
    let gateway = directory().route_limits("subscriptions = 2").start().await;
    let (mut client, mut other) = (gateway.connect("/").await, gateway.connect("/").await);
    tell(&mut client, "subscribe a").await;
    tell(&mut client, "subscribe b").await;
    refused(&mut client, "subscribe c", "as many subscriptions").await;
    assert_eq!(client.ask("count c").await, "0");
    tell(&mut client, "subscribe a as").await;
    tell(&mut client, "unsubscribe a").await;
    tell(&mut client, "subscribe c").await;
    tell(&mut other, "subscribe a").await;
}

#[tokio::test]
async fn names_of_topics_and_labels_have_a_length() {
    let gateway = directory().start().await;
    let mut client = gateway.connect("/").await;
    let (longest, longer) = ("é".repeat(127) + "x", "é".repeat(128));
    for verb in ["subscribe", "publish", "unsubscribe"] {
        refused(&mut client, verb, "1 to 255 bytes").await;
        refused(&mut client, &format!("{verb} {longer}"), "1 to 255 bytes").await;
    }
    tell(&mut client, &format!("subscribe {longest}")).await;
    assert_eq!(client.ask(&format!("count {longest}")).await, "1");
    client.send(&format!("publish {longest} hello")).await;
    assert_eq!(client.recv().await, "hello");
    assert_eq!(client.recv().await, "ok");
    tell(&mut client, &format!("subscribe tea {longest}")).await;
    refused(&mut client, &format!("subscribe tea {longer}"), "labels").await;
}

#[tokio::test]
async fn a_close_frame_has_limits() {
    let gateway = directory().start().await;
    let mut client = gateway.connect("/").await;
    for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
        refused(&mut client, &format!("close {code} x"), "close codes").await;
    }
    let reason = "x".repeat(123);
    refused(&mut client, &format!("close 4000 {reason}x"), "123 bytes").await;
    client.send(&format!("close 4000 {reason}")).await;
    assert_eq!(client.closed().await, Some((4000, reason)));
}

#[tokio::test]
async fn as_many_members_are_listed_as_were_asked_for() {
    let gateway = directory().start().await;
    let mut asker = gateway.connect("/").await;
    let mut clients = Vec::new();
    for number in 0..9 {
        let mut client = gateway.connect("/").await;
        tell(&mut client, &format!("subscribe tea {number}")).await;
        clients.push(client);
    }
    for (limit, listed) in [(0, 0), (1, 1), (5, 5), (9, 9), (10_000, 9)] {
        let members = asker.ask(&format!("members tea {limit}")).await;
        assert_eq!(members.split_whitespace().count(), listed);
    }
    tell(&mut asker, "subscribe tea me").await;
    assert_eq!(asker.ask("members tea 0").await, "");
    let own = asker.ask("members tea").await;
    assert_eq!(own.split_whitespace().count(), 10);
}

#[tokio::test]
async fn the_largest_message_can_be_sent_on_by_default() {
    let setup = Gateway::with("topics").limits("deadline = \"20s\"");
    let gateway = setup.start().await;
    let mut client = gateway.connect("/?topics=0").await;
    let largest = vec![7; 16 << 20];
    client.send_binary(&largest).await;
    assert!(client.recv_binary().await == largest);
}

#[tokio::test]
async fn what_exceeds_the_effects_is_counted() {
    let setup = Gateway::with("topics").limits("effects = \"1KiB\"");
    let gateway = setup.start().await;
    let mut client = gateway.connect("/?topics=0").await;
    client.send_binary(&[7; 1024]).await;
    assert_eq!(client.ask("small").await, "small");
    let dropped = gateway.metric(r#"drops_total{reason="effects"}"#).await;
    assert_eq!(dropped, 1);
}

/// Two connections on different shards, each with its id.
async fn on_two_shards(gateway: &Gateway) -> [(Client, u64); 2] {
    let mut one = gateway.connect("/").await;
    let mut other = gateway.connect("/").await;
    let one_id: u64 = one.ask("id").await.parse().expect("a number");
    let other_id: u64 = other.ask("id").await.parse().expect("a number");
    assert_ne!(one_id % 2, other_id % 2, "sockets are handed out in turn");
    [(one, one_id), (other, other_id)]
}

#[tokio::test]
async fn on_drain_follows_what_was_queued_for_another_shard() {
    let setup = Gateway::with("drain").server("shards = 2");
    let gateway = setup.start().await;
    let [(mut sender, _), (mut receiver, id)] = on_two_shards(&gateway).await;
    for _ in 0..50 {
        assert_eq!(
            sender.ask(&format!("push {id} 2")).await,
            "Some(Delivery::Queued)"
        );
        for _ in 0..2 {
            assert_eq!(receiver.recv_binary().await.len(), 64 << 10);
        }
        assert_eq!(receiver.recv().await, "drained");
    }
}

#[tokio::test]
async fn on_drain_comes_for_what_was_dropped_in_the_end_too() {
    let setup = Gateway::with("drain")
        .server("shards = 2")
        .route_limits("outbox = \"1MiB\"\nslow_consumer = \"drop-newest\"");
    let gateway = setup
        .limits("effects = \"64MiB\"\ndeadline = \"5s\"")
        .start()
        .await;
    let mut sender = gateway.connect("/").await;
    let mut receiver = Raw::upgraded(gateway.address, "/").await;
    receiver.shrink();
    receiver.write(&frame(0x81, b"id")).await;
    let (_, id) = receiver.read_frame().await;
    let id = String::from_utf8(id).expect("a number");
    assert_eq!(
        sender.ask(&format!("push {id} 200")).await,
        "Some(Delivery::Queued)"
    );
    let drops = r#"drops_total{reason="drop-newest"}"#;
    gateway.until_metric_is_at_least(drops, 1).await;
    loop {
        let (first, payload) = receiver.read_frame().await;
        if first == 0x81 {
            assert_eq!(payload, b"drained");
            break;
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_not_there_takes_nothing_on_any_shard() {
    let setup = Gateway::with("drain").server("shards = 2");
    let gateway = setup.start().await;
    let [(mut sender, own), (receiver, id)] = on_two_shards(&gateway).await;
    for unknown in [1_000_000, 1_000_001, u64::MAX, 0] {
        let answer = sender.ask(&format!("push {unknown} 1")).await;
        assert_eq!(answer, "Some(Delivery::Dropped)", "{unknown}, own is {own}");
    }
    assert_eq!(
        sender.ask(&format!("push {id} 1")).await,
        "Some(Delivery::Queued)"
    );
    drop(receiver);
    gateway.until_metric("connections_open", 1).await;
    assert_eq!(
        sender.ask(&format!("push {id} 1")).await,
        "Some(Delivery::Dropped)"
    );
    let dropped = gateway.metric(r#"drops_total{reason="closing"}"#).await;
    assert!(dropped >= 5, "{dropped}");
}
