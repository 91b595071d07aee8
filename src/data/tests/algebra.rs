//! Property: unions, intersections and differences are those of mathematics, whatever the sizes, on
//! stores that answer at once and on those that fetch, which takes few fetches.

use std::sync::Arc;

use super::*;
use crate::clock;
use crate::data::collection::Collection;
use crate::data::collection::algebra::{self, TailVisitor};
use crate::data::random::Random;
use crate::limits::COMMAND_DEADLINE;
use crate::store::fault::{FaultPlan, FaultStore};
use crate::store::wait::wait;
use crate::store::{Mode, Store as _};

const MOMENT: Moment =
    Moment { now_ms: 1, sequence: 1, seed: 1, value_bytes_max: 1 << 20, order: 0 };

type Numbers = BTreeSet<u32>;
type Operation = fn(&View<'_>, &[Collection], &mut TailVisitor<'_>) -> Result<(), Stop>;

/// A store with these sets at `0`, `1`, ...
fn store(sets: &[Numbers]) -> Arc<MemoryStore> {
    let (store, mut overlay) = (MemoryStore::new(), Overlay::default());
    store.read(&mut |snapshot| {
        let mut view = View::new(snapshot, &mut overlay, MOMENT);
        for (index, numbers) in sets.iter().enumerate() {
            let key = index.to_string();
            let set = Collection::open(&mut view, 1, key.as_bytes(), Kind::Set).unwrap();
            for number in numbers {
                view.set(&set.element(&number.to_be_bytes()), &[]);
            }
            set.grown(&mut view, numbers.len() as u64).unwrap();
        }
    });
    store.commit(1, overlay.mutations()).unwrap();
    Arc::new(store)
}

/// What an operation makes of so many sets; nothing is visited twice.
fn run(snapshot: &dyn Snapshot, count: usize, operation: Operation) -> Result<Numbers, Stop> {
    let mut overlay = Overlay::default();
    let view = View::new(snapshot, &mut overlay, MOMENT);
    let find = |index: usize| Collection::find(&view, 1, index.to_string().as_bytes(), Kind::Set);
    let sets: Result<Vec<_>, Stop> = (0..count).map(|index| Ok(find(index)?.unwrap())).collect();
    let mut found = Numbers::new();
    operation(&view, &sets?, &mut |tail| {
        assert!(found.insert(keys::be_u32(keys::tail_name(tail))), "visited twice");
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

fn check(sets: &[Numbers], fetches_max: usize) {
    let fold = |f: fn(&Numbers, &Numbers) -> Numbers| {
        sets[1..].iter().fold(sets[0].clone(), |all, next| f(&all, next))
    };
    let operations: [(Operation, Numbers); 3] = [
        (algebra::union, fold(|a, b| a | b)),
        (algebra::intersection, fold(|a, b| a & b)),
        (algebra::difference, fold(|a, b| a - b)),
    ];
    let inner = store(sets);
    let plan = FaultPlan { seed: 1, pending_1_in: 1, ..FaultPlan::default() };
    let remote = Arc::new(FaultStore::new(Arc::clone(&inner) as Arc<_>, plan));
    for (operation, expected) in operations {
        inner.read(&mut |snapshot| {
            assert!(run(snapshot, sets.len(), operation).unwrap() == expected)
        });
        let mut transaction = Arc::clone(&remote).transaction();
        transaction.begin(Mode::Read, clock::monotonic() + COMMAND_DEADLINE);
        let (mut found, mut fetches) = (Err(Stop::Pending), 0);
        while found == Err(Stop::Pending) {
            transaction.read(&mut |snapshot| found = run(snapshot, sets.len(), operation));
            wait(|cx| transaction.poll_fetch(cx)).unwrap();
            fetches += 1;
        }
        assert!(found.unwrap() == expected);
        assert!(fetches <= fetches_max + sets.len(), "{fetches} fetches");
    }
}

fn numbers(range: std::ops::Range<u32>) -> Numbers {
    range.collect()
}

#[test]
fn few_sets_of_any_sizes() {
    check(&[numbers(0..10)], 5);
    check(&[numbers(0..10), numbers(5..20), numbers(7..9)], 5);
    // Walked through beside one another, in several steps.
    check(&[numbers(0..10_000), numbers(5000..15_000)], 9);
    check(&[numbers(0..20_000), numbers(100..20_100), numbers(0..20_000)], 16);
    // Asked for each element.
    check(&[numbers(0..50), numbers(20..30_000)], 12);
    check(&[numbers(0..1025), numbers(1000..1001), numbers(0..40_000)], 14);
}

#[test]
fn many_sets() {
    let mut random = Random::new(5);
    let mut any = |size: u64| -> Numbers { (0..size).map(|_| random.below(500) as u32).collect() };
    let sets: Vec<Numbers> = (0..300).map(|index| any(1 + 40 * (index % 7))).collect();
    check(&sets, 12);
    let alike: Vec<Numbers> = (0..5).map(|_| any(4000)).collect();
    check(&alike, 5);
}
