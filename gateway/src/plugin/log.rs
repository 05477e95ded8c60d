//! What a guest says, as lines of our log with its plugin, generation and connection: its stdout and
//! stderr, and what it logs through `wasi:logging` (`logging.rs`). All of it shares one bound.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::contract::Level;
use super::identity::Identity;
use crate::excerpt::EXCERPT_MAX;
use crate::log::Rate;
use crate::message::ConnectionId;

/// A longer line is cut.
const LINE_MAX: usize = EXCERPT_MAX;
/// A longer context is cut: it is a name.
const CONTEXT_MAX: usize = 256;
/// No connection has this id.
const NONE: u64 = 0;
/// Guest log lines dropped in the whole process, for the metrics.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Guest log lines dropped so far because a plugin logged too many.
pub fn dropped_lines() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// The log of one instance, and the stream it writes its output to.
#[derive(Clone)]
pub(super) struct GuestLog(Arc<Log>);

struct Log {
    plugin: Arc<str>,
    generation: u64,
    /// The connection of the event that is being handled, or [`NONE`].
    connection: AtomicU64,
    /// The line that is being written. A std mutex: it is held while bytes are copied.
    line: Mutex<Vec<u8>>,
    /// What the plugin may log, all its instances together: a guest that logs each of its messages
    /// costs more than the messages do.
    rate: Arc<Rate>,
}

impl GuestLog {
    pub(super) fn new(identity: &Identity, generation: u64) -> Self {
        Self(Arc::new(Log {
            plugin: identity.name.clone(),
            generation,
            connection: AtomicU64::new(NONE),
            line: Mutex::default(),
            rate: identity.log_rate.clone(),
        }))
    }

    /// Names the connection of the event that begins, or none.
    pub(super) fn set_connection(&self, connection: Option<ConnectionId>) {
        let id = connection.map_or(NONE, |ConnectionId(id)| id);
        self.0.connection.store(id, Ordering::Relaxed);
    }

    /// Logs the lines of a message, which is cut like a line.
    pub(super) fn message(&self, level: Level, context: &str, message: &str) {
        let message = &message[..message.floor_char_boundary(LINE_MAX)];
        let context = &context[..context.floor_char_boundary(CONTEXT_MAX)];
        for text in message.trim_end().split('\n') {
            if self.0.has_room() {
                self.0.write(level, context, text);
            }
        }
    }

    fn take(&self, bytes: &[u8]) {
        let mut line = self.0.line.lock().unwrap_or_else(PoisonError::into_inner);
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, ends) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            let room = LINE_MAX.saturating_sub(line.len());
            line.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                self.end_line(&mut line);
            }
        }
    }

    fn end_line(&self, line: &mut Vec<u8>) {
        if self.0.has_room() {
            self.0
                .write(Level::Info, "", &String::from_utf8_lossy(line));
        }
        line.clear();
    }
}

impl Log {
    /// Whether one more line may be logged now; counts one that may not.
    fn has_room(&self) -> bool {
        let has_room = self.rate.admits();
        if !has_room {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        has_room
    }

    fn write(&self, level: Level, context: &str, text: &str) {
        let id = self.connection.load(Ordering::Relaxed);
        let connection = (id != NONE).then_some(id);
        let context = (!context.is_empty()).then_some(context);
        let (plugin, generation, text) = (&*self.plugin, self.generation, text.trim_end());
        // A macro, because tracing wants a level that is known when it is compiled.
        macro_rules! write {
            ($level:ident) => {
                tracing::$level!(target: "guest", plugin, generation, connection, context, "{text}")
            };
        }
        match level {
            Level::Trace => write!(trace),
            Level::Debug => write!(debug),
            Level::Info => write!(info),
            Level::Warn => write!(warn),
            Level::Error | Level::Critical => write!(error),
        }
    }
}

/// Whether lines of that level are logged at all: others need not be read, nor counted.
pub(super) fn is_enabled(level: Level) -> bool {
    match level {
        Level::Trace => tracing::enabled!(target: "guest", tracing::Level::TRACE),
        Level::Debug => tracing::enabled!(target: "guest", tracing::Level::DEBUG),
        Level::Info => tracing::enabled!(target: "guest", tracing::Level::INFO),
        Level::Warn => tracing::enabled!(target: "guest", tracing::Level::WARN),
        Level::Error | Level::Critical => tracing::enabled!(target: "guest", tracing::Level::ERROR),
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let line = self.line.get_mut().unwrap_or_else(PoisonError::into_inner);
        let bytes = std::mem::take(line);
        if !bytes.is_empty() && self.has_room() {
            self.write(Level::Info, "", &String::from_utf8_lossy(&bytes));
        }
    }
}

impl IsTerminal for GuestLog {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestLog {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for GuestLog {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for GuestLog {
    async fn ready(&mut self) {}
}

impl OutputStream for GuestLog {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}
