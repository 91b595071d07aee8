//! Property: a list is what a vector is, dense or sparse, and leaves no record behind.

use std::collections::VecDeque;
use std::sync::Arc;

use super::*;
use crate::clock;
use crate::data::list::{self, BOUNDS, Bounds, End, List};
use crate::limits::{COMMAND_DEADLINE, LIST_SHIFT_MAX};
use crate::store::fault::{FaultPlan, FaultStore};
use crate::store::wait::wait;
use crate::store::{Mode, Store as _};

/// So small that most changes make a list sparse, and positions soon become too long.
const TIGHT: Bounds = Bounds { items: 3, bytes: 60, position_bytes: 10 };
const KEY: &[u8] = b"l";

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % end
    }

    fn end(&mut self) -> End {
        if self.below(2) == 0 { End::Left } else { End::Right }
    }

    /// One of few, so that many items are equal; now and then one with chunks.
    fn value(&mut self) -> Vec<u8> {
        match self.below(60) {
            0 => large(2),
            1 => vec![b'x'; CHUNK_BYTES],
            2 => vec![b'y'; 70],
            number => vec![b'a' + (number % 7) as u8; (number % 3) as usize],
        }
    }
}

fn find(view: &View<'_>) -> Result<Option<List>, Stop> {
    List::find(view, keys::initial_keyspace(0, 0), KEY)
}

fn push(view: &mut View<'_>, to: End, values: &[Vec<u8>]) -> Result<(), Stop> {
    let mut list = List::open(view, keys::initial_keyspace(0, 0), KEY)?;
    values.iter().for_each(|value| list.push(view, to, value));
    list.save(view, KEY)
}

fn pop(view: &mut View<'_>, list: List, from: End, count: u64) -> Result<Vec<Vec<u8>>, Stop> {
    let mut popped = Vec::new();
    list.pop(view, KEY, from, count, &mut |value| {
        popped.push(value.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok(popped)
}

fn all(view: &View<'_>, list: &List) -> Result<Vec<Vec<u8>>, Stop> {
    let mut values = Vec::new();
    list.range(view, 0, list.len(), |value| {
        values.push(value.to_vec());
        ControlFlow::Continue(())
    })?;
    Ok(values)
}

type Model = VecDeque<Vec<u8>>;

fn model_pop(model: &mut Model, from: End) -> Vec<u8> {
    let popped = if from == End::Left { model.pop_front() } else { model.pop_back() };
    popped.unwrap()
}

fn model_push(model: &mut Model, to: End, value: Vec<u8>) {
    if to == End::Left { model.push_front(value) } else { model.push_back(value) }
}

/// Does the same at random to a list and to its model.
fn step(
    view: &mut View<'_>,
    model: &mut Model,
    random: &mut Random,
    bounds: &Bounds,
) -> Result<(), Stop> {
    let (end, value, what) = (random.end(), random.value(), random.below(14));
    let found = find(view)?;
    assert_eq!(found.map_or(0, |list| list.len()), model.len() as u64);
    let Some(list) = found.filter(|_| what > 1) else {
        let values: Vec<_> = (0..=random.below(4)).map(|_| random.value()).collect();
        push(view, end, &values)?;
        values.into_iter().for_each(|value| model_push(model, end, value));
        return Ok(());
    };
    let (len, first) = (list.len(), random.below(list.len()));
    match what {
        2 | 3 => {
            let count = if what == 2 { 1 } else { random.below(len.min(9) + 1) };
            let expected: Vec<_> = (0..count).map(|_| model_pop(model, end)).collect();
            assert_eq!(pop(view, list, end, count)?, expected);
        }
        4 => {
            list.set(view, KEY, first, &value)?;
            model[first as usize] = value;
        }
        5 => assert_eq!(list.get(view, first)?, model[first as usize]),
        6 if random.below(3) == 0 => {
            let count = random.below(len - first + 1);
            list.trim(view, KEY, (first, count), bounds)?;
            *model = model.iter().skip(first as usize).take(count as usize).cloned().collect();
        }
        6 | 7 => {
            let max = random.below(4);
            let max = if max == 0 { u64::MAX } else { max };
            let removed = list.remove(view, KEY, &value, (end, max), bounds)?;
            let places: Vec<_> = (0..len as usize).filter(|at| model[*at] == value).collect();
            let places: Vec<_> = match end {
                End::Left => places.into_iter().take(max as usize).rev().collect(),
                End::Right => places.into_iter().rev().take(max as usize).collect(),
            };
            assert_eq!(removed, places.len() as u64);
            places.into_iter().for_each(|at| drop(model.remove(at)));
        }
        8 => {
            let to = random.end();
            let keyspace = keys::initial_keyspace(0, 0);
            let moved = list::move_item(view, keyspace, (KEY, end), (KEY, to))?;
            let expected = model_pop(model, end);
            assert_eq!(moved.as_ref(), Some(&expected));
            model_push(model, to, expected);
        }
        _ => {
            let pivot = model[first as usize].clone();
            let new = list.insert(view, KEY, (end, &pivot), &value, bounds)?;
            assert_eq!(new, Some(len + 1));
            let at = model.iter().position(|item| *item == pivot).unwrap();
            model.insert(at + usize::from(end == End::Right), value);
        }
    }
    Ok(())
}

impl World {
    fn sparse(&self) -> bool {
        let records = self.records();
        metas(&records).next().is_some_and(|(_, meta)| meta.len() == HEAD + 32)
    }

    /// The records are those of the items, and what holds them together.
    fn check_list(&mut self, model: &Model) {
        let values = self.group(|view| match find(view)? {
            Some(list) => {
                for (index, value) in model.iter().enumerate().step_by(5) {
                    assert_eq!(list.get(view, index as u64)?, *value);
                }
                all(view, &list)
            }
            None => Ok(Vec::new()),
        });
        assert_eq!(*model, values);
        self.tidy(100);
        self.check_tidy();
        let long = model.iter().filter(|value| value.len() >= CHUNK_BYTES);
        let chunks = long.map(|value| value.len().div_ceil(CHUNK_BYTES)).sum();
        assert_eq!((self.number(b'e'), self.number(b'b')), (model.len(), chunks));
        assert_eq!(self.number(b'g'), usize::from(!model.is_empty()));
    }

    /// How many records of a kind there are.
    fn number(&self, kind: u8) -> usize {
        self.records()
            .keys()
            .filter(|record| is(record, keys::initial_keyspace(0, 0), kind))
            .count()
    }
}

/// Runs many steps, and says how often the list was sparse when it was looked at.
fn run(seed: u64, bounds: &Bounds) -> usize {
    let (mut world, mut random, mut sparse) = (World::new(), Random(seed), 0);
    let mut model = Model::new();
    for _ in 0..150 {
        world.group(|view| {
            for _ in 0..=random.below(4) {
                step(view, &mut model, &mut random, bounds)?;
                view.next_command();
            }
            Ok(())
        });
        sparse += usize::from(world.sparse());
        world.check_list(&model);
    }
    world.remove("l");
    world.check_list(&Model::new());
    sparse
}

#[test]
fn a_list_is_what_a_vector_is() {
    let sparse: usize = (0..20).map(|seed| run(seed, &TIGHT)).sum();
    assert!(sparse > 300, "{sparse}");
    for seed in 0..5 {
        run(seed, &BOUNDS);
    }
}

fn numbers(range: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    range.map(|number| number.to_string().into_bytes()).collect()
}

fn world(len: u64) -> World {
    let mut world = World::new();
    world.group(|view| push(view, End::Right, &numbers(0..len)));
    world
}

#[test]
fn a_long_list_is_changed_in_its_middle_without_moving_it() {
    let len = 4 * LIST_SHIFT_MAX;
    for near_end in [true, false] {
        let mut world = world(len);
        let at = if near_end { 100 } else { len / 2 };
        let pivot = at.to_string().into_bytes();
        world.group(|view| {
            let list = find(view)?.unwrap();
            list.insert(view, KEY, (End::Right, &pivot), b"new", &BOUNDS)?;
            assert_eq!(view.written_bytes() < 1000, !near_end);
            Ok(())
        });
        assert_eq!(world.sparse(), !near_end);
        world.group(|view| find(view)?.unwrap().remove(view, KEY, &pivot, (End::Left, 1), &BOUNDS));
        let mut model: Model = numbers(0..len).into();
        model[at as usize] = b"new".to_vec();
        world.check_list(&model);
        // One that has become short is dense again.
        world.group(|view| find(view)?.unwrap().trim(view, KEY, (at - 5, 11), &BOUNDS));
        model = model.into_iter().skip(at as usize - 5).take(11).collect();
        assert!(!world.sparse());
        world.check_list(&model);
    }
}

#[test]
fn what_is_popped_or_trimmed_leaves_nothing() {
    let len = 3 * LIST_SHIFT_MAX;
    for kept in [0, 1, 40, len - 1, len - 40] {
        let mut world = world(len);
        world.group(|view| {
            let list = find(view)?.unwrap();
            assert_eq!(pop(view, list, End::Right, len - kept)?.len() as u64, len - kept);
            Ok(())
        });
        world.check_list(&numbers(0..kept).into());
    }
    for (first, count) in [(0, 0), (0, 10), (len - 10, 10), (5, len - 10), (len / 2, 1)] {
        let mut world = world(len);
        world.group(|view| find(view)?.unwrap().trim(view, KEY, (first, count), &BOUNDS));
        world.check_list(&numbers(first..first + count).into());
    }
}

type Command = Box<dyn FnMut(&mut View<'_>) -> Result<(), Stop>>;

/// Runs commands on a store that has to fetch everything until none is pending; how often it fetched.
fn fetches(store: &Arc<FaultStore>, mut commands: Vec<Command>) -> usize {
    let moment = Moment { now_ms: 1, sequence: 9, order: 0, seed: 1, value_bytes_max: 1 << 20 };
    let mut transaction = Arc::clone(store).transaction();
    transaction.begin(Mode::Write, clock::monotonic() + COMMAND_DEADLINE);
    for fetches in 0..100 {
        let (mut overlay, mut pending) = (Overlay::default(), false);
        transaction.read(&mut |snapshot| {
            let mut view = View::new(snapshot, &mut overlay, moment);
            for command in &mut commands {
                let mark = view.mark();
                if let Err(stop) = command(&mut view) {
                    assert_eq!(stop, Stop::Pending);
                    pending = true;
                    view.rollback(mark);
                }
            }
        });
        if !pending {
            return fetches;
        }
        wait(|cx| transaction.poll_fetch(cx)).unwrap();
    }
    panic!("it takes too many fetches");
}

#[test]
fn pops_of_one_group_are_fetched_together() {
    let world = world(100);
    let plan = FaultPlan { seed: 1, pending_1_in: 1, ..FaultPlan::default() };
    let store = Arc::new(FaultStore::new(Arc::new(world.store), plan));
    for (from, count, expected) in [(End::Left, 1, "0"), (End::Right, 1, "99"), (End::Left, 3, "0")]
    {
        let mut commands = Vec::<Command>::new();
        for number in 0..20 {
            commands.push(Box::new(move |view| {
                let list = find(view)?.unwrap();
                let popped = pop(view, list, from, count)?;
                assert!(number > 0 || popped[0] == expected.as_bytes());
                Ok(())
            }));
        }
        let fetches = fetches(&store, commands);
        assert!(fetches <= 3, "{fetches}");
    }
}
