//! Compiles components, each in a process of its own.
//!
//! wasmtime can be stopped neither in time nor in memory while it compiles, and a hostile component
//! makes it take minutes and gigabytes, or fall over. A process can: it is killed at its limit, and
//! whatever becomes of it, the gateway goes on. `worker` is what happens in there.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytesize::ByteSize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

use super::code::Code;
use super::engine::Reservation;
use crate::config;

mod worker;

pub use worker::{Limits, WorkError, work};

/// The hidden command of our own program that compiles what comes on its stdin.
pub const COMMAND: &str = "compile-worker";
/// How a worker says that the component is at fault; its stderr says how.
pub const EXIT_INVALID: u8 = 65;
/// How much of a worker's stderr is kept.
const WORDS_MAX: u64 = 4 << 10;

/// Starts the processes that compile.
pub(super) struct Compiler {
    program: PathBuf,
    limits: Limits,
    time: Duration,
    places: Semaphore,
}

/// Why a component was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The component does not compile.
    #[error("is not a valid component: {0}: perhaps it was cut short; build or copy it again")]
    Invalid(String),
    /// The component takes too long to compile.
    #[error("took longer than {0:?} to compile: make it smaller, or raise `engine.load_timeout`")]
    Time(Duration),
    /// The component takes too much memory to compile.
    #[error("took more than {0} to compile: make it smaller, or raise `engine.compile_memory`")]
    Memory(ByteSize),
    /// The process ended in another way.
    #[error("made the compiler fail ({status}): {words}; the gateway is unharmed")]
    Died {
        /// How it ended.
        status: ExitStatus,
        /// The last words of the process.
        words: String,
    },
    /// The process did not start, or could not be spoken to.
    #[error("could not be compiled, because {program:?} could not be run: {source}")]
    Start {
        /// Our own program.
        program: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl Compiler {
    /// A compiler that runs `program`, which must be this very build of `tidegate`: only that
    /// makes code that this one can run.
    pub(super) fn new(program: PathBuf, reservation: Reservation, config: &config::Engine) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let time = config.load_timeout;
        let limits = Limits {
            threads: config.compile_threads.map_or(cores, usize::from),
            memory: config.compile_memory as u64,
            // In case nobody is left to kill it: all threads for the whole time.
            seconds: (time.as_secs() + 1) * cores as u64,
            reservation,
        };
        Self {
            program,
            limits,
            time,
            places: Semaphore::new(config.compiles),
        }
    }

    /// Compiles a component, when there is a place. Call it on a thread that stays: the process
    /// ends with the thread that started it.
    pub(super) async fn compile(&self, component: &[u8]) -> Result<Code, CompileError> {
        // Never closed.
        let _place = self.places.acquire().await;
        let start = |source| CompileError::Start {
            program: self.program.clone(),
            source,
        };
        let mut worker = self.command().spawn().map_err(start)?;
        let spoken = tokio::time::timeout(self.time, converse(&mut worker, component)).await;
        let Ok(spoken) = spoken else {
            // It may have ended by itself just now.
            let _ = worker.kill().await;
            return Err(CompileError::Time(self.time));
        };
        let WorkerAnswer {
            code,
            words,
            status,
        } = spoken.map_err(start)?;
        if status.success() {
            return Ok(Code::trusted(code));
        }
        Err(self.explain(status, &String::from_utf8_lossy(&words)))
    }

    /// Nothing of our environment goes with it: it may hold secrets, and the component may be
    /// hostile.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg(COMMAND)
            .args(self.limits.arguments())
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    fn explain(&self, status: ExitStatus, words: &str) -> CompileError {
        let words = words.trim().to_owned();
        // Rust's words before it aborts; and the kernel's way when there is none left at all.
        let is_out_of_memory = words.contains("memory allocation of")
            || words.contains("Cannot allocate memory")
            || status.signal() == Some(rustix::process::Signal::KILL.as_raw());
        match status.code() {
            _ if is_out_of_memory => CompileError::Memory(ByteSize(self.limits.memory)),
            Some(code) if code == i32::from(EXIT_INVALID) => CompileError::Invalid(words),
            _ => CompileError::Died { status, words },
        }
    }
}

/// What a worker has said by its end.
struct WorkerAnswer {
    code: Vec<u8>,
    words: Vec<u8>,
    status: ExitStatus,
}

/// Gives a worker its component and waits for its end. All at once: it may write before it has read
/// everything, and neither side may wait for the other.
async fn converse(worker: &mut Child, component: &[u8]) -> std::io::Result<WorkerAnswer> {
    let (stdin, stdout, stderr) = (
        worker.stdin.take(),
        worker.stdout.take(),
        worker.stderr.take(),
    );
    let give = async {
        if let Some(mut stdin) = stdin {
            // One that ends without reading says why on stderr.
            let _ = stdin.write_all(component).await;
        }
    };
    let ((), code, words, status) = tokio::join!(
        give,
        take(stdout, u64::MAX),
        take(stderr, WORDS_MAX),
        worker.wait()
    );
    Ok(WorkerAnswer {
        code: code?,
        words: words?,
        status: status?,
    })
}

/// Reads to the end; keeps the first `max` bytes.
async fn take(from: Option<impl AsyncRead + Unpin>, max: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        (&mut from).take(max).read_to_end(&mut bytes).await?;
        tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);
    static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

    /// A compiler whose program is a script that has nothing of a compiler's.
    fn compiler(script: &str, time: Duration) -> (tempfile::TempDir, Compiler) {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        let config = config::Engine {
            load_timeout: time,
            ..config::Engine::default()
        };
        (folder, Compiler::new(program, Reservation::Full, &config))
    }

    async fn failure(script: &str, component: &[u8]) -> CompileError {
        failure_within(script, component, PATIENCE).await
    }

    async fn failure_within(script: &str, component: &[u8], time: Duration) -> CompileError {
        // A script can't be run while it is written, nor while a process that another test starts
        // just then has what we write it with.
        let _one_at_a_time = ONE.lock().await;
        let (_folder, compiler) = compiler(script, time);
        match compiler.compile(component).await {
            Err(error) => error,
            Ok(_) => panic!("{script}: there is no code"),
        }
    }

    #[tokio::test]
    async fn a_worker_that_does_not_end_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let script = format!("echo $$ > {pid:?}; exec sleep 1000");
        let time = Duration::from_secs(3);
        let error = failure_within(&script, b"", time).await;
        assert!(matches!(error, CompileError::Time(_)), "{error}");
        let pid = std::fs::read_to_string(pid).unwrap();
        let process = std::path::Path::new("/proc").join(pid.trim());
        assert!(!process.exists(), "{process:?} lives");
    }

    #[tokio::test]
    async fn a_worker_that_reads_nothing_and_says_much_is_heard_to_its_end() {
        let component = vec![7; 4 << 20];
        let error = failure("yes no | head -c 1000000 >&2; exit 65", &component).await;
        let CompileError::Invalid(words) = error else {
            panic!("{error}");
        };
        assert!(words.starts_with("no\n"));
        assert!(words.len() as u64 <= WORDS_MAX);
    }

    #[tokio::test]
    async fn each_way_to_end_has_its_own_words() {
        let crash = failure("kill -SEGV $$", b"").await;
        assert!(matches!(crash, CompileError::Died { .. }), "{crash}");
        let odd = failure("echo odd >&2; exit 1", b"").await.to_string();
        assert!(odd.contains("odd"), "{odd}");
        let out = "echo memory allocation of 9 bytes failed >&2; kill -ABRT $$";
        assert!(matches!(failure(out, b"").await, CompileError::Memory(_)));
        let killed = failure("kill -KILL $$", b"").await;
        assert!(matches!(killed, CompileError::Memory(_)), "{killed}");
    }

    #[tokio::test]
    async fn a_worker_sees_nothing_of_our_environment() {
        let _one_at_a_time = ONE.lock().await;
        let (_folder, compiler) = compiler("env", PATIENCE);
        let code = compiler.compile(b"").await.ok().unwrap();
        let seen = String::from_utf8_lossy(code.bytes()).into_owned();
        assert!(!seen.contains("CARGO"), "{seen}");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let program = PathBuf::from("/no/such/program");
        let compiler = Compiler::new(program, Reservation::Full, &config::Engine::default());
        let error = compiler.compile(b"").await.err().unwrap().to_string();
        assert!(error.contains("/no/such/program"), "{error}");
    }
}
