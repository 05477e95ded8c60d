//! Watch over tasks and threads. One that must not end and does, or any that panics, ends the
//! process at once, with a line of the log that names it and the exit code [`EXIT`]: a gateway of
//! which a part is dead would go on to accept what it does not serve.
//!
//! The task of a single connection or request is no exception. What it shares with others, tables
//! and buffers of a shard, may be half changed, and a wrong byte to another client is worse than a
//! restart. A guest's fault is no panic: it traps. Only a load is caught ([`catch`]), because a
//! compiler works on a component by itself.

use std::any::Any;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};
use std::thread::JoinHandle;

use tokio::task::AbortHandle;

/// The exit code of a process that ends because a part of it has: `EX_SOFTWARE` of `sysexits.h`.
pub const EXIT: u8 = 70;

/// Says why the process ends, and returns when that is written.
static LAST_WORDS: OnceLock<fn(&str)> = OnceLock::new();

/// How a thread has ended: as it should, or why it could not go on.
pub type End = Result<(), String>;

/// Starts a thread that must not panic, and ends only as it should.
///
/// # Errors
/// If the system has no thread to give.
pub fn thread(
    name: &str,
    body: impl FnOnce() -> End + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let part = name.to_owned();
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(move || {
        let ended = catch(body);
        if let Err(why) = ended.flatten() {
            die(&part, &why);
        }
    })
}

/// Starts a task on this thread's runtime that must not end before the runtime does, or is aborted.
pub fn lasting<F: Future + 'static>(name: &'static str, future: F) -> AbortHandle {
    let future = async move {
        future.await;
        die(name, "ended, and must not");
    };
    tokio::task::spawn_local(Watched { name, future }).abort_handle()
}

/// Starts a task on this thread's runtime that ends some time, and must not panic until then.
pub fn passing<F: Future + 'static>(name: &'static str, future: F) {
    tokio::task::spawn_local(Watched { name, future });
}

/// Runs what may panic without harm to others. Returns the panic's words.
pub fn catch<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|panic| words(&*panic))
}

/// Has the process's last words said by the log, once there is one.
pub fn set_last_words(say: fn(&str)) {
    let _ = LAST_WORDS.set(say);
}

/// Ends the process, because that part of it cannot go on.
pub fn die(part: &str, why: &str) -> ! {
    let words = format!(
        "{part}: {why}: the gateway cannot go on without it and ends with exit code {EXIT}; \
         restart it, and report this line"
    );
    match LAST_WORDS.get() {
        Some(say) => say(&words),
        // Nobody may be there to read it.
        None => drop(writeln!(io::stderr(), "{words}")),
    }
    std::process::exit(EXIT.into())
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("no words"))
}

pin_project_lite::pin_project! {
    /// A future whose panic is the process's end.
    struct Watched<F> {
        name: &'static str,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        match catch(|| this.future.poll(context)) {
            Ok(polled) => {
                ready!(polled);
                Poll::Ready(())
            }
            Err(why) => die(this.name, &why),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::log;

    /// Runs the test of that name in a process of its own, where it may end that.
    fn run(test: &str) -> (Option<i32>, String) {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture"])
            .arg(format!("supervise::tests::{test}"))
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), stderr)
    }

    /// What the dying processes do: log, and wait for an end that has to come from elsewhere.
    fn live(start: impl FnOnce()) {
        log::start(&crate::config::Log::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build_local(tokio::runtime::LocalOptions::default())
            .unwrap();
        runtime.block_on(async {
            start();
            std::future::pending::<()>().await;
        });
    }

    #[test]
    #[ignore = "ends its process: run by the tests below"]
    fn ending() {
        live(|| drop(lasting("the clock", std::future::ready(()))));
    }

    #[test]
    #[ignore = "ends its process: run by the tests below"]
    fn panicking() {
        live(|| {
            drop(lasting("the clock", async {
                tokio::task::yield_now().await;
                panic!("no time\nleft");
            }));
        });
    }

    #[test]
    #[ignore = "ends its process: run by the tests below"]
    fn panicking_in_passing() {
        live(|| passing("a connection", async { panic!("its own fault") }));
    }

    #[test]
    #[ignore = "ends its process: run by the tests below"]
    fn failing_thread() {
        live(|| drop(thread("shard-7", || Err("no runtime".to_owned())).unwrap()));
    }

    #[test]
    #[ignore = "ends its process: run by the tests below"]
    fn panicking_thread() {
        live(|| drop(thread("shard-7", || panic!("no words for it")).unwrap()));
    }

    #[test]
    fn the_end_of_what_must_not_end_is_the_end_of_the_process() {
        for (test, line) in [
            ("ending", "the clock: ended, and must not: the gateway"),
            (
                "panicking",
                "the clock: panicked: no time\\nleft: the gateway",
            ),
            (
                "panicking_in_passing",
                "a connection: panicked: its own fault: the gateway",
            ),
            ("failing_thread", "shard-7: no runtime: the gateway"),
            (
                "panicking_thread",
                "shard-7: panicked: no words for it: the gateway",
            ),
        ] {
            let (code, log) = run(test);
            assert_eq!(code, Some(EXIT.into()), "{test}: {log}");
            let lines: Vec<_> = log.lines().filter(|it| it.contains(line)).collect();
            assert_eq!(lines.len(), 1, "{test}: {log}");
        }
    }

    #[test]
    fn what_ends_as_it_should_ends_nothing_else() {
        thread("short", || Ok(())).unwrap().join().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build_local(tokio::runtime::LocalOptions::default())
            .unwrap();
        runtime.block_on(async {
            lasting("aborted", std::future::pending::<()>()).abort();
            lasting("dropped with its runtime", std::future::pending::<()>());
            passing("passing", std::future::ready(()));
            tokio::task::yield_now().await;
        });
        assert_eq!(catch(|| 1), Ok(1));
        assert_eq!(
            catch(|| panic!("it {}", "fails")),
            Err::<(), _>("panicked: it fails".to_owned())
        );
    }
}
