//! Timers of connections and of plugins.

use crate::client::{Client, Raw, frame};
use crate::gateway::{Gateway, Setup};

fn timers() -> Setup {
    Gateway::with("timers")
}

/// Sends a command and waits for its "ok".
async fn set(client: &mut Client, command: &str) {
    client.send(command).await;
    assert_eq!(client.recv().await, format!("ok {command}"));
}

#[tokio::test]
async fn one_that_fires_once_fires_once_and_in_order_of_time() {
    let gateway = timers().start().await;
    let mut client = gateway.connect("/").await;
    set(&mut client, "after late 60").await;
    set(&mut client, "after early 30").await;
    set(&mut client, "after now 0").await;
    for name in ["now", "early", "late"] {
        assert_eq!(client.recv().await, format!("1 {name}"));
    }
    client.silent().await;
    gateway
        .until_metric("events_total{event=\"timer\"}", 3)
        .await;
}

#[tokio::test]
async fn a_repeating_one_goes_on_through_a_reload_until_it_is_cleared() {
    let gateway = timers().start().await;
    let mut client = gateway.connect("/").await;
    set(&mut client, "every beat 20").await;
    for _ in 0..3 {
        assert_eq!(client.recv().await, "1 beat");
    }
    gateway.reload().await;
    while client.recv().await != "2 beat" {}
    client.send("clear beat").await;
    while client.recv().await != "ok clear beat" {}
    client.silent().await;
}

#[tokio::test]
async fn a_name_is_set_anew_unless_it_is_to_be_kept() {
    let gateway = timers().start().await;
    let mut client = gateway.connect("/").await;
    set(&mut client, "after a 3600000").await;
    set(&mut client, "keep a 10").await;
    client.silent().await;
    set(&mut client, "after a 10").await;
    assert_eq!(client.recv().await, "1 a");
    // A kept one is set where there is none.
    set(&mut client, "keep a 10").await;
    assert_eq!(client.recv().await, "1 a");
    assert_eq!(client.recv().await, "1 a");
}

#[tokio::test]
async fn an_event_that_fails_sets_none() {
    let gateway = timers().start().await;
    let mut client = gateway.connect("/").await;
    client.send("fail a 0").await;
    client.silent().await;
    set(&mut client, "after b 0").await;
    assert_eq!(client.recv().await, "1 b");
}

#[tokio::test]
async fn they_end_with_their_connection() {
    let gateway = timers().start().await;
    let mut client = gateway.connect("/").await;
    set(&mut client, "every a 10").await;
    assert_eq!(client.recv().await, "1 a");
    client.close(1000, "").await;
    gateway.until_metric("connections_open", 0).await;
    let fired = gateway.metric("events_total{event=\"timer\"}").await;
    tokio::time::sleep(crate::WATCH).await;
    assert_eq!(gateway.metric("events_total{event=\"timer\"}").await, fired);
}

#[tokio::test]
async fn one_whose_event_traps_ends_its_connection_only() {
    let gateway = timers().start().await;
    let (mut one, mut two) = (gateway.connect("/").await, gateway.connect("/").await);
    set(&mut two, "every beat 20").await;
    set(&mut one, "after trap 0").await;
    assert_eq!(one.recv_close().await.0, 1011);
    for _ in 0..3 {
        assert_eq!(two.recv().await, "1 beat");
    }
}

#[tokio::test]
async fn a_plugins_own_are_one_set_for_all_connections() {
    let gateway = timers().server("shards = 2").start().await;
    let (mut one, mut two) = (gateway.connect("/").await, gateway.connect("/").await);
    set(&mut one, "plugin hello 0").await;
    assert_eq!(one.recv().await, "1 hello");
    assert_eq!(two.recv().await, "1 hello");
    set(&mut two, "plugin-every beat 20").await;
    for _ in 0..3 {
        assert_eq!(one.recv().await, "1 beat");
    }
    // It belongs to nobody: it goes on without who set it.
    drop(two);
    gateway.reload().await;
    while one.recv().await != "2 beat" {}
    one.send("clear-plugin beat").await;
    while one.recv().await != "ok clear-plugin beat" {}
    one.silent().await;
}

#[tokio::test]
async fn limits_are_errors_in_the_guest() {
    let gateway = timers()
        .limits("timers = 1\ntimer = \"50ms\"")
        .route_limits("timers = 3")
        .start()
        .await;
    let mut client = gateway.connect("/").await;
    client.send("every a 49").await;
    assert_eq!(
        client.recv().await,
        "the period is less than limits.timer of the plugin"
    );
    client.send("same 20").await;
    assert_eq!(client.recv().await, "set 20", "it is one timer");
    client.send("many 10").await;
    assert_eq!(client.recv().await, "set 3");
    set(&mut client, "after 1 0").await;
    assert_eq!(client.recv().await, "1 1");
    set(&mut client, "plugin a 3600000").await;
    client.send("plugin b 3600000").await;
    let words = client.recv().await;
    assert!(words.contains("as many timers as limits.timers"), "{words}");
    set(&mut client, "plugin a 0").await;
    assert_eq!(client.recv().await, "1 a");
    set(&mut client, "plugin b 0").await;
    assert_eq!(client.recv().await, "1 b");
}

/// A storm of timers is events in turn: others are served, and what fires again before it was handled fires once.
#[tokio::test]
async fn a_storm_does_not_keep_others_waiting() {
    let gateway = timers()
        .server("shards = 1")
        .limits("timer = \"1ms\"")
        .route_limits("timers = 1000")
        .start()
        .await;
    let mut storm = gateway.connect("/").await;
    for index in 0..500 {
        storm.send(&format!("every {index} 1")).await;
    }
    let mut calm = gateway.connect("/").await;
    for index in 0..20 {
        set(&mut calm, &format!("after {index} 0")).await;
        assert_eq!(calm.recv().await, format!("1 {index}"));
    }
}

/// The handler takes longer than the period: there is always one that has fired.
#[tokio::test]
async fn one_that_is_slower_than_its_period_lets_messages_in() {
    let gateway = timers()
        .route_limits("ping = \"300ms\"\npong = \"300ms\"\nidle = \"20s\"")
        .start()
        .await;
    let mut client = gateway.connect("/").await;
    set(&mut client, "every slow 20").await;
    assert_eq!(client.recv().await, "1 slow");
    for number in 0..5 {
        let command = format!("after {number} 3600000");
        client.send(&command).await;
        while client.recv().await != format!("ok {command}") {}
    }
    // And its pongs: twenty of them are more than ping and pong together.
    for _ in 0..20 {
        assert_eq!(client.recv().await, "1 slow");
    }
}

#[tokio::test]
async fn a_delay_of_any_length_is_taken() {
    let gateway = timers().start().await;
    let mut client = gateway.connect("/").await;
    set(&mut client, &format!("after a {}", u64::MAX)).await;
    set(&mut client, "after b 0").await;
    assert_eq!(client.recv().await, "1 b");
}

#[tokio::test]
async fn a_plugin_has_no_more_timers_than_it_may_from_any_shard() {
    let setup = Gateway::with("timers").server("shards = 2");
    let gateway = setup.limits("timers = 4").start().await;
    // The plugin's own live on the first shard, the second connection on the other.
    let _first = gateway.connect("/").await;
    let mut second = Raw::upgraded(gateway.address, "/").await;
    let burst = (0..40).flat_map(|n| frame(0x81, format!("plugin t{n} 3600000").as_bytes()));
    second.write(&burst.collect::<Vec<_>>()).await;
    let mut set = 0;
    for _ in 0..40 {
        let (_, answer) = second.read_frame().await;
        set += usize::from(answer.starts_with(b"ok "));
    }
    assert_eq!(set, 4);
}
