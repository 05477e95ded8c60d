//! A guest's stdout and stderr as lines of our log, with the plugin's name.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// A longer line is cut: one event should not fill the log's disk.
const LINE_MAX: usize = 4096;
/// Lines an instance may log per [`WINDOW`]; more are dropped and counted. A guest that logs each
/// of its messages costs more than the messages do.
const LINES_MAX: u32 = 100;
const WINDOW: Duration = Duration::from_secs(1);

/// Guest log lines dropped in the whole process, for the metrics.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Guest log lines dropped so far because an instance logged too many.
pub fn dropped_lines() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// The stream an instance writes its output to.
#[derive(Clone)]
pub(super) struct GuestLog(Arc<Log>);

struct Log {
    plugin: Arc<str>,
    generation: u64,
    /// The line that is being written. A std mutex: it is held while bytes are copied.
    line: Mutex<Line>,
}

struct Line {
    bytes: Vec<u8>,
    lines: u32,
    window: Instant,
}

impl GuestLog {
    pub(super) fn new(plugin: &Arc<str>, generation: u64) -> Self {
        let line = Line {
            bytes: Vec::new(),
            lines: 0,
            window: Instant::now(),
        };
        Self(Arc::new(Log {
            plugin: plugin.clone(),
            generation,
            line: Mutex::new(line),
        }))
    }

    fn take(&self, bytes: &[u8]) {
        let mut line = self.0.line.lock().unwrap_or_else(PoisonError::into_inner);
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, ends) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            let room = LINE_MAX.saturating_sub(line.bytes.len());
            line.bytes.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                self.end_line(&mut line);
            }
        }
    }

    fn end_line(&self, line: &mut Line) {
        if line.window.elapsed() >= WINDOW {
            (line.lines, line.window) = (0, Instant::now());
        }
        line.lines += 1;
        if line.lines <= LINES_MAX {
            let text = String::from_utf8_lossy(&line.bytes);
            let (plugin, generation) = (&*self.0.plugin, self.0.generation);
            tracing::info!(target: "guest", plugin, generation, "{}", text.trim_end());
        } else {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        line.bytes.clear();
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let line = self.line.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !line.bytes.is_empty() {
            let text = String::from_utf8_lossy(&line.bytes);
            tracing::info!(target: "guest", plugin = &*self.plugin, generation = self.generation, "{text}");
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
