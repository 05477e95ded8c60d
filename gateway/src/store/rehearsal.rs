//! Trying a file without changing it: redb mends what it opens, and of a damaged file it would
//! quietly keep the last state that is whole. Here it works on the file as it is, with what it
//! writes kept aside, and everything it can check is checked.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{DatabaseError, StorageBackend, StorageError};

/// First bytes of every redb database.
const MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";

/// What there is at a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Nothing, or an empty file.
    Missing,
    /// A database that is whole, or was cut off in a commit that nobody was told of.
    Sound,
    /// Something that another process works on.
    InUse,
    /// Something that redb did not make.
    Foreign,
    /// A database that is not whole.
    Damaged(String),
}

/// Looks at the file at `path` and leaves it as it is.
pub(super) fn examine(path: &Path) -> io::Result<Finding> {
    // To open a FIFO would wait for ever, and a device may do something.
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Ok(Finding::Foreign);
    }
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Finding::Missing),
        file => file?,
    };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(Finding::InUse),
        Err(TryLockError::Error(error)) => return Err(error),
        Ok(()) => {}
    }
    if file.metadata()?.len() == 0 {
        return Ok(Finding::Missing);
    }
    let mut magic = [0; MAGIC.len()];
    if file.read_exact_at(&mut magic, 0).is_err() || magic != MAGIC {
        return Ok(Finding::Foreign);
    }
    let rehearsal = Rehearsal::new(file)?;
    // redb checks its sums only where it is told to, and trusts its pages else.
    let checked = catch_unwind(AssertUnwindSafe(|| check(rehearsal)));
    Ok(match checked {
        Ok(Ok(true)) => Finding::Sound,
        Ok(Ok(false)) => Finding::Damaged("what was committed last is not whole".to_owned()),
        Ok(Err(DatabaseError::Storage(StorageError::Io(error)))) => {
            Finding::Damaged(error.to_string())
        }
        Ok(Err(error)) => Finding::Damaged(error.to_string()),
        Err(_) => Finding::Damaged("redb can't make sense of it".to_owned()),
    })
}

fn check(rehearsal: Rehearsal) -> Result<bool, DatabaseError> {
    let mut database = redb::Builder::new().create_with_backend(rehearsal)?;
    database.check_integrity()
}

/// A file that is read, with what was written kept aside.
#[derive(Debug)]
struct Rehearsal {
    file: File,
    /// A std mutex, for redb asks for a backend that threads share; here is but one.
    aside: Mutex<HeldBack>,
}

#[derive(Debug)]
struct HeldBack {
    len: u64,
    /// Bytes of the file that still count: a file that was cut shorter does not get them back.
    kept: u64,
    /// What was written, in order.
    written: Vec<(u64, Vec<u8>)>,
}

impl Rehearsal {
    fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let aside = HeldBack {
            len,
            kept: len,
            written: Vec::new(),
        };
        Ok(Self {
            file,
            aside: Mutex::new(aside),
        })
    }

    fn aside(&self) -> MutexGuard<'_, HeldBack> {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StorageBackend for Rehearsal {
    fn len(&self) -> io::Result<u64> {
        Ok(self.aside().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let aside = self.aside();
        let end = offset.saturating_add(out.len() as u64);
        if end > aside.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        out.fill(0);
        let kept = end.min(aside.kept).saturating_sub(offset) as usize;
        self.file.read_exact_at(&mut out[..kept], offset)?;
        for (at, bytes) in &aside.written {
            let from = offset.max(*at);
            let to = end.min(at + bytes.len() as u64);
            if from < to {
                let source = &bytes[(from - at) as usize..(to - at) as usize];
                out[(from - offset) as usize..(to - offset) as usize].copy_from_slice(source);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut aside = self.aside();
        if len < aside.len {
            aside.kept = aside.kept.min(len);
            aside.written.retain_mut(|(at, bytes)| {
                bytes.truncate(len.saturating_sub(*at) as usize);
                !bytes.is_empty()
            });
        }
        aside.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.aside().written.push((offset, data.to_vec()));
        Ok(())
    }
}
