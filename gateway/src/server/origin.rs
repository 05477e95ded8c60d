//! Which web pages may connect (RFC 6455 section 10.2): browsers send an `Origin` that a page can't
//! forge, and do send a site's cookies with any page's upgrade.

use hyper::header::{self, HeaderMap};

use crate::config::Origins;

/// Whether a request with these header fields may come from where it says.
pub(super) fn allows(origins: &Origins, headers: &HeaderMap) -> bool {
    let field = |name| headers.get(name).and_then(|value| value.to_str().ok());
    is_allowed(origins, field(header::ORIGIN), field(header::HOST))
}

/// Programs that are no browsers send no `Origin` and pass.
fn is_allowed(origins: &Origins, origin: Option<&str>, host: Option<&str>) -> bool {
    let Some(origin) = origin else { return true };
    match origins {
        Origins::Any => true,
        Origins::Same => {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            authority
                .zip(host)
                .is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
        }
        Origins::List(list) => list
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(origin)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_means_the_requests_own_host() {
        let allowed = |origin, host| is_allowed(&Origins::Same, origin, host);
        assert!(allowed(None, Some("a.example")));
        assert!(allowed(Some("https://A.example"), Some("a.example")));
        assert!(allowed(
            Some("http://a.example:8080"),
            Some("a.example:8080")
        ));
        assert!(!allowed(Some("https://b.example"), Some("a.example")));
        assert!(!allowed(Some("http://a.example:81"), Some("a.example")));
        assert!(!allowed(Some("null"), Some("null")));
        assert!(!allowed(Some("https://a.example"), None));
    }

    #[test]
    fn a_list_means_these_and_no_others() {
        let list = Origins::List(vec!["https://a.example".to_owned()]);
        assert!(is_allowed(
            &list,
            Some("https://a.example"),
            Some("b.example")
        ));
        assert!(!is_allowed(
            &list,
            Some("http://a.example"),
            Some("a.example")
        ));
        assert!(is_allowed(&Origins::Any, Some("null"), None));
    }
}
