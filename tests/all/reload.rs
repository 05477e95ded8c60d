//! Reloads and rollbacks by the API and by signal: the swap, the last good, the history.

use std::fs;

use crate::client::Client;
use crate::gateway::{Gateway, Setup};
use crate::guests;

/// A gateway whose files change without being watched: only what a test asks for is loaded.
fn unwatched(fixture: &str) -> Setup {
    Gateway::with(fixture).plugin("watch = false")
}

#[tokio::test]
async fn a_connection_is_answered_by_the_next_generation() {
    let gateway = unwatched("generation").start().await;
    let mut client = gateway.connect("/").await;
    assert_eq!(client.ask("a").await, "1 a");
    let before = gateway.status().await;
    gateway.put(&guests::variant("generation", 1));
    let answer = gateway.reload().await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["plugin"], "generation");
    assert_eq!(answer.json()["generation"], 2);
    assert_eq!(client.ask("b").await, "2 b");
    let after = gateway.status().await;
    assert_eq!(after["generation"], 2);
    assert_ne!(before["digest"], after["digest"]);
    assert_eq!(client.close(1000, "").await, Some(1000));
}

#[tokio::test]
async fn the_same_file_reloaded_is_a_generation_too() {
    let gateway = unwatched("generation").start().await;
    let digest = gateway.status().await["digest"].clone();
    assert_eq!(gateway.reload().await.json()["generation"], 2);
    assert_eq!(gateway.status().await["digest"], digest);
}

#[tokio::test]
async fn the_digest_is_the_files() {
    use sha2::{Digest, Sha256};
    let gateway = unwatched("generation").start().await;
    let digest = Sha256::digest(guests::bytes("generation"));
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(gateway.status().await["digest"], format!("sha256:{digest}"));
}

#[tokio::test]
async fn a_call_in_flight_ends_on_its_generation_while_others_go_to_the_next() {
    let gateway = unwatched("witness").start().await;
    let (mut slow, mut other) = (gateway.connect("/").await, gateway.connect("/").await);
    slow.send("wait 2000").await;
    slow.send("behind").await;
    gateway
        .until_metric("events_total{event=\"message\"}", 1)
        .await;
    assert_eq!(gateway.reload().await.json()["generation"], 2);
    assert_eq!(other.ask("meanwhile").await, "2 meanwhile");
    // Only that answer has left: the other call was in flight all the time.
    assert_eq!(gateway.metric("deliveries_total").await, 1);
    assert_eq!(slow.recv().await, "1 wait 2000");
    assert_eq!(slow.recv().await, "2 behind");
}

#[tokio::test]
async fn a_hangup_signal_reloads() {
    let gateway = unwatched("generation").start().await;
    let mut client = gateway.connect("/").await;
    for generation in 2..=3 {
        gateway.signal("-HUP");
        gateway.until_generation(generation).await;
        assert_eq!(client.ask("a").await, format!("{generation} a"));
    }
}

#[tokio::test]
async fn whatever_is_wrong_with_the_file_the_last_good_generation_stays() {
    let gateway = unwatched("generation")
        .limits("load = \"300ms\"")
        .start()
        .await;
    let mut client = gateway.connect("/").await;
    let whole = guests::bytes("generation");
    let bad = [
        (Vec::new(), "is empty"),
        (b"#!/bin/sh\n".to_vec(), "is not WebAssembly"),
        (b"\0asm\x01\0\0\0".to_vec(), "is a core module"),
        (whole[..6].to_vec(), "is not a valid component"),
        (
            whole[..whole.len() / 2].to_vec(),
            "is not a valid component",
        ),
        (guests::bytes("other-world"), "tidegate:plugin/handler"),
        (guests::bytes("wrong-shape"), "lacks the function on-close"),
        (guests::bytes("future"), "tidegate:plugin/handler"),
        (guests::bytes("start-trap"), "failed its self-check"),
        (guests::bytes("start-spin"), "ran longer than 300ms"),
        (guests::bytes("start-hoard"), "limits.memory"),
        (
            guests::bytes("self-check-fails"),
            "the self-check failed as asked",
        ),
    ];
    for (index, (bytes, words)) in bad.into_iter().enumerate() {
        gateway.put(&bytes);
        is_refused(&gateway, &mut client, words, index as u64 + 1).await;
    }
    fs::remove_file(gateway.component()).expect("it is there");
    is_refused(&gateway, &mut client, "no file at", 13).await;
    fs::create_dir(gateway.component()).expect("its place is free");
    is_refused(&gateway, &mut client, "failed to read", 14).await;
    fs::remove_dir(gateway.component()).expect("it is empty");

    gateway.put(&guests::variant("generation", 1));
    assert_eq!(gateway.reload().await.json()["generation"], 2);
    let status = gateway.status().await;
    assert_eq!(status["last_error"], serde_json::Value::Null);
    assert_eq!(status["state"], "serving");
    assert_eq!(client.ask("a").await, "2 a");
}

/// Reloads; checks that everyone who should be is told why it was refused, and that clients are not.
async fn is_refused(gateway: &Gateway, client: &mut Client, words: &str, refusals: u64) {
    let answer = gateway.reload().await;
    assert_eq!(answer.status, 422, "{words}: {answer:?}");
    let error = answer.json()["error"].as_str().expect("words").to_owned();
    assert!(error.contains(words), "{words:?} is not in {error:?}");
    let status = gateway.status().await;
    assert_eq!(status["last_error"]["message"], error.as_str());
    assert_eq!(status["state"], "serving-last-good");
    assert_eq!(status["generation"], 1);
    let metric = "plugin_loads_total{plugin=\"generation\",result=\"refused\"}";
    assert_eq!(gateway.metric(metric).await, refusals);
    gateway
        .until_log_lines("load refused", refusals as usize)
        .await;
    let log = gateway.log();
    let last = log.lines().rfind(|line| line.contains("load refused"));
    assert!(last.expect("one at least").contains(words), "{last:?}");
    assert_eq!(client.ask("a").await, "1 a");
}

#[tokio::test]
async fn a_rollback_puts_the_generation_before_in_place() {
    let gateway = unwatched("generation").start().await;
    let mut client = gateway.connect("/").await;
    gateway.put(&guests::variant("generation", 1));
    gateway.reload().await;
    assert_eq!(client.ask("a").await, "2 a");
    let answer = rollback(&gateway, "").await;
    assert_eq!(answer, (200, 1));
    assert_eq!(client.ask("a").await, "1 a");
    let status = gateway.status().await;
    assert_eq!(status["generation"], 1);
    assert_eq!(status["kept"], serde_json::json!([1, 2]));
    // A number is never given twice.
    assert_eq!(gateway.reload().await.json()["generation"], 3);
    let swapped = "plugin_loads_total{plugin=\"generation\",result=\"swapped\"}";
    assert_eq!(gateway.metric(swapped).await, 4);
}

#[tokio::test]
async fn a_rollback_after_a_rollback_goes_to_what_served_before() {
    let gateway = unwatched("generation").start().await;
    let mut client = gateway.connect("/").await;
    assert_eq!(gateway.reload().await.json()["generation"], 2);
    assert_eq!(rollback(&gateway, "").await, (200, 1));
    assert_eq!(gateway.reload().await.json()["generation"], 3);
    // 2 is kept, and was rolled back from: what served before 3 is 1.
    assert_eq!(rollback(&gateway, "").await, (200, 1));
    assert_eq!(client.ask("a").await, "1 a");
    let path = "/plugins/generation/rollback";
    assert_eq!(gateway.admin("POST", path).await.status, 409);
    assert_eq!(rollback(&gateway, "?generation=2").await, (200, 2));
    assert_eq!(rollback(&gateway, "").await, (200, 1));
}

#[tokio::test]
async fn a_rollback_reaches_what_is_kept_and_says_what_that_is() {
    let gateway = unwatched("generation")
        .plugin("watch = false\nhistory = 2")
        .start()
        .await;
    let mut client = gateway.connect("/").await;
    for _ in 2..=4 {
        assert_eq!(gateway.reload().await.status, 200);
    }
    assert_eq!(gateway.status().await["kept"], serde_json::json!([3, 4]));
    assert_eq!(rollback(&gateway, "?generation=3").await, (200, 3));
    assert_eq!(client.ask("a").await, "3 a");
    for query in ["", "?generation=1", "?generation=9"] {
        let path = format!("/plugins/generation/rollback{query}");
        let answer = gateway.admin("POST", &path).await;
        assert_eq!(answer.status, 409, "{answer:?}");
        assert!(answer.body.contains("kept are 3, 4"), "{answer:?}");
        assert_eq!(client.ask("a").await, "3 a");
    }
    assert_eq!(rollback(&gateway, "?generation=4").await, (200, 4));
    assert_eq!(client.ask("a").await, "4 a");
    let path = "/plugins/generation/rollback?generation=x";
    assert_eq!(gateway.admin("POST", path).await.status, 400);
}

/// Rolls back; returns the status and the generation.
async fn rollback(gateway: &Gateway, query: &str) -> (u16, u64) {
    let path = format!("/plugins/generation/rollback{query}");
    let answer = gateway.admin("POST", &path).await;
    let generation = answer.json()["generation"].as_u64();
    (answer.status, generation.expect("a number"))
}
