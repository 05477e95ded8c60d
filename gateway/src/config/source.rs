//! The configuration's file. It may be a pipe, as a shell's `<(...)` is, so it is read without
//! looking at what it is; but neither for ever nor without end.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

/// Bytes of a configuration. A larger file is something else.
const FILE_MAX: u64 = 4 << 20;
/// How long whatever writes a pipe may take, or a disk to answer.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Reads the file at `path`.
pub(super) fn read(path: &Path) -> io::Result<String> {
    read_within(path, TIME_MAX)
}

/// Reads on a thread of its own: nothing else ends the opening of a pipe that nobody writes to. If
/// it hangs it stays behind, in a process that is about to end.
fn read_within(path: &Path, time: Duration) -> io::Result<String> {
    let (sender, receiver) = mpsc::channel();
    let from = path.to_owned();
    std::thread::Builder::new()
        .name("config".to_owned())
        .spawn(move || sender.send(read_all(&from)))?;
    receiver.recv_timeout(time).unwrap_or_else(|_| {
        let words = format!("nothing has come of it within {time:?}: name a file, or a pipe that is written and closed");
        Err(io::Error::new(ErrorKind::TimedOut, words))
    })
}

fn read_all(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(FILE_MAX + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_MAX {
        let words = format!("it has more than {FILE_MAX} bytes: name the configuration's file");
        return Err(io::Error::new(ErrorKind::FileTooLarge, words));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let words = format!("it is not UTF-8 from byte {at} on: save it as UTF-8");
        io::Error::new(ErrorKind::InvalidData, words)
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_pipe_that_nobody_writes_to_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
        let error = read_within(&path, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn a_pipe_that_is_written_and_closed_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
        let from = path.clone();
        let read = std::thread::spawn(move || read(&from));
        let mut pipe = File::options().write(true).open(&path).unwrap();
        pipe.write_all(b"a = 1").unwrap();
        drop(pipe);
        assert_eq!(read.join().unwrap().unwrap(), "a = 1");
    }

    #[test]
    fn what_has_no_end_is_not_read_to_it() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
    }
}
