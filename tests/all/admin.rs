//! The admin API.

use crate::client::{Raw, Response, http};
use crate::gateway::Gateway;

#[tokio::test]
async fn shows_every_plugin() {
    let gateway = Gateway::with("generation").start().await;
    let list = gateway.admin("GET", "/plugins").await;
    assert_eq!(list.status, 200);
    assert!(list.head.contains("application/json"), "{list:?}");
    let list = list.json();
    let [plugin] = &list.as_array().expect("a list")[..] else {
        panic!("one plugin, not {list}");
    };
    assert_eq!(plugin["name"], "generation");
    assert_eq!(plugin["generation"], 1);
    assert_eq!(plugin["kept"], serde_json::json!([1]));
    assert_eq!(plugin["state"], "serving");
    assert_eq!(plugin["last_error"], serde_json::Value::Null);
    let path = plugin["path"].as_str().expect("a path");
    assert_eq!(path, gateway.component().to_str().expect("text"));
    assert!(plugin["loaded"].as_u64().expect("a time") > 1_700_000_000);
    assert_eq!(&gateway.status().await, plugin);
}

#[tokio::test]
async fn does_not_know_an_unknown_plugin() {
    let gateway = Gateway::with("echo").start().await;
    for (method, path) in [
        ("GET", "/plugins/ehco"),
        ("POST", "/plugins/ehco/reload"),
        ("POST", "/plugins/ehco/rollback"),
    ] {
        let answer = gateway.admin(method, path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.body.contains(r#"no plugin \"ehco\""#), "{answer:?}");
    }
}

#[tokio::test]
async fn is_healthy_and_ready() {
    let gateway = Gateway::with("echo").start().await;
    let health = gateway.admin("GET", "/healthz").await;
    assert_eq!((health.status, &*health.body), (200, "ok\n"));
    let ready = gateway.admin("GET", "/readyz").await;
    assert_eq!((ready.status, &*ready.body), (200, "ready\n"));
}

#[tokio::test]
async fn refuses_a_bad_file_with_the_reason() {
    let gateway = Gateway::with("echo").plugin("watch = false").start().await;
    gateway.put(b"not wasm");
    let answer = gateway.reload().await;
    assert_eq!(answer.status, 422);
    let error = answer.json()["error"].as_str().expect("words").to_owned();
    assert!(
        error.contains("plugin.wasm\" is not WebAssembly"),
        "{error}"
    );
    assert_eq!(gateway.admin("GET", "/readyz").await.status, 200);
}

#[tokio::test]
async fn says_what_is_no_request_of_its() {
    let gateway = Gateway::with("echo").start().await;
    for (method, path) in [
        ("POST", "/healthz"),
        ("DELETE", "/readyz"),
        ("POST", "/metrics"),
        ("PUT", "/plugins"),
        ("DELETE", "/plugins/echo"),
        ("GET", "/plugins/echo/reload"),
        ("GET", "/plugins/echo/rollback"),
        ("GET", "/connections/1/close"),
        ("GET", "/publish"),
    ] {
        let answer = gateway.admin(method, path).await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert!(answer.json()["error"].is_string());
        let changes = ["reload", "rollback", "close", "publish"];
        let allow = match changes.iter().any(|change| path.ends_with(change)) {
            true => "allow: post\r\n",
            false => "allow: get, head\r\n",
        };
        let head = answer.head.to_lowercase() + "\r\n";
        assert!(head.contains(allow), "{method} {path}: {head}");
    }
    for path in ["/", "/nope", "/healthz2"] {
        assert_eq!(gateway.admin("GET", path).await.status, 404, "{path}");
    }
    // None of them did anything.
    assert_eq!(gateway.status().await["generation"], 1);
}

#[tokio::test]
async fn answers_a_head_with_the_head_alone() {
    let gateway = Gateway::with("echo").start().await;
    for path in ["/healthz", "/readyz", "/plugins", "/plugins/echo"] {
        let (get, head) = (
            gateway.admin("GET", path).await,
            gateway.admin("HEAD", path).await,
        );
        assert_eq!((head.status, &*head.body), (200, ""), "{path}");
        let length = format!("content-length: {}\r\n", get.body.len());
        let fields = head.head.to_lowercase() + "\r\n";
        assert!(fields.contains(&length), "{path}: {fields}");
    }
    assert_eq!(
        gateway.admin("HEAD", "/plugins/echo/reload").await.status,
        405
    );
    assert_eq!(gateway.admin("HEAD", "/plugins/ehco").await.status, 404);
}

async fn ask(gateway: &Gateway, path: &str, headers: &[(&str, &str)]) -> Response {
    http(gateway.admin, "GET", path, headers).await
}

#[tokio::test]
async fn wants_the_token_that_is_set() {
    for token in ["s3cret", "0123456789"] {
        let gateway = Gateway::with("echo")
            .environment("TIDEGATE_ADMIN__TOKEN", token)
            .start()
            .await;
        let right = format!("Bearer {token}");
        for path in ["/plugins", "/plugins/echo", "/metrics"] {
            let none = ask(&gateway, path, &[]).await;
            assert_eq!(none.status, 401, "{path}");
            assert!(
                none.head
                    .to_lowercase()
                    .contains("www-authenticate: bearer")
            );
            for wrong in [
                "Bearer other",
                &right[..right.len() - 1],
                token,
                "Bearer ",
                "",
            ] {
                let answer = ask(&gateway, path, &[("Authorization", wrong)]).await;
                assert_eq!(answer.status, 401, "{path} {wrong}");
            }
            let answer = ask(&gateway, path, &[("Authorization", &right)]).await;
            assert_eq!(answer.status, 200, "{path}");
        }
        let reload = gateway.reload().await;
        assert_eq!(reload.status, 401);
        // Probes have no secrets.
        assert_eq!(ask(&gateway, "/healthz", &[]).await.status, 200);
        assert_eq!(ask(&gateway, "/readyz", &[]).await.status, 200);
        assert!(!gateway.log().contains(token));
    }
}

#[tokio::test]
async fn serves_no_web_page() {
    let gateway = Gateway::with("echo").start().await;
    let origin = [("Origin", "http://evil.example")];
    for (method, path) in [
        ("POST", "/plugins/echo/reload"),
        ("POST", "/plugins/echo/rollback"),
        ("POST", "/connections/1/close"),
        ("POST", "/publish?topic=news"),
        ("GET", "/plugins"),
        ("GET", "/metrics"),
    ] {
        let answer = http(gateway.admin, method, path, &origin).await;
        assert_eq!(answer.status, 403, "{path}");
    }
    assert_eq!(gateway.status().await["generation"], 1);
}

#[tokio::test]
async fn answers_under_loopbacks_names_alone() {
    let gateway = Gateway::with("echo").start().await;
    let asked = async |method: &str, path: &str, host: &str| {
        let mut raw = Raw::connect(gateway.admin).await;
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        raw.write(request.as_bytes()).await;
        String::from_utf8(raw.read_to_end().await).unwrap()
    };
    for (method, path) in [
        ("GET", "/plugins"),
        ("GET", "/metrics"),
        ("POST", "/plugins/echo/reload"),
    ] {
        for host in [
            "evil.example",
            "evil.example:9090",
            "127.0.0.1.evil.example",
        ] {
            let answer = asked(method, path, host).await;
            assert!(answer.starts_with("HTTP/1.1 421 "), "{host}: {answer}");
            assert!(answer.contains("`hosts` in [admin]"), "{answer}");
        }
        for host in ["localhost", "127.0.0.1:9090", "[::1]:9090"] {
            let answer = asked(method, path, host).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{host}: {answer}");
        }
    }
    let gateway = Gateway::with("echo")
        .environment("TIDEGATE_ADMIN__HOSTS", "[\"gate.internal\"]")
        .start()
        .await;
    for (host, status) in [("gate.internal:9090", 200), ("evil.example", 421)] {
        let mut raw = Raw::connect(gateway.admin).await;
        let request = format!("GET /plugins HTTP/1.1\r\nHost: {host}\r\n\r\n");
        raw.write(request.as_bytes()).await;
        let head = raw.read_head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    }
}

#[tokio::test]
async fn answers_however_many_sockets_do_not_read() {
    let gateway = Gateway::with("echo")
        .environment("TIDEGATE_ADMIN__TOKEN", "s3cret")
        .start()
        .await;
    let requests = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(2000);
    let mut deaf = Vec::new();
    for at in 0..200 {
        let mut raw = Raw::connect(gateway.admin).await;
        if at % 2 == 0 {
            // What it does not read soon keeps it from being read.
            let filled = raw.try_write(requests.as_bytes());
            let _ = tokio::time::timeout(crate::WATCH / 10, filled).await;
        }
        deaf.push(raw);
        if at % 20 == 0 {
            let health = gateway.admin("GET", "/healthz").await;
            assert_eq!((health.status, &*health.body), (200, "ok\n"));
        }
    }
    let token = [("Authorization", "Bearer s3cret")];
    assert_eq!(ask(&gateway, "/plugins", &token).await.status, 200);
}

#[tokio::test]
async fn closes_one_connection() {
    let gateway = Gateway::with("directory")
        .server("shards = 2")
        .start()
        .await;
    let mut stays = gateway.connect("/").await;
    for (query, expected) in [
        ("", (4000, "")),
        ("?code=4001&reason=go%20away", (4001, "go away")),
        ("?reason=&code=1008", (1008, "")),
    ] {
        let mut client = gateway.connect("/").await;
        let id = client.ask("id").await;
        let answer = gateway
            .admin("POST", &format!("/connections/{id}/close{query}"))
            .await;
        assert_eq!(answer.status, 202);
        assert_eq!(answer.json()["code"], expected.0);
        let (code, reason) = client.closed().await.expect("a close frame");
        assert_eq!((code, &*reason), expected);
    }
    gateway
        .until_metric("closes_total{cause=\"kicked\"}", 3)
        .await;
    assert_eq!(stays.ask("count none").await, "0");
}

#[tokio::test]
async fn closes_no_connection_by_a_wrong_request() {
    let gateway = Gateway::with("directory").start().await;
    let mut client = gateway.connect("/").await;
    let id = client.ask("id").await;
    let long = "x".repeat(124);
    for query in [
        "code=1005",
        "code=1006",
        "code=999",
        "code=5000",
        "code=x",
        "code=",
    ] {
        let path = format!("/connections/{id}/close?{query}");
        let answer = gateway.admin("POST", &path).await;
        assert_eq!(answer.status, 400, "{query}");
    }
    for path in [
        format!("/connections/{id}/close?reason={long}"),
        "/connections/x/close".to_owned(),
        "/connections/-1/close".to_owned(),
    ] {
        assert_eq!(gateway.admin("POST", &path).await.status, 400, "{path}");
    }
    // One that is not there any more is not an error: it is closed.
    let answer = gateway.admin("POST", "/connections/999999/close").await;
    assert_eq!(answer.status, 202);
    assert_eq!(client.ask("id").await, id);
}

#[tokio::test]
async fn counts_what_happens() {
    let gateway = Gateway::with("trap").start().await;
    let mut client = gateway.connect("/").await;
    assert_eq!(client.ask("a").await, "a");
    assert_eq!(gateway.metric("connections_open").await, 1);
    client.send("trap").await;
    assert_eq!(client.closed().await.expect("a close frame").0, 1011);
    for (name, value) in [
        ("connections_open", 0),
        ("events_total{event=\"upgrade\"}", 1),
        ("events_total{event=\"open\"}", 1),
        ("events_total{event=\"message\"}", 2),
        ("events_total{event=\"close\"}", 1),
        ("failures_total{kind=\"trap\"}", 1),
        ("closes_total{cause=\"failed\"}", 1),
        ("messages_total", 2),
        ("deliveries_total", 1),
        ("publishes_total", 0),
        ("admin_publishes_total{result=\"taken\"}", 0),
        ("admin_publishes_total{result=\"shard-queue\"}", 0),
        ("refusals_total{reason=\"route\"}", 0),
        ("drops_total{reason=\"slow-consumer\"}", 0),
        ("guest_log_lines_dropped_total", 0),
        ("plugin_generation{plugin=\"trap\"}", 1),
        ("plugin_loads_total{plugin=\"trap\",result=\"swapped\"}", 1),
        ("plugin_loads_total{plugin=\"trap\",result=\"refused\"}", 0),
    ] {
        gateway.until_metric(name, value).await;
    }
    assert!(gateway.metric("received_bytes_total").await > 0);
    assert!(gateway.metric("sent_bytes_total").await > 0);
}

#[tokio::test]
async fn writes_metrics_that_parse() {
    let gateway = Gateway::with("echo").start().await;
    let answer = gateway.admin("GET", "/metrics").await;
    assert!(answer.head.contains("application/openmetrics-text"));
    let mut families = Vec::new();
    for line in answer.body.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["#", "EOF"] | ["#", "HELP", ..] => {}
            ["#", "TYPE", name, "counter" | "gauge"] => families.push(name),
            [series, value] => {
                assert!(value.parse::<u64>().is_ok(), "{line}");
                assert!(is_series(series), "{line}");
                let name = series.split('{').next().unwrap_or_default();
                let family = name.strip_suffix("_total").unwrap_or(name);
                assert_eq!(families.last(), Some(&family), "{line}");
            }
            _ => panic!("not a line of metrics: {line:?}"),
        }
    }
    assert!(answer.body.ends_with("# EOF\n"));
    let mut unique = families.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), families.len(), "{families:?}");
}

/// `name` or `name{label="value",...}`.
fn is_series(series: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let is_label = |label: &str| {
        let quoted = |value: &str| {
            let inside = value
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'));
            inside.is_some_and(|inside| !inside.contains(['"', '\\']))
        };
        label
            .split_once('=')
            .is_some_and(|(name, value)| is_word(name) && quoted(value))
    };
    match series
        .strip_suffix('}')
        .and_then(|rest| rest.split_once('{'))
    {
        Some((name, labels)) => is_word(name) && labels.split(',').all(is_label),
        None => is_word(series),
    }
}
