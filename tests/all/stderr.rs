//! Logging is best effort: whatever becomes of the gateway's stderr, it serves on.

use std::fs::{File, OpenOptions};
use std::io::{PipeReader, Read, pipe};
use std::process::{Command, Stdio};

use crate::gateway::{Gateway, Setup};

/// A gateway whose guest may log thousands of lines at once.
fn logger() -> Setup {
    Gateway::with("logger")
        .server("shards = 2\ndrain_window = \"0s\"")
        .limits("deadline = \"30s\"")
        .more("[log]\nrate = 1000000\nqueue = \"64KiB\"")
}

async fn start_on_a_pipe(setup: Setup) -> (Gateway, PipeReader) {
    let (reader, writer) = pipe().unwrap();
    (setup.start_on(Stdio::from(writer)).await, reader)
}

/// Checks that handlers of every shard and the loader go on, while each of them logs.
async fn check_that_it_serves(gateway: &Gateway) {
    for _ in 0..4 {
        let mut client = gateway.connect("/").await;
        assert_eq!(client.ask("warn - a line").await, "warn - a line");
    }
    assert_eq!(gateway.reload().await.status, 200);
    assert_eq!(gateway.admin("GET", "/readyz").await.status, 200);
}

#[tokio::test]
async fn a_reader_that_has_gone_is_no_reason_to_stop() {
    let (mut gateway, reader) = start_on_a_pipe(logger()).await;
    drop(reader);
    check_that_it_serves(&gateway).await;
    check_that_it_serves(&gateway).await;
    gateway
        .until_metric_is_at_least("log_lines_lost_total{reason=\"write\"}", 8)
        .await;
    gateway.signal("-TERM");
    assert_eq!(gateway.wait().await.code(), Some(0));
}

#[tokio::test]
async fn a_full_disk_is_no_reason_to_stop() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut gateway = logger().start_on(Stdio::from(full)).await;
    check_that_it_serves(&gateway).await;
    gateway
        .until_metric_is_at_least("log_lines_lost_total{reason=\"write\"}", 4)
        .await;
    gateway.signal("-TERM");
    assert_eq!(gateway.wait().await.code(), Some(0));
}

#[tokio::test]
async fn a_reader_that_does_not_read_costs_lines_and_nothing_else() {
    let (gateway, mut reader) = start_on_a_pipe(logger()).await;
    let mut client = gateway.connect("/").await;
    assert_eq!(client.ask("many warn").await, "many warn");
    gateway
        .until_metric_is_at_least("log_lines_lost_total{reason=\"queue\"}", 1000)
        .await;
    check_that_it_serves(&gateway).await;
    // Once it reads, a line says how many it has missed.
    let mut log = String::new();
    while !log.contains("log lines were lost") {
        let mut bytes = [0; 4096];
        let n = reader.read(&mut bytes).unwrap();
        assert_ne!(n, 0, "{log}");
        log.push_str(&String::from_utf8_lossy(&bytes[..n]));
    }
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("guest: line "))
        .collect();
    assert!((500..9_000).contains(&lines.len()), "{}", lines.len());
}

#[tokio::test]
async fn a_reader_that_does_not_read_does_not_keep_the_process_from_its_end() {
    let (mut gateway, reader) = start_on_a_pipe(logger()).await;
    let mut client = gateway.connect("/").await;
    assert_eq!(client.ask("many warn").await, "many warn");
    gateway.signal("-TERM");
    assert_eq!(gateway.wait().await.code(), Some(0));
    drop(reader);
}

#[test]
fn a_stdout_that_nobody_reads_is_no_reason_to_panic() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("tidegate.toml");
    let text = "plugin = [{ name = \"a\", path = \"a.wasm\" }]\nroute = [{ path = \"/\", plugins = [\"a\"] }]\n";
    std::fs::write(&config, text).unwrap();
    let closed = || Stdio::from(pipe().unwrap().1);
    let full = || Stdio::from(OpenOptions::new().write(true).open("/dev/full").unwrap());
    for stdout in [closed(), full()] {
        let output = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["check".as_ref(), "--config".as_ref(), config.as_os_str()])
            .stdout(stdout)
            .stderr(File::create(folder.path().join("stderr")).unwrap())
            .status();
        assert_eq!(output.unwrap().code(), Some(0));
        let stderr = std::fs::read_to_string(folder.path().join("stderr")).unwrap();
        assert_eq!(stderr, "");
    }
}

#[tokio::test]
async fn words_of_a_handler_are_one_line_of_bounded_length() {
    for format in ["text", "json"] {
        let setup = Gateway::with("fail").environment("TIDEGATE_LOG__FORMAT", format);
        let gateway = setup.route("on_error = \"keep\"").start().await;
        let mut client = gateway.connect("/").await;
        client
            .send("say the room is gone\n2099-01-01T00:00:00Z  INFO forged\r\u{1b}[2K")
            .await;
        client.send(&format!("say {}", "x".repeat(1_000_000))).await;
        gateway.until_log("xxxx").await;
        gateway.until_log("the room is gone\\").await;
        let log = gateway.log();
        assert!(
            log.lines()
                .all(|line| !line.starts_with("2099") && line.len() < 6000)
        );
        assert!(!log.contains(['\r', '\u{1b}']), "{log:?}");
        let said = log.lines().filter(|line| line.contains("handler error: "));
        assert_eq!(said.count(), 2, "{log}");
    }
}
