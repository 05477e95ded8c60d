//! What a result depends on and must be read with: the machine, the source, the command line.

use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::gateway::workspace;

/// Where, when and of what a result was made.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Machine {
    /// Day and time, UTC.
    pub date: String,
    /// Model of the CPU.
    pub cpu: String,
    /// CPUs this process may use.
    pub cores: usize,
    /// Kernel release.
    pub kernel: String,
    /// Commit of the source tree; "-dirty" if it was changed.
    pub commit: String,
    /// The command that made the result.
    pub command: String,
}

impl Machine {
    /// This machine, now. What it does not tell is "unknown".
    #[must_use]
    pub fn read() -> Self {
        let root = workspace().to_string_lossy();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let arguments: Vec<_> = std::env::args_os()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect();
        Self {
            date: first_line("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
            cpu: cpu_model(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: kernel.trim().to_owned(),
            commit: first_line(
                "git",
                &[
                    "-C",
                    &root,
                    "describe",
                    "--always",
                    "--dirty",
                    "--exclude=*",
                ],
            ),
            command: arguments.join(" "),
        }
    }

    /// Lines of a Markdown list.
    #[must_use]
    pub fn markdown(&self) -> String {
        let Self {
            date,
            cpu,
            cores,
            kernel,
            commit,
            command,
        } = self;
        format!(
            "- {date}\n- {cpu}, {cores} cores, Linux {kernel}\n- source at {commit}\n- `{command}`\n"
        )
    }
}

/// The first line that a program prints, "unknown" if it does not.
#[must_use]
pub fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output
        .ok()
        .filter(|output| output.status.success())
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let line = text.as_deref().and_then(|text| text.lines().next());
    line.unwrap_or("unknown").trim().to_owned()
}

fn cpu_model(cpuinfo: &str) -> String {
    let model = cpuinfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    });
    model.unwrap_or_else(|| "unknown CPU".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_learnt_is_unknown_and_no_error() {
        assert_eq!(first_line("no-such-program", &[]), "unknown");
        assert_eq!(first_line("echo", &["a b"]), "a b");
        assert_eq!(cpu_model("processor : 0\nmodel name\t: X 5\n"), "X 5");
        assert_eq!(cpu_model(""), "unknown CPU");
    }
}
