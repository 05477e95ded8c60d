//! The thread that writes the log.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use super::queue::LineQueue;
use crate::supervise;

/// How long to wait for a stderr that was made not to block and would.
const PAUSE: Duration = Duration::from_millis(10);

/// Starts the thread. It never ends: what stderr does not take is lost, and what comes next is tried
/// again, since a disk may have room by then and a pipe a reader.
pub(super) fn start(queue: Arc<LineQueue>) -> io::Result<()> {
    // A descriptor of its own: std's stderr has a lock, and whoever else writes there would wait
    // for it as long as this thread waits for the reader.
    let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    supervise::thread("log", move || run(&queue, &stderr))?;
    Ok(())
}

fn run(queue: &LineQueue, mut stderr: impl Write) -> supervise::End {
    let mut lines = Vec::new();
    let (mut told, mut is_torn) = (0, false);
    loop {
        queue.take(&mut lines);
        let rest = write(&mut stderr, &lines, &mut is_torn);
        let unwritten = rest.iter().filter(|&&byte| byte == b'\n').count();
        let lost = queue.done(unwritten as u64).sum();
        if rest.is_empty() && lost > told {
            let lines = lost - told;
            told = lost;
            tracing::warn!(
                lines,
                "log lines were lost: stderr did not take them as fast as they came; raise `log.queue` if its reader is only slow"
            );
        }
    }
}

/// Writes the lines, and returns those that were not taken. `is_torn` says whether the last line
/// that was ever begun lacks its end.
fn write<'a>(stderr: &mut impl Write, lines: &'a [u8], is_torn: &mut bool) -> &'a [u8] {
    if *is_torn && put(stderr, b"\n") == 1 {
        *is_torn = false;
    }
    let written = put(stderr, lines);
    if let Some(last) = lines[..written].last() {
        *is_torn = *last != b'\n';
    }
    &lines[written..]
}

/// Writes until all is written or an error says that it will not be; returns how many bytes were.
fn put(stderr: &mut impl Write, bytes: &[u8]) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        match stderr.write(&bytes[written..]) {
            Ok(0) => break,
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
            Err(_) => break,
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with room for so many bytes.
    struct Disk {
        room: usize,
        content: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let n = bytes.len().min(self.room);
            if n == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= n;
            self.content.extend_from_slice(&bytes[..n]);
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_that_a_full_disk_has_torn_is_ended_before_the_next() {
        let (mut disk, mut is_torn) = (
            Disk {
                room: 6,
                content: Vec::new(),
            },
            false,
        );
        assert_eq!(
            write(&mut disk, b"one\ntwo\nthree\n", &mut is_torn),
            b"o\nthree\n"
        );
        assert!(is_torn);
        assert_eq!(write(&mut disk, b"four\n", &mut is_torn), b"four\n");
        disk.room = 100;
        assert!(write(&mut disk, b"five\n", &mut is_torn).is_empty());
        assert_eq!(disk.content, b"one\ntw\nfive\n");
    }
}
