//! The embedded store keeps its promises across restarts, crashes and failures.

use std::path::Path;

use super::files::Operation;
use super::*;
use crate::store::conformance::{Suite, all, get};

mod crash;
mod failures;
mod scans;

/// Buffers so small that checkpoints happen all the time.
fn tiny(dir: &Path) -> EmbeddedOptions {
    EmbeddedOptions {
        durability: Durability::None,
        cache_bytes: 256 * 1024,
        memtable_bytes: 48 * 1024,
        log_bytes: 512 * 1024,
        segment_bytes: 2 * 1024 * 1024,
        ..EmbeddedOptions::new(dir)
    }
}

/// A directory in memory where there is such a thing: these tests sync a lot, and none of them is
/// about what the hardware does.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn open(options: &EmbeddedOptions) -> Arc<EmbeddedStore> {
    Arc::new(EmbeddedStore::open(options.clone()).unwrap())
}

/// Commits one record, with the next sequence.
fn set(store: &EmbeddedStore, key: &[u8], value: &[u8]) -> Result<(), CommitError> {
    let mut mutations = Mutations::default();
    mutations.set(key, &[value]);
    store.commit(store.sequence() + 1, &mutations)
}

impl EmbeddedStore {
    /// Moves everything to the tree and waits until that is done, old log files included.
    fn checkpoint_now(&self) {
        self.freeze(&mut self.writer.lock()).unwrap();
        self.wait_for_checkpoints();
    }

    fn wait_for_checkpoints(&self) {
        let Checkpoints { begun, done, .. } = &self.core.checkpoints;
        wait_until(|| done.load(Ordering::Acquire) == begun.load(Ordering::Acquire));
    }
}

fn wait_until(condition: impl Fn() -> bool) {
    while !condition() {
        std::thread::yield_now();
    }
}

fn figure(store: &EmbeddedStore, name: &str) -> u64 {
    store.figures().into_iter().find(|(found, _)| *found == name).expect("it is a figure").1
}

#[test]
fn conformance_with_checkpoints_and_restarts() {
    for seed in 0..6 {
        let dir = scratch();
        let options = tiny(dir.path());
        let mut suite = Suite::new(seed);
        for round in 0..4 {
            let store = open(&options);
            suite.run(&store, 250);
            assert!(figure(&store, "checkpoints") > 0);
            if round % 2 == 0 {
                store.close().unwrap();
            }
        }
    }
}

#[test]
fn conformance_without_cache_and_with_sync() {
    let dir = scratch();
    let durability = Durability::Sync;
    let options = EmbeddedOptions { durability, cache_bytes: 0, ..tiny(dir.path()) };
    let mut suite = Suite::new(77);
    for _ in 0..2 {
        suite.run(&open(&options), 100);
    }
}

#[test]
fn only_records_of_the_tree_leave_tombstones() {
    let dir = scratch();
    let store = open(&tiny(dir.path()));
    let clear = |key: &[u8]| {
        let mut mutations = Mutations::default();
        mutations.clear(key);
        store.commit(store.sequence() + 1, &mutations).unwrap();
    };
    set(&store, b"old", b"value").unwrap();
    store.checkpoint_now();
    for key in [&b"old"[..], b"new"] {
        set(&store, key, b"other").unwrap();
        clear(key);
        assert_eq!(get(&store, key), None);
    }
    let tables = store.core.tables.read();
    assert_eq!((tables.active.get(b"old"), tables.active.get(b"new")), (Some(None), None));
    drop(tables);
    store.checkpoint_now();
    assert_eq!(all(&store).len(), 0);
}

#[test]
fn after_closing_the_log_is_empty_and_commits_are_refused() {
    let dir = scratch();
    let options = tiny(dir.path());
    let store = open(&options);
    set(&store, b"key", b"value").unwrap();
    store.close().unwrap();
    assert!(matches!(set(&store, b"key", b"other"), Err(CommitError::Refused(_))));
    assert_eq!(get(&store, b"key").unwrap(), b"value");
    drop(store);
    let store = open(&options);
    assert_eq!(figure(&store, "buffer_bytes"), 0);
    assert_eq!((store.sequence(), get(&store, b"key").unwrap()), (1, b"value".to_vec()));
}

#[test]
fn a_directory_has_one_user() {
    let dir = scratch();
    let store = open(&tiny(dir.path()));
    let second = EmbeddedStore::open(tiny(dir.path())).err().unwrap();
    assert!(matches!(&second, OpenError::Locked(_)));
    assert!(second.to_string().contains("in use by another process"), "{second}");
    store.close().unwrap();
    assert!(EmbeddedStore::open(tiny(dir.path())).is_err());
    drop(store);
    open(&tiny(dir.path()));
}

#[test]
fn an_unknown_format_is_refused() {
    let dir = scratch();
    drop(open(&tiny(dir.path())));
    let path = dir.path().join("FORMAT");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("format 1", "format 2")).unwrap();
    let refused = EmbeddedStore::open(tiny(dir.path())).err().unwrap();
    assert!(matches!(refused, OpenError::UnknownFormat { found: 2, supported: 1 }));
    std::fs::write(&path, "something else").unwrap();
    let refused = EmbeddedStore::open(tiny(dir.path())).err().unwrap();
    assert!(matches!(refused, OpenError::Corrupt(_)));
    std::fs::remove_file(&path).unwrap();
    let refused = EmbeddedStore::open(tiny(dir.path())).err().unwrap();
    assert!(matches!(refused, OpenError::Corrupt(_)));
}

#[test]
fn interval_syncs_in_the_background_and_on_closing() {
    let dir = scratch();
    let durability = Durability::Interval(Duration::from_millis(1));
    let store = open(&EmbeddedOptions { durability, ..tiny(dir.path()) });
    set(&store, b"key", b"value").unwrap();
    wait_until(|| store.core.syncer.durable.load(Ordering::Acquire) > 0);
    assert_eq!(figure(&store, "log_syncs"), 1);
    store.close().unwrap();
}

#[test]
fn many_commits_reuse_few_log_files() {
    let dir = scratch();
    let store = open(&tiny(dir.path()));
    for number in 0..4000_u32 {
        set(&store, &(number % 100).to_be_bytes(), &[7; 10_000]).unwrap();
    }
    assert!(figure(&store, "checkpoints") > 10);
    store.close().unwrap();
    let files = std::fs::read_dir(dir.path().join("log")).unwrap().count();
    assert!(files <= 1 + crate::limits::LOG_SPARES_MAX + 1, "{files} log files");
    assert_eq!(all(&store).len(), 100);
}
