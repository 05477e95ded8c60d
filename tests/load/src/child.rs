//! A server as a process of its own: started on given CPUs, asked where it listens, killed when dropped.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::cpu::Pinned;

/// How long a server may take to say where it listens: a cold start that compiles its plugin included.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A running server.
pub struct ServerProcess {
    name: String,
    child: Child,
    lines: Receiver<String>,
    errors: File,
}

impl ServerProcess {
    /// Starts `command` on `cpus`. It must print a line with its port on standard output.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(name: &str, command: &mut Command, cpus: &[usize]) -> Result<Self> {
        let errors = tempfile::tempfile().context("failed to create a temporary file")?;
        let to = errors.try_clone().context("failed to share a file")?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(to);
        // A child inherits the CPUs of the thread that starts it, and its first threads inherit them in turn.
        let pinned = Pinned::to(cpus)?;
        let mut child = command.spawn().with_context(|| {
            let program = command.get_program().to_string_lossy();
            format!("failed to start {name} ({program})")
        })?;
        drop(pinned);
        let output = child.stdout.take();
        let mut server = Self {
            name: name.to_owned(),
            child,
            lines: mpsc::channel().1,
            errors,
        };
        let output = output.context("a child without the pipe it was given")?;
        let (sender, lines) = mpsc::channel();
        server.lines = lines;
        // To its end, whether anybody asks for the lines or not: a full pipe would stop the server.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Ok(server)
    }

    /// The next line it prints.
    ///
    /// # Errors
    /// When it ends or stays silent; with the last lines of its standard error.
    pub fn line(&mut self) -> Result<String> {
        match self.lines.recv_timeout(READY_WITHIN) {
            Ok(line) => Ok(line),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let (name, said) = (&self.name, self.last_errors());
                bail!("{name} has not said where it listens within {READY_WITHIN:?}{said}")
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let (name, said) = (&self.name, self.last_errors());
                bail!("{name} ended before it said where it listens{said}")
            }
        }
    }

    /// The loopback address in the next line it prints: the last number of the line is the port.
    ///
    /// # Errors
    /// When there is no such line.
    pub fn address(&mut self) -> Result<SocketAddr> {
        let line = self.line()?;
        let port = last_number(&line)
            .with_context(|| format!("{} printed {line:?} where its port should be", self.name))?;
        Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The end of what it wrote to standard error, as the end of a sentence.
    fn last_errors(&self) -> String {
        let mut text = String::new();
        let mut errors = &self.errors;
        let read = errors
            .rewind()
            .and_then(|()| errors.read_to_string(&mut text));
        let lines: Vec<_> = text.lines().collect();
        if read.is_err() || lines.is_empty() {
            return ", and printed no error".to_owned();
        }
        let last = lines[lines.len().saturating_sub(10)..].join("\n  ");
        format!("; it printed:\n  {last}")
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Both fail only if it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The number that the last run of digits in `line` spells.
fn last_number(line: &str) -> Option<u16> {
    let is_digit = |c: char| c.is_ascii_digit();
    let end = line.rfind(is_digit)? + 1;
    let start = line[..end].rfind(|c| !is_digit(c)).map_or(0, |at| at + 1);
    line[start..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_found_in_every_servers_words() {
        assert_eq!(last_number("35607"), Some(35_607));
        assert_eq!(
            last_number("listening on http://127.0.0.1:8080"),
            Some(8080)
        );
        let workerd = r#"{"event":"listen","socket":"http","port":33721}"#;
        assert_eq!(last_number(workerd), Some(33_721));
        assert_eq!(last_number("ready"), None);
    }

    #[test]
    fn a_server_that_ends_is_quoted_and_one_that_is_dropped_is_gone() {
        let cpus = crate::cpu::allowed().unwrap();
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            ServerProcess::start("sh", &mut command, &cpus).unwrap()
        };
        let error = shell("echo no port left >&2")
            .address()
            .unwrap_err()
            .to_string();
        assert!(error.ends_with("no port left"), "{error}");
        let mut sleeping = shell("echo 80; exec sleep 60");
        assert_eq!(sleeping.address().unwrap().port(), 80);
        let pid = sleeping.pid();
        drop(sleeping);
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }
}
