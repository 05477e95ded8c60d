//! The admin API.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /healthz` | 200 while the process lives |
//! | `GET /readyz` | 200 when every plugin has a generation, 503 before and while draining |
//! | `GET /metrics` | Prometheus text |
//! | `GET /plugins` | every plugin: generation, digest, history, last error |
//! | `GET /plugins/{name}` | one |
//! | `POST /plugins/{name}/reload` | loads its file: 200 with the generation, 422 with the reason |
//! | `POST /plugins/{name}/rollback?generation=N` | an earlier generation; without N the one before |
//! | `POST /connections/{id}/close?code=N&reason=…` | closes a connection; 4000 without a code |

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::json;

use super::{Admin, metrics};
use crate::close::{CloseCause, CloseFrame, REASON_MAX};
use crate::codec;
use crate::message::ConnectionId;
use crate::plugin::{Digest, Reload, ReloadError, Status};

type Answer = Response<Full<Bytes>>;

/// The code of a close by an operator who named none: the first of the application's range
/// (RFC 6455 section 7.4.2).
const OPERATOR_CLOSE: u16 = 4000;

pub(super) async fn respond(admin: &Admin, request: &Request<Incoming>) -> Answer {
    let path: Vec<_> = request.uri().path().split('/').skip(1).collect();
    match (request.method(), &path[..]) {
        (&Method::GET, ["healthz"]) => return text(StatusCode::OK, "ok\n"),
        (&Method::GET, ["readyz"]) => return ready(admin),
        _ => {}
    }
    if let Err(refused) = authorize(admin, request) {
        return refused;
    }
    let query = request.uri().query().unwrap_or_default();
    match (request.method(), &path[..]) {
        (&Method::GET, ["metrics"]) => metrics(admin),
        (&Method::GET, ["plugins"]) => {
            let plugins = admin.registry.plugins().iter();
            json(
                StatusCode::OK,
                &plugins
                    .map(|plugin| shown(&plugin.status()))
                    .collect::<Vec<_>>(),
            )
        }
        (&Method::GET, ["plugins", name]) => match admin.registry.find(name) {
            Ok(index) => json(
                StatusCode::OK,
                &shown(&admin.registry.plugins()[index].status()),
            ),
            Err(error) => failed(&error),
        },
        (&Method::POST, ["plugins", name, "reload"]) => reload(admin, name).await,
        (&Method::POST, ["plugins", name, "rollback"]) => rollback(admin, name, query),
        (&Method::POST, ["connections", id, "close"]) => close(admin, id, query),
        (
            _,
            [
                "metrics" | "plugins" | "connections" | "healthz" | "readyz",
                ..,
            ],
        ) => error(
            StatusCode::METHOD_NOT_ALLOWED,
            "no such request: see the README's table of the admin API",
        ),
        _ => error(
            StatusCode::NOT_FOUND,
            "no such path: see the README's table of the admin API",
        ),
    }
}

/// Who may ask. A browser may not: a page anywhere on the web could otherwise post to loopback.
#[expect(
    clippy::result_large_err,
    reason = "the error is the answer, made once a request"
)]
fn authorize(admin: &Admin, request: &Request<Incoming>) -> Result<(), Answer> {
    if request.headers().contains_key(header::ORIGIN) {
        return Err(error(
            StatusCode::FORBIDDEN,
            "web pages may not use the admin API",
        ));
    }
    let Some(token) = &admin.token else {
        return Ok(());
    };
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .map_or(&[][..], HeaderValue::as_bytes);
    let expected = format!("Bearer {}", token.expose());
    // Digests, so that the time of the comparison says nothing about the token.
    if Digest::of(given) == Digest::of(expected.as_bytes()) {
        return Ok(());
    }
    let mut refused = error(
        StatusCode::UNAUTHORIZED,
        "send `Authorization: Bearer` with `admin.token`",
    );
    refused
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    Err(refused)
}

fn ready(admin: &Admin) -> Answer {
    if admin.is_draining() {
        return text(StatusCode::SERVICE_UNAVAILABLE, "draining\n");
    }
    let waiting = admin
        .registry
        .plugins()
        .iter()
        .find(|plugin| plugin.slot().current().is_none());
    match waiting {
        None => text(StatusCode::OK, "ready\n"),
        Some(plugin) => {
            let words = format!("plugin {:?} has no generation\n", plugin.name());
            text(StatusCode::SERVICE_UNAVAILABLE, words)
        }
    }
}

fn metrics(admin: &Admin) -> Answer {
    let mut answer = text(StatusCode::OK, metrics::render(admin));
    let kind =
        HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

async fn reload(admin: &Admin, name: &str) -> Answer {
    let index = match admin.registry.find(name) {
        Ok(index) => index,
        Err(error) => return failed(&error),
    };
    match admin.registry.reload(index, false).await {
        Ok(Reload::Swapped(generation) | Reload::Unchanged(generation)) => json(
            StatusCode::OK,
            &json!({ "plugin": name, "generation": generation }),
        ),
        Err(error) => failed(&error),
    }
}

fn rollback(admin: &Admin, name: &str, query: &str) -> Answer {
    let wanted = match param(query, "generation").map(|value| value.parse()) {
        None => None,
        Some(Ok(generation)) => Some(generation),
        Some(Err(_)) => return error(StatusCode::BAD_REQUEST, "`generation` is a whole number"),
    };
    let done = admin
        .registry
        .find(name)
        .and_then(|index| admin.registry.rollback(index, wanted));
    match done {
        Ok(generation) => json(
            StatusCode::OK,
            &json!({ "plugin": name, "generation": generation }),
        ),
        Err(error) => failed(&error),
    }
}

fn close(admin: &Admin, id: &str, query: &str) -> Answer {
    let Ok(id) = id.parse() else {
        return error(
            StatusCode::BAD_REQUEST,
            "a connection's id is a whole number",
        );
    };
    let code = param(query, "code").map_or(Ok(OPERATOR_CLOSE), |code| code.parse());
    let Some(code) = code.ok().filter(|&code| codec::close_code_allowed(code)) else {
        return error(
            StatusCode::BAD_REQUEST,
            "`code` is one of 1000-1003, 1007-1014, 3000-4999",
        );
    };
    let reason = param(query, "reason").unwrap_or_default();
    if reason.len() > REASON_MAX {
        return error(StatusCode::BAD_REQUEST, "`reason` is at most 123 bytes");
    }
    (admin.close)(
        ConnectionId(id),
        CloseCause::Kicked(CloseFrame { code, reason }),
    );
    json(
        StatusCode::ACCEPTED,
        &json!({ "connection": id, "code": code }),
    )
}

fn param(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}

#[derive(Serialize)]
struct Shown {
    name: String,
    path: String,
    generation: Option<u64>,
    digest: Option<String>,
    loaded: Option<u64>,
    kept: Vec<u64>,
    state: &'static str,
    last_error: Option<ShownError>,
    /// Connections that stay with earlier generations.
    pinned: usize,
}

#[derive(Serialize)]
struct ShownError {
    at: u64,
    message: String,
}

fn shown(status: &Status) -> Shown {
    let state = match (&status.current, &status.last_error) {
        (Some(_), None) => "serving",
        (Some(_), Some(_)) => "serving-last-good",
        (None, Some(_)) => "failed",
        (None, None) => "loading",
    };
    let current = status.current.as_ref();
    Shown {
        name: status.name.to_string(),
        path: status.path.display().to_string(),
        generation: current.map(|(number, ..)| *number),
        digest: current.map(|(_, digest, _)| format!("sha256:{digest}")),
        loaded: current.map(|(.., loaded)| seconds(*loaded)),
        kept: status.kept.clone(),
        pinned: status.pinned,
        state,
        last_error: status.last_error.as_ref().map(|(at, message)| ShownError {
            at: seconds(*at),
            message: message.clone(),
        }),
    }
}

/// Unix time in seconds.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn failed(cause: &ReloadError) -> Answer {
    let status = match cause {
        ReloadError::Unknown(_) => StatusCode::NOT_FOUND,
        ReloadError::Load(_) => StatusCode::UNPROCESSABLE_ENTITY,
        ReloadError::Busy => StatusCode::TOO_MANY_REQUESTS,
        ReloadError::NotKept { .. } => StatusCode::CONFLICT,
    };
    error(status, &cause.to_string())
}

fn error(status: StatusCode, words: &str) -> Answer {
    json(status, &json!({ "error": words }))
}

fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let mut body = serde_json::to_vec(value).expect("our own types have string keys");
    body.push(b'\n');
    answer(status, body, "application/json")
}

fn text(status: StatusCode, words: impl Into<Bytes>) -> Answer {
    answer(status, words, "text/plain; charset=utf-8")
}

fn answer(status: StatusCode, body: impl Into<Bytes>, kind: &'static str) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}
