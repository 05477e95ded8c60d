//! Requests, answers and events in the SDK's standard envelope, as a client sends and checks them.

use serde_json::Value;

use crate::client::Client;

/// Sends a message under an id. The next that comes answers it; returns what is in `field` of a success or a failure.
async fn ask(client: &mut Client, mut message: Value, success: bool, field: &str) -> Value {
    message["id"] = "7f3a".into();
    client.send(&message.to_string()).await;
    let mut answer = client.recv_json().await;
    assert_eq!(answer["type"], message["type"], "{answer}");
    assert_eq!(answer["requestId"], "7f3a", "{answer}");
    assert_eq!(answer["success"], success, "{answer}");
    answer[field].take()
}

/// Sends a message that is to succeed; returns the answer's data.
pub async fn request(client: &mut Client, message: Value) -> Value {
    ask(client, message, true, "data").await
}

/// Sends a message that is to fail; returns the error.
pub async fn refused(client: &mut Client, message: Value) -> Value {
    ask(client, message, false, "error").await
}

/// The payload of the next message, an event of that type.
pub async fn hears(client: &mut Client, kind: &str) -> Value {
    let mut event = client.recv_json().await;
    assert_eq!(event["type"], kind, "{event}");
    assert!(
        event["id"].is_string() && event["timestamp"].is_u64(),
        "{event}"
    );
    event["payload"].take()
}
