//! What goes wrong with a request to another server.

use std::error::Error as StdError;
use std::fmt;

use crate::bindings::http_client::wasi::http::types::ErrorCode;

/// Why there is no response, or not a whole one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// Not of the form `https://host:port/path`.
    InvalidUrl(String),
    /// A header field of that name can't be sent: it is malformed, or the gateway's, such as `host` and `connection`.
    InvalidHeader(String),
    /// A method of that name can't be sent.
    InvalidMethod(String),
    /// The origin is not in `grants.http` of the plugin.
    NotGranted,
    /// This plugin has as many requests under way on this core as `limits.http_requests` allows.
    TooMany,
    /// The request took longer than [`Request::timeout`](super::Request::timeout) or a limit of the plugin:
    /// `http_connect`, `http_first_byte` or `http_timeout`.
    Timeout,
    /// The body is over `limits.http_request_body` or `limits.http_response_body` of the plugin.
    TooLarge,
    /// The server could not be found, or did not take the connection.
    Unreachable(String),
    /// The server answered with this status, and [`Response::success`](super::Response::success) was asked for.
    Status(u16),
    /// Anything else, in words: the connection was lost, or the server does not speak HTTP.
    Failed(String),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidUrl(url) => {
                write!(f, "the URL {url:?} is not of the form https://host:port/path")
            }
            Self::InvalidHeader(name) => {
                write!(f, "the header field {name:?} is malformed, or is the gateway's to set")
            }
            Self::InvalidMethod(name) => write!(f, "the method {name:?} can't be sent"),
            Self::NotGranted => f.write_str("the origin is not in grants.http of the plugin"),
            Self::TooMany => {
                f.write_str("as many requests as limits.http_requests of the plugin allows are under way")
            }
            Self::Timeout => f.write_str("the request took longer than its timeout"),
            Self::TooLarge => f.write_str(
                "the body is over limits.http_request_body or limits.http_response_body of the plugin",
            ),
            Self::Unreachable(why) => write!(f, "the server can't be reached: {why}"),
            Self::Status(status) => write!(f, "the server answered with status {status}"),
            Self::Failed(why) => write!(f, "the request failed: {why}"),
        }
    }
}

impl StdError for HttpError {}

impl From<ErrorCode> for HttpError {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::HttpRequestDenied => Self::NotGranted,
            ErrorCode::ConnectionLimitReached => Self::TooMany,
            ErrorCode::ConnectionTimeout
            | ErrorCode::ConnectionReadTimeout
            | ErrorCode::ConnectionWriteTimeout
            | ErrorCode::DnsTimeout
            | ErrorCode::HttpResponseTimeout => Self::Timeout,
            ErrorCode::HttpRequestBodySize(_) | ErrorCode::HttpResponseBodySize(_) => {
                Self::TooLarge
            }
            ErrorCode::ConnectionRefused => {
                Self::Unreachable("it refused the connection".to_owned())
            }
            ErrorCode::DnsError(_) => Self::Unreachable("its name has no address".to_owned()),
            ErrorCode::DestinationUnavailable => {
                Self::Unreachable("there is no way to its address".to_owned())
            }
            ErrorCode::ConnectionTerminated | ErrorCode::HttpResponseIncomplete => Self::Failed(
                "the server closed the connection before its response was whole".to_owned(),
            ),
            ErrorCode::TlsProtocolError | ErrorCode::TlsCertificateError => Self::Failed(
                "no secure connection came about: see the gateway's log at level debug".to_owned(),
            ),
            ErrorCode::InternalError(Some(why)) => Self::Failed(why),
            other => Self::Failed(format!("{other:?}")),
        }
    }
}
