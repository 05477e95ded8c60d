//! An origin (RFC 6454): of a web page, or of an HTTP server that a plugin may send requests to.

use std::fmt;
use std::net::Ipv6Addr;

use hyper::Uri;
use hyper::http::uri::Authority;
use serde::{Deserialize, Deserializer};

use super::units::{self, Scalar};

/// Scheme, host and port. Two origins are one if all three are the same; a port that is not written is the scheme's
/// own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// In lower case. Apps in a web view and browser extensions have schemes of their own.
    scheme: Box<str>,
    /// In lower case; an IPv6 address in its brackets and its shortest form.
    host: Box<str>,
    /// The port; none where the scheme has no port of its own and none is written.
    port: Option<u16>,
}

impl Origin {
    /// The origin of an absolute URI. `None` if it is not of HTTP, or names a user: whom such a request would reach
    /// is not worth a guess.
    pub fn of(uri: &Uri) -> Option<Self> {
        Self::new(uri).filter(Self::is_http)
    }

    /// Reads an origin as browsers write one, of any scheme. `None` for all else: with a path, a pattern, a user, or
    /// the word `null`.
    pub fn parse(text: &str) -> Option<Self> {
        // A URI without a path has one once parsed, so it is looked for here.
        let (_, authority) = text.split_once("://")?;
        if authority.contains(['/', '?', '#', '*']) {
            return None;
        }
        Self::new(&text.parse().ok()?)
    }

    /// Whether a request with this `Host` field is one to this origin. Without a port the field means that of the
    /// scheme, whichever it is: a proxy may have taken TLS off.
    pub fn is_at(&self, host: &str) -> bool {
        let Some((name, port)) = host.parse().ok().and_then(|host| split(&host)) else {
            return false;
        };
        self.is_http() && self.host == name && self.port == port.or(default_port(&self.scheme))
    }

    fn new(uri: &Uri) -> Option<Self> {
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let (host, port) = split(uri.authority()?)?;
        Some(Self {
            port: port.or(default_port(&scheme)),
            scheme: scheme.into(),
            host,
        })
    }

    fn is_http(&self) -> bool {
        default_port(&self.scheme).is_some()
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// Host and port, if one is written. `None` if it names a user, no host, or no port from 1 to 65535 where there is a
/// colon for one.
fn split(authority: &Authority) -> Option<(Box<str>, Option<u16>)> {
    let host = authority.host();
    let rest = authority.as_str().strip_prefix(host)?;
    if host.is_empty() {
        return None;
    }
    let port = match rest.strip_prefix(':') {
        Some(port) => Some(port.parse().ok().filter(|&port| port > 0)?),
        None if rest.is_empty() => None,
        None => return None,
    };
    let v6 = host.strip_prefix('[').and_then(|v6| v6.strip_suffix(']'));
    let host = match v6 {
        Some(v6) => format!("[{}]", v6.parse::<Ipv6Addr>().ok()?),
        None => host.to_ascii_lowercase(),
    };
    Some((host.into(), port))
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match self.port {
            Some(port) if self.port != default_port(&self.scheme) => write!(f, ":{port}"),
            _ => Ok(()),
        }
    }
}

/// Reads the origin of a server, for `grants.http`.
impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected =
            r#"an origin like "https://api.example.com" or "http://10.0.0.1:8080", without a path"#;
        units::scalar(deserializer, expected, |value| match value {
            Scalar::Text(text) => Self::parse(text).filter(Self::is_http),
            Scalar::Integer(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let of = |text: &str| Origin::of(&text.parse().unwrap());
        let origin = of("https://api.example.com/users?id=1").unwrap();
        assert_eq!(
            Origin::parse("https://API.example.com:443"),
            Some(origin.clone())
        );
        assert_eq!(origin.to_string(), "https://api.example.com");
        for other in [
            "http://api.example.com",
            "https://api.example.com:8443",
            "https://example.com",
            "https://api.example.com.",
            "capacitor://api.example.com",
        ] {
            let other = Origin::parse(other).unwrap();
            assert_ne!(other, origin);
            assert_eq!(Origin::parse(&other.to_string()), Some(other));
        }
        let v6 = Origin::parse("http://[0:0::1]:8080").unwrap();
        assert_eq!(of("http://[::1]:8080/"), Some(v6));
    }

    #[test]
    fn what_could_be_read_as_another_origin_is_none() {
        for text in [
            "https://api.example.com@evil.example/",
            "https://user:secret@api.example.com/",
            "https://api.example.com:0/",
            "https://api.example.com:/",
            "https://api.example.com:99999/",
            "https://[::1/",
            "ftp://api.example.com/",
            "/users",
        ] {
            let uri = text.parse::<Uri>();
            assert_eq!(uri.ok().and_then(|uri| Origin::of(&uri)), None, "{text}");
        }
        for text in [
            "https://a.example/",
            "https://a.example?x",
            "https://*",
            "https://user@a.example",
            "https://a.example:https",
            "https://bücher.example",
            "a.example",
            "https://",
            "null",
            "",
        ] {
            assert_eq!(Origin::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_host_field_without_a_port_means_that_of_the_scheme() {
        for (origin, host, expected) in [
            ("https://a.example", "A.example", true),
            ("https://a.example", "a.example:443", true),
            ("https://a.example:443", "a.example", true),
            ("http://a.example", "a.example:80", true),
            ("http://a.example:8080", "a.example:8080", true),
            ("http://[::1]", "[0:0::1]:80", true),
            ("http://a.example", "a.example:443", false),
            ("https://a.example", "a.example:80", false),
            ("https://a.example:8443", "a.example", false),
            ("https://a.example", "a.example:8443", false),
            ("https://a.example", "b.example", false),
            ("https://a.example", "a.example.", false),
            ("https://a.example", "user@a.example", false),
            ("https://a.example", "a.example:", false),
            ("https://a.example", "", false),
            ("app://a.example", "a.example", false),
        ] {
            let origin = Origin::parse(origin).unwrap();
            assert_eq!(origin.is_at(host), expected, "{origin} at {host:?}");
        }
    }
}
