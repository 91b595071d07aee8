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

fn class_of(key: &[u8]) -> Class {
    let mut class = [0; CLASS_BYTES];
    let len = class_len(key).min(key.len());
    class[..len].copy_from_slice(&key[..len]);
    class
}

/// How many bytes of a key say what its class is.
fn class_len(key: &[u8]) -> usize {
    match key.get(4) {
        Some(b's') => CLASS_BYTES,
        Some(b'e' | b'b') => CLASS_BYTES - 1,
        _ => 5,
    }
}

/// What decides nearly every comparison between keys of one class: the eight bytes behind it.
fn head_of(key: &[u8]) -> u64 {
    let rest = key.get(class_len(key)..).unwrap_or_default();
    match rest.first_chunk() {
        Some(head) => u64::from_be_bytes(*head),
        None => {
            let mut head = [0; 8];
            head[..rest.len()].copy_from_slice(rest);
            u64::from_be_bytes(head)
        }
    }
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
            let key = |number: u32| mutations.get(number).key();
            let mut numbers = self.arrived.clone();
            // The newest first, which is the one that stays.
            numbers.sort_unstable_by(|one, other| {
                key(*one).cmp(key(*other)).then_with(|| other.cmp(one))
            });
            numbers.dedup_by(|later, first| key(*later) == key(*first));
            let entries =
                |numbers: &[u32]| numbers.iter().map(|at| (head_of(key(*at)), *at)).collect();
            let class = numbers.first().map(|number| class_of(key(*number))).unwrap_or_default();
            Sorted { class, blocks: numbers.chunks(BLOCK_MAX / 2).map(entries).collect() }
        })
    }
}

/// Numbers in the order of keys, in blocks, none of them empty: a command may write hundreds of
/// thousands of records before it turns out to be too large, and each is entered and taken out again
/// without moving all others.
#[derive(Debug, Default)]
struct Sorted {
    class: Class,
    /// Each number behind the head of its key.
    blocks: Vec<Vec<(u64, u32)>>,
}

const BLOCK_MAX: usize = 1024;

impl Sorted {
    /// Where `key` is, or would be: the block and the place there.
    fn place(&self, mutations: &Mutations, key: &[u8]) -> (usize, Result<usize, usize>) {
        match class_of(key).cmp(&self.class) {
            Ordering::Less => return (0, Err(0)),
            Ordering::Greater => {
                let last = self.blocks.len().saturating_sub(1);
                return (last, Err(self.blocks.last().map_or(0, Vec::len)));
            }
            Ordering::Equal => {}
        }
        let head = head_of(key);
        let order = |(other, number): &(u64, u32)| {
            other.cmp(&head).then_with(|| mutations.get(*number).key().cmp(key))
        };
        let block = self.blocks.partition_point(|block| order(&block[0]).is_le()).saturating_sub(1);
        let at = self.blocks.get(block).map_or(Err(0), |block| block.binary_search_by(order));
        (block, at)
    }

    /// Enters a number, in the place of an earlier one of its key if there is one.
    fn enter(&mut self, mutations: &Mutations, key: &[u8], number: u32) {
        let (at_block, at) = self.place(mutations, key);
        let Some(block) = self.blocks.get_mut(at_block) else {
            return self.blocks.push(vec![(head_of(key), number)]);
        };
        match at {
            Ok(at) => block[at].1 = number,
            Err(at) => block.insert(at, (head_of(key), number)),
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
            Some(previous) => block[at].1 = previous,
            None => drop(block.remove(at)),
        }
        if block.is_empty() {
            self.blocks.remove(at_block);
        }
    }

    /// The numbers with `begin <= key < end`.
    fn range(
        &self,
        mutations: &Mutations,
        begin: &[u8],
        end: &[u8],
    ) -> impl DoubleEndedIterator<Item = u32> {
        let at = |key| {
            let (block, at) = self.place(mutations, key);
            (block, at.unwrap_or_else(|at| at))
        };
        let (first, last) = (at(begin), at(end));
        let blocks = self.blocks.iter().enumerate().take(last.0 + 1).skip(first.0);
        blocks.flat_map(move |(number, block)| {
            let from = if number == first.0 { first.1 } else { 0 };
            let to = if number == last.0 { last.1 } else { block.len() };
            block[from..to].iter().map(|(_, number)| *number)
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
        let classes = self.classes.range(class_of(begin)..=class_of(end).max(class_of(begin)));
        classes.flat_map(move |(_, numbers)| numbers.sorted(mutations).range(mutations, begin, end))
    }
}
