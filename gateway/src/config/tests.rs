//! Reading configurations, and the fixtures that the tests of errors and variables share.

use std::net::SocketAddr;
use std::time::Duration;

use super::*;

mod errors;
mod variables;

const GOOD: &str = r#"
[[plugin]]
name = "chat"
path = "chat.wasm"

[[route]]
path = "/rooms/{room}"
plugins = ["chat"]
"#;

fn parse_with(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::parse(text, Path::new("tidegate.toml"), environment)
}

/// The configuration of `text` over the good one.
fn config(text: &str) -> Config {
    parse_with(&format!("{text}\n{GOOD}"), &[]).unwrap()
}

fn errors(text: &str) -> Vec<String> {
    errors_with(text, &[])
}

fn errors_with(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let errors = parse_with(text, environment).unwrap_err().to_string();
    errors.lines().map(str::to_owned).collect()
}

/// The one error of `text`, put before the good configuration.
fn error(text: &str) -> String {
    let mut errors = errors(&format!("{text}\n{GOOD}"));
    assert_eq!(errors.len(), 1, "{errors:#?}");
    errors.remove(0)
}

/// The one error of the good configuration under one variable.
fn variable_error(name: &str, value: &str) -> String {
    let mut errors = errors_with(GOOD, &[(name, value)]);
    assert_eq!(errors.len(), 1, "{errors:#?}");
    errors.remove(0)
}

/// The one error of the good configuration with `text` as more keys of its route.
fn route_error(text: &str) -> String {
    let mut errors = errors(&format!("{GOOD}{text}"));
    assert_eq!(errors.len(), 1, "{errors:#?}");
    errors.remove(0)
}

#[test]
fn two_tables_are_a_configuration_and_the_rest_has_defaults() {
    let config = config("");
    assert_eq!(
        config.server.listen,
        "127.0.0.1:8080".parse::<SocketAddr>().unwrap()
    );
    assert_eq!(config.server.shards, None);
    assert_eq!(config.server.connections, 100_000);
    assert_eq!(config.server.headers, 16 * 1024);
    assert_eq!(config.admin.listen, "127.0.0.1:9090".parse().ok());
    assert_eq!(config.log.level, "info");
    assert_eq!(config.log.format, LogFormat::Text);
    assert_eq!(config.engine.cache, Cache::Default);
    let plugin = &config.plugins[0];
    assert!(plugin.watch);
    assert_eq!(plugin.limits.memory, 256 * 1024 * 1024);
    assert_eq!(plugin.limits.deadline, Duration::from_millis(50));
    let route = &config.routes[0];
    assert_eq!(route.origins, Origins::Same);
    assert_eq!(route.on_failure, OnFailure::Close);
    assert_eq!(route.on_error, OnError::Keep);
    assert_eq!(route.limits.idle, Duration::from_secs(120));
    assert_eq!(route.limits.slow_consumer, SlowConsumer::Close);
}

#[test]
fn defaults_pass_the_rules_for_what_is_written() {
    // Written out, each default must be a value its own key accepts.
    let text = r#"
        [server]
        listen = "127.0.0.1:8080"
        connections = 100_000
        handshake_timeout = "10s"
        headers = "16KiB"
        drain_window = "5s"
        drain_deadline = "30s"
        queue = "32MiB"
        oversize = "256MiB"
        [admin]
        listen = "127.0.0.1:9090"
        message = "1MiB"
        [log]
        level = "info"
        format = "text"
        [engine]
        instances = 1000
        [store]
        size = "512MiB"
        queue = "16MiB"
        batch = 1000
        [[plugin]]
        name = "chat"
        path = "chat.wasm"
        watch = true
        history = 5
        limits = { deadline = "50ms", wait = "5s", load = "2s", memory = "256MiB", instances = 64, queue_wait = "10s", deadline_per_kib = "500us", effects = "17MiB", timers = 1024, timer = "10ms", pinned = 1024, changes = 1024, http_requests = 32, http_connect = "2s", http_first_byte = "3s", http_timeout = "4s", http_request_body = "1MiB", http_response_body = "4MiB" }
        [[route]]
        path = "/rooms/{room}"
        plugins = ["chat"]
        origins = "same"
        on_failure = "close"
        on_error = "keep"
        [route.limits]
        message = "16MiB"
        outbox = "1MiB"
        body = "1MiB"
        body_timeout = "30s"
        idle = "120s"
        ping = "30s"
        pong = "20s"
        close = "5s"
        linger = "120s"
        state = "64KiB"
        subscriptions = 1024
        slow_consumer = "close"
    "#;
    let written = parse_with(text, &[]).unwrap();
    assert_eq!(format!("{written:?}"), format!("{:?}", config("")));
}

#[test]
fn values_are_read_as_people_write_them() {
    let config = config(
        r#"
        server = { listen = "[::]:80", shards = 4, headers = 32768, drain_window = "0s" }
        admin.listen = "off"
        log.format = "json"
        engine.cache = "off"
    "#,
    );
    assert_eq!(config.server.listen.to_string(), "[::]:80");
    assert_eq!(config.server.shards.unwrap().get(), 4);
    assert_eq!(config.server.headers, 32 * 1024);
    assert_eq!(config.server.drain_window, Duration::ZERO);
    assert_eq!(config.admin.listen, None);
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.engine.cache, Cache::Off);

    let text = format!(
        "{GOOD}origins = [\"https://Example.com:443\"]\nlimits = {{ idle = \"2m\", ping = \"0s\", \
         state = 0, message = \"1.5 kB\", slow_consumer = \"drop-oldest\" }}"
    );
    let route = parse_with(&text, &[]).unwrap().routes.remove(0);
    let origins = vec![Origin::parse("https://example.com").unwrap()];
    assert_eq!(route.origins, Origins::List(origins));
    assert_eq!(route.limits.idle, Duration::from_secs(120));
    assert_eq!(route.limits.ping, Duration::ZERO);
    assert_eq!(route.limits.state, 0);
    assert_eq!(route.limits.message, 1500);
    assert_eq!(route.limits.slow_consumer, SlowConsumer::DropOldest);
}

#[test]
fn a_plugins_values_become_text() {
    let text = GOOD.replace(
        "\n\n[[route]]",
        "\n[plugin.config]\na = \"x\"\nb = 0x10\nc = 2.50\nd = true\n[[route]]",
    );
    let variable = [("TIDEGATE_PLUGIN__CHAT__CONFIG__A", "5")];
    let config = parse_with(&text, &variable).unwrap();
    let expected = [("a", "5"), ("b", "16"), ("c", "2.5"), ("d", "true")];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(config.plugins[0].config, expected.into());
}

#[test]
fn relative_paths_start_from_the_files_folder() {
    let text = format!("engine.cache = \"cache\"\n{GOOD}");
    let config = Config::parse(&text, Path::new("/etc/tidegate/tidegate.toml"), []).unwrap();
    assert_eq!(config.plugins[0].path, Path::new("/etc/tidegate/chat.wasm"));
    let cache = Cache::Directory("/etc/tidegate/cache".into());
    assert_eq!(config.engine.cache, cache);

    let config = Config::parse(GOOD, Path::new("tidegate.toml"), []).unwrap();
    let here = std::env::current_dir().unwrap();
    assert_eq!(config.plugins[0].path, here.join("chat.wasm"));
}

#[test]
fn a_token_is_never_shown() {
    let shown = format!("{:?}", config("admin.token = \"s3cret\""));
    assert!(shown.contains("[hidden]") && !shown.contains("s3cret"));
    assert_eq!(
        error("admin.token = 123456"),
        r#"tidegate.toml:1:15: "token" in [admin]: write a string in quotes that is not empty"#
    );
}

#[test]
fn a_change_after_loading_can_be_checked() {
    let mut config = config("");
    config.check().unwrap();
    config.admin.listen = "0.0.0.0:9090".parse().ok();
    let errors = config.check().unwrap_err();
    assert_eq!(errors.errors[0].place, Place::Flags);
}

#[test]
fn a_missing_file_is_an_error_that_shows_how_to_make_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tidegate.toml");
    let errors = Config::load(&path, []).unwrap_err().to_string();
    assert!(errors.starts_with(&path.display().to_string()));
    assert!(errors.contains("create it with at least"));

    let example = errors.split_once("at least\n").unwrap().1;
    std::fs::write(&path, example).unwrap();
    let config = Config::load(&path, []).unwrap();
    assert_eq!(config.plugins[0].path, folder.path().join("chat.wasm"));

    std::fs::write(&path, b"\xff").unwrap();
    let errors = Config::load(&path, []).unwrap_err().to_string();
    assert!(
        errors.contains("failed to read the configuration: "),
        "{errors}"
    );
}

#[test]
fn a_granted_bucket_needs_no_table() {
    let text = r#"
        [store]
        path = "data/store.redb"
        [[plugin]]
        name = "rooms"
        path = "rooms.wasm"
        grants.store = ["rooms", "names", "plain"]
        grants.watch = ["rooms"]
        [[bucket]]
        name = "names"
        ttl = "1h"
        keys = 10
        key = 20
        value = "1KiB"
        size = "1MiB"
        [[bucket]]
        name = "plain"
        keys = 100_000
        key = 255
        value = "1MiB"
        size = "64MiB"
    "#;
    let config = config(text);
    let buckets = config.buckets();
    assert_eq!(buckets.len(), 3);
    assert_eq!(buckets[0].name, "names");
    assert_eq!(buckets[0].ttl, Some(Duration::from_secs(3600)));
    // Written out or not, the defaults are the same.
    for (index, name) in [(1, "plain"), (2, "rooms")] {
        let defaults = Bucket {
            name: name.to_owned(),
            ..Bucket::default()
        };
        assert_eq!(buckets[index], defaults);
    }
    let path = config.store.path.unwrap();
    assert!(
        path.is_absolute() && path.ends_with("data/store.redb"),
        "{path:?}"
    );
}
