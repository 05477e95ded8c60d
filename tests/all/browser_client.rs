//! The browser client's files, as the gateway serves them. What the client does is tested in a
//! browser, by `tests/browser/run`.

use crate::client::http;
use crate::gateway::Gateway;
use crate::guests::workspace;

#[tokio::test]
async fn both_files_are_served_beside_the_routes() {
    let gateway = Gateway::with("envelope").start().await;
    for (path, kind) in [
        ("/tidegate.js", "text/javascript; charset=utf-8"),
        ("/tidegate.d.ts", "application/typescript; charset=utf-8"),
    ] {
        let file = workspace().join(format!("gateway/src/client{path}"));
        let text = std::fs::read_to_string(file).unwrap();
        let response = http(gateway.address, "GET", path, &[]).await;
        let head = response.head.to_lowercase();
        assert_eq!((response.status, &response.body), (200, &text));
        for field in [
            format!("content-type: {kind}\r\n"),
            format!("content-length: {}\r\n", text.len()),
            "cache-control: public, max-age=300\r\n".to_owned(),
            "access-control-allow-origin: *\r\n".to_owned(),
            "cross-origin-resource-policy: cross-origin\r\n".to_owned(),
            "x-content-type-options: nosniff\r\n".to_owned(),
        ] {
            assert!(head.contains(&field), "{field} is not in {head}");
        }

        let (_, tag) = response.head.split_once("etag: ").unwrap();
        let (tag, _) = tag.split_once("\r\n").unwrap();
        let fresh = http(gateway.address, "GET", path, &[("If-None-Match", tag)]).await;
        assert_eq!((fresh.status, fresh.body.as_str()), (304, ""));
        let stale = http(
            gateway.address,
            "GET",
            path,
            &[("If-None-Match", "\"of another gateway\"")],
        );
        assert_eq!(stale.await.status, 200);

        let head = http(gateway.address, "HEAD", path, &[]).await;
        let length = format!("content-length: {}\r\n", text.len());
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        assert!(head.head.to_lowercase().contains(&length), "{}", head.head);
    }
    // The same paths are routes to a WebSocket, and other methods are none of the client's.
    let mut client = gateway.connect("/tidegate.js").await;
    client.send(r#"{"type":"echo","id":"a","payload":1}"#).await;
    let answer = client.recv_json().await;
    assert_eq!(answer["data"], 1);
    let post = http(gateway.address, "POST", "/tidegate.js", &[]).await;
    assert_eq!(post.status, 426);
}

#[tokio::test]
async fn it_can_be_turned_off() {
    let setup = Gateway::with("envelope").server("client = false");
    let gateway = setup.path("/only").start().await;
    let response = http(gateway.address, "GET", "/tidegate.js", &[]).await;
    assert_eq!(response.status, 404);
}
