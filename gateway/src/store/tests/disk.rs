//! The store on disk: what was acknowledged is there after a restart, and what a failing disk did
//! not take is not there for anybody.

use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use redb::StorageBackend;
use redb::backends::InMemoryBackend;

use super::*;

/// A configuration with a file in that folder.
pub(super) fn in_folder(folder: &Path, bucket: config::Bucket) -> Config {
    let mut config = config(bucket);
    config.store.path = Some(folder.join("data.redb"));
    config
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = in_folder(folder.path(), config::Bucket::default());
    let store = Store::open(&config).unwrap();
    set(&rooms(&store), "a", "1").unwrap();
    set(&rooms(&store), "b", "2").unwrap();
    delete(&rooms(&store), "a").unwrap();
    drop(store);
    let store = Store::open(&config).unwrap();
    let rooms = rooms(&store);
    assert_eq!(
        (get(&rooms, "a"), get(&rooms, "b").as_deref()),
        (None, Some("2"))
    );
    assert_eq!(rooms.status().bytes, 128 + 2);
    assert!(heard(&store).is_empty());
}

#[test]
fn a_bucket_that_is_not_configured_any_more_keeps_its_entries() {
    let folder = tempfile::tempdir().unwrap();
    let with = in_folder(folder.path(), config::Bucket::default());
    let mut without = with.clone();
    without.bucket_limits.clear();
    without.plugins[0].grants.store = vec!["halls".to_owned()];
    without.plugins[0].grants.watch.clear();
    set(&rooms(&Store::open(&with).unwrap()), "a", "1").unwrap();
    let store = Store::open(&without).unwrap();
    assert!(store.bucket("rooms").is_none());
    set(store.bucket("halls").unwrap(), "b", "2").unwrap();
    drop(store);
    assert_eq!(
        get(&rooms(&Store::open(&with).unwrap()), "a").as_deref(),
        Some("1")
    );
}

#[test]
fn limits_that_were_lowered_keep_what_is_there_and_refuse_more() {
    let folder = tempfile::tempdir().unwrap();
    let config = in_folder(folder.path(), config::Bucket::default());
    let store = Store::open(&config).unwrap();
    for key in ["a", "b", "c"] {
        set(&rooms(&store), key, "12345").unwrap();
    }
    drop(store);
    let lower = in_folder(
        folder.path(),
        config::Bucket {
            keys: 1,
            size: 100,
            ..config::Bucket::default()
        },
    );
    let store = Store::open(&lower).unwrap();
    let rooms = rooms(&store);
    assert_eq!(rooms.page(None).keys.len(), 3);
    assert!(set(&rooms, "d", "").is_err());
    assert!(set(&rooms, "a", "123456").is_err());
    set(&rooms, "a", "1234").unwrap();
    delete(&rooms, "b").unwrap();
}

#[test]
fn time_goes_on_while_the_store_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let config = in_folder(
        folder.path(),
        config::Bucket {
            ttl: Some(Duration::from_secs(60)),
            ..config::Bucket::default()
        },
    );
    let open = |ahead: u64| {
        let clock = Clock::new();
        clock.ahead.store(ahead * 1000, Ordering::Relaxed);
        let disk = Disk::open(config.store.path.as_deref().unwrap()).unwrap();
        Store::with(&config, Some(disk), clock).unwrap()
    };
    let store = open(0);
    set(&rooms(&store), "old", "1").unwrap();
    pass(&store, Duration::from_secs(30));
    set(&rooms(&store), "new", "1").unwrap();
    drop(store);
    let store = open(70);
    assert_eq!(*rooms(&store).page(None).keys, ["new".into()]);
    while rooms(&store).sweep() {}
    drop(store);
    // It is gone from the disk too: it would still live by this clock.
    let store = open(0);
    assert_eq!(*rooms(&store).page(None).keys, ["new".into()]);
}

#[test]
fn many_writers_share_commits() {
    const WRITERS: usize = 16;
    let folder = tempfile::tempdir().unwrap();
    let config = in_folder(folder.path(), config::Bucket::default());
    let store = Store::open(&config).unwrap();
    let before = store.status().commits.unwrap().0;
    let pending: Vec<_> = (0..WRITERS * 100)
        .map(|number| rooms(&store).set(number.to_string().into(), Bytes::new()))
        .collect();
    for written in pending {
        settle(written).unwrap();
    }
    let commits = store.status().commits.unwrap().0 - before;
    assert!((1..1600).contains(&commits), "{commits}");
    drop(store);
    assert_eq!(
        rooms(&Store::open(&config).unwrap()).status().keys,
        WRITERS * 100
    );
}

/// A disk in memory that fails when told so.
#[derive(Clone, Debug, Default)]
struct Fragile {
    inner: Arc<InMemoryBackend>,
    /// Nothing can be written.
    full: Arc<AtomicBool>,
    /// What is written is there, but nobody is told so.
    unsure: Arc<AtomicBool>,
}

impl Fragile {
    fn check(&self) -> io::Result<()> {
        match self.full.load(Ordering::Relaxed) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    /// A store on this disk.
    fn open(&self, config: &Config) -> Arc<Store> {
        let backend = self.clone();
        let disk = Disk::with(move || {
            let backend = backend.clone();
            Ok(redb::Builder::new().create_with_backend(backend)?)
        });
        Store::with(config, Some(disk), Clock::new()).unwrap()
    }
}

impl StorageBackend for Fragile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check()?;
        self.inner.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.check()?;
        match self.unsure.load(Ordering::Relaxed) {
            true => Err(io::Error::other("the disk does not answer")),
            false => self.inner.sync_data(),
        }
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        self.inner.write(offset, data)
    }
}

/// Waits until the store takes writes again.
fn until_it_writes(store: &Store) {
    for _ in 0..1000 {
        if store.failure().is_none() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it still fails: {:?}", store.failure());
}

#[test]
fn a_disk_that_fails_undoes_what_it_did_not_take_and_takes_more_when_it_can() {
    let fragile = Fragile::default();
    let mut config = config(config::Bucket::default());
    config.plugins[0].limits.changes = 100;
    let store = fragile.open(&config);
    let rooms = rooms(&store);
    set(&rooms, "a", "1").unwrap();
    set(&rooms, "b", "1").unwrap();
    assert_eq!(store.failure(), None);
    heard(&store);
    fragile.full.store(true, Ordering::Relaxed);
    let first = rooms.set("a".into(), "2".into());
    let second = rooms.delete("b".into());
    let third = rooms.increment("n".into(), 1).map(|(_, pending)| pending);
    for written in [first, second, third] {
        let refusal = settle(written).unwrap_err().to_string();
        assert!(
            refusal.starts_with("nothing can be written now: the store's file failed: "),
            "{refusal}"
        );
    }
    assert!(matches!(set(&rooms, "c", "1"), Err(StoreError::Disk(_))));
    assert!(store.failure().is_some());
    assert_eq!(get(&rooms, "a").as_deref(), Some("1"));
    assert_eq!(get(&rooms, "b").as_deref(), Some("1"));
    assert_eq!(*rooms.page(None).keys, ["a".into(), "b".into()]);
    assert_eq!(rooms.status().bytes, 2 * (128 + 2));
    assert_eq!(store.shared.bytes.load(Ordering::Relaxed), 2 * (128 + 2));
    assert!(store.status().commits.unwrap().1 >= 1);
    // A watcher ends up with what is true; of a write that was refused at once it hears nothing.
    let heard = heard(&store);
    let last = |key: &str| {
        heard
            .iter()
            .rfind(|line| line.starts_with(key))
            .map(String::as_str)
    };
    assert_eq!(last("a"), Some("a=1"));
    assert!(matches!(last("b"), None | Some("b=1")), "{heard:?}");
    assert!(matches!(last("n"), None | Some("n")), "{heard:?}");
    fragile.full.store(false, Ordering::Relaxed);
    until_it_writes(&store);
    set(&rooms, "c", "1").unwrap();
    drop((rooms, store));
    let store = fragile.open(&config);
    let rooms = super::rooms(&store);
    let held = ["a", "b", "c", "n"].map(|key| get(&rooms, key).is_some());
    assert_eq!(held, [true, true, true, false]);
}

#[test]
fn what_was_refused_is_not_on_the_disk_although_it_came_there() {
    let fragile = Fragile::default();
    let config = config(config::Bucket::default());
    let store = fragile.open(&config);
    set(&rooms(&store), "a", "old").unwrap();
    fragile.unsure.store(true, Ordering::Relaxed);
    assert!(set(&rooms(&store), "a", "new").is_err());
    assert!(set(&rooms(&store), "b", "new").is_err());
    fragile.unsure.store(false, Ordering::Relaxed);
    until_it_writes(&store);
    // As after a kill: nothing is written any more.
    let copy = Fragile::default();
    let mut bytes = vec![0; fragile.len().unwrap() as usize];
    fragile.read(0, &mut bytes).unwrap();
    copy.set_len(bytes.len() as u64).unwrap();
    copy.write(0, &bytes).unwrap();
    let rooms = rooms(&copy.open(&config));
    assert_eq!(get(&rooms, "a").as_deref(), Some("old"));
    assert_eq!(get(&rooms, "b"), None);
}

#[test]
fn a_store_is_closed_while_its_disk_fails() {
    let fragile = Fragile::default();
    let store = fragile.open(&config(config::Bucket::default()));
    fragile.full.store(true, Ordering::Relaxed);
    assert!(set(&rooms(&store), "a", "1").is_err());
    store.close();
    assert_eq!(set(&rooms(&store), "a", "1"), Err(StoreError::Closed));
}

#[test]
fn writes_that_wait_for_the_disk_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = in_folder(folder.path(), config::Bucket::default());
    config.store.queue = 1;
    let store = Store::open(&config).unwrap();
    let rooms = rooms(&store);
    let mut pending = Vec::new();
    let refusal = loop {
        match rooms.set("a".into(), Bytes::new()) {
            Ok(written) => pending.push(written),
            Err(refusal) => break refusal.to_string(),
        }
    };
    assert_eq!(
        refusal,
        "over 1 bytes of writes wait for the disk: try again later, or raise `queue` in [store]"
    );
    for written in pending {
        settle(Ok(written)).unwrap();
    }
    set(&rooms, "a", "1").unwrap();
}

#[test]
fn a_closed_store_has_all_on_disk_and_refuses_writes() {
    let folder = tempfile::tempdir().unwrap();
    let config = in_folder(folder.path(), config::Bucket::default());
    let store = Store::open(&config).unwrap();
    let pending = rooms(&store).set("a".into(), "1".into());
    store.close();
    settle(pending).unwrap();
    let refusal = set(&rooms(&store), "a", "2").unwrap_err().to_string();
    assert!(
        refusal.ends_with("the gateway is shutting down"),
        "{refusal}"
    );
    // Its file is free.
    assert_eq!(
        get(&rooms(&Store::open(&config).unwrap()), "a").as_deref(),
        Some("1")
    );
}
