//! Property: whatever becomes of a hash or a set, its counter says how many elements it has, and once it
//! is gone and background work is done, nothing of it is left.

use super::*;
use crate::data::collection::{Draw, Records};
use crate::data::hash::Hash;
use crate::data::set::Set;
use crate::limits::ELEMENTS_CLEARED_AT_ONCE;

/// Few enough to be removed with their key, the first that are not, and many.
const SIZES: [u32; 4] = [1, 32, 33, 700];

const _: () = assert!(SIZES[1] as u64 == ELEMENTS_CLEARED_AT_ONCE);

impl World {
    /// Adds elements to a hash and to a set, `hash` and `set` in front of `name`. Every tenth value is long.
    fn fill(&mut self, database: u8, name: &str, size: u32) {
        let (hash_key, set_key) = (format!("hash{name}"), format!("set{name}"));
        self.group(|view| {
            let keyspace = view.keyspace(0, database)?;
            let hash = Hash::open(view, keyspace, hash_key.as_bytes())?;
            let set = Set::open(view, keyspace, set_key.as_bytes())?;
            let (mut fields, mut members) = (0, 0);
            for number in 0..size {
                let element = number.to_be_bytes();
                let long = if number % 10 == 0 { large(2) } else { element.to_vec() };
                fields += u64::from(hash.set(view, &element, &long)?);
                members += u64::from(set.add(view, &element)?);
            }
            hash.collection().grown(view, fields)?;
            set.collection().grown(view, members)
        });
        self.check_counters();
    }

    /// Removes the elements with these numbers from both; whether the keys went with them.
    fn drain(&mut self, name: &str, numbers: std::ops::Range<u32>) -> (bool, bool) {
        let (hash_key, set_key) = (format!("hash{name}"), format!("set{name}"));
        let gone = self.group(|view| {
            let keyspace = view.keyspace(0, 0)?;
            let hash = Hash::find(view, keyspace, hash_key.as_bytes())?.unwrap();
            let set = Set::find(view, keyspace, set_key.as_bytes())?.unwrap();
            let (mut fields, mut members) = (0, 0);
            for number in numbers.clone() {
                fields += u64::from(hash.remove(view, &number.to_be_bytes())?);
                members += u64::from(set.remove(view, &number.to_be_bytes())?);
            }
            let hash_gone = hash.collection().shrunk(view, hash_key.as_bytes(), fields)?;
            Ok((hash_gone, set.collection().shrunk(view, set_key.as_bytes(), members)?))
        });
        self.check_counters();
        gone
    }

    fn pop(&mut self, key: &str, count: u64) -> usize {
        let popped = self.group(|view| {
            let keyspace = view.keyspace(0, 0)?;
            let set = Set::find(view, keyspace, key.as_bytes())?.unwrap();
            let seed = view.random();
            Ok(set.pop(view, keyspace, key.as_bytes(), seed, count, usize::MAX)?.len())
        });
        self.check_counters();
        popped
    }

    /// Every collection has the elements that its counter says, and at least one.
    fn check_counters(&self) {
        let records = self.records();
        for (record, value) in metas(&records) {
            let header = Header::decode(value).unwrap();
            if !header.kind.is_counted() {
                continue;
            }
            let keyspace = keys::be_u32(&record[..4]);
            let incarnation = Elements::decode(&value[HEAD..]).unwrap().incarnation;
            let (begin, end) = keys::range(&keys::elements(keyspace, incarnation));
            let elements = records.range(begin.to_vec()..end.to_vec()).count() as u64;
            let counter = &records[&keys::counter(keyspace, incarnation)[..]];
            assert_eq!(crate::store::counter(Some(counter)) as u64, elements);
            assert!(elements > 0, "an empty collection is left: {record:?}");
        }
    }

    /// Does all background work; nothing is left but so many keys and what belongs to them.
    fn check_left(&mut self, database: u8, keys_left: u64) {
        self.tidy(50);
        self.check_tidy();
        self.check_counters();
        assert_eq!(self.size(database), keys_left);
        let records = self.records();
        let Space { keyspace, .. } = self.spaces()[usize::from(database)];
        let elements = records.keys().filter(|r| is(r, keyspace, b'e') || is(r, keyspace, b'b'));
        assert!(keys_left > 0 || elements.count() == 0);
    }
}

#[test]
fn deleted_collections_leave_nothing() {
    for size in SIZES {
        let mut world = World::new();
        world.fill(0, "", size);
        world.check_left(0, 2);
        assert!(world.remove("hash") && world.remove("set"));
        world.check_left(0, 0);
    }
}

#[test]
fn overwritten_collections_leave_nothing() {
    for size in SIZES {
        let mut world = World::new();
        world.fill(0, "", size);
        world.fill(0, "2", 3);
        world.set(0, "hash", SMALL, 0);
        world.set(0, "set", &large(1), 0);
        world.check_left(0, 4);
        world.fill(0, "3", size);
        assert!(world.rename((0, "hash2"), (0, "hash3")));
        assert!(world.copy((0, "set2"), (0, "set3")));
        world.check_left(0, 5);
        let mut members = Records::default();
        members.push(keys::tail(&keys::field(1, 1, b"member")), &[]);
        for members in [&members, &Records::default()] {
            world.fill(0, "4", size);
            world.group(|view| {
                let keyspace = view.keyspace(0, 0)?;
                Set::store(view, keyspace, b"set4", members)?;
                Set::store(view, keyspace, b"hash4", members)
            });
            world.check_left(0, 5 + 2 * members.len() as u64);
            world.remove("set4");
            world.remove("hash4");
        }
    }
}

#[test]
fn expired_collections_leave_nothing() {
    for size in SIZES {
        let mut world = World::new();
        world.fill(0, "", size);
        world.expire("hash", 1_000_100);
        world.expire("set", 1_000_200);
        world.now_ms = 1_000_150;
        world.check_left(0, 1);
        world.now_ms = 1_000_200;
        // An expired one that is written again before it is swept begins anew.
        world.fill(0, "", 2);
        world.check_left(0, 2);
        assert_eq!(world.drain("", 0..2), (true, true));
        world.check_left(0, 0);
    }
}

#[test]
fn flushed_collections_leave_nothing() {
    for size in SIZES {
        let mut world = World::new();
        world.fill(0, "", size);
        world.fill(3, "", size);
        world.group(|view| view.flush_database(0, 0));
        world.check_left(0, 0);
        world.check_left(3, 2);
        assert!(world.rename((3, "hash"), (0, "hash")), "to another database");
        world.check_left(3, 1);
        world.check_left(0, 1);
    }
}

#[test]
fn collections_go_with_their_last_element() {
    for size in SIZES {
        let mut world = World::new();
        world.fill(0, "", size);
        if size > 1 {
            assert_eq!(world.drain("", 1..size + 5), (false, false));
            world.check_left(0, 2);
        }
        assert_eq!(world.drain("", 0..1), (true, true));
        world.check_left(0, 0);
    }
}

#[test]
fn members_that_were_popped_leave_nothing() {
    for size in SIZES {
        for first in [1, size / 2, size - 1, size, size + 1] {
            let mut world = World::new();
            world.fill(0, "", size);
            world.remove("hash");
            let popped = world.pop("set", first.into());
            assert_eq!(popped as u32, first.min(size));
            let left = size - popped as u32;
            world.check_left(0, u64::from(left > 0));
            if left > 0 {
                assert_eq!(world.pop("set", u64::MAX) as u32, left);
            }
            world.check_left(0, 0);
        }
    }
}

#[test]
fn the_last_member_popped_takes_the_key_with_it() {
    // Whatever place in the run is chosen.
    let mut world = World::new();
    for round in 0..500 {
        world.fill(0, "", 2);
        world.remove("hash");
        assert_eq!((world.pop("set", 1), world.pop("set", 1)), (1, 1));
        assert_eq!(world.size(0), 0, "round {round}");
    }
    world.check_left(0, 0);
}

#[test]
fn drawing_changes_nothing() {
    let mut world = World::new();
    world.fill(0, "", 200);
    let before = world.records();
    for draw in [Draw::Distinct(150), Draw::Repeated(500), Draw::Distinct(0)] {
        world.group(|view| {
            let keyspace = view.keyspace(0, 0)?;
            let set = Set::find(view, keyspace, b"set")?.unwrap();
            set.collection().draw(view, 1, draw, &mut |_, _| ControlFlow::Continue(()))
        });
    }
    assert_eq!(world.records(), before);
}
