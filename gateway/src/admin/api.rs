//! The admin API.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /healthz` | 200 while the process lives |
//! | `GET /readyz` | 200 when every plugin has a generation; 503 with the reason before, while draining, and while the store can't be written |
//! | `GET /metrics` | Prometheus text |
//! | `GET /plugins` | every plugin: generation, digest, history, last error |
//! | `GET /plugins/{name}` | one |
//! | `POST /plugins/{name}/reload` | loads its file: 200 with the generation, 422 with the reason |
//! | `POST /plugins/{name}/rollback?generation=N` | an earlier generation; without N the one before |
//! | `POST /connections/{id}/close?code=N&reason=…` | closes a connection; 4000 without a code |
//! | `POST /publish?plugin=P&topic=T` | the body to the topic's subscribers, see `publish.rs` |
//!
//! `HEAD` goes wherever `GET` does. What is wrong is said as `{"error": "…"}`.

use std::time::{SystemTime, UNIX_EPOCH};

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, Method, Request, StatusCode};
use serde::Serialize;
use serde_json::json;
use tidegate_codec as codec;

use super::answer::{AdminResponse, error, json, param, text};
use super::{Admin, metrics, publish};
use crate::close::{CloseCause, CloseFrame, REASON_MAX};
use crate::message::ConnectionId;
use crate::plugin::{Digest, Reload, ReloadError, Status};

/// The code of a close by an operator who named none: the first of the application's range
/// (RFC 6455 section 7.4.2).
const OPERATOR_CLOSE: u16 = 4000;

/// What a path names, with the parts of it that vary.
enum Resource<'a> {
    Health,
    Ready,
    Metrics,
    Plugins,
    Plugin(&'a str),
    Reload(&'a str),
    Rollback(&'a str),
    Close(&'a str),
    Publish,
}

impl<'a> Resource<'a> {
    fn at(path: &'a str) -> Option<Self> {
        let path: Vec<_> = path.split('/').skip(1).collect();
        Some(match path[..] {
            ["healthz"] => Self::Health,
            ["readyz"] => Self::Ready,
            ["metrics"] => Self::Metrics,
            ["plugins"] => Self::Plugins,
            ["plugins", name] => Self::Plugin(name),
            ["plugins", name, "reload"] => Self::Reload(name),
            ["plugins", name, "rollback"] => Self::Rollback(name),
            ["connections", id, "close"] => Self::Close(id),
            ["publish"] => Self::Publish,
            _ => return None,
        })
    }

    /// Whether it is only looked at. What is not is changed, by `POST`.
    fn is_read(&self) -> bool {
        match self {
            Self::Health | Self::Ready | Self::Metrics | Self::Plugins | Self::Plugin(_) => true,
            Self::Reload(_) | Self::Rollback(_) | Self::Close(_) | Self::Publish => false,
        }
    }

    /// Whether it is for probes, which have no secrets.
    fn is_open(&self) -> bool {
        matches!(self, Self::Health | Self::Ready)
    }
}

/// Whether a request bears the token that is set.
pub(super) fn is_trusted(admin: &Admin, request: &Request<Incoming>) -> bool {
    admin.token.is_some() && authorize(admin, request.headers()).is_ok()
}

pub(super) async fn respond(admin: &Admin, request: Request<Incoming>) -> AdminResponse {
    let (head, body) = request.into_parts();
    if !admin.hosts.admit(&head.headers) {
        return error(
            StatusCode::MISDIRECTED_REQUEST,
            "not asked under a name of loopback: add the name to `hosts` in [admin]",
        );
    }
    let resource = Resource::at(head.uri.path());
    if !resource.as_ref().is_some_and(Resource::is_open)
        && let Err(refused) = authorize(admin, &head.headers)
    {
        return refused;
    }
    let Some(resource) = resource else {
        return error(
            StatusCode::NOT_FOUND,
            "no such path: see the README's table of the admin API",
        );
    };
    let (allowed, names): (&[_], _) = match resource.is_read() {
        true => (&[Method::GET, Method::HEAD], "GET, HEAD"),
        false => (&[Method::POST], "POST"),
    };
    if !allowed.contains(&head.method) {
        let words = format!("no such request: this path takes {names}");
        let mut refused = error(StatusCode::METHOD_NOT_ALLOWED, &words);
        let names = HeaderValue::from_static(names);
        refused.headers_mut().insert(header::ALLOW, names);
        return refused;
    }
    let query = head.uri.query().unwrap_or_default();
    match resource {
        Resource::Health => text(StatusCode::OK, "ok\n"),
        Resource::Ready => ready(admin),
        Resource::Metrics => metrics(admin),
        Resource::Plugins => {
            let plugins = admin.registry.plugins().iter();
            let plugins: Vec<_> = plugins.map(|plugin| shown(&plugin.status())).collect();
            json(StatusCode::OK, &plugins)
        }
        Resource::Plugin(name) => match admin.registry.find(name) {
            Ok(index) => json(
                StatusCode::OK,
                &shown(&admin.registry.plugins()[index].status()),
            ),
            Err(error) => failed(&error),
        },
        Resource::Reload(name) => reload(admin, name).await,
        Resource::Rollback(name) => rollback(admin, name, query),
        Resource::Close(id) => close(admin, id, query),
        Resource::Publish => publish::publish(admin, query, &head.headers, body).await,
    }
}

/// Who may ask. A browser may not: a page anywhere on the web could otherwise post to loopback.
#[expect(
    clippy::result_large_err,
    reason = "the error is the answer, made once a request"
)]
fn authorize(admin: &Admin, headers: &HeaderMap) -> Result<(), AdminResponse> {
    if headers.contains_key(header::ORIGIN) {
        return Err(error(
            StatusCode::FORBIDDEN,
            "web pages may not use the admin API",
        ));
    }
    let Some(token) = &admin.token else {
        return Ok(());
    };
    let given = headers
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

fn ready(admin: &Admin) -> AdminResponse {
    if admin.is_draining() {
        return text(StatusCode::SERVICE_UNAVAILABLE, "draining\n");
    }
    if let Some(failure) = admin.registry.store().failure() {
        return text(StatusCode::SERVICE_UNAVAILABLE, format!("{failure}\n"));
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

fn metrics(admin: &Admin) -> AdminResponse {
    let mut answer = text(StatusCode::OK, metrics::render(admin));
    let kind =
        HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

async fn reload(admin: &Admin, name: &str) -> AdminResponse {
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

fn rollback(admin: &Admin, name: &str, query: &str) -> AdminResponse {
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

fn close(admin: &Admin, id: &str, query: &str) -> AdminResponse {
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

fn failed(cause: &ReloadError) -> AdminResponse {
    let status = match cause {
        ReloadError::Unknown(_) => StatusCode::NOT_FOUND,
        ReloadError::Load(_) => StatusCode::UNPROCESSABLE_ENTITY,
        ReloadError::Busy => StatusCode::TOO_MANY_REQUESTS,
        ReloadError::NotKept { .. } => StatusCode::CONFLICT,
    };
    error(status, &cause.to_string())
}
