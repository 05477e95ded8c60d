//! What a guest logs with a level becomes log lines that say where they come from, bounded like what it prints.

use serde_json::Value;

use crate::gateway::Gateway;

/// The log's only line with these words.
async fn line(gateway: &Gateway, words: &str) -> String {
    gateway.until_log(words).await;
    let log = gateway.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains(words)).collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    lines[0].to_owned()
}

#[tokio::test]
async fn a_line_says_its_plugin_generation_and_connection() {
    let gateway = Gateway::with("logger").server("shards = 1").start().await;
    // The first has the id 1, the second 2.
    let (mut first, mut second) = (gateway.connect("/").await, gateway.connect("/").await);
    first.ask("warn quota three are left").await;
    second.ask("error - none is left").await;
    second.ask("print a printed line").await;
    first.ask("print another printed line").await;

    let own = r#"plugin="logger" generation=1 connection="#;
    let warning = line(&gateway, "three are left").await;
    assert!(warning.contains(" WARN guest: "), "{warning}");
    assert!(
        warning.contains(&format!("{own}1 context=\"quota\"")),
        "{warning}"
    );
    let error = line(&gateway, "none is left").await;
    assert!(error.contains("ERROR guest: "), "{error}");
    assert!(error.ends_with(&format!("{own}2")), "{error}");
    let printed = line(&gateway, "a printed line").await;
    assert!(printed.ends_with(&format!("{own}2")), "{printed}");
    let printed = line(&gateway, "another printed line").await;
    assert!(printed.ends_with(&format!("{own}1")), "{printed}");

    // A check before a generation takes over is of no connection.
    let check = line(&gateway, "a line of the check").await;
    assert!(
        check.ends_with(r#"plugin="logger" generation=1"#),
        "{check}"
    );
}

#[tokio::test]
async fn a_line_of_json_has_them_as_fields() {
    let setup = Gateway::with("logger").server("shards = 1");
    let gateway = setup
        .environment("TIDEGATE_LOG__FORMAT", "json")
        .start()
        .await;
    let mut client = gateway.connect("/").await;
    client.ask("critical store it is \"full\"").await;
    let line: Value = serde_json::from_str(&line(&gateway, "it is").await).unwrap();
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["target"], "guest");
    let fields = serde_json::json!({
        "message": "it is \"full\"", "plugin": "logger", "generation": 1, "connection": 1, "context": "store",
    });
    assert_eq!(line["fields"], fields, "{line:#}");
}

#[tokio::test]
async fn levels_are_those_of_the_log() {
    let gateway = Gateway::with("logger")
        .environment("TIDEGATE_LOG__LEVEL", "info,guest=debug")
        .start()
        .await;
    let mut client = gateway.connect("/").await;
    for level in ["trace", "debug", "info"] {
        client.ask(&format!("{level} - a line of {level}")).await;
    }
    assert!(
        line(&gateway, "a line of debug")
            .await
            .contains("DEBUG guest: ")
    );
    assert!(
        line(&gateway, "a line of info")
            .await
            .contains(" INFO guest: ")
    );
    assert!(!gateway.log().contains("a line of trace"));
}

#[tokio::test]
async fn a_flood_is_cut_and_counted() {
    let setup = Gateway::with("logger").limits("deadline = \"30s\"");
    let gateway = setup.server("shards = 1").start().await;
    let mut client = gateway.connect("/").await;
    let dropped = "guest_log_lines_dropped_total";

    // What is not logged anyway is not counted.
    client.ask("many debug").await;
    assert_eq!(gateway.metric(dropped).await, 0);

    client.ask("long").await;
    client.ask("lines").await;
    assert_eq!(line(&gateway, "xxxx").await.matches('x').count(), 4096);
    for words in ["one of three", "two of three", "three of three"] {
        assert!(line(&gateway, words).await.contains("guest: "));
    }

    client.ask("many warn").await;
    gateway.until_log("guest: line 90 ").await;
    let logged = gateway.log().matches("guest: line ").count() as u64;
    let dropped = gateway.metric(dropped).await;
    assert!(dropped >= 9_000, "{dropped}");
    assert_eq!(dropped + logged, 10_000);
}
