//! What a guest prints becomes log lines with its plugin's name, of bounded length and number.

use crate::gateway::Gateway;

/// The log's lines with these words.
fn lines(gateway: &Gateway, words: &str) -> Vec<String> {
    let log = gateway.log();
    let lines = log.lines().filter(|line| line.contains(words));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_printed_line_is_a_log_line_with_the_plugins_name() {
    let gateway = Gateway::with("stdout").start().await;
    let mut client = gateway.connect("/").await;
    client.ask("a line on stdout").await;
    client.ask("err").await;
    for words in ["a line on stdout", "a line on stderr"] {
        gateway.until_log(words).await;
        let found = lines(&gateway, words);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("guest"), "{found:?}");
        assert!(found[0].contains("plugin=\"stdout\""), "{found:?}");
        assert!(found[0].contains("generation=1"), "{found:?}");
    }
}

#[tokio::test]
async fn a_line_without_an_end_is_logged_when_its_instance_goes() {
    let gateway = Gateway::with("stdout").server("shards = 1").start().await;
    let mut client = gateway.connect("/").await;
    client.ask("part").await;
    assert!(lines(&gateway, "part of a line").is_empty());
    gateway.reload().await;
    gateway.until_log("part of a line").await;
    assert_eq!(client.ask("hello").await, "hello");
}

#[tokio::test]
async fn a_long_line_is_cut() {
    let setup = Gateway::with("stdout").limits("deadline = \"5s\"");
    let gateway = setup.start().await;
    let mut client = gateway.connect("/").await;
    client.ask("long").await;
    client.ask("the next line").await;
    gateway.until_log("the next line").await;
    let found = lines(&gateway, "xxxx");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].matches('x').count(), 4096);
}

#[tokio::test]
async fn too_many_lines_are_dropped_and_counted() {
    let setup = Gateway::with("stdout").limits("deadline = \"30s\"");
    let gateway = setup.server("shards = 1").start().await;
    let (mut client, mut other) = (gateway.connect("/").await, gateway.connect("/").await);
    client.ask("many").await;
    assert_eq!(other.ask("hello").await, "hello");
    gateway.until_log("line 99").await;
    let logged = lines(&gateway, "guest: line ").len() as u64;
    let dropped = gateway.metric("guest_log_lines_dropped_total").await;
    assert!(dropped >= 9_000, "{dropped}");
    // The line "hello" may have been dropped too.
    assert!(
        (10_000..=10_001).contains(&(dropped + logged)),
        "{dropped} + {logged}"
    );
}

#[tokio::test]
async fn bytes_that_would_move_a_terminals_cursor_do_not_reach_it() {
    let gateway = Gateway::with("stdout").start().await;
    let mut client = gateway.connect("/").await;
    client.ask("bytes").await;
    gateway.until_log("\u{fffd}\u{fffd}").await;
    assert!(!gateway.log().contains('\u{1b}'), "{:?}", gateway.log());
}
