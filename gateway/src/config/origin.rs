//! An HTTP server that a plugin may send requests to.

use std::fmt;

use hyper::Uri;
use serde::{Deserialize, Deserializer};

use super::units::{self, Scalar};

/// An origin (RFC 6454): scheme, host and port. Two are the same if all three are; a port that is not written is
/// the scheme's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    is_https: bool,
    /// In lower case; an IPv6 address in its brackets.
    host: String,
    port: u16,
}

impl Origin {
    /// The origin of an absolute URI. `None` if it is not of HTTP, or names a user: whom such a request would reach
    /// is not worth a guess.
    pub fn of(uri: &Uri) -> Option<Self> {
        let is_https = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let authority = uri.authority()?.as_str();
        let host = uri.host().filter(|host| !host.is_empty())?;
        // What is not a number from 1 to 65535 is not the scheme's own port either.
        let port = match authority.strip_prefix(host)?.strip_prefix(':') {
            Some(port) => port.parse().ok().filter(|&port| port > 0)?,
            None => Self::default_port(is_https),
        };
        Some(Self {
            is_https,
            host: host.to_ascii_lowercase(),
            port,
        })
    }

    fn parse(text: &str) -> Option<Self> {
        // A URI without a path has one once parsed, so it is looked for here.
        let (_, authority) = text.split_once("://")?;
        if authority.contains(['/', '?', '#', '*']) {
            return None;
        }
        Self::of(&text.parse().ok()?)
    }

    fn default_port(is_https: bool) -> u16 {
        match is_https {
            true => 443,
            false => 80,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port != Self::default_port(self.is_https) {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected =
            r#"an origin like "https://api.example.com" or "http://10.0.0.1:8080", without a path"#;
        units::scalar(deserializer, expected, |value| match value {
            Scalar::Text(text) => Self::parse(text),
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
        ] {
            let other = Origin::parse(other).unwrap();
            assert_ne!(other, origin);
            assert_eq!(Origin::parse(&other.to_string()), Some(other));
        }
        let v6 = Origin::parse("http://[::1]:8080").unwrap();
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
            "a.example",
            "https://",
        ] {
            assert_eq!(Origin::parse(text), None, "{text}");
        }
    }
}
