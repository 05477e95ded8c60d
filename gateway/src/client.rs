//! The browser client: `/tidegate.js`, one module without a dependency, and its types beside it.
//!
//! The client comes from the gateway so that it speaks what this gateway speaks, and a page needs nothing
//! but its address. Public code that knows no secret: any page may import it.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use sha2::{Digest, Sha256};

use crate::config::CLIENT_PATHS;
use crate::http_body::HttpBody;

const KINDS: [&str; 2] = [
    "text/javascript; charset=utf-8",
    "application/typescript; charset=utf-8",
];
const TEXTS: [&str; 2] = [
    include_str!("client/tidegate.js"),
    include_str!("client/tidegate.d.ts"),
];

const FIELDS: [(HeaderName, &str); 4] = [
    // Within five minutes a page asks for nothing; after them a new gateway's client is everywhere.
    (header::CACHE_CONTROL, "public, max-age=300"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // A module from another origin needs the first, a page that isolates itself the second.
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "cross-origin",
    ),
];

/// Serves the client's files.
#[derive(Debug)]
pub struct Client {
    /// The entity tag of each file: a hash of what is in it.
    tags: [HeaderValue; 2],
}

impl Default for Client {
    fn default() -> Self {
        Self {
            tags: TEXTS.map(tag),
        }
    }
}

impl Client {
    /// Answers a GET or HEAD for one of [`CLIENT_PATHS`]. Other requests go on to the routes.
    pub fn respond<B>(&self, request: &Request<B>) -> Option<Response<HttpBody>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return None;
        }
        let path = request.uri().path();
        let file = CLIENT_PATHS.iter().position(|known| *known == path)?;
        let is_known = knows(request.headers(), &self.tags[file]);
        // Of an answer to HEAD hyper sends the head alone, with the length of this.
        let text = if is_known { "" } else { TEXTS[file] };
        let mut response =
            Response::new(Full::new(Bytes::from_static(text.as_bytes())).boxed_unsync());
        let headers = response.headers_mut();
        headers.insert(header::ETAG, self.tags[file].clone());
        for (name, value) in FIELDS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            let kind = HeaderValue::from_static(KINDS[file]);
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        Some(response)
    }
}

/// 16 bytes of the hash are beyond any coincidence.
fn tag(text: &str) -> HeaderValue {
    let hash: String = Sha256::digest(text)[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    HeaderValue::try_from(format!("\"{hash}\"")).expect("it is hexadecimal in quotes")
}

/// Whether the one who asks has it already (RFC 9110 section 13.1.2). A proxy that compresses makes
/// a tag weak, and weak ones compare equal here.
fn knows(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH);
    values
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|known| known.trim())
        .any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: Method, path: &str, known: &str) -> Option<Response<HttpBody>> {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(header::IF_NONE_MATCH, known).body(());
        Client::default().respond(&request.expect("it is a request"))
    }

    #[test]
    fn only_reads_of_its_own_paths_are_answered() {
        for (method, path) in [
            (Method::POST, "/tidegate.js"),
            (Method::GET, "/tidegate.js/"),
            (Method::GET, "/"),
        ] {
            assert!(ask(method, path, "").is_none(), "{path}");
        }
    }

    #[test]
    fn who_names_the_tag_gets_no_body() {
        for path in CLIENT_PATHS {
            let fresh = ask(Method::GET, path, "\"other\"").expect("it is ours");
            assert_eq!(fresh.status(), StatusCode::OK);
            let tag = fresh.headers()[header::ETAG].to_str().expect("it is text");
            for known in [tag, "*", &format!("\"other\", W/{tag}")] {
                let response = ask(Method::GET, path, known).expect("it is ours");
                assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{known}");
                assert_eq!(response.headers()[header::ETAG], tag);
            }
        }
    }

    #[test]
    fn the_files_are_one_module_that_imports_nothing() {
        assert_ne!(tag(TEXTS[0]), tag(TEXTS[1]));
        let imports = |line: &&str| line.starts_with("import ");
        for text in TEXTS {
            assert_eq!(text.lines().find(imports), None);
        }
    }
}
