//! Files that people name to the gateway, read without trusting what is there: only regular files,
//! and only so many bytes. Opening a FIFO or a device could wait for ever, or do something.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unread {
    /// The system says no.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Something that is not a regular file.
    #[error("it is {0}, not a regular file")]
    Kind(&'static str),
    /// More bytes than are read.
    #[error("it has more than {0} bytes")]
    TooLarge(u64),
}

/// Reads a regular file of at most `max` bytes; links are followed. A disk that does not answer
/// holds the caller: call it where that holds nobody else.
pub(crate) fn read(path: &Path, max: u64) -> Result<Vec<u8>, Unread> {
    // First a look that opens nothing: to open a device may rewind a tape.
    regular(&fs::metadata(path)?)?;
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    // Another file may be in its place by now.
    let metadata = file.metadata()?;
    regular(&metadata)?;
    if metadata.len() > max {
        return Err(Unread::TooLarge(max));
    }
    to_end(file, max)
}

/// Reads a file to its end. The file may have grown since it was looked at.
fn to_end(file: File, max: u64) -> Result<Vec<u8>, Unread> {
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > max {
        true => Err(Unread::TooLarge(max)),
        false => Ok(bytes),
    }
}

fn regular(metadata: &Metadata) -> Result<(), Unread> {
    let kind = metadata.file_type();
    let words = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(Unread::Kind(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_is_named_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&fifo, &link).unwrap();
        for (path, words) in [
            (&*fifo, "a FIFO"),
            (&*link, "a FIFO"),
            (folder.path(), "a folder"),
            (Path::new("/dev/zero"), "a device"),
        ] {
            let error = read(path, 10).unwrap_err();
            assert!(matches!(error, Unread::Kind(found) if found == words));
        }
    }

    #[test]
    fn a_file_is_read_up_to_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, [7; 10]).unwrap();
        assert_eq!(read(&path, 10).unwrap(), [7; 10]);
        assert!(matches!(read(&path, 9), Err(Unread::TooLarge(9))));
        // Files of the kernel's say nothing of their length.
        let endless = to_end(File::open("/dev/zero").unwrap(), 9);
        assert!(matches!(endless, Err(Unread::TooLarge(9))));
    }
}
