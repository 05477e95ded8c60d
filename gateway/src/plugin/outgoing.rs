//! Outgoing HTTP (`wasi:http/outgoing-handler`): to granted origins only, and within the plugin's limits.
//!
//! A request runs as a task of the shard and ends with the event that sent it, at the latest. Redirects are the
//! guest's to follow, so that each is to a granted origin too.

mod body;
mod outcome;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Body as _;
use hyper::header::CONTENT_LENGTH;
use hyper::{Method, Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, RequestOptions, WasiBody, WasiHttpHooks, default_send_request,
};

use super::identity::Identity;
use crate::config::{Origin, PluginGrants, PluginLimits};
use crate::labels::RequestResult;
use crate::shard;

use body::{ResponseBody, within};
use outcome::RequestOutcome;

pub(super) use outcome::code_of;

/// Sends the requests of one instance.
pub(super) struct Outgoing {
    plugin: Arc<str>,
    /// The plugin, as an index into the configuration.
    owner: usize,
    grants: Arc<PluginGrants>,
    limits: Arc<PluginLimits>,
    /// Has a permit for each request that the plugin may have under way on this shard.
    requests: Arc<Semaphore>,
    /// Dropped at the end of the event, which ends its requests; none while it has sent none.
    event: Option<watch::Sender<()>>,
}

type Responding = (
    Response<WasiBody>,
    Box<dyn Future<Output = Result<(), Error>> + Send>,
);

impl Outgoing {
    /// The requests of an instance of a plugin, which shares `requests` with the others of its shard.
    pub(super) fn new(identity: &Identity, requests: Arc<Semaphore>) -> Self {
        Self {
            plugin: identity.name.clone(),
            owner: identity.owner,
            grants: identity.grants.clone(),
            limits: identity.limits.clone(),
            requests,
            event: None,
        }
    }

    /// The event has ended, and with it what it left under way.
    pub(super) fn end_event(&mut self) {
        self.event = None;
    }

    /// Whether a request may be sent.
    fn admit(&self, request: &Request<WasiBody>) -> Result<OwnedSemaphorePermit, RequestError> {
        let origin = Origin::of(request.uri()).ok_or(RequestError::Uri)?;
        if !self.grants.http.contains(&origin) {
            return Err(RequestError::NotGranted(origin));
        }
        // It would turn a granted server into a way to any other.
        if request.method() == Method::CONNECT {
            return Err(RequestError::Method);
        }
        let max = self.limits.http_request_body;
        let declared = request.headers().get(CONTENT_LENGTH);
        let declared = declared.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if declared > Some(max as u64) {
            return Err(RequestError::Size(max));
        }
        let permit = self.requests.clone().try_acquire_owned();
        permit.map_err(|_| RequestError::TooMany(self.limits.http_requests))
    }

    /// The guest may wait for less than the limits, never for more.
    fn options(&self, asked: Option<RequestOptions>) -> RequestOptions {
        let asked = asked.unwrap_or_default();
        let within = |asked: Option<Duration>, max| Some(asked.map_or(max, |asked| asked.min(max)));
        RequestOptions {
            connect_timeout: within(asked.connect_timeout, self.limits.http_connect),
            first_byte_timeout: within(asked.first_byte_timeout, self.limits.http_first_byte),
            between_bytes_timeout: within(asked.between_bytes_timeout, self.limits.http_timeout),
        }
    }

    fn refuse(&self, refused: RequestError) -> Error {
        drop(RequestOutcome::new(refused.result()));
        // A guest can be refused at any rate.
        if shard::with_current(|shard| shard.is_none_or(|shard| shard.may_log_failure(self.owner)))
        {
            tracing::warn!(
                plugin = &*self.plugin,
                "outgoing HTTP request refused: {refused}"
            );
        }
        refused.into()
    }
}

/// Why a request is not sent.
#[derive(Debug, thiserror::Error)]
enum RequestError {
    #[error("{0} is not granted: add \"{0}\" to `grants.http` of the plugin if it may")]
    NotGranted(Origin),
    #[error("its URI is not of the form http(s)://host:port/path")]
    Uri,
    #[error("CONNECT is for proxies")]
    Method,
    #[error(
        "its body is larger than {0} bytes: raise `limits.http_request_body` of the plugin if it has to be"
    )]
    Size(usize),
    #[error(
        "{0} are under way on this shard: raise `limits.http_requests` of the plugin if it needs more"
    )]
    TooMany(usize),
}

impl RequestError {
    /// The label it is counted under.
    fn result(&self) -> RequestResult {
        match self {
            Self::NotGranted(_) | Self::Uri | Self::Method => RequestResult::Denied,
            Self::Size(_) => RequestResult::TooLarge,
            Self::TooMany(_) => RequestResult::Limit,
        }
    }
}

impl From<RequestError> for Error {
    fn from(refused: RequestError) -> Self {
        match refused {
            RequestError::NotGranted(_) => Self::HttpRequestDenied,
            RequestError::Uri => Self::HttpRequestUriInvalid,
            RequestError::Method => Self::HttpRequestMethodInvalid,
            RequestError::Size(max) => Self::HttpRequestBodySize(Some(max as u64)),
            RequestError::TooMany(_) => Self::ConnectionLimitReached,
        }
    }
}

impl WasiHttpHooks for Outgoing {
    fn is_forbidden_header(&mut self, name: &hyper::header::HeaderName) -> bool {
        // The default makes a closure for each name.
        DEFAULT_FORBIDDEN_HEADERS.contains(name)
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Responding, Error>> + Send> {
        let permit = match self.admit(&request) {
            Ok(permit) => permit,
            Err(refused) => return Box::new(std::future::ready(Err(self.refuse(refused)))),
        };
        let event = self.event.get_or_insert_with(|| watch::channel(()).0);
        let event = event.subscribe();
        let sending = Sending {
            options: self.options(options),
            deadline: Instant::now() + self.limits.http_timeout,
            request_max: self.limits.http_request_body,
            response_max: self.limits.http_response_body,
            event,
            permit,
        };
        Box::new(sending.send(request))
    }

    fn p2_error_from_hyper(&mut self, error: &hyper::Error) -> ErrorCode {
        outcome::code_of_hyper(error)
    }

    fn p2_error_from_connect(&mut self, error: &std::io::Error) -> ErrorCode {
        outcome::code_of_connect(error)
    }

    fn p2_error_from_tls(&mut self, error: &std::io::Error) -> ErrorCode {
        tracing::debug!(
            plugin = &*self.plugin,
            "outgoing HTTP request failed in TLS: {error}"
        );
        ErrorCode::TlsProtocolError
    }
}

/// A request that was admitted.
struct Sending {
    options: RequestOptions,
    deadline: Instant,
    request_max: usize,
    response_max: usize,
    /// The event's life: the sender is gone when the event has ended.
    event: watch::Receiver<()>,
    permit: OwnedSemaphorePermit,
}

impl Sending {
    async fn send(mut self, request: Request<WasiBody>) -> Result<Responding, Error> {
        let mut outcome = RequestOutcome::new(RequestResult::Cancelled);
        let max = self.request_max;
        let request = request.map(|body| {
            let over = move || Error::HttpRequestBodySize(Some(max as u64));
            Limited::new(body, max)
                .map_err(move |error| within(error, over))
                .boxed_unsync()
        });
        let sent = timeout_at(
            self.deadline,
            default_send_request(request, Some(self.options)),
        );
        let sent = tokio::select! {
            sent = sent => sent.unwrap_or(Err(Error::HttpResponseTimeout)),
            _ = self.event.changed() => return Err(Error::ConnectionTerminated),
        };
        let (response, connection) = match sent {
            Ok(sent) => sent,
            Err(error) => {
                outcome.set(outcome::result_of(&error));
                return Err(error);
            }
        };
        let max = self.response_max;
        let declared = response.body().size_hint().lower();
        if declared > max as u64 {
            outcome.set(RequestResult::TooLarge);
            return Err(Error::HttpResponseBodySize(Some(declared)));
        }
        outcome.set(RequestResult::Ok);
        let response = response
            .map(|body| ResponseBody::new(body, max, self.deadline, outcome).boxed_unsync());
        let connection = async move {
            let _permit = self.permit;
            tokio::select! {
                closed = connection => closed,
                _ = self.event.changed() => Ok(()),
            }
        };
        Ok((response, Box::new(connection)))
    }
}
