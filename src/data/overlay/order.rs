//! A group's writes in the order of their keys, for its scans.
//!
//! Keys are told apart by class, one for each range that is scanned by itself: the elements of one
//! incarnation, one level of a sorted set, the metas of a keyspace. A class is brought into order when
//! it is first scanned, so writes to others stay as cheap as in a group that never scans.

use std::cell::OnceCell;
use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::store::Mutations;

/// What the keys of a class begin with, padded with zeros. No class begins with another one, so
/// classes are in the order of their keys.
type Class = [u8; CLASS_BYTES];
const CLASS_BYTES: usize = 14;

fn class_len(key: &[u8]) -> usize {
    let len = match key.get(4) {
        Some(b's') => CLASS_BYTES,
        Some(b'e' | b'b') => CLASS_BYTES - 1,
        _ => 5,
    };
    len.min(key.len())
}

fn class_of(key: &[u8]) -> Class {
    let mut class = [0; CLASS_BYTES];
    let len = class_len(key);
    class[..len].copy_from_slice(&key[..len]);
    class
}

/// See the module. Mutations are known by their numbers.
#[derive(Debug, Default)]
pub struct Order {
    classes: BTreeMap<Class, Numbers>,
}

/// The writes of one class.
#[derive(Debug, Default)]
struct Numbers {
    /// In ascending order, until the class is brought into that of its keys; some may have been
    /// superseded since.
    arrived: Vec<u32>,
    /// The live ones in the order of their keys.
    sorted: OnceCell<Sorted>,
}

impl Numbers {
    fn sorted(&self, mutations: &Mutations) -> &Sorted {
        self.sorted.get_or_init(|| {
            let arrived = self.arrived.iter();
            let mut places: Vec<Place> =
                arrived.map(|number| Place::new(mutations.get(*number).key(), *number)).collect();
            // The newest first, which is the one that stays.
            places.sort_unstable_by(|one, other| {
                let keys = one.compare(mutations, other.head, other.key(mutations));
                keys.then_with(|| other.number.cmp(&one.number))
            });
            places.dedup_by(|later, first| {
                later.compare(mutations, first.head, first.key(mutations)).is_eq()
            });
            Sorted { blocks: places.chunks(BLOCK_MAX / 2).map(<[Place]>::to_vec).collect() }
        })
    }
}

/// A mutation in the order of its class.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// What its key goes on with behind the class, which decides nearly every comparison without
    /// looking up the key: a hash, or a score.
    head: u64,
    number: u32,
}

impl Place {
    fn new(key: &[u8], number: u32) -> Place {
        Place { head: head_of(key), number }
    }

    fn key<'m>(&self, mutations: &'m Mutations) -> &'m [u8] {
        mutations.get(self.number).key()
    }

    /// How its key compares to another one of the class.
    fn compare(&self, mutations: &Mutations, head: u64, key: &[u8]) -> Ordering {
        self.head.cmp(&head).then_with(|| self.key(mutations).cmp(key))
    }
}

/// The first bytes of a key behind its class; missing ones are zeros, as which they compare as equal.
fn head_of(key: &[u8]) -> u64 {
    let rest = &key[class_len(key)..];
    let mut head = [0; size_of::<u64>()];
    let len = rest.len().min(head.len());
    head[..len].copy_from_slice(&rest[..len]);
    u64::from_be_bytes(head)
}

/// Places in the order of keys, in blocks, none of them empty: a command may write hundreds of
/// thousands of records before it turns out to be too large, and each is entered and taken out again
/// without moving all others.
#[derive(Debug, Default)]
struct Sorted {
    blocks: Vec<Vec<Place>>,
}

const BLOCK_MAX: usize = 1024;

impl Sorted {
    /// Where `key` of this class is, or would be: the block and the place there.
    fn place(&self, mutations: &Mutations, key: &[u8]) -> (usize, Result<usize, usize>) {
        let head = head_of(key);
        let order = |place: &Place| place.compare(mutations, head, key);
        let block = self.blocks.partition_point(|block| order(&block[0]).is_le()).saturating_sub(1);
        let at = self.blocks.get(block).map_or(Err(0), |block| block.binary_search_by(order));
        (block, at)
    }

    /// Enters a number, in the place of an earlier one of its key if there is one.
    fn enter(&mut self, mutations: &Mutations, key: &[u8], number: u32) {
        let (at_block, at) = self.place(mutations, key);
        let place = Place::new(key, number);
        let Some(block) = self.blocks.get_mut(at_block) else {
            return self.blocks.push(vec![place]);
        };
        match at {
            Ok(at) => block[at] = place,
            Err(at) => block.insert(at, place),
        }
        if block.len() > BLOCK_MAX {
            let rest = block.split_off(BLOCK_MAX / 2);
            self.blocks.insert(at_block + 1, rest);
        }
    }

    /// Takes the number of a key out; `previous` takes its place.
    fn leave(&mut self, mutations: &Mutations, key: &[u8], previous: Option<u32>) {
        let (at_block, Ok(at)) = self.place(mutations, key) else {
            debug_assert!(false, "what leaves has been entered");
            return;
        };
        let block = &mut self.blocks[at_block];
        match previous {
            Some(previous) => block[at].number = previous,
            None => drop(block.remove(at)),
        }
        if block.is_empty() {
            self.blocks.remove(at_block);
        }
    }

    /// The numbers with `begin <= key < end`, without one of these to the end of the class.
    fn range(
        &self,
        mutations: &Mutations,
        begin: Option<&[u8]>,
        end: Option<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = u32> {
        let at = |key: &[u8]| {
            let (block, at) = self.place(mutations, key);
            (block, at.unwrap_or_else(|at| at))
        };
        let first = begin.map_or((0, 0), at);
        let last = end.map_or((self.blocks.len(), 0), at);
        let blocks = self.blocks.iter().enumerate().take(last.0 + 1).skip(first.0);
        blocks.flat_map(move |(number, block)| {
            let from = if number == first.0 { first.1 } else { 0 };
            let to = if number == last.0 { last.1 } else { block.len() };
            block[from..to].iter().map(|place| place.number)
        })
    }
}

impl Order {
    /// The order of these mutations, each the live one of its key.
    pub fn new(mutations: &Mutations, live: impl Iterator<Item = u32>) -> Order {
        let mut numbers: Vec<u32> = live.collect();
        numbers.sort_unstable();
        let mut order = Order::default();
        numbers.into_iter().for_each(|number| order.enter(mutations, number));
        order
    }

    /// Enters mutation `number`, the newest of all, in the place of an earlier one of its key if there
    /// is one.
    pub fn enter(&mut self, mutations: &Mutations, number: u32) {
        let key = mutations.get(number).key();
        let numbers = self.classes.entry(class_of(key)).or_default();
        match numbers.sorted.get_mut() {
            None => numbers.arrived.push(number),
            Some(sorted) => sorted.enter(mutations, key, number),
        }
    }

    /// Takes mutation `number`, the newest of all, out again; `previous` takes its place.
    pub fn leave(&mut self, mutations: &Mutations, number: u32, previous: Option<u32>) {
        let key = mutations.get(number).key();
        let Some(numbers) = self.classes.get_mut(&class_of(key)) else { return };
        if let Some(sorted) = numbers.sorted.get_mut() {
            return sorted.leave(mutations, key, previous);
        }
        let newest = numbers.arrived.pop();
        debug_assert_eq!(newest, Some(number), "what leaves has been entered");
        // It may have been there all the time.
        if let Some(previous) = previous
            && let Err(at) = numbers.arrived.binary_search(&previous)
        {
            numbers.arrived.insert(at, previous);
        }
    }

    /// The mutations with `begin <= key < end`. `begin` may not be behind `end`.
    pub fn range(
        &self,
        mutations: &Mutations,
        begin: &[u8],
        end: &[u8],
    ) -> impl DoubleEndedIterator<Item = u32> {
        let (first, last) = (class_of(begin), class_of(end));
        let classes = self.classes.range(first..=last.max(first));
        classes.flat_map(move |(class, numbers)| {
            let (begin, end) = (Some(begin), Some(end));
            let begin = begin.filter(|_| *class == first);
            let end = end.filter(|_| *class == last);
            numbers.sorted(mutations).range(mutations, begin, end)
        })
    }
}
