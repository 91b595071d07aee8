//! Property: a choice at random is exactly uniform in a small collection and nearly so in a large one,
//! reads a bounded part of it, and is the same when it is made again after a fetch.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use super::*;
use crate::clock;
use crate::data::collection::{Collection, Draw};
use crate::data::random::Random;
use crate::limits::{COMMAND_DEADLINE, SAMPLE_RUN};
use crate::store::fault::{FaultPlan, FaultStore};
use crate::store::wait::wait;
use crate::store::{Mode, ReadError, Store as _, Value, Visitor};

const MOMENT: Moment =
    Moment { now_ms: 1, sequence: 1, seed: 1, value_bytes_max: 1 << 20, order: 0 };

/// A store with one set, at `set`.
fn store(size: u32) -> MemoryStore {
    let (store, mut overlay) = (MemoryStore::new(), Overlay::default());
    store.read(&mut |snapshot| {
        let mut view = View::new(snapshot, &mut overlay, MOMENT);
        let set = Collection::open(&mut view, 1, b"set", Kind::Set).unwrap();
        for number in 0..size {
            view.set(&set.element(&number.to_be_bytes()), &[]);
        }
        set.grown(&mut view, size.into()).unwrap();
        view.finish().unwrap();
    });
    store.commit(1, overlay.mutations()).unwrap();
    store
}

/// What a draw chooses.
fn draw(snapshot: &dyn Snapshot, seed: u64, draw: Draw) -> Result<Vec<Vec<u8>>, Stop> {
    let mut overlay = Overlay::default();
    let view = View::new(snapshot, &mut overlay, MOMENT);
    let set = Collection::find(&view, 1, b"set", Kind::Set)?.unwrap();
    let mut drawn = Vec::new();
    set.draw(&view, seed, draw, &mut |key, _| {
        drawn.push(keys::split_field(key).to_vec());
        ControlFlow::Continue(())
    })?;
    Ok(drawn)
}

/// How far the numbers of times that elements were drawn are from being equal: chi-squared, whose mean is
/// the number of elements less 1 if all are as likely, and more by `draws * bias^2` if their chances
/// differ by `bias`, relatively. Negated draws may repeat.
fn chi_squared(size: u32, count: i64, draws: u32) -> f64 {
    let store = store(size);
    let (mut times, mut random) = (HashMap::<Vec<u8>, u32>::new(), Random::new(7));
    let wanted = match u64::try_from(count) {
        Ok(count) => Draw::Distinct(count),
        Err(_) => Draw::Repeated(count.unsigned_abs()),
    };
    store.read(&mut |snapshot| {
        for _ in 0..draws {
            let drawn = draw(snapshot, random.number(), wanted).unwrap();
            assert_eq!(drawn.len() as u64, count.unsigned_abs());
            if count > 0 {
                assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), drawn.len());
            }
            drawn.into_iter().for_each(|element| *times.entry(element).or_default() += 1);
        }
    });
    let expected = f64::from(draws) * count.unsigned_abs() as f64 / f64::from(size);
    let of_drawn = times.values().map(|times| (f64::from(*times) - expected).powi(2) / expected);
    of_drawn.sum::<f64>() + (f64::from(size) - times.len() as f64) * expected
}

#[test]
fn choices_in_a_small_collection_are_uniform() {
    // Five standard deviations above the mean.
    let bound = |size: u32| f64::from(size - 1) + 5.0 * f64::from(2 * size).sqrt();
    for (size, count) in [(10, 1), (50, 1), (63, 1), (50, 7), (50, -7), (60, 59)] {
        let found = chi_squared(size, count, 10_000);
        assert!(found < bound(size), "{count} of {size}: {found}");
    }
    // These are chosen in a walk through all.
    for (size, count) in [(64, 50), (300, 100), (1000, 900)] {
        let found = chi_squared(size, count, 1000);
        assert!(found < bound(size), "{count} of {size}: {found}");
    }
}

#[test]
fn choices_in_a_large_collection_are_nearly_uniform() {
    for (size, count, draws) in
        [(500, 1, 50_000), (2000, 1, 50_000), (2000, -5, 10_000), (5000, 5, 10_000)]
    {
        let drawn = f64::from(draws) * count as f64;
        // A chance is off by one part in the square root of a run's elements.
        let bias = drawn.abs() / SAMPLE_RUN as f64;
        let bound = f64::from(size - 1) + 5.0 * f64::from(2 * size).sqrt() + bias;
        let found = chi_squared(size, count, draws);
        assert!(found < bound, "{count} of {size}: {found} is more than {bound}");
    }
}

/// Counts the records that are visited.
struct Counting<'a> {
    inner: &'a dyn Snapshot,
    visited: Cell<usize>,
}

impl Snapshot for Counting<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Value<'_>>, ReadError> {
        self.inner.get(key)
    }

    fn scan(&self, scan: Scan<'_>, visit: &mut Visitor<'_>) -> Result<(), ReadError> {
        self.inner.scan(scan, &mut |key, record| {
            self.visited.set(self.visited.get() + 1);
            visit(key, record)
        })
    }

    fn answers_at_once(&self) -> bool {
        self.inner.answers_at_once()
    }
}

#[test]
fn a_choice_reads_a_bounded_part() {
    let size = 100_000;
    store(size).read(&mut |inner| {
        let (mut random, size) = (Random::new(3), size as usize);
        for count in [1, 2, 50, 1000, 5000, 50_000, size, 2 * size] {
            let snapshot = Counting { inner, visited: Cell::new(0) };
            let drawn = draw(&snapshot, random.number(), Draw::Distinct(count as u64)).unwrap();
            assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), count.min(size));
            let few = SAMPLE_RUN * (count + 1).min(100) + 9 * count;
            let visited = snapshot.visited.get();
            assert!(visited <= few.min(size + SAMPLE_RUN), "{count}: {visited}");
        }
    });
}

#[test]
fn a_choice_after_fetches_is_the_one_that_was_fetched() {
    for size in [5, 50, 1000, 20_000] {
        let inner = Arc::new(store(size));
        let plan = FaultPlan { seed: 1, pending_1_in: 1, ..FaultPlan::default() };
        let remote = Arc::new(FaultStore::new(Arc::clone(&inner) as Arc<_>, plan));
        for (wanted, fetches_max) in [
            (Draw::Distinct(1), 2),
            (Draw::Distinct(3), 3),
            (Draw::Distinct(u64::from(size) / 2), 9),
            (Draw::Repeated(300), 3),
        ] {
            let mut expected = Vec::new();
            inner.read(&mut |snapshot| expected = draw(snapshot, 11, wanted).unwrap());
            let mut transaction = Arc::clone(&remote).transaction();
            transaction.begin(Mode::Read, clock::monotonic() + COMMAND_DEADLINE);
            let mut drawn = Err(Stop::Pending);
            let mut fetches = 0;
            loop {
                transaction.read(&mut |snapshot| drawn = draw(snapshot, 11, wanted));
                match &drawn {
                    Err(Stop::Pending) => wait(|cx| transaction.poll_fetch(cx)).unwrap(),
                    _ => break,
                }
                fetches += 1;
            }
            assert_eq!(drawn.unwrap(), expected);
            assert!(fetches <= fetches_max, "{wanted:?} of {size}: {fetches} fetches");
        }
    }
}

#[test]
fn hashes_made_to_lie_together_do_no_harm() {
    // As if somebody had found names for them.
    let (store, mut overlay) = (MemoryStore::new(), Overlay::default());
    let size = 2000_u32;
    store.read(&mut |snapshot| {
        let mut view = View::new(snapshot, &mut overlay, MOMENT);
        let set = Collection::open(&mut view, 1, b"set", Kind::Set).unwrap();
        for number in 0..size {
            let mut tail = 77_u64.to_be_bytes().to_vec();
            tail.extend_from_slice(&number.to_be_bytes());
            view.set(&set.element_at(&tail), &[]);
        }
        set.grown(&mut view, size.into()).unwrap();
    });
    store.commit(1, overlay.mutations()).unwrap();
    store.read(&mut |snapshot| {
        for (wanted, count) in [(1, 1), (200, 200), (1999, 1999), (5000, 2000)] {
            let drawn = draw(snapshot, 5, Draw::Distinct(wanted)).unwrap();
            assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), count);
        }
    });
}

#[test]
fn whoever_draws_the_only_element_knows_that_it_was() {
    for (size, alone) in [(1, true), (2, false), (SAMPLE_RUN as u32 + 1, false)] {
        let store = store(size);
        store.read(&mut |snapshot| {
            let mut overlay = Overlay::default();
            let view = View::new(snapshot, &mut overlay, MOMENT);
            let set = Collection::find(&view, 1, b"set", Kind::Set).unwrap().unwrap();
            for seed in 0..20 * SAMPLE_RUN as u64 {
                let mut drawn = 0;
                let all = set.draw(&view, seed, Draw::Distinct(1), &mut |_, _| {
                    drawn += 1;
                    ControlFlow::Continue(())
                });
                assert_eq!((all, drawn), (Ok(alone), 1), "seed {seed}, {size} elements");
            }
        });
    }
}
