//! The process's log. A line goes into a bounded queue, and a thread of its own writes what is in it
//! to stderr: no event waits for a disk, a terminal or a reader, and none fails with them. Lines
//! that find no room are dropped and counted.
//!
//! - `queue`: the lines that wait, a pure data structure
//! - `thread`: the thread that writes them
//! - `format`: an event as a line, and what strangers worded as an excerpt
//! - [`Rate`]: how many lines a source may log

mod format;
mod queue;
mod rate;
mod thread;

use std::io::{self, IsTerminal};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::anyhow;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config;
use crate::excerpt::excerpt;
use crate::supervise;

pub use queue::Lost;
pub use rate::Rate;

use queue::LineQueue;

/// How long an end of the process waits for its last lines to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The lines of the process that wait, once it logs.
static QUEUE: OnceLock<Arc<LineQueue>> = OnceLock::new();
/// `log.rate`, once the process logs.
static RATE: OnceLock<u32> = OnceLock::new();

/// Starts logging to stderr; call once. From now on a panic is a line of the log too.
///
/// # Errors
/// If `log.level` is none, or a log has been started already.
pub fn start(config: &config::Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.level).map_err(|error| {
        anyhow!(
            "`log.level` is {:?}: {error}: write a level like \"info\" or \"tidegate=debug,guest=info\"",
            config.level
        )
    })?;
    let _ = RATE.set(config.rate);
    let queue = QUEUE.get_or_init(|| Arc::new(LineQueue::new(config.queue)));
    let lines = queue.clone();
    let is_terminal = io::stderr().is_terminal();
    format::subscriber(config.format, is_terminal, filter, move || {
        LineWriter(lines.clone())
    })
    .try_init()
    .map_err(|error| anyhow!("failed to start the log: {error}"))?;
    thread::start(queue.clone())
        .map_err(|error| anyhow!("failed to start the log's thread: {error}"))?;
    std::panic::set_hook(Box::new(report));
    supervise::set_last_words(last_words);
    Ok(())
}

/// Waits until all that was logged is written, or for a second: a reader that reads no more does
/// not keep the process from its end.
pub fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(LAST_WORDS);
    }
}

/// Writes a line that is no event, as it is: what a tool prints for people to see.
pub fn print(line: &str) {
    match QUEUE.get() {
        Some(queue) => queue.push(format!("{line}\n").as_bytes()),
        // Nobody may be there to read it.
        None => drop(io::Write::write_all(
            &mut io::stderr(),
            format!("{line}\n").as_bytes(),
        )),
    }
}

/// Logs why the process ends, whatever the level, and sees it written.
fn last_words(words: &str) {
    match tracing::enabled!(tracing::Level::ERROR) {
        true => tracing::error!("{words}"),
        false => print(&excerpt(words)),
    }
    flush();
}

/// Lines that were lost so far.
pub fn lost() -> Lost {
    QUEUE.get().map(|queue| queue.lost()).unwrap_or_default()
}

fn rate_of_a_source() -> u32 {
    *RATE.get_or_init(|| config::Log::default().rate)
}

/// One line on its way into the queue.
struct LineWriter(Arc<LineQueue>);

impl io::Write for LineWriter {
    /// Takes a whole line always.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs a panic. What becomes of it is for whoever catches it.
fn report(panic: &std::panic::PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("without a name");
    let words = panic.payload_as_str().unwrap_or("no words");
    let place = panic.location().map(ToString::to_string);
    tracing::error!(thread, place, "panicked: {words}");
}
