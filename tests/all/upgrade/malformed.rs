//! Requests that are no upgrade, or a wrong one.

use super::*;

#[tokio::test]
async fn a_plain_request_is_told_which_protocol_and_version_to_speak() {
    let gateway = Gateway::with("echo").start().await;
    let response = get(gateway.address, "GET", "/", &[]).await;
    assert_eq!(response.status, 426);
    let head = response.head.to_ascii_lowercase();
    assert!(head.contains("upgrade: websocket"), "{head}");
    assert!(head.contains("sec-websocket-version: 13"), "{head}");
    assert_eq!(
        response.body,
        "this path speaks WebSocket: send an upgrade request\n"
    );
}

#[tokio::test]
async fn another_version_is_told_which_one_to_speak() {
    let gateway = Gateway::with("echo").start().await;
    for version in ["8", "14", "", "13, 8", "013"] {
        let line = format!("Version: {version}\r\n");
        let request = upgrade_request("/").replace("Version: 13\r\n", &line);
        let response = answer(&gateway, &request).await;
        assert_eq!(response.status, 426, "{version:?}");
        assert!(response.head.contains("sec-websocket-version: 13"));
    }
    let request = upgrade_request("/").replace("Sec-WebSocket-Version: 13\r\n", "");
    assert_eq!(answer(&gateway, &request).await.status, 426);
}

#[tokio::test]
async fn a_request_that_breaks_a_rule_is_400() {
    let gateway = Gateway::with("echo").start().await;
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (what, from, to) in [
        ("no host", "Host: localhost\r\n", ""),
        ("two hosts", "Host: localhost\r\n", "Host: a\r\nHost: b\r\n"),
        ("no key", key, ""),
        ("two keys", key, &format!("{key}{key}")),
        ("a short key", "dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="),
        (
            "no base64",
            "dGhlIHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25j!Q==",
        ),
        (
            "a key of 24 letters",
            "dGhlIHNhbXBsZSBub25jZQ==",
            "dGhlIHNhbXBsZSBub25jZQaa",
        ),
        ("an empty key", "dGhlIHNhbXBsZSBub25jZQ==", ""),
        ("no connection", "Connection: Upgrade\r\n", ""),
        (
            "connection: close",
            "Connection: Upgrade",
            "Connection: close",
        ),
        (
            "a body",
            "Upgrade: websocket\r\n",
            "Upgrade: websocket\r\nContent-Length: 5\r\n",
        ),
        (
            "a body in chunks",
            "Upgrade: websocket\r\n",
            "Upgrade: websocket\r\nTransfer-Encoding: chunked\r\n",
        ),
        ("a post", "GET", "POST"),
        ("a head", "GET", "HEAD"),
        ("an old version of HTTP", "HTTP/1.1", "HTTP/1.0"),
    ] {
        let request = upgrade_request("/").replacen(from, to, 1);
        assert_ne!(request, upgrade_request("/"), "{what}");
        assert_eq!(answer(&gateway, &request).await.status, 400, "{what}");
    }
    assert_eq!(
        gateway.metric("refusals_total{reason=\"malformed\"}").await,
        15
    );
    assert_eq!(gateway.metric("events_total{event=\"upgrade\"}").await, 0);
}

#[tokio::test]
async fn a_body_of_no_bytes_is_none() {
    let gateway = Gateway::with("echo").start().await;
    let request = upgrade_request("/").replace("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n");
    let mut raw = gateway.raw().await;
    raw.write(&[request.as_bytes(), &frame(0x81, b"hello")].concat())
        .await;
    assert!(raw.read_head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(raw.read(7).await, b"\x81\x05hello");
}

#[tokio::test]
async fn header_fields_may_be_in_any_case_and_in_lists() {
    let gateway = Gateway::with("echo").start().await;
    let request = "GET / HTTP/1.1\r\nhOST: x\r\nUPGRADE: h2c, WebSocket\r\n\
                   connection: keep-alive\r\nCONNECTION: foo , UPGRADE\r\n\
                   sec-websocket-key:   dGhlIHNhbXBsZSBub25jZQ==  \r\n\
                   SEC-WEBSOCKET-VERSION: 13\r\n\r\n";
    assert_eq!(answer(&gateway, request).await.status, 101);
}

#[tokio::test]
async fn what_is_no_http_is_400_and_counted() {
    let gateway = Gateway::with("echo").start().await;
    let garbage = [
        "HELLO\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /\r\nHost: localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: local\0host\r\n\r\n",
        "GET / HTTP/1.1\r\n : no name\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\r\n\r\n",
    ];
    for bytes in garbage {
        let mut raw = gateway.raw().await;
        raw.write(bytes.as_bytes()).await;
        let answer = raw.read_to_end().await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{bytes:?}: {answer:?}");
    }
    gateway
        .until_metric("refusals_total{reason=\"handshake\"}", garbage.len() as u64)
        .await;
    gateway.connect("/").await;
}

#[tokio::test]
async fn several_requests_on_one_socket_are_answered_in_turn() {
    let gateway = Gateway::with("echo").path("/here").start().await;
    let mut raw = gateway.raw().await;
    let plain = "GET /here HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let requests = [
        &upgrade_request("/nowhere"),
        plain,
        &upgrade_request("/here"),
    ];
    let mut bytes = requests.concat().into_bytes();
    bytes.extend(frame(0x81, b"hello"));
    raw.write(&bytes).await;
    for (status, words) in [
        ("404", Some("no route has this path\n")),
        (
            "426",
            Some("this path speaks WebSocket: send an upgrade request\n"),
        ),
        ("101", None),
    ] {
        let head = raw.read_head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        if let Some(words) = words {
            assert_eq!(raw.read(words.len()).await, words.as_bytes());
        }
    }
    assert_eq!(raw.read(7).await, b"\x81\x05hello");
}

#[tokio::test]
async fn garbage_behind_a_refused_upgrade_ends_the_socket() {
    let gateway = Gateway::with("echo").path("/here").start().await;
    let mut raw = gateway.raw().await;
    let mut bytes = upgrade_request("/nowhere").into_bytes();
    bytes.extend(frame(0x81, b"not http"));
    bytes.extend(b"\r\n\r\n");
    raw.write(&bytes).await;
    let answers = String::from_utf8(raw.read_to_end().await).unwrap();
    assert!(answers.starts_with("HTTP/1.1 404 "), "{answers}");
    assert!(answers.contains("HTTP/1.1 400 "), "{answers}");
}

#[tokio::test]
async fn garbage_behind_a_granted_upgrade_is_a_protocol_error() {
    let gateway = Gateway::with("echo").start().await;
    let mut raw = gateway.raw().await;
    raw.write(upgrade_request("/").repeat(2).as_bytes()).await;
    assert!(raw.read_head().await.starts_with("HTTP/1.1 101 "));
    // "G" is a text frame with reserved bits.
    assert_eq!(raw.read(4).await[2..], 1002_u16.to_be_bytes());
}
