//! Which CPUs a thread, and what it starts, may run on.

use anyhow::{Context, Result, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Where a server and its generator run, so that neither takes the other's time.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Cpus {
    /// The CPU of the server.
    #[arg(long, default_value_t = 0)]
    pub server_cpu: usize,
    /// The CPU of the generator.
    #[arg(long, default_value_t = 1)]
    pub generator_cpu: usize,
}

/// This thread on chosen CPUs until dropped; processes and threads it starts meanwhile stay on them.
pub struct Pinned {
    before: CpuSet,
}

impl Cpus {
    /// Whether there are such CPUs.
    ///
    /// # Errors
    /// When one cannot be used, or both are the same.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.server_cpu != self.generator_cpu,
            "server and generator need a CPU each: give --server-cpu and --generator-cpu different numbers"
        );
        let allowed = allowed()?;
        for cpu in [self.server_cpu, self.generator_cpu] {
            ensure!(
                allowed.contains(&cpu),
                "CPU {cpu} cannot be used here, only {allowed:?}: choose by --server-cpu and --generator-cpu"
            );
        }
        Ok(())
    }

    /// The processors of the server.
    #[must_use]
    pub fn server(&self) -> [usize; 1] {
        [self.server_cpu]
    }

    /// The processors of the generator.
    #[must_use]
    pub fn generator(&self) -> [usize; 1] {
        [self.generator_cpu]
    }
}

impl Pinned {
    /// Moves this thread to `cpus`.
    ///
    /// # Errors
    /// When the machine has no such CPU, or this process may not use it.
    pub fn to(cpus: &[usize]) -> Result<Self> {
        let before = sched_getaffinity(None).context("failed to ask for this thread's CPUs")?;
        pin(cpus)?;
        Ok(Self { before })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // It was allowed before; nothing worse than a slower run comes of a refusal now.
        let _ = sched_setaffinity(None, &self.before);
    }
}

/// Moves this thread to `cpus` for good.
///
/// # Errors
/// When the machine has no such CPU, or this process may not use it.
pub fn pin(cpus: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        ensure!(
            cpu < CpuSet::MAX_CPU,
            "{cpu} is not a CPU of this machine: give one of those in /proc/cpuinfo"
        );
        set.set(cpu);
    }
    sched_setaffinity(None, &set)
        .with_context(|| format!("failed to run on CPU {cpus:?}; is there one of that number?"))
}

/// The CPUs this thread may run on.
///
/// # Errors
/// When the kernel does not say.
pub fn allowed() -> Result<Vec<usize>> {
    let set = sched_getaffinity(None).context("failed to ask for this thread's CPUs")?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|&cpu| set.is_set(cpu))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_gets_its_cpus_back() {
        let before = allowed().unwrap();
        let pinned = Pinned::to(&before[..1]).unwrap();
        assert_eq!(allowed().unwrap(), before[..1]);
        drop(pinned);
        assert_eq!(allowed().unwrap(), before);
        assert!(pin(&[100_000]).is_err());
    }
}
