//! The stream of reports to one page: server-sent events.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc;

use super::{Console, Report};
use crate::plugin::Notice;
use crate::supervise;

/// A quiet stream gets a comment this often: a page that has gone is noticed by the failing write,
/// and proxies drop streams that are silent for longer.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Reports on their way into one page's socket. Few: what a slow page misses is counted further
/// up, where all pages share it.
const PENDING_MAX: usize = 16;
/// How long a page waits before it comes back to a gateway that was restarted, in milliseconds.
const RETRY: &str = "retry: 500\n";

/// A response's body made of what a task sends.
pub(super) struct EventBody(mpsc::Receiver<Bytes>);

impl Body for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(cx)
            .map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// Starts a stream: a snapshot first, then all that happens. Call in a runtime.
pub(super) fn open(console: Arc<Console>) -> EventBody {
    let (sender, receiver) = mpsc::channel(PENDING_MAX);
    // Before the snapshot: what happens in between is told twice rather than never.
    let (notices, reports) = (console.registry.notices(), console.reports.subscribe());
    let first = [RETRY.as_bytes(), &encode(&console.hello())].concat();
    supervise::passing(
        "a page of the console",
        follow(console, notices, reports, sender, first.into()),
    );
    EventBody(receiver)
}

/// Sends what happens until the page has gone.
async fn follow(
    console: Arc<Console>,
    mut notices: broadcast::Receiver<Notice>,
    mut reports: broadcast::Receiver<Bytes>,
    sender: mpsc::Sender<Bytes>,
    first: Bytes,
) {
    let mut next = first;
    while sender.send(next).await.is_ok() {
        next = tokio::select! {
            // Notices before reports: a generation takes over before it handles its first event,
            // and the page should read like that.
            biased;
            () = sender.closed() => return,
            notice = notices.recv() => match notice {
                Ok(notice) => encode(&Report::of(notice, console.connections())),
                Err(RecvError::Lagged(missed)) => encode(&Report::Lagged { missed }),
                Err(RecvError::Closed) => return,
            },
            report = reports.recv() => match report {
                Ok(report) => report,
                Err(RecvError::Lagged(missed)) => encode(&Report::Lagged { missed }),
                Err(RecvError::Closed) => return,
            },
            () = tokio::time::sleep(KEEP_ALIVE) => Bytes::from_static(b": still here\n\n"),
        };
    }
}

/// A report as an event of the stream. JSON has no line breaks of its own, so it is one line.
pub(super) fn encode(report: &Report) -> Bytes {
    let json = serde_json::to_string(report).expect("a report is strings and numbers");
    format!("data: {json}\n\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::Build;

    #[test]
    fn an_event_is_one_line_whatever_the_text() {
        let output = "error: one\r\n\ndata: two\n".to_owned();
        let event = encode(&Report::Build(Build::BuildFailed { output }));
        let event = std::str::from_utf8(&event).unwrap();
        assert_eq!(event.matches(['\n', '\r']).count(), 2);
        assert!(event.starts_with("data: {") && event.ends_with("}\n\n"));
    }
}
