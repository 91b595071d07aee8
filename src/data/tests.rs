//! Property: the index knows of every expiry in time, and once background work is done the store holds
//! no record that nothing refers to, whatever happened to the keys before.

mod algebra;
mod collections;
mod count;
mod fetch;
mod inspect;
mod lists;
mod sample;
mod tenants;
mod usage;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::background::{self, Audit, Chore, Collector, Space, Sweep, Tour};
use super::entry::Prior;
use super::members::{self, Share};
use super::meta::{Elements, HEAD, Header, Kind};
use super::{KeyspaceId, Moment, Overlay, View, keys, string};
use crate::error::Stop;
use crate::limits::{CHORES_MAX, CHUNK_BYTES};
use crate::store::memory::MemoryStore;
use crate::store::{Local as _, Scan, Snapshot};

const SMALL: &[u8] = b"value";

/// A store, and the time there.
struct World {
    store: MemoryStore,
    overlay: Overlay,
    sweep: Sweep,
    collector: Collector,
    now_ms: u64,
    sequence: u64,
}

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

impl World {
    fn new() -> World {
        World {
            store: MemoryStore::new(),
            overlay: Overlay::default(),
            sweep: Sweep::default(),
            collector: Collector::default(),
            now_ms: 1_000_000,
            sequence: 0,
        }
    }

    /// Runs one write group and commits it.
    fn group<T>(&mut self, mut f: impl FnMut(&mut View<'_>) -> Result<T, Stop>) -> T {
        self.sequence += 1;
        let (now_ms, sequence) = (self.now_ms, self.sequence);
        let moment =
            Moment { now_ms, sequence, seed: sequence, value_bytes_max: 8 << 20, order: 0 };
        let mut result = None;
        self.overlay.reset();
        let overlay = &mut self.overlay;
        self.store.read(&mut |snapshot| {
            let mut view = View::new(snapshot, overlay, moment);
            view.next_command();
            result = Some(f(&mut view).unwrap());
            view.finish().unwrap();
        });
        self.store.commit(self.sequence, self.overlay.mutations()).unwrap();
        self.check_index();
        result.unwrap()
    }

    fn set(&mut self, database: u8, key: &str, value: &[u8], expires_ms: u64) {
        self.group(|view| {
            let keyspace = view.keyspace(0, database)?;
            let prior = view.prior(keyspace, key.as_bytes())?;
            string::put(view, keyspace, key.as_bytes(), &[value], expires_ms, prior)
        });
    }

    fn get(&mut self, database: u8, key: &str) -> Option<Vec<u8>> {
        self.group(|view| {
            let keyspace = view.keyspace(0, database)?;
            let Some(found) = string::get(view, keyspace, key.as_bytes())? else { return Ok(None) };
            found.value(view, keyspace).map(|value| Some(value.into_owned()))
        })
    }

    fn expire(&mut self, key: &str, expires_ms: u64) {
        self.group(|view| {
            let keyspace = view.keyspace(0, 0)?;
            view.set_expiry(keyspace, key.as_bytes(), expires_ms)
        });
    }

    fn remove(&mut self, key: &str) -> bool {
        self.group(|view| {
            let keyspace = view.keyspace(0, 0)?;
            view.remove(keyspace, key.as_bytes())
        })
    }

    fn rename(&mut self, from: (u8, &str), to: (u8, &str)) -> bool {
        self.group(|view| {
            let source = (view.keyspace(0, from.0)?, from.1.as_bytes());
            let target = (view.keyspace(0, to.0)?, to.1.as_bytes());
            view.rename(source, target)
        })
    }

    fn copy(&mut self, from: (u8, &str), to: (u8, &str)) -> bool {
        self.group(|view| {
            let source = (view.keyspace(0, from.0)?, from.1.as_bytes());
            let target = (view.keyspace(0, to.0)?, to.1.as_bytes());
            view.copy(source, target)
        })
    }

    fn size(&mut self, database: u8) -> u64 {
        self.group(|view| {
            let keyspace = view.keyspace(0, database)?;
            let counted = view.count_keys(keyspace)?;
            assert_eq!(view.exact_size(keyspace)?, Some(counted));
            Ok(counted)
        })
    }

    fn records(&self) -> Records {
        let mut records = Records::new();
        self.store.read(&mut |snapshot| {
            let scan = Scan { begin: b"", end: b"\xff", limit: usize::MAX, reverse: false };
            let visit = &mut |key: &[u8], value: &[u8]| {
                records.insert(key.to_vec(), value.to_vec());
                ControlFlow::Continue(())
            };
            snapshot.scan(scan, visit).unwrap();
        });
        records
    }

    fn find<T>(&self, f: impl Fn(&dyn Snapshot) -> T) -> T {
        let mut found = None;
        self.store.read(&mut |snapshot| found = Some(f(snapshot)));
        found.unwrap()
    }

    /// The keyspaces that databases show.
    fn spaces(&self) -> Vec<Space> {
        self.find(|snapshot| Tour::default().next(snapshot, usize::MAX)).unwrap().0
    }

    fn do_chores(&mut self, chores: &[Chore]) {
        self.group(|view| {
            for chore in chores {
                background::step(view, chore)?;
            }
            Ok(())
        });
    }

    /// Does background work until there is none, `limit` records at a time.
    fn tidy(&mut self, limit: usize) {
        loop {
            let now_ms = self.now_ms;
            let keyspaces = self.spaces();
            let all = Share::ALL;
            let find =
                |snapshot: &dyn Snapshot| self.sweep.due(snapshot, &keyspaces, now_ms, limit, all);
            let due = self.find(find).unwrap();
            self.do_chores(&due.chores);
            self.sweep.done(&due, &keyspaces, now_ms);
            let garbage = |snapshot: &dyn Snapshot| self.collector.garbage(snapshot, limit, all);
            let garbage = self.find(garbage).unwrap();
            let is_idle = due.chores.is_empty() && garbage.chores.is_empty();
            self.do_chores(&garbage.chores);
            self.collector.done(garbage);
            if is_idle {
                return;
            }
        }
    }

    /// Every key with an expiry has an index entry at that time or earlier.
    fn check_index(&self) {
        let records = self.records();
        for (record, value) in metas(&records) {
            let (_, key) = keys::split_meta(record);
            let keyspace = keys::be_u32(&record[..4]);
            let expires_ms = Header::decode(value).unwrap().expires_ms;
            let in_time =
                records.keys().filter(|record| is(record, keyspace, b'x')).any(|record| {
                    let (at_ms, indexed) = keys::split_expiry(record);
                    indexed == key && at_ms <= expires_ms
                });
            assert!(expires_ms == 0 || in_time, "no index entry for {key:?}");
        }
    }

    /// Nothing but metas and what they refer to, in the keyspaces that databases show.
    fn check_tidy(&self) {
        let records = self.records();
        let shown: Vec<KeyspaceId> = self.spaces().iter().map(|space| space.keyspace).collect();
        let mut wanted: BTreeSet<Vec<u8>> = BTreeSet::new();
        for (record, value) in metas(&records) {
            let (_, key) = keys::split_meta(record);
            let keyspace = keys::be_u32(&record[..4]);
            assert!(shown.contains(&keyspace));
            wanted.insert(record.to_vec());
            let header = Header::decode(value).unwrap();
            if header.expires_ms != 0 {
                wanted.insert(keys::expiry(keyspace, header.expires_ms, key).to_vec());
            }
            if header.kind != Kind::String && header.kind != Kind::LongString {
                let elements = Elements::decode(&value[HEAD..]).unwrap();
                wanted.insert(keys::registry(keyspace, elements.incarnation).to_vec());
                for (begin, end) in keys::incarnation_ranges(keyspace, elements.incarnation) {
                    let range = records.range(begin.to_vec()..end.to_vec());
                    wanted.extend(range.map(|(record, _)| record.clone()));
                }
            }
            if header.kind == Kind::LongString {
                let long = Elements::decode(&value[HEAD..]).unwrap();
                wanted.insert(keys::registry(keyspace, long.incarnation).to_vec());
                for index in 0..long.len.div_ceil(CHUNK_BYTES as u64) {
                    let chunk = keys::chunk(keyspace, long.incarnation, index as u32);
                    wanted.insert(chunk.to_vec());
                }
            }
        }
        for record in records.keys() {
            let of_system = b"diTUjqkuv".iter().any(|kind| is(record, 0, *kind));
            let size = shown.iter().any(|keyspace| record[..] == *keys::size(*keyspace));
            let trace = shown.iter().any(|keyspace| is(record, *keyspace, b'w'));
            // An entry that is not due may be one that an expiry put off left behind.
            let entry = record[4] == b'x' && keys::split_expiry(record).0 > self.now_ms;
            assert!(
                of_system || size || trace || entry || wanted.contains(record),
                "left: {record:?}"
            );
        }
    }
}

fn is(record: &[u8], keyspace: KeyspaceId, kind: u8) -> bool {
    record[..4] == keyspace.to_be_bytes() && record[4] == kind
}

fn metas(records: &Records) -> impl Iterator<Item = (&[u8], &[u8])> {
    records.iter().map(|(key, value)| (&key[..], &value[..])).filter(|(key, _)| key[4] == b'm')
}

fn large(chunks: usize) -> Vec<u8> {
    (0..chunks * CHUNK_BYTES - 7).map(|index| (index % 251) as u8).collect()
}

#[test]
fn a_process_that_was_forgotten_stays_so() {
    let mut world = World::new();
    let mut step = |chore: Chore| world.group(|view| background::step(view, &chore));
    let beat = |beat| Chore::Beat { process: 7, beat };
    step(beat(1));
    let found = |world: &World| world.records().get(&keys::process(7)[..]).cloned();
    assert_eq!(found(&world), None);
    world.group(|view| {
        view.set(&keys::process(7), &[&[0; 8]]);
        Ok(())
    });
    let mut step = |chore: Chore| world.group(|view| background::step(view, &chore));
    step(beat(2));
    assert_eq!(found(&world), Some(2_u64.to_be_bytes().to_vec()));
    let mut step = |chore: Chore| world.group(|view| background::step(view, &chore));
    step(Chore::Forget { process: 7 });
    step(beat(3));
    assert_eq!(found(&world), None);
}

#[test]
fn a_process_with_many_markers_is_forgotten_before_them() {
    let mut world = World::new();
    let process = keys::process(7);
    world.group(|view| {
        view.set(&process, &[&[0; 8]]);
        for slot in 0..CHORES_MAX as u16 + 5 {
            view.set(&keys::commit_marker(7, slot), &[b"marker"]);
        }
        Ok(())
    });
    for left in [6, 0] {
        world.group(|view| background::step(view, &Chore::Forget { process: 7 }));
        assert_eq!(world.records().len(), left);
        world.group(|view| background::step(view, &Chore::Beat { process: 7, beat: 1 }));
        let record = world.records().get(&process[..]).cloned();
        assert_eq!(record, (left > 0).then(|| members::GONE.to_be_bytes().to_vec()));
    }
}

#[test]
fn deleted_and_overwritten_keys_leave_nothing() {
    let mut world = World::new();
    for (index, value) in [SMALL, &large(2), &large(40)].into_iter().enumerate() {
        world.set(0, &format!("deleted{index}"), value, 2_000_000);
        assert!(world.remove(&format!("deleted{index}")));
        world.set(0, &format!("over{index}"), value, 2_000_000);
        world.set(0, &format!("over{index}"), SMALL, 0);
        world.set(0, &format!("grown{index}"), SMALL, 3_000_000);
        world.set(0, &format!("grown{index}"), value, 2_000_000);
    }
    world.tidy(3);
    world.check_tidy();
    assert_eq!(world.size(0), 6);
    assert_eq!(world.records().keys().filter(|record| record[4] == b'x').count(), 3);
}

#[test]
fn expired_keys_go_with_all_they_had() {
    let mut world = World::new();
    for index in 0..20 {
        world.set(0, &format!("small{index}"), SMALL, 1_000_500);
        world.set(3, &format!("large{index}"), &large(index % 7 + 1), 1_000_500 + index as u64);
    }
    world.set(0, "kept", SMALL, 9_000_000);
    world.tidy(4);
    assert_eq!((world.size(0), world.size(3)), (21, 20));
    world.now_ms += 1000;
    assert_eq!(world.get(0, "small1"), None);
    world.tidy(4);
    world.check_tidy();
    assert_eq!((world.size(0), world.size(3)), (1, 0));
}

#[test]
fn an_expiry_put_off_keeps_its_entry_until_that_comes_due() {
    let mut world = World::new();
    world.set(0, "k", SMALL, 1_000_100);
    let before = world.records();
    world.expire("k", 1_000_100);
    assert_eq!(world.records(), before, "an expiry that is the same writes nothing");
    world.expire("k", 5_000_000);
    assert_eq!(world.records().len(), before.len());
    world.now_ms += 200;
    world.tidy(10);
    assert!(world.get(0, "k").is_some());
    let keyspace = keys::initial_keyspace(0, 0);
    assert!(world.records().contains_key(&keys::expiry(keyspace, 5_000_000, b"k")[..]));
    world.expire("k", 2_000_000);
    world.expire("k", 0);
    world.check_tidy();
    assert!(!world.records().keys().any(|record| record[4] == b'x'));
}

#[test]
fn overwriting_an_expired_key_is_like_writing_a_new_one() {
    let mut world = World::new();
    world.set(0, "k", &large(6), 1_000_100);
    world.now_ms += 200;
    world.set(0, "k", SMALL, 0);
    world.tidy(10);
    world.check_tidy();
    assert_eq!(world.get(0, "k").as_deref(), Some(SMALL));
    assert_eq!(world.size(0), 1);
}

#[test]
fn renaming_moves_everything() {
    let mut world = World::new();
    for value in [SMALL.to_vec(), large(2), large(40)] {
        for target in ["free", "taken", "taken large"] {
            world.set(0, "taken", SMALL, 1_500_000);
            world.set(0, "taken large", &large(40), 0);
            world.set(0, "a", &value, 2_000_000);
            assert!(world.rename((0, "a"), (0, target)));
            assert_eq!(world.get(0, "a"), None);
            assert_eq!(world.get(0, target), Some(value.clone()));
            world.tidy(5);
            world.check_tidy();
            assert!(world.rename((0, target), (4, "there")), "to another database");
            assert_eq!(world.get(4, "there"), Some(value.clone()));
            world.tidy(5);
            world.check_tidy();
        }
    }
    let before = world.records();
    assert!(world.rename((4, "there"), (4, "there")));
    assert_eq!(world.records(), before, "a key renamed to itself is not touched");
    assert!(!world.rename((0, "missing"), (0, "missing")));
    world.now_ms = 2_000_000;
    world.tidy(5);
    world.check_tidy();
    assert_eq!(world.size(4), 0);
}

#[test]
fn copies_have_elements_of_their_own() {
    let mut world = World::new();
    for value in [SMALL.to_vec(), large(2), large(40)] {
        world.set(0, "a", &value, 2_000_000);
        assert!(world.copy((0, "a"), (0, "b")));
        assert!(world.copy((0, "a"), (5, "a")));
        world.remove("a");
        world.tidy(5);
        assert_eq!(world.get(0, "b"), Some(value.clone()));
        assert_eq!(world.get(5, "a"), Some(value.clone()));
        world.check_tidy();
    }
    assert!(!world.copy((0, "missing"), (0, "b")));
}

#[test]
fn flushed_and_swapped_databases_leave_nothing() {
    let mut world = World::new();
    for index in 0..30 {
        world.set(0, &format!("k{index}"), SMALL, 1_000_000 + index);
        world.set(1, &format!("k{index}"), &large(1), 0);
    }
    world.group(|view| view.swap_databases(0, 0, 1));
    world.set(0, "large", &large(8), 0);
    assert!(world.remove("large"));
    assert_eq!(world.get(0, "k0"), Some(large(1)));
    world.group(|view| view.flush_database(0, 0));
    assert_eq!((world.size(0), world.size(1)), (0, 30));
    world.set(0, "after", SMALL, 0);
    world.group(|view| {
        view.flush_database(0, 1)?;
        view.flush_database(0, 1)
    });
    world.tidy(7);
    world.check_tidy();
    assert_eq!((world.size(0), world.size(1)), (1, 0));
    world.group(|view| view.flush_database(0, 0));
    world.tidy(7);
    world.check_tidy();
    let before = world.records();
    world.group(|view| view.flush_database(0, 2));
    assert_eq!(world.records(), before, "flushing an empty database writes nothing");
}

#[test]
fn flushing_while_an_orphan_is_being_collected_leaves_nothing() {
    let mut world = World::new();
    world.set(0, "before", &large(8), 0);
    world.set(0, "lost", &large(40), 0);
    assert!(world.remove("lost"));
    let garbage = world.find(|snapshot| world.collector.garbage(snapshot, 3, Share::ALL)).unwrap();
    world.do_chores(&garbage.chores);
    world.collector.done(garbage);
    world.group(|view| view.flush_database(0, 0));
    world.tidy(100);
    world.check_tidy();
}

#[test]
fn audits_find_what_blind_writes_orphaned() {
    let mut world = World::new();
    world.set(0, "kept", &large(2), 0);
    world.set(0, "lost", &large(6), 0);
    world.set(0, "renamed", &large(2), 0);
    world.rename((0, "renamed"), (0, "again"));
    let keyspace = keys::initial_keyspace(0, 0);
    world.group(|view| string::put(view, keyspace, b"lost", &[SMALL], 0, Prior::Unknown));
    let mut audit = Audit::default();
    for _ in 0..40 {
        let (chores, next) = world.find(|snapshot| audit.next(snapshot, 1, Share::ALL)).unwrap();
        world.do_chores(&chores);
        audit = next;
    }
    world.tidy(10);
    world.check_tidy();
    assert_eq!(world.get(0, "kept"), Some(large(2)));
    assert_eq!(world.get(0, "again"), Some(large(2)));
}
