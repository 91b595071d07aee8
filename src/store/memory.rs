//! The store that keeps everything in memory and nothing anywhere else: for caches and tests.
//!
//! A snapshot holds a read lock while it is read, so it sees one state by construction, and commits
//! are applied whole under the write lock. Nothing survives the process.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::RwLock;

use super::direct::Direct;
use super::memtable::Memtable;
use super::{
    CommitError, Local, Mutation, Mutations, ReadError, Scan, Snapshot, Store, Transaction, Value,
    Visitor,
};

/// See the module.
pub struct MemoryStore {
    table: RwLock<Memtable>,
    issued: AtomicU64,
    closed: AtomicBool,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self {
            table: RwLock::new(Memtable::without_tombstones()),
            issued: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for MemoryStore {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn local(&self) -> Option<&dyn Local> {
        Some(self)
    }

    fn transaction(self: Arc<Self>) -> Box<dyn Transaction> {
        Box::new(Direct(self))
    }

    fn next_sequence(&self) -> u64 {
        self.issued.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        // Commands ask while they read: a commit that waits meanwhile must not come between.
        let table = self.table.read_recursive();
        vec![("records", table.len() as u64), ("memory_bytes", table.bytes() as u64)]
    }

    fn close(&self) -> Result<(), String> {
        self.closed.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl Local for MemoryStore {
    fn read(&self, f: &mut dyn FnMut(&dyn Snapshot)) {
        f(&MemorySnapshot(&self.table.read()));
    }

    fn commit(&self, _: u64, mutations: &Mutations) -> Result<(), CommitError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(CommitError::Refused("the store is closed".into()));
        }
        self.table.write().put_all(mutations.iter().map(Mutation::change));
        Ok(())
    }

    fn may_block(&self) -> bool {
        false
    }
}

struct MemorySnapshot<'a>(&'a Memtable);

impl Snapshot for MemorySnapshot<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Value<'_>>, ReadError> {
        Ok(self.0.get(key).flatten().map(Cow::Borrowed))
    }

    fn scan(&self, scan: Scan<'_>, visit: &mut Visitor<'_>) -> Result<(), ReadError> {
        if scan.reverse {
            visit_all(self.0.range_down(scan.begin, scan.end).take(scan.limit), visit);
        } else {
            visit_all(self.0.range(scan.begin, scan.end).take(scan.limit), visit);
        }
        Ok(())
    }

    fn answers_at_once(&self) -> bool {
        true
    }
}

fn visit_all<'a>(records: impl Iterator<Item = (&'a [u8], &'a [u8])>, visit: &mut Visitor<'_>) {
    for (key, value) in records {
        if visit(key, value).is_break() {
            return;
        }
    }
}
