//! Property: a key counts as modified whenever it was, and as a rule only then.

use super::*;
use crate::data::Watched;

impl World {
    fn watch(&mut self, key: &str) -> Watched {
        self.group(|view| view.watch(0, 0, key.as_bytes()))
    }

    fn is_as(&mut self, key: &str, watched: &Watched) -> bool {
        self.group(|view| view.is_as_watched(0, 0, key.as_bytes(), watched))
    }

    fn blind(&mut self, key: &str) {
        let keyspace = keys::initial_keyspace(0, 0);
        self.group(|view| string::put(view, keyspace, key.as_bytes(), &[SMALL], 0, Prior::Unknown));
    }

    fn flush(&mut self, database: u8) {
        self.group(|view| view.flush_database(0, database));
    }

    fn swap(&mut self, one: u8, other: u8) {
        self.group(|view| view.swap_databases(0, one, other));
    }
}

/// A key that shares its trace with `key`, and one that does not.
fn neighbours(key: &str) -> (String, String) {
    let slot = |key: &str| keys::removals(1, key.as_bytes());
    let shares = |other: &String| (slot(other) == slot(key)) && *other != key;
    let mut names = (0..).map(|number| format!("other{number}"));
    let near = names.find(shares).unwrap();
    (near, names.find(|other| !shares(other)).unwrap())
}

#[test]
fn a_key_that_is_there_tells_by_its_stamp() {
    let mut world = World::new();
    world.set(0, "k", SMALL, 0);
    let watched = world.watch("k");
    assert!(world.is_as("k", &watched));
    world.set(0, "k", SMALL, 0);
    assert!(!world.is_as("k", &watched));
    world.set(0, "k", SMALL, 1_000_100);
    let watched = world.watch("k");
    world.now_ms += 100;
    assert!(!world.is_as("k", &watched), "it has expired");
}

#[test]
fn an_absent_key_tells_by_its_trace() {
    let mut world = World::new();
    let (near, far) = neighbours("k");
    world.set(0, &near, SMALL, 0);
    world.set(0, &far, SMALL, 0);
    let watched = world.watch("k");
    assert!(world.is_as("k", &watched));
    world.blind("k");
    assert!(!world.is_as("k", &watched), "it is there");
    assert!(world.remove("k"));
    assert!(!world.is_as("k", &watched), "it was there");
    let watched = world.watch("k");
    world.remove(&far);
    assert!(world.is_as("k", &watched), "another key went, with another trace");
    world.remove(&near);
    assert!(!world.is_as("k", &watched), "its trace has been overwritten");
    world.blind("k");
    let watched = world.watch("moved");
    world.rename((0, "k"), (0, "moved"));
    world.rename((0, "moved"), (1, "k"));
    assert!(!world.is_as("moved", &watched));
    assert!(world.records().keys().filter(|record| is(record, 1, b'w')).count() <= 3);
}

#[test]
fn keys_that_one_command_wrote_leave_different_traces() {
    let mut world = World::new();
    let (near, _) = neighbours("k");
    let keyspace = keys::initial_keyspace(0, 0);
    world.group(|view| {
        for key in ["k", &near] {
            string::put(view, keyspace, key.as_bytes(), &[SMALL], 0, Prior::Unknown)?;
        }
        Ok(())
    });
    world.remove("k");
    let watched = world.watch("k");
    world.blind("k");
    world.remove("k");
    world.remove(&near);
    assert!(!world.is_as("k", &watched));
}

#[test]
fn commands_of_one_group_see_each_other() {
    let mut world = World::new();
    let keyspace = keys::initial_keyspace(0, 0);
    for _ in 0..2 {
        let (still, after) = world.group(|view| {
            let watched = view.watch(0, 0, b"k")?;
            let still = view.is_as_watched(0, 0, b"k", &watched)?;
            view.next_command();
            string::put(view, keyspace, b"k", &[SMALL], 0, Prior::Unknown)?;
            view.next_command();
            view.remove(keyspace, b"k")?;
            Ok((still, view.is_as_watched(0, 0, b"k", &watched)?))
        });
        assert_eq!((still, after), (true, false));
    }
}

#[test]
fn an_expired_record_is_no_key() {
    let mut world = World::new();
    let (near, _) = neighbours("k");
    world.set(0, "k", SMALL, 1_000_100);
    world.set(0, &near, SMALL, 0);
    world.now_ms += 100;
    let watched = world.watch("k");
    assert!(world.is_as("k", &watched), "not swept yet");
    world.remove(&near);
    assert!(world.is_as("k", &watched), "it is there to tell, whatever its trace");
    world.tidy(10);
    assert!(world.is_as("k", &watched), "swept");
    world.set(0, "k", SMALL, world.now_ms + 100);
    assert!(!world.is_as("k", &watched), "created");
    world.now_ms += 100;
    assert!(!world.is_as("k", &watched), "created and expired");
    world.tidy(10);
    assert!(!world.is_as("k", &watched), "created, expired and swept");
}

#[test]
fn absent_keys_outlast_a_flush_until_it_is_collected() {
    let mut world = World::new();
    for _ in 0..2 {
        world.set(0, "there", SMALL, 0);
        let (absent, there) = (world.watch("k"), world.watch("there"));
        world.flush(0);
        assert!(world.is_as("k", &absent));
        assert!(!world.is_as("there", &there));
        world.set(0, "k", SMALL, 0);
        assert!(!world.is_as("k", &absent));
        world.remove("k");
        assert!(!world.is_as("k", &absent));
        world.flush(0);
        assert!(!world.is_as("k", &absent), "it was there between two flushes");
        let absent = world.watch("k");
        world.set(0, "k", SMALL, 0);
        world.remove("k");
        world.flush(0);
        assert!(!world.is_as("k", &absent), "it was there before the flush");
        let garbage =
            world.find(|snapshot| world.collector.garbage(snapshot, 3, Share::ALL)).unwrap();
        world.do_chores(&garbage.chores);
        assert!(!world.is_as("k", &absent), "its trace may have been collected");
        world.tidy(10);
        world.check_tidy();
    }
}

#[test]
fn absent_keys_outlast_one_swap() {
    let mut world = World::new();
    world.set(0, "there", SMALL, 0);
    let (absent, there) = (world.watch("k"), world.watch("there"));
    world.swap(0, 1);
    assert!(world.is_as("k", &absent));
    assert!(!world.is_as("there", &there));
    world.set(0, "k", SMALL, 0);
    assert!(!world.is_as("k", &absent));
    world.swap(0, 1);
    assert!(!world.is_as("k", &absent), "it was there before it was swapped back");
    assert!(!world.is_as("there", &there), "it was away");
    let absent = world.watch("k");
    world.swap(0, 1);
    assert!(!world.is_as("k", &absent), "it is there");
    world.swap(2, 3);
    let watched = world.watch("there");
    world.swap(2, 3);
    assert!(world.is_as("there", &watched), "other databases");
}
