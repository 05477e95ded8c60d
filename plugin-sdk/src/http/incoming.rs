//! A plain request on one of the plugin's routes.

use std::borrow::Cow;

use serde::Deserialize;

use super::response::field;
use super::{Response, body};
use crate::bindings::http_client::wasi::http::types::{
    ErrorCode, Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use crate::bindings::tidegate::plugin::host;
use crate::request::{Plus, decode, query_value};
use crate::{Error, Result, User};

/// A plugin that also answers plain HTTP requests on its routes, those that ask for no WebSocket:
/// `export!(Live: http);`.
///
/// ```no_run
/// use tidegate_sdk::{Connection, Handler, HttpHandler, Message, Request, Result, http, publish};
///
/// /// `POST /changes/posts` tells everybody who is connected to `/changes/posts`.
/// struct Live;
///
/// impl Handler for Live {
///     fn on_open(connection: &Connection, request: Request) -> Result {
///         Ok(connection.subscribe(request.param("entity").unwrap_or("all"))?)
///     }
///
///     fn on_message(_connection: &Connection, _message: Message) -> Result {
///         Ok(())
///     }
/// }
///
/// impl HttpHandler for Live {
///     fn on_request(request: http::Incoming) -> Result<http::Response> {
///         match (request.method(), &request.segments()[..]) {
///             ("POST", ["changes", entity]) => {
///                 let change: serde_json::Value = request.json()?;
///                 publish(entity, change.to_string())?;
///                 http::Response::json(&change).map(|response| response.status(201))
///             }
///             ("GET" | "HEAD", ["changes", _]) => Ok(http::Response::text("connect a WebSocket here\n")),
///             _ => Ok(http::Response::new(404)),
///         }
///     }
/// }
///
/// tidegate_sdk::export!(Live: http);
/// # fn main() {}
/// ```
pub trait HttpHandler {
    /// Answers a request of any method. It is an event without a connection: [`publish`](crate::publish),
    /// [`send`](crate::Connection::send), the plugin's own [timers](crate::Timer::of_plugin) and reads of topics work
    /// here, and take effect before the response goes out.
    ///
    /// An `Err` becomes a 500 that tells the client nothing; it is logged and counted, and nothing that this event did
    /// takes effect. Requests share the deadline and the limits of other events; the body of the response counts
    /// against `limits.effects`.
    ///
    /// The plugins in front of this one on the route have decided on the request already, with their
    /// [`on_upgrade`](crate::Handler::on_upgrade).
    fn on_request(request: Incoming) -> Result<Response>;
}

/// A plain request, with its whole body.
#[derive(Clone, Debug)]
pub struct Incoming {
    method: Cow<'static, str>,
    path: String,
    query: Option<String>,
    /// The path's segments, decoded.
    segments: Vec<String>,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Incoming {
    fn new(
        method: Cow<'static, str>,
        path_with_query: &str,
        headers: Vec<(String, Vec<u8>)>,
        body: Vec<u8>,
    ) -> Self {
        let (path, query) = match path_with_query.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (path_with_query, None),
        };
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        Self {
            method,
            segments: segments
                .map(|segment| decode(segment, Plus::Itself).into_owned())
                .collect(),
            path: path.to_owned(),
            query,
            headers,
            body,
        }
    }

    /// The method, such as `"POST"`. To a HEAD request answer as if it were a GET: the gateway leaves the body out.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The path without the query, as sent.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The segments of the path, percent-decoded: `/rooms/tea%20room` is `["rooms", "tea room"]`. `wasi:http` knows no
    /// parameters of routes; this is where to find what `{room}` matched.
    pub fn segments(&self) -> Vec<&str> {
        self.segments.iter().map(String::as_str).collect()
    }

    /// The first query parameter of that name, percent-decoded and with `+` as a space; `Some("")` if it has no value.
    /// Bytes that are no UTF-8 become U+FFFD.
    pub fn query(&self, name: &str) -> Option<String> {
        query_value(self.query.as_deref()?, name)
    }

    /// The first header field of that name, in any case; `None` also if its value is no UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        field(&self.headers, name)
    }

    /// The header fields in order, names in lower case. `host` and those of the connection are not among them.
    pub fn headers(&self) -> &[(String, Vec<u8>)] {
        &self.headers
    }

    /// The user who asks, as the plugin `auth` in front has signed it in; this plugin needs `grants.state = ["auth"]`.
    /// None if nobody has signed in.
    pub fn user(&self) -> Option<User> {
        User::asking()
    }

    /// The bytes with which another plugin of the route's chain has granted this request; `None` without `grants.state`
    /// for it, or if the chain has no such plugin.
    pub fn state_of(&self, plugin: &str) -> Option<Vec<u8>> {
        host::state_of(None, plugin)
    }

    /// The body, at most `limits.body` of the route.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Reads the body as JSON. A type may borrow from it.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}

/// Hands a request to the handler and its answer to the gateway.
pub(crate) fn answer<H: HttpHandler>(request: IncomingRequest, out: ResponseOutparam) {
    let response = receive(&request).and_then(H::on_request);
    let sent = response.and_then(|response| Ok((lower(&response)?, response.body)));
    match sent {
        Ok(((response, body), bytes)) => {
            ResponseOutparam::set(out, Ok(response));
            // The gateway waits for the body's end, and says in its log what was wrong with it.
            let _ = body.map(|body| body::write(body, &bytes));
        }
        Err(error) => {
            ResponseOutparam::set(out, Err(ErrorCode::InternalError(Some(error.to_string()))));
        }
    }
}

fn receive(request: &IncomingRequest) -> Result<Incoming> {
    let headers = request.headers().entries();
    // The gateway has read the body and knows its length.
    let body = match field(&headers, "content-length") {
        None | Some("0") => Vec::new(),
        Some(_) => match request.consume() {
            Ok(body) => body::read(body)?,
            Err(()) => Vec::new(),
        },
    };
    let method = match request.method() {
        Method::Get => "GET".into(),
        Method::Head => "HEAD".into(),
        Method::Post => "POST".into(),
        Method::Put => "PUT".into(),
        Method::Delete => "DELETE".into(),
        Method::Connect => "CONNECT".into(),
        Method::Options => "OPTIONS".into(),
        Method::Trace => "TRACE".into(),
        Method::Patch => "PATCH".into(),
        Method::Other(method) => method.into(),
    };
    let path = request.path_with_query().unwrap_or_default();
    Ok(Incoming::new(method, &path, headers, body))
}

fn lower(response: &Response) -> Result<(OutgoingResponse, Option<OutgoingBody>)> {
    let fields = Fields::from_list(&response.headers)
        .map_err(|error| Error::msg(format_args!("the response's header fields: {error}")))?;
    let lowered = OutgoingResponse::new(fields);
    let status = response.status;
    let set = lowered.set_status_code(status);
    set.map_err(|()| Error::msg(format_args!("{status} is no status of a response")))?;
    let body = match response.body.is_empty() {
        true => None,
        false => lowered.body().ok(),
    };
    Ok((lowered, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path_with_query: &str) -> Incoming {
        let headers = vec![("x-name".to_owned(), b"tea".to_vec())];
        Incoming::new("POST".into(), path_with_query, headers, b"[1]".to_vec())
    }

    #[test]
    fn a_request_is_taken_apart() {
        let request = request("/rooms/tea%20room/a+b%2F/?n=J%C3%BCrgen+K&x");
        assert_eq!(request.path(), "/rooms/tea%20room/a+b%2F/");
        assert_eq!(request.segments(), ["rooms", "tea room", "a+b/"]);
        assert_eq!(request.query("n").as_deref(), Some("Jürgen K"));
        assert_eq!(request.query("x").as_deref(), Some(""));
        assert_eq!(request.query("y"), None);
        assert_eq!(request.header("X-Name"), Some("tea"));
        assert_eq!(request.json::<Vec<u8>>().unwrap(), [1]);
        assert_eq!(self::request("/").segments(), [""; 0]);
    }
}
