//! Environment variables over a file.

use super::*;

#[test]
fn a_variable_wins_over_the_file() {
    let text = format!("server.listen = \"127.0.0.1:1\"\n{GOOD}");
    let config = parse_with(
        &text,
        &[
            ("TIDEGATE_SERVER__LISTEN", "127.0.0.1:2"),
            ("TIDEGATE_SERVER__CONNECTIONS", "7"),
            ("TIDEGATE_ADMIN__TOKEN", "0123"),
            ("TIDEGATE_ENGINE__CACHE", "/var/cache"),
            ("TIDEGATE_PLUGIN__CHAT__WATCH", "false"),
            ("TIDEGATE_PLUGIN__CHAT__LIMITS__MEMORY", "1MiB"),
            ("TIDEGATE_ROUTE__0__LIMITS__IDLE", "90s"),
            ("TIDEGATE_ROUTE__0__ORIGINS", r#"["https://a.example"]"#),
            ("TIDEGATE_LOG", "debug"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(config.server.listen.port(), 2);
    assert_eq!(config.server.connections, 7);
    assert_eq!(config.admin.token.unwrap().expose(), "0123");
    assert_eq!(config.engine.cache, Cache::Directory("/var/cache".into()));
    assert!(!config.plugins[0].watch);
    assert_eq!(config.plugins[0].limits.memory, 1 << 20);
    assert_eq!(config.routes[0].limits.idle, Duration::from_secs(90));
    let origins = vec![Origin::parse("https://a.example").unwrap()];
    assert_eq!(config.routes[0].origins, Origins::List(origins));
}

#[test]
fn a_variable_of_digits_stays_text_where_text_is_wanted() {
    let config = parse_with(GOOD, &[("TIDEGATE_ADMIN__TOKEN", "1_234")]).unwrap();
    assert_eq!(config.admin.token.unwrap().expose(), "1_234");
}

#[test]
fn a_variable_finds_a_plugin_whatever_its_dashes() {
    let text = r#"
        plugin = [
            { name = "a", path = "a.wasm" },
            { name = "a-b", path = "b.wasm", limits = { memory = "2MiB" } },
            { name = "a--history", path = "c.wasm" },
        ]
        route = [{ path = "/", plugins = ["a"] }]
    "#;
    let environment = [
        ("TIDEGATE_PLUGIN__A__HISTORY", "2"),
        ("TIDEGATE_PLUGIN__A_B__LIMITS__WAIT", "3s"),
        ("TIDEGATE_PLUGIN__A__HISTORY__HISTORY", "4"),
    ];
    let plugins = parse_with(text, &environment).unwrap().plugins;
    assert_eq!(plugins[0].history, 2);
    assert_eq!(plugins[1].limits.wait, Duration::from_secs(3));
    assert_eq!(plugins[1].limits.memory, 2 << 20);
    assert_eq!(plugins[2].history, 4);
}

#[test]
fn an_error_in_a_variable_names_the_variable() {
    let cases = [
        (
            "TIDEGATE_SERVER__LISEN",
            "x",
            r#"unknown key "lisen" in [server]: did you mean "listen"?"#,
        ),
        (
            "TIDEGATE_SEVER__LISTEN",
            "x",
            r#"unknown key "sever": did you mean "server"?"#,
        ),
        (
            "TIDEGATE_SERVER__CONNECTIONS",
            "many",
            r#""connections" in [server] is "many": write a whole number from 1 to 10000000"#,
        ),
        (
            "TIDEGATE_SERVER__CONNECTIONS",
            "0",
            r#""connections" in [server] is 0: write a whole number from 1 to 10000000"#,
        ),
        (
            "TIDEGATE_ROUTE__0__LIMITS__OUTBOKS",
            "1MiB",
            r#"unknown key "outboks" in [route.limits]: did you mean "outbox"?"#,
        ),
        (
            "TIDEGATE_ROUTE__0__LIMITS__IDLE",
            "1s",
            r#"route "/rooms/{room}" has ping = 30s, not shorter than idle = 1s: lower it, or turn pings off with ping = "0s""#,
        ),
        (
            "TIDEGATE_ROUTE__1__LIMITS__IDLE",
            "1s",
            r#"names route "1", but the file has 1, counted from 0"#,
        ),
        (
            "TIDEGATE_PLUGIN__CHART__WATCH",
            "true",
            "names no plugin of the file, which has [\"CHAT\"]",
        ),
        (
            "TIDEGATE_PLUGIN__CHAT",
            "true",
            "names no key: add the key's name, like __LIMITS__IDLE",
        ),
        (
            "TIDEGATE_SERVER__A.B=\"C",
            "1",
            r#"unknown key "a.b=\"c" in [server]: use one of "listen", "shards", "connections", "handshake_timeout", "unacknowledged", "headers", "drain_window", "drain_deadline", "queue", "pending", "oversize", "client", "hosts", "address""#,
        ),
    ];
    for (name, value, expected) in cases {
        let error = variable_error(name, value);
        assert_eq!(error, format!("{name}: {expected}"));
    }
}

#[test]
fn errors_of_variables_follow_those_of_the_file() {
    let errors = errors_with(
        &format!("log.level = 1\n{GOOD}"),
        &[
            ("TIDEGATE_ADMIN__LISTEN", "0.0.0.0:1"),
            ("TIDEGATE_LOG__FILE", "1"),
        ],
    );
    let places: Vec<_> = errors
        .iter()
        .map(|error| error.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        places,
        [
            "tidegate.toml:1:13",
            "TIDEGATE_ADMIN__LISTEN",
            "TIDEGATE_LOG__FILE"
        ]
    );
}

#[test]
fn no_variable_is_too_odd_for_an_error() {
    let deep = format!("TIDEGATE_{}", "A__".repeat(200));
    let nested = "[".repeat(200) + &"]".repeat(200);
    let values = [
        "",
        " ",
        "\"",
        "\u{0}\r\n\u{7f}",
        "''",
        "[1, 2",
        "[\n1 ] # x",
        "é",
        &nested,
    ];
    for value in values {
        for name in [
            deep.as_str(),
            "TIDEGATE___",
            "TIDEGATE_SERVER__",
            "TIDEGATE_PLUGIN__",
            "TIDEGATE_ROUTE__-1__PATH",
            "TIDEGATE_ROUTE__0____",
            "TIDEGATE_SERVER__LISTEN__É.'\"",
            "TIDEGATE_SERVER__QUEUE",
        ] {
            let error = &parse_with(GOOD, &[(name, value)]).unwrap_err().errors[0];
            assert_eq!(error.place, Place::Variable(name.to_owned()));
        }
    }
}

#[test]
fn a_variable_adjusts_a_bucket_of_the_file() {
    let bucket = "[[bucket]]\nname = \"live-scores\"\n";
    let grant =
        "[[plugin]]\nname = \"scores\"\npath = \"a.wasm\"\ngrants.store = [\"live-scores\"]\n";
    let environment = [
        ("TIDEGATE_BUCKET__LIVE_SCORES__TTL", "90s"),
        ("TIDEGATE_STORE__PATH", "/var/data.redb"),
    ];
    let config = parse_with(&format!("{GOOD}{grant}{bucket}"), &environment).unwrap();
    assert_eq!(config.buckets()[0].ttl, Some(Duration::from_secs(90)));
    assert_eq!(
        config.store.path.as_deref(),
        Some(Path::new("/var/data.redb"))
    );
    let error = variable_error("TIDEGATE_BUCKET__ROOMS__TTL", "90s");
    assert_eq!(
        error,
        "TIDEGATE_BUCKET__ROOMS__TTL: names no bucket of the file, which has []"
    );
}
