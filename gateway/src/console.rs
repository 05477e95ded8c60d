//! The developer console of `tidegate dev`: a page to talk to a plugin with, which shows what the
//! gateway does meanwhile.
//!
//! - `page.html`: the page, one file without anything to fetch
//! - `report`: what the page is told, as JSON
//! - [`Samples`]: ready-made messages of the plugin, for the page's buttons
//! - `stream`: how it is told: server-sent events, one stream a page
//! - [`Traced`]: a [`Handler`](crate::handler::Handler) around another that reports every event
//!
//! `tidegate run` has none of this: without a [`Console`] the server answers no such request, and
//! its handlers are of another type.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::broadcast;

use crate::http_body::HttpBody;
use crate::plugin::Registry;

mod report;
mod samples;
mod stream;
mod trace;

pub use report::{Build, Report, Trace};
pub use samples::{Sample, Samples};
pub use trace::Traced;

/// Reports a page may be behind before it misses some, and is told how many. A page draws about
/// sixty times a second, so this is a second at sixty events a picture: more than can be read.
const REPORTS_MAX: usize = 4096;

const PAGE: &str = include_str!("console/page.html");
/// The page needs itself and the gateway it came from; whatever a message contains can reach no
/// other place.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// What the page says of the plugin under development, beside what the registry knows.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The file to edit, as the developer would name it.
    pub source: String,
    /// The paths of the routes.
    pub routes: Vec<String>,
}

/// Serves the page and its stream of events.
pub struct Console {
    registry: Arc<Registry>,
    plugin: usize,
    about: About,
    /// Encoded once for all pages.
    reports: broadcast::Sender<Bytes>,
    /// How the last build went, for pages that open after it.
    build: Mutex<Option<Build>>,
    samples: Mutex<Samples>,
    connections: AtomicUsize,
}

impl Console {
    /// A console for one plugin of the registry.
    pub fn new(registry: Arc<Registry>, plugin: usize, about: About) -> Arc<Self> {
        let (reports, _) = broadcast::channel(REPORTS_MAX);
        Arc::new(Self {
            registry,
            plugin,
            about,
            reports,
            build: Mutex::default(),
            samples: Mutex::default(),
            connections: AtomicUsize::new(0),
        })
    }

    /// Answers what is the console's: `GET /` and everything under `/_tidegate/`. Other requests
    /// go on to the routes.
    pub fn respond(self: &Arc<Self>, request: &Request<Incoming>) -> Option<Response<HttpBody>> {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/") => Some(page()),
            (&Method::GET, "/_tidegate/events") => Some(self.events()),
            (_, path) if path.starts_with("/_tidegate/") => Some(not_found()),
            _ => None,
        }
    }

    /// Reads the ready-made messages in the plugin's folder anew. Returns what is wrong with them.
    pub fn read_samples(&self, folder: &Path) -> Option<String> {
        let mut samples = self.samples();
        samples.read(folder);
        self.report(&Report::Samples(samples.clone()));
        samples.problem.clone()
    }

    /// A build has begun.
    pub fn building(&self) {
        self.record(Build::Building {});
    }

    /// A build has succeeded.
    pub fn built(&self, took: Duration) {
        self.record(Build::Built {
            took_ms: report::milliseconds(took),
        });
    }

    /// A build has failed; `output` is what the compiler wrote.
    pub fn build_failed(&self, output: String) {
        self.record(Build::BuildFailed { output });
    }

    /// A build gave what was loaded last, as this generation, so there was nothing to load.
    pub fn unchanged(&self, generation: u64) {
        let plugin = self.registry.plugins()[self.plugin].name().to_string();
        self.report(&Report::Unchanged { plugin, generation });
    }

    /// Tells all open pages. Costs next to nothing while there is none.
    pub fn report(&self, report: &Report) {
        if self.reports.receiver_count() > 0 {
            // A page that has closed in between is none of our concern.
            let _ = self.reports.send(stream::encode(report));
        }
    }

    fn record(&self, build: Build) {
        *self.last_build() = Some(build.clone());
        self.report(&Report::Build(build));
    }

    fn last_build(&self) -> MutexGuard<'_, Option<Build>> {
        // It is one assignment, so there is no half-made value to protect anyone from.
        self.build.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn samples(&self) -> MutexGuard<'_, Samples> {
        // A reading that has panicked has left them as they were.
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hello(&self) -> Report {
        let status = self.registry.plugins()[self.plugin].status();
        Report::Hello {
            plugin: status.name.to_string(),
            generation: status.current.map(|(number, ..)| number),
            digest: status.current.map(|(_, digest, _)| digest.to_string()),
            error: status.last_error.map(|(_, words)| words),
            build: self.last_build().clone(),
            connections: self.connections(),
            source: self.about.source.clone(),
            routes: self.about.routes.clone(),
            samples: self.samples().clone(),
        }
    }

    /// Connections whose `open` was handled and whose `close` was not yet.
    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    fn events(self: &Arc<Self>) -> Response<HttpBody> {
        let body = stream::open(self.clone()).boxed_unsync();
        response(StatusCode::OK, "text/event-stream", body)
    }
}

fn page() -> Response<HttpBody> {
    let body = Full::new(Bytes::from_static(PAGE.as_bytes())).boxed_unsync();
    let mut response = response(StatusCode::OK, "text/html; charset=utf-8", body);
    response
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, POLICY);
    response
}

fn not_found() -> Response<HttpBody> {
    let words = "the console has no such path: its page is at /\n";
    let body = Full::new(Bytes::from_static(words.as_bytes())).boxed_unsync();
    response(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", body)
}

fn response(status: StatusCode, kind: &'static str, body: HttpBody) -> Response<HttpBody> {
    const FIELDS: [(HeaderName, &str); 2] =
        // The next `tidegate dev` on this port may have another page.
        [
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    for (name, value) in FIELDS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_fetches_nothing() {
        for word in ["http://", "https://", "//cdn", "@import", "src=\""] {
            let found = PAGE
                .lines()
                .find(|line| line.contains(word) && !line.contains("w3.org"));
            assert_eq!(found, None, "the page must work offline");
        }
    }
}
