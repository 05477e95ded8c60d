//! What a process costs, read from /proc.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Clock ticks a second in /proc/PID/stat: fixed at 100 on every Linux this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// The processes a run accounts for.
#[derive(Clone, Debug)]
pub struct Processes {
    roots: Vec<u32>,
    with_children: bool,
}

/// CPU time since the processes began.
#[derive(Clone, Debug, Default)]
pub struct CpuSample {
    user_ticks: u64,
    system_ticks: u64,
    /// Nanoseconds run, by thread.
    threads: BTreeMap<u32, u64>,
}

/// CPU time between two samples, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CpuTime {
    /// User and system time.
    pub total_us: f64,
    /// User time; the split is sampled by the kernel in ticks of 10 ms.
    pub user_us: f64,
    /// System time.
    pub system_us: f64,
}

/// What a process holds at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Holdings {
    /// Resident memory in bytes.
    pub rss_bytes: u64,
    /// Open file descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
    /// Executable mappings: each loaded plugin has its own.
    pub executable_mappings: u64,
}

impl Processes {
    /// The processes `roots`, and their descendants if `with_children`.
    #[must_use]
    pub fn new(roots: Vec<u32>, with_children: bool) -> Self {
        Self {
            roots,
            with_children,
        }
    }

    /// This process.
    #[must_use]
    pub fn own() -> Self {
        Self::new(vec![std::process::id()], false)
    }

    /// CPU time until now.
    ///
    /// # Errors
    /// When one of the processes does not exist or is another user's.
    pub fn cpu(&self) -> Result<CpuSample> {
        let mut sample = CpuSample::default();
        for pid in self.pids()? {
            let stat = read(pid, "stat")?;
            sample.user_ticks += stat_field(&stat, 14)?;
            sample.system_ticks += stat_field(&stat, 15)?;
            for (thread, nanos) in thread_times(pid)? {
                sample.threads.insert(thread, nanos);
            }
        }
        Ok(sample)
    }

    /// What the processes hold now, summed.
    ///
    /// # Errors
    /// When one of the processes does not exist or is another user's.
    pub fn holdings(&self) -> Result<Holdings> {
        let mut sum = Holdings::default();
        for pid in self.pids()? {
            let status = read(pid, "status")?;
            sum.rss_bytes += status_field(&status, "VmRSS:")? * 1024;
            sum.threads += status_field(&status, "Threads:")?;
            sum.descriptors += count_entries(pid, "fd")?;
            let maps = read(pid, "maps")?;
            let executable = maps.lines().filter(|line| is_executable(line)).count();
            sum.executable_mappings += executable as u64;
        }
        Ok(sum)
    }

    /// Resident memory in bytes, summed.
    ///
    /// # Errors
    /// When one of the processes does not exist.
    pub fn rss_bytes(&self) -> Result<u64> {
        let mut sum = 0;
        for pid in self.pids()? {
            sum += status_field(&read(pid, "status")?, "VmRSS:")? * 1024;
        }
        Ok(sum)
    }

    fn pids(&self) -> Result<BTreeSet<u32>> {
        let mut pids: BTreeSet<u32> = self.roots.iter().copied().collect();
        if !self.with_children {
            return Ok(pids);
        }
        let mut parents = Vec::new();
        for entry in fs::read_dir("/proc").context("failed to list /proc")? {
            let name = entry.context("failed to list /proc")?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // A process may be gone between the listing and the read.
            if let Ok(stat) = read(pid, "stat") {
                parents.push((pid, stat_field(&stat, 4)? as u32));
            }
        }
        loop {
            let known = pids.len();
            let children = parents.iter().filter(|(_, parent)| pids.contains(parent));
            pids.extend(children.map(|(pid, _)| *pid).collect::<Vec<_>>());
            if pids.len() == known {
                return Ok(pids);
            }
        }
    }
}

impl CpuSample {
    /// CPU time from `earlier` to this sample.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> CpuTime {
        let ticks = |now: u64, then: u64| now.saturating_sub(then) as f64 * 1e6 / TICKS_PER_SECOND;
        let user = ticks(self.user_ticks, earlier.user_ticks);
        let system = ticks(self.system_ticks, earlier.system_ticks);
        let total = self
            .nanos_since(earlier)
            .map_or(user + system, |nanos| nanos / 1e3);
        // Between two samples less than a tick apart there is no split to be had: it is all called system.
        let user_share = if user + system > 0.0 {
            user / (user + system)
        } else {
            0.0
        };
        CpuTime {
            total_us: total,
            user_us: total * user_share,
            system_us: total * (1.0 - user_share),
        }
    }

    /// Exact run time, unless a thread ended in between and took its share along.
    fn nanos_since(&self, earlier: &Self) -> Option<f64> {
        let mut nanos = 0;
        for thread in earlier.threads.keys() {
            self.threads.get(thread)?;
        }
        for (thread, now) in &self.threads {
            nanos += now.saturating_sub(earlier.threads.get(thread).copied().unwrap_or(0));
        }
        (nanos > 0).then_some(nanos as f64)
    }
}

impl CpuTime {
    /// The time per item of `count`, to a nanosecond.
    #[must_use]
    pub fn per(self, count: u64) -> Self {
        let share = |micros: f64| (micros * 1e3 / count.max(1) as f64).round() / 1e3;
        Self {
            total_us: share(self.total_us),
            user_us: share(self.user_us),
            system_us: share(self.system_us),
        }
    }
}

fn read(pid: u32, file: &str) -> Result<String> {
    let path = format!("/proc/{pid}/{file}");
    fs::read_to_string(&path)
        .with_context(|| format!("failed to read {path}; is --pid {pid} the server?"))
}

/// Field `number` of a stat line, counted from 1 as in proc(5).
fn stat_field(stat: &str, number: usize) -> Result<u64> {
    // The name, field 2, may hold blanks and parentheses: count from its last one.
    let rest = stat.rsplit_once(')').map(|(_, rest)| rest);
    rest.and_then(|rest| rest.split_whitespace().nth(number - 3)?.parse().ok())
        .with_context(|| format!("/proc stat line without field {number}: {stat:?}"))
}

fn status_field(status: &str, key: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|value| value.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("/proc status without {key} (a kernel thread or a dead process?)"))
}

fn thread_times(pid: u32) -> Result<Vec<(u32, u64)>> {
    let path = format!("/proc/{pid}/task");
    let mut times = Vec::new();
    for entry in fs::read_dir(&path).with_context(|| format!("failed to list {path}"))? {
        let entry = entry.with_context(|| format!("failed to list {path}"))?;
        let thread = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        // Kernels without the file, or a thread just gone: the caller falls back on ticks.
        let schedstat = fs::read_to_string(entry.path().join("schedstat")).unwrap_or_default();
        let nanos = schedstat
            .split(' ')
            .next()
            .and_then(|nanos| nanos.parse().ok());
        times.extend(thread.zip(nanos));
    }
    Ok(times)
}

fn count_entries(pid: u32, folder: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/{folder}");
    let entries = fs::read_dir(&path).with_context(|| format!("failed to list {path}"))?;
    Ok(entries.count() as u64)
}

fn is_executable(mapping: &str) -> bool {
    let rights = mapping.split_whitespace().nth(1);
    rights.is_some_and(|rights| rights.contains('x'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn work_of_this_process_is_seen_to_the_millisecond() {
        let before = Processes::own().cpu().unwrap();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(50) {
            std::hint::black_box(0);
        }
        let spent = Processes::own().cpu().unwrap().since(&before);
        assert!(spent.total_us > 10_000.0, "{spent:?}");
        assert!((spent.user_us + spent.system_us - spent.total_us).abs() < 1.0);
    }

    #[test]
    fn holdings_follow_what_is_opened() {
        let before = Processes::own().holdings().unwrap();
        let files: Vec<_> = (0..200)
            .map(|_| fs::File::open("/dev/null").unwrap())
            .collect();
        let after = Processes::own().holdings().unwrap();
        assert!(
            after.descriptors >= before.descriptors + 100,
            "{before:?} {after:?}"
        );
        assert!(after.rss_bytes > 0 && after.threads > 0 && after.executable_mappings > 0);
        drop(files);
    }

    #[test]
    fn children_are_counted_when_asked_for() {
        let mut child = std::process::Command::new("sleep")
            .arg("5")
            .spawn()
            .unwrap();
        let tree = Processes::new(vec![std::process::id()], true)
            .pids()
            .unwrap();
        assert!(tree.contains(&child.id()), "{tree:?}");
        assert!(!Processes::own().pids().unwrap().contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b) S 1 7 7 0 -1 0 0 0 0 0 11 22 0 0";
        assert_eq!(stat_field(stat, 4).unwrap(), 1);
        assert_eq!(stat_field(stat, 14).unwrap(), 11);
        assert_eq!(stat_field(stat, 15).unwrap(), 22);
    }
}
