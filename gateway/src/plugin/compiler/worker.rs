//! The process that compiles one component and ends.

use std::io::{self, Read, Write};

use rustix::process::{Resource, Rlimit, Signal, setrlimit};

use crate::plugin::engine::{self, Reservation};

/// What a worker may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Threads that compile.
    pub threads: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// Seconds of all its threads together.
    pub seconds: u64,
    /// What the engine that will run the code reserves for each memory.
    pub reservation: Reservation,
}

/// Why a worker has no code to give.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The component is at fault.
    #[error("{0}")]
    Invalid(String),
    /// Something else is.
    #[error("{0}")]
    Other(String),
}

impl Limits {
    /// The limits as arguments of the command.
    pub(super) fn arguments(self) -> [String; 4] {
        let reservation = match self.reservation {
            Reservation::Full => 0,
            Reservation::Small(bytes) => bytes,
        };
        [
            self.threads.to_string(),
            self.memory.to_string(),
            self.seconds.to_string(),
            reservation.to_string(),
        ]
    }

    /// Puts them into force, on this whole process.
    fn apply(self) -> io::Result<()> {
        let only = |most| Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        // Memory that is written to; reserved address space does not count.
        setrlimit(Resource::Data, only(self.memory))?;
        setrlimit(Resource::Cpu, only(self.seconds))?;
        // What it holds is in the gateway's files; a core of it helps nobody.
        setrlimit(Resource::Core, only(0))?;
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        engine::lower_priority();
        // When the machine has no memory left, this process is the one to go. Best effort: /proc
        // may not be there.
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
        Ok(())
    }
}

/// Compiles the component on stdin; writes its code to stdout.
pub fn work(limits: Limits) -> Result<(), WorkError> {
    let other = |what: &str, why: String| WorkError::Other(format!("{what}: {why}"));
    limits
        .apply()
        .map_err(|error| other("failed to limit itself", error.to_string()))?;
    let mut component = Vec::new();
    io::stdin()
        .lock()
        .read_to_end(&mut component)
        .map_err(|error| other("failed to read the component", error.to_string()))?;
    let engine = engine::for_compilation(limits.reservation)
        .map_err(|error| other("failed to start the engine", format!("{error:#}")))?;
    let threads = rayon::ThreadPoolBuilder::new()
        .num_threads(limits.threads)
        .build()
        .map_err(|error| other("failed to start threads", error.to_string()))?;
    let code = threads
        .install(|| engine.precompile_component(&component))
        .map_err(|error| WorkError::Invalid(format!("{error:#}")))?;
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(&code)
        .and_then(|()| stdout.flush())
        .map_err(|error| other("failed to hand over the code", error.to_string()))
}
