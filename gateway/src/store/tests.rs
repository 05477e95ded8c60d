//! The store in memory: limits, time, swaps, watchers. What the disk does is in `tests/`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::config::{self, Plugin};

mod disk;
mod files;
mod model;

/// A configuration with one plugin that may use and watch the bucket "rooms".
fn config(bucket: config::Bucket) -> Config {
    let mut plugin = Plugin::default();
    plugin.grants.store = vec!["rooms".to_owned()];
    plugin.grants.watch = vec!["rooms".to_owned()];
    plugin.limits.changes = 4;
    Config {
        bucket_limits: vec![config::Bucket {
            name: "rooms".to_owned(),
            ..bucket
        }],
        plugins: vec![plugin],
        ..Config::default()
    }
}

fn memory(config: &Config) -> Arc<Store> {
    Store::open(config).unwrap()
}

fn rooms(store: &Store) -> Arc<Bucket> {
    store.bucket("rooms").unwrap().clone()
}

/// Waits until a write is done.
fn settle(written: Result<Receipt, StoreError>) -> Result<(), StoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(written?.done())
}

fn set(bucket: &Arc<Bucket>, key: &str, value: &str) -> Result<(), StoreError> {
    settle(bucket.set(key.into(), Bytes::copy_from_slice(value.as_bytes())))
}

fn delete(bucket: &Arc<Bucket>, key: &str) -> Result<(), StoreError> {
    settle(bucket.delete(key.into()))
}

fn get(bucket: &Bucket, key: &str) -> Option<String> {
    let text = |value: Bytes| String::from_utf8(value.to_vec()).unwrap();
    bucket.get(key).map(text)
}

fn pass(store: &Store, time: Duration) {
    let clock = &store.shared.clock;
    clock
        .ahead
        .fetch_add(clock::millis(time), Ordering::Relaxed);
}

/// What a watcher hears now, as "key=value", or "key" of a key that was removed.
fn heard(store: &Store) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let changes = store.changes(0).unwrap();
    let mut heard = Vec::new();
    runtime.block_on(async {
        use std::task::Poll;
        loop {
            let mut next = std::pin::pin!(changes.next());
            let next = std::future::poll_fn(|context| {
                Poll::Ready(match next.as_mut().poll(context) {
                    Poll::Ready(change) => Some(change),
                    Poll::Pending => None,
                })
            });
            let Some(change) = next.await else {
                return;
            };
            heard.push(match change.value {
                Some(value) => format!("{}={}", change.key, String::from_utf8_lossy(&value)),
                None => change.key.to_string(),
            });
        }
    });
    heard
}

#[test]
fn what_is_set_is_there_until_it_is_deleted() {
    let store = memory(&config(config::Bucket::default()));
    let rooms = rooms(&store);
    assert_eq!(get(&rooms, "tea"), None);
    set(&rooms, "tea", "green").unwrap();
    assert_eq!(get(&rooms, "tea").as_deref(), Some("green"));
    assert!(rooms.exists("tea"));
    set(&rooms, "tea", "").unwrap();
    assert_eq!(get(&rooms, "tea").as_deref(), Some(""));
    delete(&rooms, "tea").unwrap();
    delete(&rooms, "tea").unwrap();
    assert!(!rooms.exists("tea"));
    assert_eq!(rooms.status().bytes, 0);
    assert!(store.bucket("halls").is_none());
}

#[test]
fn a_write_over_a_limit_is_refused_with_the_key_to_raise() {
    let store = memory(&config(config::Bucket {
        key: 4,
        value: 10,
        keys: 3,
        size: 3 * 128 + 20,
        ..config::Bucket::default()
    }));
    let rooms = rooms(&store);
    let refused = |key: &str, value: &str| set(&rooms, key, value).unwrap_err().to_string();
    assert_eq!(
        refused("12345", ""),
        "the key has 5 bytes, over the limit of 4 of bucket \"rooms\": raise `key` of the bucket"
    );
    assert_eq!(
        refused("a", "12345678901"),
        "the value has 11 bytes, over the limit of 10 of bucket \"rooms\": raise `value` of the bucket"
    );
    set(&rooms, "a", "1234567890").unwrap();
    set(&rooms, "b", "123456").unwrap();
    assert_eq!(
        refused("c", "12"),
        "bucket \"rooms\" would be over its limit of 404 bytes: delete some keys, or raise `size` of the bucket"
    );
    assert_eq!(get(&rooms, "c"), None);
    set(&rooms, "c", "1").unwrap();
    assert_eq!(
        refused("d", ""),
        "bucket \"rooms\" has as many keys as it may, 3: delete some, or raise `keys` of the bucket"
    );
    set(&rooms, "c", "").unwrap();
    let refusals: Vec<_> = rooms
        .status()
        .refusals
        .into_iter()
        .filter(|(_, n)| *n > 0)
        .collect();
    assert_eq!(
        refusals,
        [("key", 1), ("value", 1), ("keys", 1), ("size", 1)]
    );
}

#[test]
fn all_buckets_together_have_a_limit() {
    let mut config = config(config::Bucket::default());
    config.plugins[0].grants.store.push("halls".to_owned());
    config.store.size = 2 * 128 + 10;
    let store = memory(&config);
    let (rooms, halls) = (rooms(&store), store.bucket("halls").unwrap());
    set(&rooms, "a", "1234").unwrap();
    set(halls, "b", "1234").unwrap();
    let refusal = set(halls, "b", "12345").unwrap_err().to_string();
    assert!(refusal.starts_with("all buckets together would be over their limit of 266 bytes"));
    assert_eq!(get(halls, "b").as_deref(), Some("1234"));
    delete(&rooms, "a").unwrap();
    set(halls, "b", "12345").unwrap();
}

#[test]
fn a_batch_happens_whole_or_not_at_all() {
    let mut config = config(config::Bucket {
        keys: 3,
        ..config::Bucket::default()
    });
    config.store.batch = 4;
    let store = memory(&config);
    let rooms = rooms(&store);
    let pairs = |keys: &[&str]| -> Vec<(Arc<str>, Bytes)> {
        keys.iter()
            .map(|key| (Arc::from(*key), Bytes::from((*key).to_owned())))
            .collect()
    };
    set(&rooms, "b", "before").unwrap();
    assert!(settle(rooms.set_many(pairs(&["a", "b", "c", "d"]))).is_err());
    assert_eq!(*rooms.page(None).keys, ["b".into()]);
    assert_eq!(get(&rooms, "b").as_deref(), Some("before"));
    // The same key twice is one key, and the last value counts.
    settle(rooms.set_many(pairs(&["a", "b", "c", "c"]))).unwrap();
    let keys = ["c", "x", "b"].map(str::to_owned);
    let values = rooms.get_many(&keys).unwrap();
    assert_eq!(values, [Some("c".into()), None, Some("b".into())]);
    let refusal = settle(rooms.set_many(pairs(&["a"; 5])))
        .unwrap_err()
        .to_string();
    assert_eq!(
        refusal,
        "the call names 5 keys, over the limit of 4: split it, or raise `batch` in [store]"
    );
    settle(rooms.delete_many(vec!["a".into(), "x".into(), "c".into()])).unwrap();
    assert_eq!(*rooms.page(None).keys, ["b".into()]);
}

#[test]
fn keys_come_in_pages_of_a_thousand_in_order() {
    let store = memory(&config(config::Bucket::default()));
    let rooms = rooms(&store);
    for number in (0..2001).rev() {
        set(&rooms, &format!("{number:04}"), "").unwrap();
    }
    let first = rooms.page(None);
    assert_eq!(
        (first.keys.len(), first.cursor.as_deref()),
        (1000, Some("0999"))
    );
    // A cursor's key may go meanwhile.
    delete(&rooms, "0999").unwrap();
    let second = rooms.page(first.cursor.as_deref());
    assert_eq!((&*second.keys[0], second.keys.len()), ("1000", 1000));
    let last = rooms.page(second.cursor.as_deref());
    assert_eq!((last.keys, last.cursor), (vec!["2000".into()], None));
}

#[test]
fn numbers_are_decimal_text() {
    let store = memory(&config(config::Bucket::default()));
    let rooms = rooms(&store);
    let increment = |by| rooms.increment("n".into(), by).map(|(sum, _)| sum);
    assert_eq!(increment(5), Ok(5));
    assert_eq!(increment(-7), Ok(-2));
    assert_eq!(get(&rooms, "n").as_deref(), Some("-2"));
    set(&rooms, "n", &i64::MAX.to_string()).unwrap();
    let refusal = increment(1).unwrap_err().to_string();
    assert!(
        refusal.ends_with("adding 1 is beyond what 64 bits hold"),
        "{refusal}"
    );
    for text in ["", "1.5", " 1", "seven", "9223372036854775808"] {
        set(&rooms, "n", text).unwrap();
        assert!(
            matches!(increment(1), Err(StoreError::NotANumber { .. })),
            "{text:?}"
        );
        assert_eq!(get(&rooms, "n").as_deref(), Some(text));
    }
}

#[test]
fn a_swap_notices_a_value_that_went_and_came_back() {
    let store = memory(&config(config::Bucket::default()));
    let rooms = rooms(&store);
    let swap = |seen: &Seen, value: &str| rooms.swap(seen, Bytes::from(value.to_owned())).unwrap();
    let missing = rooms.see("k".into());
    assert_eq!(missing.value(), None);
    assert!(matches!(swap(&missing, "1"), Swap::Done(_)));
    let Swap::Changed(one) = swap(&missing, "2") else {
        panic!("it is there now");
    };
    assert_eq!(one.value().unwrap(), "1");
    delete(&rooms, "k").unwrap();
    set(&rooms, "k", "1").unwrap();
    let Swap::Changed(again) = swap(&one, "2") else {
        panic!("it was set anew");
    };
    assert!(matches!(swap(&again, "2"), Swap::Done(_)));
    assert_eq!(get(&rooms, "k").as_deref(), Some("2"));
}

#[test]
fn swaps_of_many_threads_lose_none() {
    const THREADS: u64 = 4;
    const EACH: u64 = 2000;
    let store = memory(&config(config::Bucket::default()));
    let add = || {
        let rooms = rooms(&store);
        for _ in 0..EACH {
            let mut seen = rooms.see("n".into());
            loop {
                let number = seen.value().map_or(0, |value| {
                    std::str::from_utf8(value).unwrap().parse::<u64>().unwrap()
                });
                match rooms
                    .swap(&seen, Bytes::from((number + 1).to_string()))
                    .unwrap()
                {
                    Swap::Done(_) => break,
                    Swap::Changed(fresh) => seen = fresh,
                }
            }
            let _ = rooms.increment("m".into(), 1).unwrap();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(add);
        }
    });
    let sum = (THREADS * EACH).to_string();
    assert_eq!(get(&rooms(&store), "n"), Some(sum.clone()));
    assert_eq!(get(&rooms(&store), "m"), Some(sum));
}

#[test]
fn an_entry_expires_after_its_last_write() {
    let store = memory(&config(config::Bucket {
        ttl: Some(Duration::from_secs(60)),
        ..config::Bucket::default()
    }));
    let rooms = rooms(&store);
    set(&rooms, "a", "1").unwrap();
    set(&rooms, "b", "1").unwrap();
    pass(&store, Duration::from_secs(40));
    set(&rooms, "a", "2").unwrap();
    let seen = rooms.see("b".into());
    pass(&store, Duration::from_secs(40));
    assert_eq!(get(&rooms, "a").as_deref(), Some("2"));
    assert_eq!((get(&rooms, "b"), rooms.exists("b")), (None, false));
    assert_eq!(*rooms.page(None).keys, ["a".into()]);
    // It is as if it had been deleted.
    let swapped = rooms.swap(&seen, Bytes::from("2")).unwrap();
    assert!(matches!(swapped, Swap::Changed(seen) if seen.value().is_none()));
    assert_eq!(rooms.increment("b".into(), 3).unwrap().0, 3);
}

#[test]
fn what_has_expired_is_removed_and_told() {
    let store = memory(&config(config::Bucket {
        ttl: Some(Duration::from_secs(60)),
        ..config::Bucket::default()
    }));
    let rooms = rooms(&store);
    set(&rooms, "a", "1").unwrap();
    set(&rooms, "b", "1").unwrap();
    pass(&store, Duration::from_secs(30));
    set(&rooms, "a", "2").unwrap();
    assert_eq!(heard(&store), ["a=1", "b=1", "a=2"]);
    pass(&store, Duration::from_secs(30));
    // The sweeper's thread may come first, and then there is nothing to do here.
    while rooms.sweep() {}
    assert_eq!(heard(&store), ["b"]);
    assert_eq!(rooms.status().keys, 1);
}

#[test]
fn a_watcher_hears_in_order_and_misses_the_oldest() {
    let store = memory(&config(config::Bucket::default()));
    let rooms = rooms(&store);
    set(&rooms, "a", "1").unwrap();
    delete(&rooms, "a").unwrap();
    delete(&rooms, "a").unwrap();
    assert!(set(&rooms, &"x".repeat(256), "").is_err());
    assert_eq!(heard(&store), ["a=1", "a"]);
    for number in 1..=6 {
        set(&rooms, "n", &number.to_string()).unwrap();
    }
    assert_eq!(heard(&store), ["n=3", "n=4", "n=5", "n=6"]);
    assert_eq!(store.status().dropped_changes, [(0, 2)]);
}

#[test]
fn operations_are_counted_key_by_key() {
    let store = memory(&config(config::Bucket::default()));
    let rooms = rooms(&store);
    set(&rooms, "a", "1").unwrap();
    rooms.get_many(&["a".to_owned(), "b".to_owned()]).unwrap();
    rooms.get("a");
    rooms.page(None);
    let counted: Vec<_> = rooms
        .status()
        .operations
        .into_iter()
        .filter(|(_, n)| *n > 0)
        .collect();
    assert_eq!(counted, [("get", 3), ("list", 1), ("set", 1)]);
}
