//! The parts of a URL that a request is made of.

use super::HttpError;
use crate::bindings::http_client::wasi::http::types::Scheme;

/// An absolute URL of HTTP. What follows `#` is not for servers, and gone.
#[derive(Debug)]
pub(super) struct Url<'a> {
    pub(super) scheme: Scheme,
    pub(super) authority: &'a str,
    pub(super) path_with_query: String,
}

impl<'a> Url<'a> {
    pub(super) fn parse(url: &'a str) -> Result<Self, HttpError> {
        let invalid = || HttpError::InvalidUrl(url.to_owned());
        let (scheme, rest) = url.split_once("://").ok_or_else(invalid)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(invalid()),
        };
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.is_empty() {
            return Err(invalid());
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self {
            scheme,
            authority,
            path_with_query: format!("{slash}{path}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(url: &str) -> (String, String, String) {
        let url = Url::parse(url).unwrap();
        let (scheme, authority) = (format!("{:?}", url.scheme), url.authority.to_owned());
        (scheme, authority, url.path_with_query)
    }

    #[test]
    fn a_url_has_a_scheme_an_authority_and_a_path() {
        let expected = |scheme: &str, authority: &str, path: &str| {
            (
                format!("Scheme::{scheme}"),
                authority.to_owned(),
                path.to_owned(),
            )
        };
        let found = parts("https://a.example/users?id=1#top");
        assert_eq!(found, expected("Https", "a.example", "/users?id=1"));
        assert_eq!(
            parts("HTTP://[::1]:8080"),
            expected("Http", "[::1]:8080", "/")
        );
        assert_eq!(parts("http://a?q=/"), expected("Http", "a", "/?q=/"));
    }

    #[test]
    fn what_is_no_url_is_named() {
        for url in [
            "a.example/users",
            "ftp://a.example",
            "https://",
            "https:///users",
            "",
        ] {
            let error = Url::parse(url).unwrap_err().to_string();
            assert!(error.contains(&format!("{url:?}")), "{error}");
        }
    }
}
