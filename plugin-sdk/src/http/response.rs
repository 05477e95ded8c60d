//! A response: what another server answered, or what the plugin answers.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::HttpError;
use crate::Result;

/// A whole response, from another server or to a client.
///
/// ```
/// use tidegate_sdk::http::Response;
///
/// let created = Response::json(&["tea", "coffee"])?.status(201).header("location", "/rooms");
/// assert_eq!(created.status, 201);
/// assert_eq!(created.field("content-type"), Some("application/json"));
/// assert_eq!(created.body, br#"["tea","coffee"]"#);
/// # Ok::<(), tidegate_sdk::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status, 200 to 599 in what the plugin answers.
    pub status: u16,
    /// Header fields in order. Those of the connection and of the body's length belong to the gateway.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body. To a HEAD request the gateway sends its length only.
    pub body: Vec<u8>,
}

impl Response {
    /// An empty one with a status, such as 204 or 404.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// 200 with a text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(200)
            .header("content-type", "text/plain; charset=utf-8")
            .body(text.into())
    }

    /// 200 with a value as JSON.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        let body = serde_json::to_vec(value)?;
        Ok(Self::new(200)
            .header("content-type", "application/json")
            .body(body))
    }

    /// Replaces the status.
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Adds a header field.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Replaces the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The first header field of that name, in any case; `None` also if its value is no UTF-8.
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.headers, name)
    }

    /// Itself, if its status is one of success (200 to 299).
    pub fn success(self) -> Result<Self, HttpError> {
        match self.status {
            200..=299 => Ok(self),
            status => Err(HttpError::Status(status)),
        }
    }

    /// Reads the body as JSON.
    pub fn body_json<T: DeserializeOwned>(&self) -> Result<T> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}

pub(super) fn field<'a>(headers: &'a [(String, Vec<u8>)], name: &str) -> Option<&'a str> {
    let found = headers
        .iter()
        .find(|(header, _)| header.eq_ignore_ascii_case(name));
    found.and_then(|(_, value)| str::from_utf8(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_is_a_status_of_two_hundred_and_something() {
        assert_eq!(Response::new(204).success().map(|it| it.status), Ok(204));
        let error = Response::new(503).success().unwrap_err();
        assert_eq!(error.to_string(), "the server answered with status 503");
    }

    #[test]
    fn a_field_is_found_in_any_case() {
        let response = Response::text("hello").header("X-Bytes", vec![0xff]);
        assert_eq!(
            response.field("Content-Type"),
            Some("text/plain; charset=utf-8")
        );
        assert_eq!(response.field("x-bytes"), None);
        assert_eq!(response.field("x-other"), None);
    }
}
