//! Which web pages may come in (RFC 6455 section 10.2): browsers send an `Origin` that a page can't
//! forge, and do send a site's cookies with any page's upgrade.

use hyper::header::{self, HeaderMap, HeaderValue};

use super::refusal::Refusal;
use super::site::Place;
use crate::config::{Origin, Origins};

/// Bytes of a header field that are logged: as long as names of hosts get.
const LOGGED_MAX: usize = 255;

/// The page that a request came from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Page<'r> {
    /// No page: programs that are no browsers send no `Origin`.
    None,
    /// One that the route's `origins` allow.
    Allowed(&'r HeaderValue),
    /// One that they do not.
    Stranger(&'r HeaderValue),
}

impl<'r> Page<'r> {
    /// The page by the request's header fields.
    ///
    /// # Errors
    /// When the request has two origins or one that is no text: whichever we looked at, a proxy may
    /// have looked at the other.
    pub(super) fn of(origins: &Origins, headers: &'r HeaderMap) -> Result<Self, Refusal> {
        let mut fields = headers.get_all(header::ORIGIN).iter();
        let Some(field) = fields.next() else {
            return Ok(Self::None);
        };
        let (None, Ok(origin)) = (fields.next(), field.to_str()) else {
            return Err(Refusal::Malformed(
                "the header field `Origin` is not one text\n",
            ));
        };
        let host = headers.get(header::HOST);
        let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
        Ok(match is_allowed(origins, origin, host) {
            true => Self::Allowed(field),
            false => Self::Stranger(field),
        })
    }

    /// Refuses a stranger. The log names what the configuration would have to allow, now and then:
    /// behind a proxy that rewrites `Host` every page is one.
    pub(super) fn enter<H>(self, place: &Place<H>, headers: &HeaderMap) -> Result<(), Refusal> {
        let Self::Stranger(origin) = self else {
            return Ok(());
        };
        if let Some(unsaid) = place.strangers.say() {
            let shown = |field: &HeaderValue| {
                let bytes = field.as_bytes();
                String::from_utf8_lossy(&bytes[..bytes.len().min(LOGGED_MAX)]).into_owned()
            };
            tracing::warn!(
                route = place.path,
                origin = ?shown(origin),
                host = ?headers.get(header::HOST).map(shown).unwrap_or_default(),
                unsaid,
                "refused a web page: if it may connect, add its origin to `origins` of the route, or have the proxy in front leave `Host` as it is"
            );
        }
        Err(Refusal::Origin)
    }
}

fn is_allowed(origins: &Origins, origin: &str, host: &str) -> bool {
    match origins {
        Origins::Any => true,
        Origins::Same => Origin::parse(origin).is_some_and(|origin| origin.is_at(host)),
        Origins::List(list) => Origin::parse(origin).is_some_and(|origin| list.contains(&origin)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_means_the_requests_own_host() {
        let allowed = |origin, host| is_allowed(&Origins::Same, origin, host);
        assert!(allowed("https://A.example", "a.example"));
        assert!(allowed("http://a.example:8080", "a.example:8080"));
        assert!(allowed("https://a.example", "a.example:443"));
        assert!(!allowed("https://b.example", "a.example"));
        assert!(!allowed("http://a.example:81", "a.example"));
        assert!(!allowed("https://a.example:8443", "a.example:443"));
        assert!(!allowed("null", "null"));
        assert!(!allowed("https://a.example", ""));
    }

    #[test]
    fn a_list_means_these_and_no_others() {
        let list = Origins::List(vec![Origin::parse("https://a.example:443").unwrap()]);
        assert!(is_allowed(&list, "https://a.example", "b.example"));
        assert!(!is_allowed(&list, "http://a.example", "a.example"));
        assert!(!is_allowed(&list, "https://a.example:8443", "a.example"));
        assert!(is_allowed(&Origins::Any, "null", ""));
    }

    #[test]
    fn two_origins_or_no_text_are_malformed() {
        let of = |fields: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                let value = HeaderValue::from_bytes(field).unwrap();
                headers.append(header::ORIGIN, value);
            }
            Page::of(&Origins::Any, &headers).map(|page| format!("{page:?}"))
        };
        assert_eq!(of(&[]).unwrap(), "None");
        assert_eq!(of(&[b"http://a"]).unwrap(), "Allowed(\"http://a\")");
        of(&[b"http://a", b"http://a"]).unwrap_err();
        of(&[b"http://\xe9"]).unwrap_err();
    }
}
