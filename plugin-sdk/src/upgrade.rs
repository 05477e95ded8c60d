//! The two answers to an upgrade.

use serde::Serialize;

use crate::bindings::tidegate::plugin::types;
use crate::{Error, Fault, Result};

/// Grants an upgrade; `Accept::default()` adds nothing to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accept {
    subprotocol: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    state: Vec<u8>,
}

impl Accept {
    /// Chooses one of [`Request::subprotocols`](crate::Request::subprotocols); any other fails the upgrade with 500.
    /// Without one the gateway chooses the first that the client offers: browsers fail a connection that answers none.
    pub fn subprotocol(mut self, subprotocol: impl Into<String>) -> Self {
        self.subprotocol = Some(subprotocol.into());
        self
    }

    /// Adds a header field to the 101 response, such as `set-cookie`. Those of the handshake itself belong to the
    /// gateway; setting one fails the upgrade with 500.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the connection's first state, for `on_open` and all that follows.
    pub fn state(mut self, state: impl Into<Vec<u8>>) -> Self {
        self.state = state.into();
        self
    }

    /// Sets the connection's first state to a value, such as a name and a room that were checked here. All other events
    /// read it by [`State::of`](crate::State::of).
    pub fn state_json<T: Serialize + ?Sized>(self, value: &T) -> Result<Self> {
        Ok(self.state(serde_json::to_vec(value)?))
    }
}

/// Refuses an upgrade: the HTTP response that the client gets instead of a WebSocket.
///
/// Every error turns into a 500 that tells the client nothing; its text goes to the plugin's log. So `?` works in
/// `on_upgrade` too. A [`Fault`] is told in JSON, as `{"code", "message", "details"}`: with 401 if it is `unauthorized`,
/// 403 if `forbidden`, 500 if `internal`, and else 400.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    log: Option<String>,
}

impl Reject {
    /// Refuses with a status of 200 to 599 (anything else becomes 500) and a text that should say what to do instead.
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into().into_bytes(),
            log: None,
        }
    }

    /// Adds a header field, such as `location` or `www-authenticate`. A body without a `content-type` is sent as
    /// plain text.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

impl<E: Into<Error>> From<E> for Reject {
    fn from(error: E) -> Self {
        Self {
            log: Some(error.into().to_string()),
            ..Self::new(500, "the server failed to answer this request\n")
        }
    }
}

impl From<Fault> for Reject {
    fn from(fault: Fault) -> Self {
        let status = match fault.code() {
            "unauthorized" => 401,
            "forbidden" => 403,
            "internal" => 500,
            _ => 400,
        };
        match serde_json::to_string(&fault) {
            Ok(body) => Self {
                log: fault.for_log().map(str::to_owned),
                ..Self::new(status, body).header("content-type", "application/json")
            },
            Err(error) => error.into(),
        }
    }
}

impl From<Accept> for types::Accept {
    fn from(accept: Accept) -> Self {
        Self {
            subprotocol: accept.subprotocol,
            headers: accept.headers,
            state: accept.state,
        }
    }
}

impl From<Reject> for types::Reject {
    fn from(mut reject: Reject) -> Self {
        if let Some(log) = &reject.log {
            eprintln!("failed to decide on an upgrade: {log}");
        }
        let typed = reject
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if !typed && !reject.body.is_empty() {
            reject = reject.header("content-type", "text/plain; charset=utf-8");
        }
        Self {
            status: reject.status,
            headers: reject.headers,
            body: reject.body,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_becomes_a_500_that_keeps_its_secret() {
        fn decide() -> Result<Accept, Reject> {
            let _: u16 = "secret".parse()?;
            Err(crate::error!("secret"))?
        }
        let reject = types::Reject::from(decide().unwrap_err());
        assert_eq!(reject.status, 500);
        assert!(!String::from_utf8(reject.body).unwrap().contains("secret"));
    }

    #[test]
    fn a_fault_is_told_in_json() {
        fn decide() -> Result<Accept, Reject> {
            Err(Fault::field("page", "at most 100"))?
        }
        let reject = types::Reject::from(decide().unwrap_err());
        assert_eq!(reject.status, 400);
        assert_eq!(reject.headers[0].1, b"application/json");
        let body: serde_json::Value = serde_json::from_slice(&reject.body).unwrap();
        assert_eq!(body["details"]["field"], "page");
        for (code, status) in [("unauthorized", 401), ("forbidden", 403), ("internal", 500)] {
            let reject = types::Reject::from(Reject::from(Fault::new(code, "no")));
            assert_eq!(reject.status, status);
        }
    }

    #[test]
    fn a_body_is_plain_text_unless_it_says_otherwise() {
        let plain = types::Reject::from(Reject::new(400, "no"));
        assert_eq!(plain.headers[0].0, "content-type");
        assert_eq!(plain.headers[0].1, b"text/plain; charset=utf-8");
        let json = Reject::new(400, "{}").header("Content-Type", "application/json");
        assert_eq!(types::Reject::from(json).headers.len(), 1);
        assert!(types::Reject::from(Reject::new(204, "")).headers.is_empty());
    }
}
