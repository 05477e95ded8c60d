//! Reading the request that opened a connection.

use std::borrow::Cow;

use crate::bindings::tidegate::plugin::host;
use crate::{Request, User};

impl Request {
    /// What the route's `{name}` segment matched, percent-decoded; `None` if the route has no such segment.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params
            .iter()
            .find(|(param, _)| param == name)
            .map(|(_, value)| value.as_str())
    }

    /// The first query parameter of that name, percent-decoded and with `+` as a space; `Some("")` if it has no value.
    /// Bytes that are no UTF-8 become U+FFFD.
    pub fn query(&self, name: &str) -> Option<String> {
        query_value(self.query.as_deref()?, name)
    }

    /// The first header field of that name, in any case; `None` also if its value is no UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header.eq_ignore_ascii_case(name))
            .and_then(|(_, value)| str::from_utf8(value).ok())
    }

    /// The first cookie of that name, as it was sent; names of cookies have their case.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .filter(|(header, _)| header.eq_ignore_ascii_case("cookie"))
            .filter_map(|(_, value)| str::from_utf8(value).ok())
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.split_once('='))
            .find(|(cookie, _)| cookie.trim() == name)
            .map(|(_, value)| value.trim())
    }

    /// The user who asks, as the plugin `auth` in front has signed it in; this plugin needs `grants.state = ["auth"]`.
    /// None if nobody has signed in. Once there is a connection, it is [`User::of`](crate::User::of).
    pub fn user(&self) -> Option<User> {
        User::asking()
    }

    /// The bytes with which another plugin of the route's chain has granted this request; `None` without `grants.state`
    /// for it, or if the chain has no such plugin.
    pub fn state_of(&self, plugin: &str) -> Option<Vec<u8>> {
        host::state_of(None, plugin)
    }
}

/// The first parameter of that name in a query.
pub(crate) fn query_value(query: &str, name: &str) -> Option<String> {
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(key, _)| decode(key, Plus::Space) == name)
        .map(|(_, value)| decode(value, Plus::Space).into_owned())
}

/// What a `+` stands for: in a query, as forms write it, for a space; in a path for itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plus {
    Space,
    Itself,
}

/// Decodes percent-encoding as browsers do: a `%` that no two hex digits follow stands for itself.
pub(crate) fn decode(text: &str, plus: Plus) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let Some((&byte, rest)) = bytes.split_first() {
        bytes = rest;
        match (byte, rest) {
            (b'+', _) if plus == Plus::Space => decoded.push(b' '),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    decoded.push(high << 4 | low);
                    bytes = after;
                }
                _ => decoded.push(b'%'),
            },
            _ => decoded.push(byte),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(query: Option<&str>) -> Request {
        Request {
            path: "/rooms/tea".to_owned(),
            params: vec![("room".to_owned(), "tea".to_owned())],
            query: query.map(str::to_owned),
            headers: vec![
                ("origin".to_owned(), b"https://a.example".to_vec()),
                ("x-bytes".to_owned(), vec![0xff]),
                ("cookie".to_owned(), b"theme=dark; token=a=b".to_vec()),
                ("cookie".to_owned(), b"token=c;Last=;odd".to_vec()),
            ],
            peer: "127.0.0.1:50000".to_owned(),
            subprotocols: Vec::new(),
        }
    }

    fn query(query: &str, name: &str) -> Option<String> {
        request(Some(query)).query(name)
    }

    #[test]
    fn a_query_parameter_is_found_by_name() {
        assert_eq!(query("a=1&b=2&b=3", "b").as_deref(), Some("2"));
        assert_eq!(query("a=1&b", "b").as_deref(), Some(""));
        assert_eq!(query("a=b=c", "a").as_deref(), Some("b=c"));
        assert_eq!(query("ab=1", "a"), None);
        assert_eq!(query("", "a"), None);
        assert_eq!(request(None).query("a"), None);
    }

    #[test]
    fn names_and_values_of_a_query_are_decoded() {
        assert_eq!(query("n=J%C3%BCrgen+K", "n").as_deref(), Some("Jürgen K"));
        assert_eq!(query("user%20name=x", "user name").as_deref(), Some("x"));
        assert_eq!(query("n=1%2B1%3d2", "n").as_deref(), Some("1+1=2"));
    }

    #[test]
    fn a_broken_escape_stands_for_itself() {
        assert_eq!(query("n=100%", "n").as_deref(), Some("100%"));
        assert_eq!(query("n=%4", "n").as_deref(), Some("%4"));
        assert_eq!(query("n=%zz%41", "n").as_deref(), Some("%zzA"));
        assert_eq!(query("n=%ff", "n").as_deref(), Some("\u{fffd}"));
    }

    #[test]
    fn cookies_are_found_by_name() {
        let request = request(None);
        assert_eq!(request.cookie("theme"), Some("dark"));
        assert_eq!(request.cookie("token"), Some("a=b"));
        assert_eq!(request.cookie("Last"), Some(""));
        for missing in ["last", "odd", "dark", ""] {
            assert_eq!(request.cookie(missing), None, "{missing}");
        }
    }

    #[test]
    fn params_and_headers_are_found_by_name() {
        let request = request(None);
        assert_eq!(request.param("room"), Some("tea"));
        assert_eq!(request.param("Room"), None);
        assert_eq!(request.header("Origin"), Some("https://a.example"));
        assert_eq!(request.header("x-bytes"), None);
        assert_eq!(request.header("host"), None);
    }
}
