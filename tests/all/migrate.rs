//! States that a new generation takes over or refuses.

use crate::client::Client;
use crate::gateway::{Gateway, Setup};
use crate::guests;

fn keeper() -> Setup {
    Gateway::with("keeper")
}

/// A connection with that state, on generation 1.
async fn with_state(gateway: &Gateway, state: &str) -> Client {
    let mut client = gateway.connect("/").await;
    assert_eq!(
        client.ask(&format!("set {state}")).await,
        format!("1 {state}")
    );
    client
}

/// Puts the plugin that takes over states in place.
async fn upgrade(gateway: &Gateway) {
    gateway.put(&guests::bytes("migrator"));
    gateway.until_generation(2).await;
}

const PINNED: &str = "plugin_pinned_connections{plugin=\"keeper\"}";

#[tokio::test]
async fn a_state_is_taken_over_once() {
    let gateway = keeper().start().await;
    let mut old = with_state(&gateway, "a").await;
    let mut stateless = gateway.connect("/").await;
    upgrade(&gateway).await;
    assert_eq!(old.ask("get").await, "2 a from 1");
    assert_eq!(old.ask("get").await, "2 a from 1");
    assert_eq!(stateless.ask("get").await, "2 ");
    assert_eq!(old.ask("set b").await, "2 b");
    gateway.reload().await;
    assert_eq!(old.ask("get").await, "3 b from 2");
    gateway.reload().await;
    gateway.reload().await;
    assert_eq!(old.ask("get").await, "5 b from 2 from 3");
}

#[tokio::test]
async fn one_that_is_refused_keeps_its_connection_on_the_old_generation() {
    let gateway = keeper().start().await;
    let mut refused = with_state(&gateway, "refuse").await;
    let mut trapped = with_state(&gateway, "trap").await;
    let mut grown = with_state(&gateway, "grow").await;
    let mut other = with_state(&gateway, "a").await;
    upgrade(&gateway).await;
    for client in [&mut refused, &mut trapped, &mut grown] {
        assert!(client.ask("get").await.starts_with("1 "));
    }
    assert_eq!(other.ask("get").await, "2 a from 1");
    gateway.until_metric(PINNED, 3).await;
    assert_eq!(gateway.status().await["pinned"], 3);
    gateway
        .until_metric("failures_total{kind=\"trap\"}", 1)
        .await;
    gateway
        .until_log("over `limits.state` of the route (65536)")
        .await;
    // It stays there, with what it keeps from now on, whatever is loaded.
    assert_eq!(refused.ask("set b").await, "1 b");
    gateway.reload().await;
    assert_eq!(refused.ask("get").await, "1 b");
    assert_eq!(other.ask("get").await, "3 a from 1 from 2");
    refused.close(1000, "").await;
    gateway.until_log("closed 1 b").await;
    gateway.until_metric(PINNED, 2).await;
    other.silent().await;
}

#[tokio::test]
async fn one_that_is_refused_closes_its_connection_if_so_configured() {
    let gateway = keeper()
        .plugin("on_refused_state = \"close\"")
        .start()
        .await;
    let mut refused = with_state(&gateway, "refuse").await;
    upgrade(&gateway).await;
    refused.send("get").await;
    assert_eq!(
        refused.recv_close().await,
        (1012, "service restart".to_owned())
    );
    gateway.until_log("closed 2 refuse").await;
    gateway
        .until_metric("failures_total{kind=\"refused\"}", 1)
        .await;
    gateway.until_metric(PINNED, 0).await;
}

#[tokio::test]
async fn no_more_stay_than_may() {
    let gateway = keeper().limits("pinned = 1").start().await;
    let mut first = with_state(&gateway, "refuse").await;
    let mut second = with_state(&gateway, "refuse").await;
    upgrade(&gateway).await;
    assert_eq!(first.ask("get").await, "1 refuse");
    second.send("get").await;
    assert_eq!(second.recv_close().await.0, 1012);
    gateway.until_metric(PINNED, 1).await;
}
