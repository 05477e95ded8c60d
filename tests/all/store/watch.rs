//! Watchers: a plugin hears of the changes in its buckets.

use crate::gateway::{Gateway, Setup};
use crate::guests;

/// A gateway whose plugin watches "rooms"; at "/store" is another that may write there.
fn watching() -> Setup {
    watching_with("")
}

/// A setup that watches, with more tables in its configuration.
fn watching_with(tables: &str) -> Setup {
    Gateway::with("store-watch")
        .plugin("grants.store = [\"rooms\"]\ngrants.watch = [\"rooms\"]")
        .more(&format!(
            "[[plugin]]\nname = \"store\"\npath = {:?}\ngrants.store = [\"rooms\"]\n\
             [[route]]\npath = \"/store\"\nplugins = [\"store\"]\n{tables}",
            guests::path("store")
        ))
}

#[tokio::test]
async fn a_watcher_hears_what_any_connection_of_any_plugin_writes() {
    let gateway = watching().server("shards = 2").start().await;
    let mut listener = gateway.connect("/").await;
    for _ in 0..2 {
        // One on each shard.
        let mut writer = gateway.connect("/store").await;
        assert_eq!(writer.ask("rooms set a 1").await, "ok");
        assert_eq!(listener.recv().await, "set a 1");
    }
    let mut writer = gateway.connect("/store").await;
    writer.send("rooms set-many a 2 b 3").await;
    assert_eq!(listener.recv().await, "set a 2");
    assert_eq!(listener.recv().await, "set b 3");
    writer.send("rooms increment b 4").await;
    assert_eq!(listener.recv().await, "set b 7");
    writer.send("rooms append list x").await;
    assert_eq!(listener.recv().await, "set list [\"x\"]");
    writer.send("rooms delete-many a nothing b").await;
    assert_eq!(listener.recv().await, "delete a");
    assert_eq!(listener.recv().await, "delete b");
    assert!(gateway.metric("events_total{event=\"change\"}").await >= 8);
}

#[tokio::test]
async fn a_watcher_hears_its_own_writes_too() {
    let gateway = watching().start().await;
    let (mut listener, mut writer) = (gateway.connect("/").await, gateway.connect("/store").await);
    writer.send("rooms set echo hello").await;
    assert_eq!(listener.recv().await, "set echo hello");
    assert_eq!(listener.recv().await, "set echoed hello");
}

#[tokio::test]
async fn a_trap_or_an_error_in_a_watcher_ends_that_event_alone() {
    let gateway = watching().start().await;
    let (mut listener, mut writer) = (gateway.connect("/").await, gateway.connect("/store").await);
    for key in ["trap", "err", "trap-again"] {
        // What they published is not heard: the event failed.
        assert_eq!(writer.ask(&format!("rooms set {key} 1")).await, "ok");
    }
    assert_eq!(writer.ask("rooms set fine 1").await, "ok");
    assert_eq!(listener.recv().await, "set fine 1");
    assert_eq!(gateway.metric("failures_total{kind=\"trap\"}").await, 2);
    gateway.until_log("on_set of \"err\": as asked").await;
    gateway.until_log_lines("event=\"change\"", 2).await;
    // Nobody was closed, and what was written is written.
    assert_eq!(writer.ask("rooms get trap").await, "1");
}

#[tokio::test]
async fn a_watcher_hears_that_an_entry_has_ended() {
    let bucket = "[[bucket]]\nname = \"rooms\"\nttl = \"200ms\"";
    let gateway = watching_with(bucket).start().await;
    let (mut listener, mut writer) = (gateway.connect("/").await, gateway.connect("/store").await);
    writer.send("rooms set a 1").await;
    assert_eq!(listener.recv().await, "set a 1");
    assert_eq!(listener.recv().await, "delete a");
}

#[tokio::test]
async fn changes_beyond_the_limit_leave_out_the_oldest() {
    const BURST: u64 = 5000;
    // On one shard the watcher gets its turn only now and then while the burst is written.
    let limits = "changes = 3\ndeadline = \"10s\"";
    let gateway = watching().limits(limits).server("shards = 1").start().await;
    let (mut listener, mut writer) = (gateway.connect("/").await, gateway.connect("/").await);
    writer.send(&format!("burst {BURST}")).await;
    let mut heard = Vec::new();
    while heard
        .last()
        .is_none_or(|last| *last != format!("set n {BURST}"))
    {
        heard.push(listener.recv().await);
    }
    let dropped = gateway
        .metric("store_changes_dropped_total{plugin=\"store-watch\"}")
        .await;
    assert!(dropped > 0);
    assert_eq!(heard.len() as u64 + dropped, BURST);
    let numbers: Vec<u32> = heard
        .iter()
        .map(|line| line.strip_prefix("set n ").unwrap().parse().unwrap())
        .collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
}

#[tokio::test]
async fn a_watcher_goes_on_in_the_next_generation() {
    let gateway = watching().start().await;
    let (mut listener, mut writer) = (gateway.connect("/").await, gateway.connect("/store").await);
    writer.send("rooms set a 1").await;
    assert_eq!(listener.recv().await, "set a 1");
    gateway.put(&guests::variant("store-watch", 2));
    gateway.until_generation(2).await;
    writer.send("rooms set a 2").await;
    assert_eq!(listener.recv().await, "set a 2");
}

#[tokio::test]
async fn a_plugin_without_the_grant_hears_nothing() {
    let gateway = Gateway::with("store-watch")
        .plugin("grants.store = [\"rooms\"]")
        .start()
        .await;
    let mut client = gateway.connect("/").await;
    assert_eq!(client.ask("set a 1").await, "ok");
    client.silent().await;
    assert_eq!(gateway.metric("events_total{event=\"change\"}").await, 0);
}
