//! Which web pages may connect.

use super::*;

/// The status of an upgrade from a page of that origin, asked under that name.
async fn from_page(gateway: &Gateway, host: &str, origins: &[&str]) -> u16 {
    let fields: String = origins
        .iter()
        .map(|origin| format!("Origin: {origin}\r\n"))
        .collect();
    let named = format!("Host: {host}\r\n{fields}");
    let request = upgrade_request("/").replace("Host: localhost\r\n", &named);
    answer(gateway, &request).await.status
}

#[tokio::test]
async fn only_pages_of_the_same_host_may_connect_by_default() {
    let gateway = Gateway::with("echo").start().await;
    let same = format!("http://{}", gateway.address);
    let origin = [("Origin", same.as_str())];
    Client::try_connect(gateway.address, "/", &origin)
        .await
        .unwrap();
    gateway.connect("/").await;
    for other in ["http://evil.example", "null", "http://127.0.0.1:1", ""] {
        let response = refused(&gateway, "/", &[("Origin", other)]).await;
        assert_eq!(response.status(), 403, "{other}");
    }
    assert_eq!(gateway.metric("refusals_total{reason=\"origin\"}").await, 4);
}

#[tokio::test]
async fn a_route_may_list_origins_or_allow_any() {
    let listed = "origins = [\"https://a.example\", \"http://b.example:8080\"]";
    let gateway = Gateway::with("echo").route(listed).start().await;
    for origin in [
        "https://a.example",
        "https://A.Example",
        "http://b.example:8080",
    ] {
        let origin = [("Origin", origin)];
        Client::try_connect(gateway.address, "/", &origin)
            .await
            .unwrap();
    }
    let same = format!("http://{}", gateway.address);
    for origin in [
        same.as_str(),
        "http://a.example",
        "https://a.example.evil.example",
    ] {
        let response = refused(&gateway, "/", &[("Origin", origin)]).await;
        assert_eq!(response.status(), 403, "{origin}");
    }
    let gateway = Gateway::with("echo")
        .route("origins = \"any\"")
        .start()
        .await;
    let any = [("Origin", "null")];
    let mut client = Client::try_connect(gateway.address, "/", &any)
        .await
        .unwrap();
    client.send_message(Message::text("hello")).await.unwrap();
    assert_eq!(client.recv().await, "hello");
}

#[tokio::test]
async fn a_port_that_is_not_written_is_the_schemes_own() {
    let gateway = Gateway::with("echo").start().await;
    for (host, origin, status) in [
        ("a.example:443", "https://a.example", 101),
        ("a.example", "https://a.example:443", 101),
        ("a.example:80", "http://a.example", 101),
        ("A.example", "https://a.EXAMPLE", 101),
        ("a.example:443", "https://a.example:8443", 403),
        ("a.example:443", "http://a.example", 403),
        ("a.example", "https://a.example.", 403),
        ("a.example", "https://a.example@evil.example", 403),
    ] {
        let answered = from_page(&gateway, host, &[origin]).await;
        assert_eq!(answered, status, "{origin} at {host}");
    }
    let gateway = Gateway::with("echo")
        .route("origins = [\"https://a.example:443\", \"capacitor://localhost\"]")
        .start()
        .await;
    for (origin, status) in [
        ("https://a.example", 101),
        ("capacitor://localhost", 101),
        ("http://a.example", 403),
        ("http://localhost", 403),
    ] {
        let answered = from_page(&gateway, "gate.example", &[origin]).await;
        assert_eq!(answered, status, "{origin}");
    }
}

#[tokio::test]
async fn of_two_origins_none_is_believed() {
    for origins in ["\"same\"", "\"any\"", "[\"https://a.example\"]"] {
        let gateway = Gateway::with("echo")
            .route(&format!("origins = {origins}"))
            .start()
            .await;
        let two = ["https://a.example", "https://evil.example"];
        assert_eq!(from_page(&gateway, "a.example", &two).await, 400);
        assert_eq!(from_page(&gateway, "a.example", &two[..1]).await, 101);
        assert_eq!(
            gateway.metric("refusals_total{reason=\"malformed\"}").await,
            1
        );
    }
}

#[tokio::test]
async fn a_refused_page_is_logged_now_and_then_with_what_to_change() {
    let gateway = Gateway::with("echo").server("shards = 1").start().await;
    for _ in 0..20 {
        let status = from_page(&gateway, "backend:8080", &["https://app.example"]).await;
        assert_eq!(status, 403);
    }
    gateway.until_log("https://app.example").await;
    let log = gateway.log();
    let line = log.lines().find(|line| line.contains("app.example"));
    let line = line.unwrap();
    assert!(
        line.contains("backend:8080") && line.contains("`origins`"),
        "{line}"
    );
    assert!(log.matches("app.example").count() < 5, "{log}");
    assert_eq!(
        gateway.metric("refusals_total{reason=\"origin\"}").await,
        20
    );
}
