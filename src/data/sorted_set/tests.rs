//! Property: whatever is done to a sorted set, each entry of its rank index says how many members there
//! are up to the next one, and ranks and ranges are those of a sorted list.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::index::LEVELS_MAX;
use super::*;
use crate::data::{Moment, Overlay};
use crate::store::memory::MemoryStore;
use crate::store::{Local as _, Scan, Snapshot, Store as _, Value, Visitor, counter};

const KEY: &[u8] = b"z";
const KEYSPACE: KeyspaceId = 1;

/// Every fourth member is an entry of the level above.
const TINY: Rule = Rule { bits: 2, small_max: 8 };

/// A snapshot on which counters are added to blindly.
struct Blind<'a>(&'a dyn Snapshot);

impl Snapshot for Blind<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Value<'_>>, crate::store::ReadError> {
        self.0.get(key)
    }

    fn scan(&self, scan: Scan<'_>, visit: &mut Visitor<'_>) -> Result<(), crate::store::ReadError> {
        self.0.scan(scan, visit)
    }

    fn answers_at_once(&self) -> bool {
        false
    }
}

/// A sorted set, and what should be in it.
struct World {
    store: MemoryStore,
    sequence: u64,
    blind: bool,
    model: BTreeMap<Vec<u8>, f64>,
    random: u64,
}

type Step<'s> = dyn FnMut(&mut View<'_>) -> Result<(), Stop> + 's;

impl World {
    fn new(seed: u64, blind: bool) -> World {
        let (store, model) = (MemoryStore::new(), BTreeMap::new());
        World { store, sequence: 0, blind, model, random: seed }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random = keys::hash64(&self.random.wrapping_add(0x9e37).to_be_bytes());
        self.random % below
    }

    /// Runs commands in one group; when additions are blind they stay so until the group ends.
    fn group(&mut self, commit: bool, step: &mut Step<'_>) {
        self.sequence += 1;
        let sequence = self.sequence;
        let moment = Moment { now_ms: 1, sequence, seed: 1, value_bytes_max: 1, order: 0 };
        let mut overlay = Overlay::default();
        let blind = self.blind;
        self.store.read(&mut |snapshot| {
            let blinded = Blind(snapshot);
            let snapshot: &dyn Snapshot = if blind { &blinded } else { snapshot };
            let mut view = View::new(snapshot, &mut overlay, moment);
            step(&mut view).unwrap();
            view.finish().unwrap();
        });
        if commit {
            self.apply(&overlay);
        }
    }

    /// Commits, as a store would that adds by itself.
    fn apply(&mut self, overlay: &Overlay) {
        use crate::store::{Mutation, Mutations, counter_bytes};
        let mut mutations = Mutations::default();
        for mutation in overlay.mutations().iter() {
            match mutation {
                Mutation::Set { key, value } => _ = mutations.set(key, &[value]),
                Mutation::Clear { key } => _ = mutations.clear(key),
                Mutation::Add { key, by } => {
                    let mut sum = by;
                    self.store.read(&mut |snapshot| {
                        sum = by + counter(snapshot.get(key).unwrap().as_deref());
                    });
                    mutations.set(key, &[&counter_bytes(sum)]);
                }
            }
        }
        let sequence = self.store.next_sequence();
        self.store.commit(sequence, &mutations).unwrap();
    }

    /// The members in order.
    fn sorted(&self) -> Vec<(Vec<u8>, f64)> {
        let mut members: Vec<_> = self.model.clone().into_iter().collect();
        sort(&mut members);
        members
    }

    /// Some of what commands do, in one group.
    fn change(&mut self) {
        let mut steps: Vec<Box<Step<'static>>> = Vec::new();
        for _ in 0..1 + self.random(3) {
            match self.random(12) {
                0..=6 => self.add(&mut steps),
                7 => self.remove(&mut steps),
                8 => self.fail(&mut steps),
                _ => self.remove_run(&mut steps),
            }
        }
        self.group(true, &mut |view| steps.iter_mut().try_for_each(|step| step(view)));
    }

    fn add(&mut self, steps: &mut Vec<Box<Step<'static>>>) {
        let mut members = Vec::new();
        for _ in 0..1 + self.random(20) {
            let member = format!("m{}", self.random(300)).into_bytes();
            let score = self.random(40) as f64 - 20.0;
            self.model.insert(member.clone(), score);
            members.push((member, score));
        }
        steps.push(Box::new(move |view| {
            let mut set = open(view)?;
            let mut added = 0;
            for (member, score) in &members {
                let change = set.update(view, member, |_| Ok(Some(*score)))?;
                added += u64::from(change == Change::Added);
            }
            set.grown(view, KEY, added)
        }));
    }

    fn remove(&mut self, steps: &mut Vec<Box<Step<'static>>>) {
        let count = self.model.len() as u64;
        if count == 0 {
            return;
        }
        let at = self.random(count) as usize;
        let member = self.model.keys().nth(at).unwrap().clone();
        self.model.remove(&member);
        steps.push(Box::new(move |view| {
            let set = find(view)?.unwrap();
            assert!(set.remove(view, &member)?);
            set.collection().shrunk(view, KEY, 1).map(|_| ())
        }));
    }

    /// A command that changes something, may ask for a rank, and is undone.
    fn fail(&mut self, steps: &mut Vec<Box<Step<'static>>>) {
        let (name, first, asks) = (self.random(300), self.random(40) as u32, self.random(2) == 0);
        steps.push(Box::new(move |view| {
            let mark = view.mark();
            let mut set = open(view)?;
            for at in 0..12 {
                let member = format!("m{}", name + u64::from(at) * 7 % 40);
                let score = f64::from(first + at) - 20.0;
                set.update(view, member.as_bytes(), |_| Ok(Some(score)))?;
            }
            set.grown(view, KEY, 12)?;
            if asks {
                set.rank(view, format!("m{name}").as_bytes(), false)?;
            }
            view.rollback(mark);
            Ok(())
        }));
    }

    fn remove_run(&mut self, steps: &mut Vec<Box<Step<'static>>>) {
        let members = self.sorted();
        // Often from an end.
        let skip = self.random(2) * self.random(1 + members.len() as u64 / 2);
        let window = Window { skip, limit: self.random(20), reverse: self.random(2) == 0 };
        let picked = pick(&members, window);
        for (member, _) in &picked {
            self.model.remove(member);
        }
        steps.push(Box::new(move |view| {
            let Some(set) = find(view)? else { return Ok(()) };
            let taken = set.take(view, KEY, &Range::all(), window)?;
            let taken: Vec<_> = taken.iter().map(|taken| split(taken)).collect();
            let wanted: Vec<_> = picked.iter().map(|(name, score)| (*score, &name[..])).collect();
            assert_eq!(taken, wanted);
            Ok(())
        }));
    }

    fn check(&mut self) {
        let members = self.sorted();
        let places: Vec<u64> = (0..8).map(|_| self.random(1 + members.len() as u64)).collect();
        self.group(false, &mut |view| {
            let Some(set) = find(view)? else {
                assert!(members.is_empty());
                return Ok(());
            };
            assert_eq!(set.collection().len(view)?, members.len() as u64);
            check_index(&set, view, &members);
            check_ranks(&set, view, &members, &places);
            Ok(())
        });
    }
}

fn find(view: &View<'_>) -> Result<Option<SortedSet>, Stop> {
    let found = SortedSet::find(view, KEYSPACE, KEY)?;
    Ok(found.map(|set| SortedSet { rule: TINY, ..set }))
}

fn open(view: &mut View<'_>) -> Result<SortedSet, Stop> {
    let set = SortedSet::open(view, KEYSPACE, KEY)?;
    Ok(SortedSet { rule: TINY, ..set })
}

fn pick(members: &[(Vec<u8>, f64)], window: Window) -> Vec<(Vec<u8>, f64)> {
    let mut members = members.to_vec();
    if window.reverse {
        members.reverse();
    }
    let limit = usize::try_from(window.limit).unwrap_or(usize::MAX);
    members.into_iter().skip(window.skip as usize).take(limit).collect()
}

/// The records of the index are exactly those that there should be.
fn check_index(set: &SortedSet, view: &View<'_>, members: &[(Vec<u8>, f64)]) {
    let positions: Vec<_> = members.iter().map(|(name, score)| position(*score, name)).collect();
    let height = |position: &Position| TINY.height(keys::hash64(split(position).1));
    for level in 1..=LEVELS_MAX as u8 {
        let is_entry = |position: &Position| set.levels > 0 && height(position) >= level;
        let at: Vec<usize> = (0..positions.len()).filter(|at| is_entry(&positions[*at])).collect();
        let ends = at.iter().skip(1).copied().chain([positions.len()]);
        let wanted: Vec<_> =
            at.iter().zip(ends).map(|(at, end)| (positions[*at].clone(), end - at)).collect();
        let (mut entries, mut numbers) = (Vec::new(), Vec::new());
        let all = Scan::all(b"", &[0xff; 8]);
        set.walk_level(view, level, all, &mut |position, _| {
            entries.push(Position::from_slice(position));
            ControlFlow::Continue(())
        })
        .unwrap();
        set.walk_level(view, level | 0x80, all, &mut |position, number| {
            numbers.push((Position::from_slice(position), counter(Some(number)) as usize));
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(numbers, wanted, "level {level}");
        assert!(entries.iter().eq(wanted.iter().map(|(position, _)| position)), "level {level}");
    }
}

fn check_ranks(set: &SortedSet, view: &mut View<'_>, members: &[(Vec<u8>, f64)], places: &[u64]) {
    for pair in places.chunks(2) {
        let [skip, limit] = [pair[0], pair[1]];
        for reverse in [false, true] {
            let window = Window { skip, limit, reverse };
            let mut found = Vec::new();
            set.walk(view, &Range::all(), window, &mut |member, score| {
                found.push((member.to_vec(), score));
                ControlFlow::Continue(())
            })
            .unwrap();
            assert_eq!(found, pick(members, window));
        }
        let Some((member, score)) = members.get(skip as usize) else { continue };
        assert_eq!(set.rank(view, member, false).unwrap(), Some(skip));
        let behind = members.len() as u64 - 1 - skip;
        assert_eq!(set.rank(view, member, true).unwrap(), Some(behind));
        let bound = |score, exclusive| ScoreBound { score, exclusive };
        for (min, max) in [(-5.0, *score), (*score, 5.0), (*score, *score)] {
            let range = Range::scores(bound(min, false), bound(max, true));
            let wanted: Vec<_> = members.iter().filter(|(_, s)| *s >= min && *s < max).collect();
            assert_eq!(set.count(view, &range).unwrap(), wanted.len() as u64);
            let window = Window { skip: limit, limit: 5, reverse: skip % 2 == 0 };
            let wanted: Vec<_> = wanted.into_iter().cloned().collect();
            let mut found = Vec::new();
            set.walk(view, &range, window, &mut |member, score| {
                found.push((member.to_vec(), score));
                ControlFlow::Continue(())
            })
            .unwrap();
            assert_eq!(found, pick(&wanted, window));
        }
    }
}

fn run(seed: u64, blind: bool) {
    let mut world = World::new(seed, blind);
    let (mut indexed, mut edged) = (0, 0);
    for _ in 0..200 {
        world.change();
        world.check();
        world.group(false, &mut |view| {
            let set = find(view)?;
            indexed += u32::from(set.is_some_and(|set| set.levels > 1));
            edged += u32::from(set.is_some_and(|set| set.has_edges));
            Ok(())
        });
    }
    assert!(indexed > 20, "{indexed}");
    assert!(blind == (edged == 0), "{edged}");
}

#[test]
fn ranks_are_those_of_a_sorted_list() {
    (0..10).for_each(|seed| run(seed, false));
}

#[test]
fn ranks_are_right_where_numbers_are_added_to_blindly() {
    (0..10).for_each(|seed| run(seed, true));
}

#[test]
fn what_is_copied_and_deleted_in_a_group_knows_its_changes() {
    for blind in [false, true] {
        let mut world = World::new(1, blind);
        let mut steps = Vec::new();
        (0..2).for_each(|_| world.add(&mut steps));
        world.group(true, &mut |view| steps.iter_mut().try_for_each(|step| step(view)));
        let (mut steps, mut place) = (Vec::new(), None);
        world.add(&mut steps);
        world.remove(&mut steps);
        let (members, mut later) = (world.sorted(), Vec::new());
        world.add(&mut later);
        let copy = |view: &View<'_>| SortedSet::find(view, KEYSPACE, b"copy");
        world.group(true, &mut |view| {
            steps.iter_mut().try_for_each(|step| step(view))?;
            assert!(view.copy((KEYSPACE, KEY), (KEYSPACE, b"copy"))?);
            later.iter_mut().try_for_each(|step| step(view))?;
            place = find(view)?.map(|set| set.collection.place());
            assert!(view.remove(KEYSPACE, KEY)?);
            Ok(())
        });
        let (keyspace, incarnation) = place.unwrap();
        world.group(false, &mut |view| {
            let set = SortedSet { rule: TINY, ..copy(view)?.unwrap() };
            assert!(set.levels > 0);
            check_index(&set, view, &members);
            let mut left = 0;
            for (begin, end) in keys::incarnation_ranges(keyspace, incarnation) {
                view.walk(Scan::all(&begin, &end), &mut |_, _| {
                    left += 1;
                    ControlFlow::Continue(())
                })?;
            }
            assert_eq!(left > 0, blind, "where a read costs a fetch the collector does it");
            Ok(())
        });
    }
}

#[test]
fn changes_that_cancel_out_change_no_number() {
    let mut world = World::new(1, false);
    let mut steps = Vec::new();
    (0..5).for_each(|_| world.add(&mut steps));
    world.group(true, &mut |view| steps.iter_mut().try_for_each(|step| step(view)));
    let (member, score) = world.sorted()[20].clone();
    world.group(false, &mut |view| {
        let set = &mut open(view)?;
        let before = view.next_number();
        for score in [score + 100.0, score] {
            set.update(view, &member, |_| Ok(Some(score)))?;
        }
        let written = view.next_number() - before;
        view.settle_ranks()?;
        assert_eq!(view.next_number() - before, written);
        Ok(())
    });
}

#[test]
fn what_is_stored_at_once_has_the_same_index() {
    let mut world = World::new(1, false);
    let mut members: Vec<_> =
        (0..2000).map(|at| (format!("m{at}").into_bytes(), f64::from(at % 7))).collect();
    world.model = members.iter().cloned().collect();
    world.group(true, &mut |view| {
        SortedSet::store(view, KEYSPACE, KEY, &mut members, Prior::Absent)
    });
    world.group(false, &mut |view| {
        let set = SortedSet::find(view, KEYSPACE, KEY)?.unwrap();
        assert!(set.levels > 0);
        for (rank, (member, _)) in members.iter().enumerate() {
            assert_eq!(set.rank(view, member, false)?, Some(rank as u64));
        }
        Ok(())
    });
}

#[test]
fn positions_are_in_the_order_of_scores() {
    let scores =
        [f64::NEG_INFINITY, f64::MIN, -1.5, -1.0, -5e-324, 0.0, 5e-324, 1.0, 1e300, f64::INFINITY];
    for pair in scores.windows(2) {
        assert!(ordered(pair[0]) < ordered(pair[1]));
        assert_eq!(split(&position(pair[0], b"m")), (pair[0], &b"m"[..]));
    }
    assert_eq!(ordered(-0.0), ordered(0.0));
    assert_eq!(split(&position(f64::INFINITY, b"m")), (f64::INFINITY, &b"m"[..]));
}
