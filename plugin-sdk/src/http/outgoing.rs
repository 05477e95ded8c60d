//! A request to another server.

use std::time::Duration;

use serde::Serialize;

use super::url::Url;
use super::{HttpError, Response, body};
use crate::Result;
use crate::bindings::http_client::wasi::http::outgoing_handler;
use crate::bindings::http_client::wasi::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, Method, OutgoingRequest, RequestOptions,
};

/// Asks for a page: [`Request::get`], sent.
pub fn get(url: &str) -> Result<Response, HttpError> {
    Request::get(url).send()
}

/// A request to another server, to be [sent](Self::send). Redirects are not followed: `location` may be of an origin
/// that is not granted.
#[derive(Clone, Debug)]
#[must_use = "it is sent by `send`"]
pub struct Request {
    method: String,
    url: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    timeout: Option<Duration>,
}

impl Request {
    /// A request with any method but CONNECT, such as `"PATCH"`.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: None,
        }
    }

    /// A GET request.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// A POST request.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// A PUT request.
    pub fn put(url: impl Into<String>) -> Self {
        Self::new("PUT", url)
    }

    /// A DELETE request.
    pub fn delete(url: impl Into<String>) -> Self {
        Self::new("DELETE", url)
    }

    /// Adds a header field. `host`, `connection` and their like are the gateway's; it sets `content-length`.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Replaces the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Replaces the body by a value as JSON, and says so in `content-type`.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Result<Self> {
        let body = serde_json::to_vec(value)?;
        Ok(self.header("content-type", "application/json").body(body))
    }

    /// How long the server may be silent: until it takes the connection, until the response begins, and between two
    /// parts of it. The plugin's limits (`http_connect`, `http_first_byte`, and `http_timeout` in all) hold anyway.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends it and waits for the whole response. Any status is a response; [`Response::success`] makes errors of some.
    ///
    /// The response's body is at most `limits.http_response_body` of the plugin.
    pub fn send(self) -> Result<Response, HttpError> {
        let (request, timeout) = (self.lower()?, self.timeout);
        let body = match self.body.is_empty() {
            true => None,
            false => request.body().ok(),
        };
        let response = outgoing_handler::handle(request, timeout.map(options));
        let response = response.map_err(|code| self.explain(code))?;
        if let Some(body) = body {
            body::write(body, &self.body)?;
        }
        receive(&response).map_err(|code| self.explain(code))?
    }

    fn explain(&self, code: ErrorCode) -> HttpError {
        match code {
            ErrorCode::HttpRequestUriInvalid => HttpError::InvalidUrl(self.url.clone()),
            ErrorCode::HttpRequestMethodInvalid => HttpError::InvalidMethod(self.method.clone()),
            code => code.into(),
        }
    }

    fn lower(&self) -> Result<OutgoingRequest, HttpError> {
        let url = Url::parse(&self.url)?;
        let invalid_url = |()| HttpError::InvalidUrl(self.url.clone());
        let fields = Fields::new();
        for (name, value) in &self.headers {
            let appended = fields.append(name, value);
            appended.map_err(|_| HttpError::InvalidHeader(name.clone()))?;
        }
        if !self.body.is_empty() {
            let length = self.body.len().to_string().into_bytes();
            let set = fields.set("content-length", &[length]);
            set.map_err(|_| HttpError::InvalidHeader("content-length".to_owned()))?;
        }
        let request = OutgoingRequest::new(fields);
        let method = request.set_method(&method(&self.method));
        method.map_err(|()| HttpError::InvalidMethod(self.method.clone()))?;
        request.set_scheme(Some(&url.scheme)).map_err(invalid_url)?;
        request
            .set_authority(Some(url.authority))
            .map_err(invalid_url)?;
        let path = request.set_path_with_query(Some(&url.path_with_query));
        path.map_err(invalid_url)?;
        Ok(request)
    }
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

fn options(timeout: Duration) -> RequestOptions {
    let nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
    let options = RequestOptions::new();
    // One that the host does not know leaves its own in force.
    let _ = options.set_connect_timeout(Some(nanos));
    let _ = options.set_first_byte_timeout(Some(nanos));
    let _ = options.set_between_bytes_timeout(Some(nanos));
    options
}

/// An outer error is one before the body.
fn receive(response: &FutureIncomingResponse) -> Result<Result<Response, HttpError>, ErrorCode> {
    response.subscribe().block();
    let taken = || ErrorCode::InternalError(Some("the response was taken already".to_owned()));
    let response = response.get().ok_or_else(taken)?.map_err(|()| taken())??;
    let (status, headers) = (response.status(), response.headers().entries());
    let body = response.consume().map_err(|()| taken())?;
    Ok(body::read(body).map(|body| Response {
        status,
        headers,
        body,
    }))
}
