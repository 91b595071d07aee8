//! A group's writes in the order of their keys, for its scans.
//!
//! Keys are told apart by class, one for each range that is scanned by itself: the elements of one
//! incarnation, one level of a sorted set, the metas of a keyspace. A class is brought into order when
//! it is first scanned, so writes to others stay as cheap as in a group that never scans.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use crate::store::Mutations;

/// What the keys of a class begin with, padded with zeros. No class begins with another one, so
/// classes are in the order of their keys.
type Class = [u8; CLASS_BYTES];
const CLASS_BYTES: usize = 14;

fn class_of(key: &[u8]) -> Class {
    let len = match key.get(4) {
        Some(b's') => CLASS_BYTES,
        Some(b'e' | b'b') => CLASS_BYTES - 1,
        _ => 5,
    };
    let mut class = [0; CLASS_BYTES];
    let len = len.min(key.len());
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
    /// As they came, until the class is brought into order; some may have been superseded since.
    arrived: Vec<u32>,
    /// The live ones in the order of their keys.
    sorted: OnceCell<Vec<u32>>,
}

impl Numbers {
    fn sorted(&self, mutations: &Mutations) -> &[u32] {
        self.sorted.get_or_init(|| {
            let key = |number: u32| mutations.get(number).key();
            let mut numbers = self.arrived.clone();
            // The newest first, which is the one that stays.
            numbers.sort_unstable_by(|one, other| {
                key(*one).cmp(key(*other)).then_with(|| other.cmp(one))
            });
            numbers.dedup_by(|later, first| key(*later) == key(*first));
            numbers
        })
    }
}

/// Where `key` is in `sorted`, or would be.
fn place(sorted: &[u32], mutations: &Mutations, key: &[u8]) -> Result<usize, usize> {
    sorted.binary_search_by(|number| mutations.get(*number).key().cmp(key))
}

impl Order {
    /// Enters mutation `number`, in the place of an earlier one of its key if there is one.
    pub fn enter(&mut self, mutations: &Mutations, number: u32) {
        let key = mutations.get(number).key();
        let numbers = self.classes.entry(class_of(key)).or_default();
        match numbers.sorted.get_mut() {
            None => numbers.arrived.push(number),
            Some(sorted) => match place(sorted, mutations, key) {
                Ok(at) => sorted[at] = number,
                Err(at) => sorted.insert(at, number),
            },
        }
    }

    /// Takes mutation `number`, the newest of its key, out again; `previous` takes its place.
    pub fn leave(&mut self, mutations: &Mutations, number: u32, previous: Option<u32>) {
        let key = mutations.get(number).key();
        let Some(numbers) = self.classes.get_mut(&class_of(key)) else { return };
        match numbers.sorted.get_mut() {
            None => {
                numbers.arrived.retain(|other| *other != number);
                // It may have been there all the time.
                let new = previous.filter(|previous| !numbers.arrived.contains(previous));
                numbers.arrived.extend(new);
            }
            Some(sorted) => match (place(sorted, mutations, key), previous) {
                (Ok(at), Some(previous)) => sorted[at] = previous,
                (Ok(at), None) => drop(sorted.remove(at)),
                (Err(_), _) => debug_assert!(false, "what leaves has been entered"),
            },
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
        classes.flat_map(move |(_, numbers)| {
            let sorted = numbers.sorted(mutations);
            let at = |key| place(sorted, mutations, key).unwrap_or_else(|at| at);
            sorted[at(begin)..at(end)].iter().copied()
        })
    }
}
