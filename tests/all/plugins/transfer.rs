//! The plugin `transfer`.

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::envelope::{hears, refused, request};
use crate::client::Client;
use crate::gateway::Gateway;

const BYTES: usize = 8 << 20;

/// Reads binary messages until so many bytes have come, and checks each.
async fn take(client: &mut Client, begin: usize, end: usize) {
    let mut place = begin;
    while place < end {
        for byte in client.recv_binary().await {
            assert_eq!(byte, (place % 251) as u8, "at {place}");
            place += 1;
        }
    }
    assert_eq!(place, end);
}

#[tokio::test]
async fn a_slow_reader_gets_all_in_order_through_a_reload() {
    let gateway = Gateway::with("transfer")
        .route_limits("outbox = \"256KiB\"")
        .start()
        .await;
    let mut client = gateway.connect("/").await;
    let download = json!({ "type": "download", "id": 1, "bytes": BYTES });
    client
        .send_message(Message::text(download.to_string()))
        .await
        .unwrap();
    // The answer comes behind the first pieces, which were sent while the message was handled.
    let mut place = 0;
    let mut answered = false;
    while place < BYTES {
        match client.next().await {
            Some(Ok(Message::Binary(piece))) => {
                for &byte in &piece {
                    assert_eq!(byte, (place % 251) as u8, "at {place}");
                    place += 1;
                }
                if place == 1 << 20 {
                    gateway.reload().await;
                }
            }
            Some(Ok(Message::Text(text))) => {
                assert!(text.contains("\"success\":true"), "{text}");
                answered = true;
            }
            other => panic!("{other:?} at {place}"),
        }
    }
    assert!(answered);
    assert_eq!(hears(&mut client, "done").await, json!({ "bytes": BYTES }));
    assert!(gateway.metric("events_total{event=\"drain\"}").await > 10);
    assert_eq!(gateway.status().await["generation"], 2);
    client.silent().await;
}

#[tokio::test]
async fn one_transfer_at_a_time_and_none_too_large() {
    let gateway = Gateway::with("transfer").start().await;
    let mut client = gateway.connect("/").await;
    let error = refused(&mut client, json!({ "type": "download", "bytes": 0 })).await;
    assert_eq!(error["details"]["field"], "bytes");
    assert_eq!(
        request(&mut client, json!({ "type": "cancel" })).await,
        json!({ "bytes": 0 })
    );
    client
        .send(&json!({ "type": "download", "bytes": 100 }).to_string())
        .await;
    take(&mut client, 0, 100).await;
    assert_eq!(hears(&mut client, "done").await, json!({ "bytes": 100 }));
}

#[tokio::test]
async fn a_transfer_that_is_cancelled_ends_and_another_may_begin() {
    let gateway = Gateway::with("transfer").start().await;
    let mut client = gateway.connect("/").await;
    let endless = json!({ "type": "download", "bytes": 1_000_000_000 });
    client.send(&endless.to_string()).await;
    client
        .send(&json!({ "type": "download", "id": 2, "bytes": 1 }).to_string())
        .await;
    client
        .send(&json!({ "type": "cancel", "id": 3 }).to_string())
        .await;
    let mut place = 0_u64;
    let mut busy = false;
    loop {
        match client.next().await {
            Some(Ok(Message::Binary(piece))) => place += piece.len() as u64,
            Some(Ok(Message::Text(text))) if text.contains("\"requestId\":2") => {
                assert!(text.contains("\"busy\""), "{text}");
                busy = true;
            }
            Some(Ok(Message::Text(text))) => {
                let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!((busy, &answer["requestId"]), (true, &json!(3)), "{answer}");
                assert_eq!(answer["data"]["bytes"], place);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    client
        .send(&json!({ "type": "download", "bytes": 10 }).to_string())
        .await;
    take(&mut client, 0, 10).await;
    assert_eq!(hears(&mut client, "done").await, json!({ "bytes": 10 }));
}
