//! Asks other servers: a message in JSON is a request, `{method, url, headers, body, zeros, timeout_ms}`, where `zeros`
//! is the length of a body of those. Sends back `{status, headers, body}` or `{error, words}`. With `"leave": url` it
//! sends a request there before, and never asks what became of it. Other messages are echoed.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tidegate_sdk::bindings::http_client::wasi::http::outgoing_handler;
use tidegate_sdk::bindings::http_client::wasi::http::types::{Fields, OutgoingRequest, Scheme};
use tidegate_sdk::{Connection, Handler, HttpError, Message, Result, http};

struct Fetch;

#[derive(Deserialize)]
#[serde(default)]
struct Order {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: String,
    zeros: usize,
    timeout_ms: Option<u64>,
    leave: Option<String>,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            method: "GET".to_owned(),
            url: String::new(),
            headers: Vec::new(),
            body: String::new(),
            zeros: 0,
            timeout_ms: None,
            leave: None,
        }
    }
}

impl Handler for Fetch {
    fn on_message(connection: &Connection, message: Message) -> Result {
        let Ok(order) = message.json::<Order>() else {
            connection.send(message);
            return Ok(());
        };
        if let Some(url) = &order.leave {
            leave(url);
        }
        let answer = match fetch(order) {
            Ok(response) => {
                let headers = response.headers.iter();
                let headers: Vec<_> = headers
                    .map(|(name, value)| (name, String::from_utf8_lossy(value)))
                    .collect();
                let body = String::from_utf8_lossy(&response.body);
                json!({ "status": response.status, "headers": headers, "body": body })
            }
            Err(error) => json!({ "error": format!("{error:?}"), "words": error.to_string() }),
        };
        connection.send_json(&answer)?;
        Ok(())
    }
}

fn fetch(order: Order) -> Result<http::Response, HttpError> {
    let mut request = http::Request::new(order.method, order.url).body(order.body);
    for (name, value) in order.headers {
        request = request.header(name, value);
    }
    if order.zeros > 0 {
        request = request.body(vec![b'0'; order.zeros]);
    }
    if let Some(timeout) = order.timeout_ms {
        request = request.timeout(Duration::from_millis(timeout));
    }
    request.send()
}

/// Sends a request and forgets it, without an end to it.
fn leave(url: &str) {
    let request = OutgoingRequest::new(Fields::new());
    let authority = url.trim_start_matches("http://").trim_end_matches('/');
    request.set_scheme(Some(&Scheme::Http)).expect("valid");
    request.set_authority(Some(authority)).expect("valid");
    request.set_path_with_query(Some("/")).expect("valid");
    let response = outgoing_handler::handle(request, None).expect("sent");
    std::mem::forget(response);
}

tidegate_sdk::export!(Fetch);
