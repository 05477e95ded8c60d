//! `tidegate compile-worker`: compiles a component, for a gateway that speaks to it over pipes.

use std::io::Write;
use std::process::ExitCode;

use super::EXIT_FAILURE;
use crate::plugin::Reservation;
use crate::plugin::compiler::{EXIT_INVALID, Limits, WorkError, work};

/// What the gateway lets it take.
#[derive(clap::Args)]
pub struct CompileWorker {
    /// Threads.
    threads: usize,
    /// Bytes of memory.
    memory: u64,
    /// Seconds of all threads together.
    seconds: u64,
    /// Bytes of address space that each memory has; nought for all that a guest can address.
    reservation: u64,
}

/// Does the work; what went wrong is on stderr.
pub fn run(arguments: &CompileWorker) -> ExitCode {
    let done = work(Limits {
        threads: arguments.threads,
        memory: arguments.memory,
        seconds: arguments.seconds,
        reservation: match arguments.reservation {
            0 => Reservation::Full,
            bytes => Reservation::Small(bytes),
        },
    });
    let Err(error) = done else {
        return ExitCode::SUCCESS;
    };
    // The gateway may have gone.
    let _ = writeln!(std::io::stderr(), "{error}");
    match error {
        WorkError::Invalid(_) => EXIT_INVALID.into(),
        WorkError::Other(_) => EXIT_FAILURE.into(),
    }
}
