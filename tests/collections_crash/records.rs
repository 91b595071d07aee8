//! The records in a data directory that no server uses, once background work has come to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ringstone::data::background::{self, Audit, Chore, Collector, Space, Sweep, Tour};
use ringstone::data::members::Share;
use ringstone::data::meta::{Elements, HEAD, Header, Kind};
use ringstone::data::{Moment, Overlay, View, keys};
use ringstone::error::Stop;
use ringstone::limits::{CHORES_MAX, CHUNK_BYTES, INLINE_VALUE_BYTES_MAX};
use ringstone::store::embedded::{EmbeddedOptions, EmbeddedStore};
use ringstone::store::fault::{FaultPlan, FaultStore};
use ringstone::store::{Mode, ReadError, Scan, Snapshot, Store, Transaction, wait};

use super::common::{DEADLINE, Subject};
use super::model::{Held, Value};

/// What is at the keys of each database.
pub type Live<'h> = BTreeMap<(u8, Vec<u8>), &'h Held>;

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// Does the background work there is at `now_ms`, and fails unless exactly what `live` needs is left.
pub fn check(directory: &Path, subject: Subject, now_ms: u64, live: &Live<'_>, what: &str) {
    let store = open(directory, subject);
    tidy(&store, now_ms);
    let spaces = find(&store, all_spaces);
    let mut left = records(&store);
    if store.local().is_none() {
        left.retain(|record, _| !is(record, 0, b'c') && !is(record, 0, b'p'));
    }
    left.retain(|record, _| !is(record, 0, b'd') && !is(record, 0, b'i'));
    for (database, Space { keyspace, .. }) in spaces.into_iter().enumerate() {
        left.remove(&keys::size(keyspace)[..]);
        let expected = live.keys().filter(|(of, _)| usize::from(*of) == database).count() as u64;
        let size = size(&store, keyspace).unwrap_or(expected);
        assert_eq!(size, expected, "{what}: number of keys in database {database}");
        // Traces of removals; and entries of expiries that were put off, which go when they are due.
        left.retain(|record, _| !is(record, keyspace, b'w'));
        let is_due = |record: &[u8]| keys::split_expiry(record).0 <= now_ms;
        let mut kept = BTreeSet::new();
        for ((of, key), held) in live.iter().filter(|((of, _), _)| usize::from(*of) == database) {
            let who = format!("{what}: database {of}, key {}", key.escape_ascii());
            let expires_ms = take(&mut left, keyspace, key, held, &who);
            if expires_ms != 0 {
                kept.insert(keys::expiry(keyspace, expires_ms, key).to_vec());
            }
        }
        for entry in &kept {
            let (expires_ms, key) = keys::split_expiry(entry);
            let is_entry = |record: &[u8]| {
                let (at_ms, indexed) = keys::split_expiry(record);
                indexed == key && at_ms <= expires_ms
            };
            let mut entries = left.keys().filter(|record| is(record, keyspace, b'x'));
            assert!(entries.any(|record| is_entry(record)), "{what}: no entry {entry:?}");
        }
        left.retain(|record, _| !is(record, keyspace, b'x') || is_due(record));
    }
    let left: Vec<_> = left.keys().map(|record| record.escape_ascii().to_string()).collect();
    let some = &left[..left.len().min(20)];
    assert!(left.is_empty(), "{what}: {} records are left: {some:?}", left.len());
    store.close().unwrap();
}

/// The store as it was used, but without faults that matter: one that may have to fetch what is read
/// says so, since that decides which records there are.
fn open(directory: &Path, subject: Subject) -> Arc<dyn Store> {
    let store = Arc::new(EmbeddedStore::open(EmbeddedOptions::new(directory)).unwrap());
    match subject {
        Subject::FaultyEmbedded => {
            let plan = FaultPlan { pending_1_in: 100, ..FaultPlan::default() };
            Arc::new(FaultStore::new(store, plan))
        }
        _ => store,
    }
}

fn is(record: &[u8], keyspace: u32, kind: u8) -> bool {
    record[..4] == keyspace.to_be_bytes() && record[4] == kind
}

/// Takes everything a key consists of out of the records; when it expires.
fn take(left: &mut Records, keyspace: u32, key: &[u8], held: &Held, who: &str) -> u64 {
    let meta = left.remove(&keys::meta(keyspace, key)[..]);
    let meta = meta.unwrap_or_else(|| panic!("{who}: is not there"));
    let header = Header::decode(&meta).unwrap();
    assert_eq!(header.expires_ms, held.expires.map_or(0, |(at, _)| at as u64), "{who}: expiry");
    let (kind, numbers) = shape(&held.value);
    assert_eq!(header.kind, kind, "{who}: kind");
    if kind == Kind::String {
        return header.expires_ms;
    }
    let incarnation = Elements::decode(&meta[HEAD..]).unwrap().incarnation;
    let owner = left.remove(&keys::registry(keyspace, incarnation)[..]);
    assert_eq!(owner.as_deref(), Some(key), "{who}: registry");
    let mut found = [0; 4];
    let ranges = keys::incarnation_ranges(keyspace, incarnation);
    for (number, (begin, end)) in found.iter_mut().zip(ranges) {
        let range = left.range(begin.to_vec()..end.to_vec());
        let records: Vec<_> = range.map(|(record, _)| record.clone()).collect();
        // Of the records by score, the members; a rank index is as large as it is.
        let is_index = |record: &[u8]| record[4] == b's' && record[13] != 0;
        *number = records.iter().filter(|record| !is_index(record)).count();
        records.iter().for_each(|record| drop(left.remove(record)));
    }
    assert_eq!(found, numbers, "{who}: elements, by score, chunks, counters");
    header.expires_ms
}

/// The kind of a value, and how many records it has: elements, by score, chunks, counters.
fn shape(value: &Value) -> (Kind, [usize; 4]) {
    let chunks = |value: &[u8]| match value.len() {
        len if len < CHUNK_BYTES => 0,
        len => len.div_ceil(CHUNK_BYTES),
    };
    match value {
        Value::String(value) if value.len() <= INLINE_VALUE_BYTES_MAX => (Kind::String, [0; 4]),
        Value::String(value) => (Kind::LongString, [value.len().div_ceil(CHUNK_BYTES), 0, 0, 0]),
        Value::Hash(fields) => {
            let chunks = fields.values().map(|value| chunks(value)).sum();
            (Kind::Hash, [fields.len(), 0, chunks, 1])
        }
        Value::List(items) => {
            (Kind::List, [items.len(), 0, items.iter().map(|item| chunks(item)).sum(), 0])
        }
        Value::Set(members) => (Kind::Set, [members.len(), 0, 0, 1]),
        Value::SortedSet(members) => (Kind::SortedSet, [members.len(), members.len(), 0, 1]),
    }
}

fn records(store: &Arc<dyn Store>) -> Records {
    find(store, |snapshot| {
        let mut records = Records::new();
        let visit = &mut |key: &[u8], value: &[u8]| {
            records.insert(key.to_vec(), value.to_vec());
            ControlFlow::Continue(())
        };
        snapshot.scan(Scan::all(b"", b"\xff"), visit)?;
        Ok(records)
    })
}

fn begin(store: &Arc<dyn Store>, mode: Mode) -> Box<dyn Transaction> {
    let mut transaction = Arc::clone(store).transaction();
    transaction.begin(mode, Instant::now() + DEADLINE);
    transaction
}

fn find<T>(store: &Arc<dyn Store>, mut f: impl FnMut(&dyn Snapshot) -> Result<T, ReadError>) -> T {
    wait::read(&mut *begin(store, Mode::Read), &mut f).unwrap()
}

/// The number of keys, where it is kept.
fn size(store: &Arc<dyn Store>, keyspace: u32) -> Option<u64> {
    let moment = Moment { now_ms: 0, sequence: 0, order: 0, seed: 0, value_bytes_max: 0 };
    find(store, |snapshot| {
        let mut overlay = Overlay::default();
        View::new(snapshot, &mut overlay, moment).exact_size(keyspace).map_err(unanswered)
    })
}

fn unanswered(stop: Stop) -> ReadError {
    match stop {
        Stop::Pending => ReadError::Pending,
        other => ReadError::Failed(format!("{other:?}")),
    }
}

fn all_spaces(snapshot: &dyn Snapshot) -> Result<Vec<Space>, ReadError> {
    Tour::default().next(snapshot, usize::MAX).map(|(spaces, _)| spaces)
}

/// Does what [`ringstone::server`]'s background thread does, until there is nothing to do.
fn tidy(store: &Arc<dyn Store>, now_ms: u64) {
    let (mut sweep, mut collector) = (Sweep::default(), Collector::default());
    let (all, limit) = (Share::ALL, CHORES_MAX);
    if store.local().is_none() {
        let mut audit = Audit::default();
        for _ in find(store, all_spaces) {
            let search = |snapshot: &dyn Snapshot| audit.next(snapshot, usize::MAX, all);
            let (chores, next) = find(store, search);
            chores.chunks(limit).for_each(|chores| do_chores(store, now_ms, chores));
            audit = next;
        }
    }
    loop {
        let shown = find(store, all_spaces);
        let due = find(store, |snapshot| sweep.due(snapshot, &shown, now_ms, limit, all));
        do_chores(store, now_ms, &due.chores);
        sweep.done(&due, &shown, now_ms);
        let garbage = find(store, |snapshot| collector.garbage(snapshot, limit, all));
        do_chores(store, now_ms, &garbage.chores);
        let is_idle = due.chores.is_empty() && garbage.chores.is_empty();
        collector.done(garbage);
        if is_idle {
            return;
        }
    }
}

fn do_chores(store: &Arc<dyn Store>, now_ms: u64, chores: &[Chore]) {
    let sequence = store.next_sequence();
    let moment = Moment { now_ms, sequence, order: 0, seed: sequence, value_bytes_max: 8 << 20 };
    let mut overlay = Overlay::default();
    let mut transaction = begin(store, Mode::Write);
    let mut execute = |snapshot: &dyn Snapshot| {
        overlay.reset();
        let mut view = View::new(snapshot, &mut overlay, moment);
        for chore in chores {
            view.next_command();
            background::step(&mut view, chore).map_err(unanswered)?;
        }
        view.finish().map_err(unanswered)
    };
    wait::read(&mut *transaction, &mut execute).unwrap();
    wait::wait(|cx| transaction.poll_commit(cx, sequence, overlay.mutations())).unwrap();
}
