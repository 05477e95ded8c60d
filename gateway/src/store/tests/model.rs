//! Random operations on a store with a file, beside a naive model: memory, the model, and what a
//! restart reads must agree.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::disk::in_folder;
use super::*;

#[derive(Clone, Debug)]
enum Step {
    Set(u8, u8),
    Delete(u8),
    SetMany(Vec<(u8, u8)>),
    DeleteMany(Vec<u8>),
    Increment(u8, i8),
    Swap(u8, u8),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..12_u8;
    prop_oneof![
        4 => (key(), any::<u8>()).prop_map(|(key, value)| Step::Set(key, value)),
        2 => key().prop_map(Step::Delete),
        2 => vec((key(), any::<u8>()), 0..6).prop_map(Step::SetMany),
        1 => vec(key(), 0..6).prop_map(Step::DeleteMany),
        2 => (key(), any::<i8>()).prop_map(|(key, by)| Step::Increment(key, by)),
        2 => (key(), any::<u8>()).prop_map(|(key, value)| Step::Swap(key, value)),
        1 => Just(Step::Restart),
    ]
}

type Model = BTreeMap<String, String>;

/// Room for eight keys; a value is its number's text.
const KEYS: usize = 8;

fn name(key: u8) -> String {
    format!("key-{key}")
}

/// Applies pairs to the model unless that would be too many keys.
fn set_in(model: &mut Model, pairs: &[(u8, u8)]) -> bool {
    let mut next = model.clone();
    next.extend(
        pairs
            .iter()
            .map(|(key, value)| (name(*key), value.to_string())),
    );
    let fits = next.len() <= KEYS.max(model.len());
    if fits {
        *model = next;
    }
    fits
}

fn apply(model: &mut Model, rooms: &Arc<Bucket>, step: &Step) {
    let value = |value: &u8| Bytes::from(value.to_string());
    match step {
        Step::Set(key, to) => {
            let written = settle(rooms.set(name(*key).into(), value(to)));
            assert_eq!(written.is_ok(), set_in(model, &[(*key, *to)]));
        }
        Step::SetMany(pairs) => {
            let many = pairs.iter().map(|(key, to)| (name(*key).into(), value(to)));
            let written = settle(rooms.set_many(many.collect()));
            assert_eq!(written.is_ok(), set_in(model, pairs));
        }
        Step::Delete(key) => {
            settle(rooms.delete(name(*key).into())).unwrap();
            model.remove(&name(*key));
        }
        Step::DeleteMany(keys) => {
            let many = keys.iter().map(|key| name(*key).into());
            settle(rooms.delete_many(many.collect())).unwrap();
            for key in keys {
                model.remove(&name(*key));
            }
        }
        Step::Increment(key, by) => {
            let number = model
                .get(&name(*key))
                .map_or(0, |text| text.parse::<i64>().unwrap());
            let sum = number + i64::from(*by);
            let fits = model.contains_key(&name(*key)) || model.len() < KEYS;
            match rooms.increment(name(*key).into(), i64::from(*by)) {
                Ok((incremented, pending)) => {
                    settle(Ok(pending)).unwrap();
                    assert_eq!((incremented, fits), (sum, true));
                    model.insert(name(*key), sum.to_string());
                }
                Err(_) => assert!(!fits),
            }
        }
        Step::Swap(key, to) => {
            let seen = rooms.see(name(*key).into());
            match rooms.swap(&seen, value(to)) {
                Ok(Swap::Done(pending)) => {
                    settle(Ok(pending)).unwrap();
                    assert!(set_in(model, &[(*key, *to)]));
                }
                Ok(Swap::Changed(_)) => panic!("nobody else writes"),
                Err(_) => assert!(!set_in(model, &[(*key, *to)])),
            }
        }
        Step::Restart => {}
    }
}

fn check(model: &Model, store: &Store) {
    let rooms = rooms(store);
    let keys = rooms.page(None).keys;
    let held: Model = keys
        .iter()
        .map(|key| (key.to_string(), get(&rooms, key).unwrap()))
        .collect();
    assert_eq!(held, *model);
    let bytes: usize = model
        .iter()
        .map(|(key, value)| key.len() + value.len() + 128)
        .sum();
    assert_eq!(rooms.status().bytes, bytes);
    assert_eq!(store.shared.bytes.load(Ordering::Relaxed), bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn memory_the_disk_and_a_naive_model_agree(steps in vec(step(), 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let config = in_folder(folder.path(), config::Bucket {
            keys: KEYS,
            ..config::Bucket::default()
        });
        let mut store = Store::open(&config).unwrap();
        let mut model = Model::new();
        for step in &steps {
            if let Step::Restart = step {
                drop(store);
                store = Store::open(&config).unwrap();
            }
            apply(&mut model, &rooms(&store), step);
            check(&model, &store);
        }
        drop(store);
        check(&model, &Store::open(&config).unwrap());
    }
}
