//! The file in which a store is kept: a redb database with a table for each bucket.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError, TableHandle};

use super::journal::Write;
use super::record::Stored;
use super::rehearsal::{self, Finding};

/// Values by key, each with the time of its write in milliseconds since 1970.
type ValueTable<'a> = TableDefinition<'a, &'static str, (u64, &'static [u8])>;

/// What is known of the file as a whole.
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("tidegate");
const FORMAT: &str = "format";
/// The layout described here.
const FORMAT_NOW: u64 = 1;
/// What redb may keep in memory. Everything is read from our own, so it is for writing only.
const CACHE: usize = 16 << 20;

/// The file in which a store is kept.
pub(super) struct Disk {
    /// The open file; none after a failure, until it is opened again.
    database: Option<Database>,
    file: DatabaseSource,
}

/// Where a database comes from, when it has to be opened again.
enum DatabaseSource {
    File {
        path: PathBuf,
        /// Device and inode: another file in its place does not hold what memory does.
        identity: (u64, u64),
    },
    #[cfg(test)]
    Backend(Box<dyn Fn() -> Result<Database, redb::Error> + Send>),
}

/// Why a store's file can't be used. It is as it was.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody else has it.
    #[error(
        "another process has the store's file {0:?} open: stop it, or give this gateway a `path` of its own in [store]"
    )]
    InUse(PathBuf),
    /// The file is damaged.
    #[error(
        "the store's file {path:?} is damaged: {why}: put a backup in its place, or move it away to begin with an empty store; it was not changed"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The file holds something else.
    #[error(
        "{path:?} is not a store of Tidegate's: {why}: correct `path` in [store]; it was not changed"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        why: String,
    },
    /// The system does not let us.
    #[error("failed to open the store's file {path:?}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A thread could not be started.
    #[error("failed to start the store: {0}")]
    Start(#[from] std::io::Error),
}

impl Disk {
    /// Opens the file, or makes it.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let foreign = |why: String| OpenError::Foreign {
            path: path.to_owned(),
            why,
        };
        match rehearsal::examine(path) {
            Ok(Finding::Sound | Finding::Missing) => {}
            Ok(Finding::InUse) => return Err(OpenError::InUse(path.to_owned())),
            Ok(Finding::Foreign) => return Err(foreign("it is no database of redb's".to_owned())),
            Ok(Finding::Damaged(why)) => return Err(damaged(path, why)),
            Err(source) => {
                return Err(OpenError::Io {
                    path: path.to_owned(),
                    source,
                });
            }
        }
        // What clients have said is not for every user of the machine.
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path);
        let opened = file.and_then(|file| Ok((identity(&file)?, file)));
        let (identity, file) = opened.map_err(|error| explain(path, error.into()))?;
        let disk = Self {
            database: Some(begin(file).map_err(|error| explain(path, error))?),
            file: DatabaseSource::File {
                path: path.to_owned(),
                identity,
            },
        };
        match disk.format().map_err(|error| explain(path, error))? {
            Ok(FORMAT_NOW) => Ok(disk),
            Ok(other) => Err(foreign(format!(
                "its format is {other}, and this gateway knows {FORMAT_NOW}"
            ))),
            Err(tables) => Err(foreign(format!("it has other tables: {tables}"))),
        }
    }

    /// Opens the file once more, after it has failed: redb takes nothing from one that has.
    pub(super) fn reopen(&mut self) -> Result<(), redb::Error> {
        // Before, for it holds the file's lock.
        self.database = None;
        self.database = Some(match &self.file {
            DatabaseSource::File {
                path,
                identity: known,
            } => {
                let file = File::options().read(true).write(true).open(path)?;
                if identity(&file)? != *known || file.metadata()?.len() == 0 {
                    let why =
                        "the store's file is not the one that was opened: restart to read this one";
                    return Err(std::io::Error::other(why).into());
                }
                begin(file)?
            }
            #[cfg(test)]
            DatabaseSource::Backend(open) => open()?,
        });
        Ok(())
    }

    fn database(&self) -> Result<&Database, redb::Error> {
        self.database.as_ref().ok_or(redb::Error::PreviousIo)
    }

    /// The file's format, which an empty file is given; else the names of its tables.
    fn format(&self) -> Result<Result<u64, String>, redb::Error> {
        let read = self.database()?.begin_read()?;
        let tables: Vec<_> = read
            .list_tables()?
            .map(|table| table.name().to_owned())
            .collect();
        if !tables.is_empty() {
            return Ok(match read.open_table(ABOUT) {
                Ok(about) => Ok(about.get(FORMAT)?.map_or(0, |format| format.value())),
                Err(_) => Err(tables.join(", ")),
            });
        }
        drop(read);
        let write = self.database()?.begin_write()?;
        write.open_table(ABOUT)?.insert(FORMAT, FORMAT_NOW)?;
        write.commit()?;
        Ok(Ok(FORMAT_NOW))
    }

    /// All entries of a bucket.
    pub(super) fn load(&self, bucket: &str) -> Result<Vec<Stored>, OpenError> {
        self.read(bucket)
            .map_err(|error| explain(self.path(), error))
    }

    fn read(&self, bucket: &str) -> Result<Vec<Stored>, redb::Error> {
        let name = table_name(bucket);
        let table = match self
            .database()?
            .begin_read()?
            .open_table(ValueTable::new(&name))
        {
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            table => table?,
        };
        let mut stored = Vec::new();
        for entry in table.iter()? {
            let (key, value) = entry?;
            let (written, bytes) = value.value();
            stored.push((
                written,
                Arc::from(key.value()),
                Bytes::copy_from_slice(bytes),
            ));
        }
        Ok(stored)
    }

    /// Commits writes in their order, all or none. Returns when they are safe on disk.
    pub(super) fn commit(&self, writes: &[Write]) -> Result<(), redb::Error> {
        let transaction = self.database()?.begin_write()?;
        // A table is opened once for the writes of a bucket that follow each other.
        for same in writes.chunk_by(|a, b| a.bucket == b.bucket) {
            let name = table_name(&same[0].bucket);
            let mut table = transaction.open_table(ValueTable::new(&name))?;
            for record in same.iter().flat_map(|write| &write.records) {
                match &record.value {
                    Some(value) => {
                        table.insert(&*record.key, (record.written, &value[..]))?;
                    }
                    None => {
                        table.remove(&*record.key)?;
                    }
                }
            }
        }
        Ok(transaction.commit()?)
    }

    fn path(&self) -> &Path {
        match &self.file {
            DatabaseSource::File { path, .. } => path,
            #[cfg(test)]
            DatabaseSource::Backend(_) => Path::new("test"),
        }
    }

    /// The database that `open` opens, now and after each failure, for tests of failing disks.
    #[cfg(test)]
    pub(super) fn with(open: impl Fn() -> Result<Database, redb::Error> + Send + 'static) -> Self {
        let disk = Self {
            database: Some(open().unwrap()),
            file: DatabaseSource::Backend(Box::new(open)),
        };
        disk.format().unwrap().unwrap();
        disk
    }
}

/// The database in a file; an empty one is made one.
fn begin(file: File) -> Result<Database, redb::Error> {
    let database = redb::Builder::new().set_cache_size(CACHE).create_file(file);
    Ok(database?)
}

fn identity(file: &File) -> std::io::Result<(u64, u64)> {
    let metadata = file.metadata()?;
    Ok((metadata.dev(), metadata.ino()))
}

fn table_name(bucket: &str) -> String {
    format!("bucket {bucket}")
}

fn damaged(path: &Path, why: String) -> OpenError {
    OpenError::Damaged {
        path: path.to_owned(),
        why,
    }
}

fn explain(path: &Path, error: redb::Error) -> OpenError {
    match error {
        redb::Error::DatabaseAlreadyOpen => OpenError::InUse(path.to_owned()),
        redb::Error::Io(source) => OpenError::Io {
            path: path.to_owned(),
            source,
        },
        other => damaged(path, other.to_string()),
    }
}
