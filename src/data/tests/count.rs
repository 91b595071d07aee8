//! Property: where nobody counts, the number of keys is exact while it is small and good beyond, and
//! costs a bounded amount of work.

use std::sync::Arc;

use super::*;
use crate::clock;
use crate::data::Population;
use crate::limits::{COMMAND_DEADLINE, COUNT_RANGES_MAX, EXPIRES_SEEN_MAX, SCAN_STEP};
use crate::store::fault::{FaultPlan, FaultStore};
use crate::store::wait::wait;
use crate::store::{Mode, Mutations, Store as _};

/// A store that has to fetch everything, with keys whose values have so many bytes.
fn store(number: usize, bytes: usize) -> Arc<FaultStore> {
    let inner = MemoryStore::new();
    let mut mutations = Mutations::default();
    let value = vec![0; bytes];
    for key in 0..number {
        mutations.set(&keys::meta(1, format!("key:{key}").as_bytes()), &[&value]);
    }
    inner.commit(1, &mutations).unwrap();
    let plan = FaultPlan { seed: 1, pending_1_in: 1, ..FaultPlan::default() };
    Arc::new(FaultStore::new(Arc::new(inner), plan))
}

/// What a view says, and how often something had to be fetched for it.
fn ask(store: &Arc<FaultStore>, f: impl Fn(&View<'_>) -> Result<u64, Stop>) -> (u64, usize) {
    let (now_ms, sequence, order, seed, value_bytes_max) = (1, 1, 0, 1, 1);
    let moment = Moment { now_ms, sequence, order, seed, value_bytes_max };
    let mut transaction = Arc::clone(store).transaction();
    transaction.begin(Mode::Read, clock::monotonic() + COMMAND_DEADLINE);
    for fetches in 0..10 {
        let (mut overlay, mut answer) = (Overlay::default(), None);
        transaction.read(&mut |snapshot| {
            let view = View::new(snapshot, &mut overlay, moment);
            assert_eq!(view.exact_size(1), Ok(None));
            answer = Some(f(&view));
        });
        match answer.unwrap() {
            Ok(count) => return (count, fetches),
            Err(stop) => assert_eq!(stop, Stop::Pending),
        }
        wait(|cx| transaction.poll_fetch(cx)).unwrap();
    }
    panic!("it takes too many fetches");
}

/// A store with keys of which every third expires, after ten seconds on average.
fn expiring(number: usize) -> Arc<MemoryStore> {
    let inner = MemoryStore::new();
    let mut mutations = Mutations::default();
    for key in 0..number {
        let expires_ms = if key % 3 == 0 { 5_000 + (key as u64 / 3 % 2) * 10_000 } else { 0 };
        let header = Header { kind: Kind::String, expires_ms, stamp: [0; 12] };
        let record = keys::meta(keys::initial_keyspace(0, 0), format!("key:{key}").as_bytes());
        mutations.set(&record, &[&header.encode()]);
    }
    inner.commit(1, &mutations).unwrap();
    Arc::new(inner)
}

#[test]
fn fewer_are_looked_at_where_the_number_is_known() {
    let mut world = World::new();
    let number = 4 * EXPIRES_SEEN_MAX;
    for key in 0..number {
        let expires_ms = if key % 2 == 0 { world.now_ms + 7_000 } else { 0 };
        world.set(0, &format!("key:{key}"), b"x", expires_ms);
    }
    let Population { keys, expires, ttl_ms } = world.group(|view| view.population(0, 0));
    assert_eq!((keys, ttl_ms), (number as u64, 7_000));
    assert!(error(expires, number / 2) < 0.2, "{expires} of {number}");
}

#[test]
fn keys_that_expire_are_counted_among_some() {
    for number in [0, 600, 50_000] {
        let plan = FaultPlan { seed: 1, pending_1_in: 1, ..FaultPlan::default() };
        let store = Arc::new(FaultStore::new(expiring(number), plan));
        let (keys, _) = ask(&store, |view| Ok(view.population(0, 0)?.keys));
        let (expires, _) = ask(&store, |view| Ok(view.population(0, 0)?.expires));
        let (ttl_ms, fetches) = ask(&store, |view| Ok(view.population(0, 0)?.ttl_ms));
        match number {
            0 => assert_eq!([keys, expires, ttl_ms], [0, 0, 0]),
            600 => assert_eq!([keys, expires, ttl_ms], [600, 200, 9_999]),
            _ => {
                assert!(error(expires, number / 3) < 0.2, "{expires} of {number}");
                assert!(error(ttl_ms, 10_000) < 0.1, "{ttl_ms} ms");
            }
        }
        assert!(fetches <= 2, "{fetches}");
    }
}

fn error(count: u64, number: usize) -> f64 {
    (count as f64 / number as f64 - 1.0).abs()
}

#[test]
fn few_keys_are_counted() {
    for number in [0, 1, SCAN_STEP - 1, SCAN_STEP, SCAN_STEP + 1, 50_000] {
        let store = store(number, 30);
        let (count, fetches) = ask(&store, |view| view.count_keys(1));
        assert_eq!(count, number as u64);
        assert_eq!(fetches, if number < SCAN_STEP { 1 } else { 2 });
        let (rough, fetches) = ask(&store, |view| view.count_keys_roughly(1));
        assert!(number < SCAN_STEP && rough == count || error(rough, number) < 0.1, "{rough}");
        assert!(fetches <= 1);
    }
}

#[test]
fn many_keys_are_estimated() {
    let number = 3 * SCAN_STEP * COUNT_RANGES_MAX as usize / 2;
    let many = store(number, 0);
    let (count, fetches) = ask(&many, |view| view.count_keys(1));
    assert!(error(count, number) < 0.01, "{count} of {number}");
    assert_eq!(fetches, 2);
    // Larger ones are seen in fewer ranges.
    let large = store(30_000, 2000);
    let (count, fetches) = ask(&large, |view| view.count_keys(1));
    assert!(count != 30_000 && error(count, 30_000) < 0.02, "{count}");
    assert_eq!(fetches, 2);
}
