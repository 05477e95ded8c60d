//! What tells browsers that a page of another origin may ask, and read the answer (CORS, the fetch
//! standard section 3.2). Who may is the route's `origins`, for connections and plain requests alike.

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Response, StatusCode};

use super::HttpRequest;
use super::answers::full;
use crate::config::Origins;
use crate::http_body::HttpBody;
use crate::server::origin::Page;

/// The header fields that let a page read an answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    /// The page's origin, if it may read.
    origin: Option<HeaderValue>,
    /// Whether it may send cookies along: not where any page may connect.
    with_credentials: bool,
    /// Whether an answer to another page would bear other marks.
    varies: bool,
}

impl Marks {
    /// The marks of answers to a page.
    pub(super) fn of(origins: &Origins, page: Page<'_>) -> Self {
        let origin = match page {
            Page::Allowed(origin) => Some(origin.clone()),
            Page::None | Page::Stranger(_) => None,
        };
        Self {
            with_credentials: *origins != Origins::Any,
            // Pages of the same host read whatever they get; only others' answers are marked.
            varies: *origins != Origins::Same || !matches!(page, Page::None),
            origin,
        }
    }

    /// Adds them to an answer. A plugin that has marked it knows better.
    pub(super) fn put(&self, headers: &mut HeaderMap) {
        if headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
            return;
        }
        if self.varies {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        let Some(origin) = &self.origin else { return };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if self.with_credentials {
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
    }
}

/// The method that a page asks leave for before its request (a preflight). Browsers do that for all
/// but the simplest requests of another origin's page: JSON, `authorization`, `last-event-id`.
pub(super) fn asked_first(request: &HttpRequest) -> Option<&HeaderValue> {
    let headers = request.headers();
    let asks = request.method() == Method::OPTIONS && headers.contains_key(header::ORIGIN);
    headers
        .get(header::ACCESS_CONTROL_REQUEST_METHOD)
        .filter(|_| asks)
}

/// Gives leave for what was asked; the marks of every answer go with it. The browser asks again after
/// ten minutes, the most that some of them remember it.
pub(super) fn go_ahead(request: &HttpRequest, method: &HeaderValue) -> Response<HttpBody> {
    let mut response = Response::new(full(bytes::Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method.clone());
    let fields = request
        .headers()
        .get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    // By name: `*` does not stand for `authorization`.
    let fields = fields.cloned().unwrap_or(HeaderValue::from_static(
        "last-event-id, content-type, authorization",
    ));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, fields);
    headers.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("600"),
    );
    headers.append(
        header::VARY,
        HeaderValue::from_static("access-control-request-headers"),
    );
    response
}
