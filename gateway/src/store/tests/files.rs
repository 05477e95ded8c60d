//! Files that can't be used: each is refused with a reason and left as it was.

use std::path::Path;

use super::disk::in_folder;
use super::*;

/// A file with some entries in it.
fn written(folder: &Path) -> (Config, Vec<u8>) {
    let config = in_folder(folder, config::Bucket::default());
    let store = Store::open(&config).unwrap();
    for number in 0..300 {
        let value = number.to_string().repeat(50);
        let _ = rooms(&store)
            .set(number.to_string().into(), value.into())
            .unwrap();
    }
    set(&rooms(&store), "last", "1").unwrap();
    drop(store);
    let bytes = std::fs::read(file(&config)).unwrap();
    (config, bytes)
}

fn file(config: &Config) -> &Path {
    config.store.path.as_deref().unwrap()
}

/// Puts these bytes in the file's place and opens it; if that is refused, checks that it is as it
/// was.
fn open(config: &Config, bytes: &[u8]) -> Result<Arc<Store>, String> {
    std::fs::write(file(config), bytes).unwrap();
    Store::open(config).map_err(|error| {
        assert!(
            std::fs::read(file(config)).unwrap() == bytes,
            "changed: {error}"
        );
        error.to_string()
    })
}

fn all(store: &Store) -> Vec<(Arc<str>, Option<Bytes>)> {
    let rooms = rooms(store);
    let keys = rooms.page(None).keys;
    keys.into_iter()
        .map(|key| (key.clone(), rooms.get(&key)))
        .collect()
}

#[test]
fn what_is_no_file_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let config = in_folder(folder.path(), config::Bucket::default());
    let (cwd, mode) = (rustix::fs::CWD, rustix::fs::Mode::RWXU);
    rustix::fs::mkfifoat(cwd, file(&config), mode).unwrap();
    let error = Store::open(&config).err().unwrap().to_string();
    assert!(error.contains("is not a store of Tidegate's"), "{error}");
}

#[test]
fn a_file_of_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = in_folder(folder.path(), config::Bucket::default());
    for bytes in [&b"hello"[..], &[0; 8192], b"SQLite format 3\0 and more"] {
        let error = open(&config, bytes).unwrap_err();
        assert!(
            error.contains("is not a store of Tidegate's: it is no database of redb's"),
            "{error}"
        );
    }
    std::fs::remove_file(file(&config)).unwrap();
    let other = redb::Database::create(file(&config)).unwrap();
    let write = other.begin_write().unwrap();
    let table = redb::TableDefinition::<u64, u64>::new("theirs");
    write.open_table(table).unwrap().insert(1, 1).unwrap();
    write.commit().unwrap();
    drop(other);
    let error = Store::open(&config).unwrap_err().to_string();
    assert!(error.contains("it has other tables: theirs"), "{error}");
}

#[test]
fn an_empty_file_becomes_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let config = in_folder(folder.path(), config::Bucket::default());
    let store = open(&config, b"").unwrap();
    set(&rooms(&store), "a", "1").unwrap();
}

#[test]
fn a_folder_that_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let config = in_folder(&folder.path().join("gone"), config::Bucket::default());
    let error = Store::open(&config).unwrap_err().to_string();
    assert!(
        error.contains("data.redb") && error.contains("No such file"),
        "{error}"
    );
}

#[test]
fn a_file_that_somebody_has_open_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = in_folder(folder.path(), config::Bucket::default());
    let store = Store::open(&config).unwrap();
    let error = Store::open(&config).unwrap_err();
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
    drop(store);
    Store::open(&config).unwrap();
}

#[test]
fn a_file_that_was_cut_short_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (config, bytes) = written(folder.path());
    for len in [10, 100, 512, 4096, 5000, bytes.len() / 2, bytes.len() - 1] {
        let error = open(&config, &bytes[..len]).unwrap_err();
        assert!(error.contains("data.redb"), "{len}: {error}");
    }
}

/// Bytes changed all over the file: what is not noticed must not matter.
#[test]
fn a_damaged_file_is_refused_or_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (config, bytes) = written(folder.path());
    let whole = all(&open(&config, &bytes).unwrap());
    assert_eq!(whole.len(), 301);
    let mut refused = 0;
    for at in (0..bytes.len()).step_by(bytes.len() / 200) {
        let mut damaged = bytes.clone();
        for byte in damaged.iter_mut().skip(at).take(64) {
            *byte ^= 0x55;
        }
        match open(&config, &damaged) {
            Ok(store) => assert!(all(&store) == whole, "damaged at {at}"),
            Err(error) => {
                assert!(error.contains("data.redb"), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 5, "{refused}");
}

#[test]
fn a_file_is_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (config, _) = written(folder.path());
    let mode = std::fs::metadata(file(&config)).unwrap().permissions();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777,
        0o600
    );
}

#[test]
fn only_the_file_that_was_opened_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let (config, bytes) = written(folder.path());
    let mut disk = Disk::open(file(&config)).unwrap();
    disk.reopen().unwrap();
    assert_eq!(disk.load("rooms").unwrap().len(), 301);
    let beside = folder.path().join("beside");
    std::fs::write(&beside, bytes).unwrap();
    std::fs::rename(&beside, file(&config)).unwrap();
    let error = disk.reopen().unwrap_err().to_string();
    assert!(error.contains("is not the one that was opened"), "{error}");
    std::fs::remove_file(file(&config)).unwrap();
    assert!(disk.reopen().is_err());
    assert!(!file(&config).exists());
    assert!(disk.commit(&[]).is_err());
}
