//! On a real cluster: what every store must do, what is assumed between two stores, how commits
//! conflict, and how transactions end.
//!
//! `RINGSTONE_TEST_FDB_CLUSTER_FILE` names the cluster; each test has a directory of its own there.
//! Without it they are skipped, and say so.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;
use crate::store::conformance::Suite;
use crate::store::{Account, CommitError, Mode, Mutations, ReadError, Scan, Snapshot, Store, wait};

const CLUSTER_VARIABLE: &str = "RINGSTONE_TEST_FDB_CLUSTER_FILE";

/// A root that no other test has, also of another run.
fn new_root() -> String {
    static ROOTS: AtomicU64 = AtomicU64::new(0);
    let number = ROOTS.fetch_add(1, Ordering::Relaxed);
    format!("ringstone-tests/{}-{number}", clock::unix_us())
}

/// A store at `root`; `None`, and a line for people, if there is no cluster to test on.
fn open(root: &str) -> Option<Arc<FdbStore>> {
    let Some(file) = std::env::var_os(CLUSTER_VARIABLE) else {
        // Past the capture of the test's output, which nobody sees when it passes.
        let line = format!("skipped: {CLUSTER_VARIABLE} names no cluster to test on\n");
        let _ = std::io::stderr().write_all(line.as_bytes());
        return None;
    };
    let mut options = FdbOptions::new(root.split('/').map(str::to_owned).collect());
    options.cluster_file = Some(file.into());
    Some(Arc::new(FdbStore::open(options).unwrap()))
}

fn begin(store: &Arc<FdbStore>, mode: Mode) -> Box<dyn Transaction> {
    let mut transaction = Arc::clone(store).transaction();
    transaction.begin(mode, clock::monotonic() + Duration::from_secs(5));
    transaction
}

fn set(key: &[u8], value: &[u8]) -> Mutations {
    let mut mutations = Mutations::default();
    mutations.set(key, &[value]);
    mutations
}

fn commit(transaction: &mut dyn Transaction, mutations: &Mutations) -> Result<(), CommitError> {
    wait::wait(|cx| transaction.poll_commit(cx, 1, mutations))
}

fn fetch(transaction: &mut dyn Transaction) -> Result<(), ReadError> {
    wait::wait(|cx| transaction.poll_fetch(cx))
}

type Answer = Result<Option<Vec<u8>>, ReadError>;

fn owned(value: Result<Option<crate::store::Value<'_>>, ReadError>) -> Answer {
    value.map(|value| value.map(|value| value.into_owned()))
}

fn look(transaction: &mut dyn Transaction, mut f: impl FnMut(&dyn Snapshot) -> Answer) -> Answer {
    let mut answer = Err(ReadError::Pending);
    transaction.read(&mut |snapshot| answer = f(snapshot));
    answer
}

fn get(store: &Arc<FdbStore>, key: &[u8]) -> Option<Vec<u8>> {
    let mut find = |snapshot: &dyn Snapshot| owned(snapshot.get(key));
    wait::read(&mut *begin(store, Mode::Read), &mut find).unwrap()
}

/// Asks again and again until it is so.
fn wait_until(is_so: impl Fn() -> bool) {
    let patience = clock::monotonic() + Duration::from_secs(10);
    while !is_so() {
        assert!(clock::monotonic() < patience, "it never is");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn figure(store: &FdbStore, name: &str) -> u64 {
    let figures = store.figures();
    figures.iter().find(|(other, _)| *other == name).expect("a figure").1
}

#[test]
fn it_does_what_every_store_does() {
    let root = new_root();
    let Some(store) = open(&root) else { return };
    let mut suite = Suite::new(1);
    suite.run(&store, 200);
    store.close().unwrap();
    let refused = commit(&mut *begin(&store, Mode::Write), &set(b"k", b"v"));
    assert_eq!(refused, Err(CommitError::Refused("the store is closed".to_owned())));
    drop(store);
    suite.run(&open(&root).unwrap(), 100);
    assert_eq!(get(&open(&new_root()).unwrap(), b"k"), None, "another root is another store");
}

#[test]
fn sequences_differ_between_stores() {
    let root = new_root();
    let (Some(one), Some(other)) = (open(&root), open(&root)) else { return };
    // Past the end of the first block and of the second.
    let mut numbers: Vec<u64> = (0..3 << 20).map(|_| one.next_sequence()).collect();
    numbers.extend((0..1000).map(|_| other.next_sequence()));
    let count = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), count);
    assert!(numbers.iter().all(|number| *number < 1 << 48));
}

#[test]
fn what_was_read_and_changed_conflicts() {
    let Some(store) = open(&new_root()) else { return };
    let overtaken = |writes: &[u8]| {
        let mut slow = begin(&store, Mode::Write);
        assert_eq!(look(&mut *slow, |s| owned(s.get(b"a"))), Err(ReadError::Pending));
        fetch(&mut *slow).unwrap();
        commit(&mut *begin(&store, Mode::Write), &set(writes, b"1")).unwrap();
        (commit(&mut *slow, &set(b"mine", b"2")), slow)
    };
    assert_eq!(overtaken(b"b").0, Ok(()));
    let (outcome, mut slow) = overtaken(b"a");
    assert_eq!(outcome, Err(CommitError::Conflict));
    assert_eq!(figure(&store, "conflicts"), 1);
    // The same transaction sees the new state after that, and can commit.
    wait::wait(|cx| slow.poll_retry(cx));
    assert_eq!(look(&mut *slow, |s| owned(s.get(b"a"))), Err(ReadError::Pending));
    fetch(&mut *slow).unwrap();
    assert_eq!(look(&mut *slow, |s| owned(s.get(b"a"))), Ok(Some(b"1".to_vec())));
    assert_eq!(commit(&mut *slow, &set(b"mine", b"3")), Ok(()));
    assert_eq!(get(&store, b"mine"), Some(b"3".to_vec()));
}

#[test]
fn readers_are_in_nobodys_way() {
    let Some(store) = open(&new_root()) else { return };
    commit(&mut *begin(&store, Mode::Write), &set(b"a", b"1")).unwrap();
    let mut reader = begin(&store, Mode::Read);
    let _ = look(&mut *reader, |s| owned(s.get(b"a")));
    fetch(&mut *reader).unwrap();
    commit(&mut *begin(&store, Mode::Write), &set(b"a", b"2")).unwrap();
    // One version for all reads, whenever they are fetched.
    let _ = look(&mut *reader, |s| owned(s.get(b"b")));
    fetch(&mut *reader).unwrap();
    assert_eq!(look(&mut *reader, |s| owned(s.get(b"a"))), Ok(Some(b"1".to_vec())));
}

#[test]
fn equal_reads_are_asked_once() {
    let Some(store) = open(&new_root()) else { return };
    let mut reader = begin(&store, Mode::Read);
    reader.read(&mut |snapshot| {
        for _ in 0..10 {
            assert_eq!(snapshot.get(b"a"), Err(ReadError::Pending));
            assert_eq!(snapshot.get(b"b"), Err(ReadError::Pending));
            assert_eq!(snapshot.get(b"b"), Err(ReadError::Pending));
            snapshot.next_reader();
        }
    });
    fetch(&mut *reader).unwrap();
    assert_eq!(figure(&store, "reads"), 2);
    assert_eq!(figure(&store, "read_versions"), 1);
    assert_eq!(reader.take_account().equal_reads, 18);
    assert_eq!(look(&mut *reader, |s| owned(s.get(b"b"))), Ok(None));
    fetch(&mut *reader).unwrap();
    assert_eq!(figure(&store, "reads"), 2);
    assert_eq!(reader.take_account(), Account::default(), "nothing has been asked since");
}

#[test]
fn the_time_of_a_version_is_told_where_one_was_obtained() {
    let Some(store) = open(&new_root()) else { return };
    let started = clock::monotonic();
    let mut reader = begin(&store, Mode::Read);
    let took = |transaction: &mut Box<dyn Transaction>| transaction.take_account().version;
    let _ = look(&mut *reader, |s| owned(s.get(b"a")));
    fetch(&mut *reader).unwrap();
    let first = took(&mut reader);
    assert!(first > Duration::ZERO && first < clock::monotonic() - started, "{first:?}");
    let _ = look(&mut *reader, |s| owned(s.get(b"b")));
    fetch(&mut *reader).unwrap();
    assert_eq!(took(&mut reader), Duration::ZERO, "it has one");
    // What the reader learnt is lent.
    let before = figure(&store, "read_versions");
    let mut writer = begin(&store, Mode::Write);
    let _ = look(&mut *writer, |s| owned(s.get(b"a")));
    fetch(&mut *writer).unwrap();
    commit(&mut *writer, &set(b"a", b"1")).unwrap();
    assert_eq!((took(&mut writer), figure(&store, "read_versions")), (Duration::ZERO, before));
    // A blind commit obtains one only if none is known.
    store.assumed.forget_versions();
    let mut blind = begin(&store, Mode::Write);
    commit(&mut *blind, &set(b"a", b"2")).unwrap();
    assert!(took(&mut blind) > Duration::ZERO);
    let mut blind = begin(&store, Mode::Write);
    commit(&mut *blind, &set(b"a", b"3")).unwrap();
    assert_eq!((took(&mut blind), figure(&store, "read_versions")), (Duration::ZERO, before + 1));
}

/// Reads `key` as assumed, in whatever round trips that takes.
fn assume(store: &Arc<FdbStore>, key: &[u8]) -> Option<Vec<u8>> {
    let mut find = |snapshot: &dyn Snapshot| owned(snapshot.get_assumed(key));
    wait::read(&mut *begin(store, Mode::Read), &mut find).unwrap()
}

#[test]
fn a_reader_makes_sure_of_what_it_assumed() {
    let root = new_root();
    let (Some(one), Some(other)) = (open(&root), open(&root)) else { return };
    commit(&mut *begin(&one, Mode::Write), &set(b"a", b"1")).unwrap();
    assert_eq!(assume(&one, b"a"), Some(b"1".to_vec()));
    assert_eq!(assume(&other, b"a"), Some(b"1".to_vec()));
    commit(&mut *begin(&one, Mode::Write), &set(b"a", b"2")).unwrap();
    // The writer's own store knows that it does not know.
    let mut reader = begin(&one, Mode::Read);
    assert_eq!(look(&mut *reader, |s| owned(s.get_assumed(b"a"))), Err(ReadError::Pending));
    fetch(&mut *reader).unwrap();
    assert_eq!(look(&mut *reader, |s| owned(s.get_assumed(b"a"))), Ok(Some(b"2".to_vec())));
    let mut reader = begin(&one, Mode::Read);
    assert_eq!(look(&mut *reader, |s| owned(s.get_assumed(b"a"))), Ok(Some(b"2".to_vec())));
    fetch(&mut *reader).unwrap();
    // The other one answers with the old value, and finds out.
    let mut reader = begin(&other, Mode::Read);
    assert_eq!(look(&mut *reader, |s| owned(s.get_assumed(b"a"))), Ok(Some(b"1".to_vec())));
    assert_eq!(fetch(&mut *reader), Err(ReadError::Retry));
    wait::wait(|cx| reader.poll_retry(cx));
    assert_eq!(figure(&other, "wrong_assumptions"), 1);
    assert_eq!(assume(&other, b"a"), Some(b"2".to_vec()));
}

#[test]
fn a_blind_commit_makes_sure_of_what_it_assumed_without_a_read_version() {
    let root = new_root();
    let (Some(one), Some(other)) = (open(&root), open(&root)) else { return };
    commit(&mut *begin(&one, Mode::Write), &set(b"a", b"1")).unwrap();
    assert_eq!(assume(&other, b"a"), Some(b"1".to_vec()));
    let before = figure(&other, "read_versions");
    let blind = |value: &[u8]| {
        let mut writer = begin(&other, Mode::Write);
        assert!(look(&mut *writer, |s| owned(s.get_assumed(b"a"))).is_ok());
        commit(&mut *writer, &set(b"b", value))
    };
    for _ in 0..5 {
        assert_eq!(blind(b"assumed 1"), Ok(()));
    }
    assert_eq!(figure(&other, "read_versions"), before);
    commit(&mut *begin(&one, Mode::Write), &set(b"a", b"2")).unwrap();
    assert_eq!(blind(b"assumed wrongly"), Err(CommitError::Conflict));
    assert_eq!(get(&one, b"b"), Some(b"assumed 1".to_vec()));
    assert_eq!(assume(&other, b"a"), Some(b"2".to_vec()));
    assert_eq!(blind(b"assumed 2"), Ok(()));
    // One that began before another of its own store changed the record does not get away with it.
    let mut late = begin(&other, Mode::Write);
    assert!(look(&mut *late, |s| owned(s.get_assumed(b"a"))).is_ok());
    let mut writer = begin(&other, Mode::Write);
    assert!(look(&mut *writer, |s| owned(s.get_assumed(b"a"))).is_ok());
    assert_eq!(commit(&mut *writer, &set(b"a", b"3")), Ok(()));
    assert_eq!(commit(&mut *late, &set(b"b", b"too late")), Err(CommitError::Conflict));
    assert_eq!(assume(&other, b"a"), Some(b"3".to_vec()));
    assert_eq!(blind(b"assumed 3"), Ok(()));
}

#[test]
fn a_writer_that_reads_compares_what_it_assumed() {
    let root = new_root();
    let (Some(one), Some(other)) = (open(&root), open(&root)) else { return };
    commit(&mut *begin(&one, Mode::Write), &set(b"a", b"1")).unwrap();
    assert_eq!(assume(&other, b"a"), Some(b"1".to_vec()));
    commit(&mut *begin(&one, Mode::Write), &set(b"a", b"2")).unwrap();
    let mut writer = begin(&other, Mode::Write);
    writer.read(&mut |snapshot| {
        assert_eq!(snapshot.get_assumed(b"a").unwrap().as_deref(), Some(&b"1"[..]));
        assert_eq!(snapshot.get(b"b"), Err(ReadError::Pending));
    });
    // At the version the other store knows it was right; the commit finds out.
    fetch(&mut *writer).unwrap();
    assert_eq!(commit(&mut *writer, &set(b"b", b"x")), Err(CommitError::Conflict));
    assert_eq!(assume(&other, b"a"), Some(b"2".to_vec()));
    wait::wait(|cx| writer.poll_retry(cx));
    assert_eq!(assume(&other, b"a"), Some(b"2".to_vec()));
    let mut writer = begin(&other, Mode::Write);
    // Right this time; but then somebody changes it before the commit.
    writer.read(&mut |snapshot| {
        assert_eq!(snapshot.get_assumed(b"a").unwrap().as_deref(), Some(&b"2"[..]));
        assert_eq!(snapshot.get(b"b"), Err(ReadError::Pending));
    });
    fetch(&mut *writer).unwrap();
    commit(&mut *begin(&one, Mode::Write), &set(b"a", b"3")).unwrap();
    assert_eq!(commit(&mut *writer, &set(b"b", b"x")), Err(CommitError::Conflict));
    // One that wrote nothing after all makes sure as well.
    let mut writer = begin(&other, Mode::Write);
    let _ = look(&mut *writer, |s| owned(s.get_assumed(b"a")));
    fetch(&mut *writer).unwrap();
    commit(&mut *begin(&one, Mode::Write), &set(b"a", b"4")).unwrap();
    let mut writer = begin(&other, Mode::Write);
    assert_eq!(look(&mut *writer, |s| owned(s.get_assumed(b"a"))), Ok(Some(b"3".to_vec())));
    assert_eq!(fetch(&mut *writer), Err(ReadError::Retry));
}

#[test]
fn what_a_writer_read_at_a_lent_version_does_not_stand_without_a_commit() {
    let root = new_root();
    let (Some(one), Some(other)) = (open(&root), open(&root)) else { return };
    commit(&mut *begin(&one, Mode::Write), &set(b"a", b"1")).unwrap();
    assert_eq!(assume(&other, b"a"), Some(b"1".to_vec()), "it learns a version thereby");
    commit(&mut *begin(&one, Mode::Write), &set(b"a", b"2")).unwrap();
    let before = figure(&other, "read_versions");
    let mut writer = begin(&other, Mode::Write);
    let read = |writer: &mut Box<dyn Transaction>| {
        assert_eq!(look(&mut **writer, |s| owned(s.get(b"a"))), Err(ReadError::Pending));
        fetch(&mut **writer).unwrap();
        look(&mut **writer, |s| owned(s.get(b"a")))
    };
    let old = read(&mut writer);
    assert_eq!(old, Ok(Some(b"1".to_vec())));
    assert_eq!(figure(&other, "read_versions"), before, "it took no version of its own");
    assert_eq!(fetch(&mut *writer), Err(ReadError::Retry));
    wait::wait(|cx| writer.poll_retry(cx));
    let new = read(&mut writer);
    assert_eq!(new, Ok(Some(b"2".to_vec())));
    assert_eq!(fetch(&mut *writer), Ok(()));
}

#[test]
fn a_lent_version_that_is_too_old_is_lent_once() {
    let Some(store) = open(&new_root()) else { return };
    // As after a recovery, when the cluster's versions have leapt.
    store.assumed.saw(1, clock::monotonic());
    let mut writer = begin(&store, Mode::Write);
    let _ = look(&mut *writer, |s| owned(s.get(b"a")));
    assert_eq!(fetch(&mut *writer), Err(ReadError::Retry));
    assert_eq!(figure(&store, "retries_too_old"), 1);
    wait::wait(|cx| writer.poll_retry(cx));
    let _ = look(&mut *writer, |s| owned(s.get(b"a")));
    assert_eq!(fetch(&mut *writer), Ok(()));
    let mut other = begin(&store, Mode::Write);
    let _ = look(&mut *other, |s| owned(s.get(b"a")));
    assert_eq!(fetch(&mut *other), Ok(()));
    assert_eq!(figure(&store, "retries_too_old"), 1);
}

#[test]
fn blind_commits_need_no_read_version_for_a_while() {
    let Some(store) = open(&new_root()) else { return };
    for round in 0..10_u8 {
        commit(&mut *begin(&store, Mode::Write), &set(b"a", &[round])).unwrap();
    }
    assert_eq!(figure(&store, "read_versions"), 1);
    assert_eq!(figure(&store, "commits"), 10);
    wait_until(|| store.assumed.newest(clock::monotonic()).is_none());
    commit(&mut *begin(&store, Mode::Write), &set(b"a", b"last")).unwrap();
    assert_eq!(figure(&store, "read_versions"), 2);
    assert_eq!(get(&store, b"a"), Some(b"last".to_vec()));
}

#[test]
fn large_values_and_ranges_come_whole() {
    let Some(store) = open(&new_root()) else { return };
    let value: Vec<u8> = (0..crate::limits::RECORD_VALUE_BYTES_MAX).map(|at| at as u8).collect();
    let key = |number: u32| number.to_be_bytes();
    for numbers in (0..60_u32).collect::<Vec<_>>().chunks(20) {
        let mut mutations = Mutations::default();
        for number in numbers {
            mutations.set(&key(*number), &[&number.to_be_bytes(), &value[4..]]);
        }
        commit(&mut *begin(&store, Mode::Write), &mutations).unwrap();
    }
    assert_eq!(get(&store, &key(7)).unwrap()[4..], value[4..]);
    for (limit, reverse, expected) in
        [(usize::MAX, false, 60), (usize::MAX, true, 60), (33, false, 33), (33, true, 33)]
    {
        let mut find = |snapshot: &dyn Snapshot| {
            let mut found: Vec<u32> = Vec::new();
            let scan = Scan { begin: &key(0), end: &key(1000), limit, reverse };
            snapshot.scan(scan, &mut |key, value| {
                assert_eq!(key, &value[..4]);
                found.push(u32::from_be_bytes(key.try_into().unwrap()));
                std::ops::ControlFlow::Continue(())
            })?;
            Ok(found)
        };
        let mut found = wait::read(&mut *begin(&store, Mode::Read), &mut find).unwrap();
        if reverse {
            found.reverse();
        }
        let first = if reverse { 60 - expected } else { 0 };
        assert_eq!(found, (first..first + expected).collect::<Vec<_>>());
    }
    // More than one transaction can hold.
    let mut mutations = Mutations::default();
    (0..110).for_each(|number| _ = mutations.set(&key(number), &[&value]));
    let refused = commit(&mut *begin(&store, Mode::Write), &mutations);
    assert_eq!(refused, Err(CommitError::TooLarge));
}

#[test]
fn a_deadline_that_has_passed_ends_everything() {
    let Some(store) = open(&new_root()) else { return };
    let mut transaction = Arc::clone(&store).transaction();
    transaction.begin(Mode::Write, clock::monotonic());
    let _ = look(&mut *transaction, |s| owned(s.get(b"a")));
    assert_eq!(fetch(&mut *transaction), Err(ReadError::TimedOut));
    wait::wait(|cx| transaction.poll_retry(cx));
    assert_eq!(commit(&mut *transaction, &set(b"a", b"1")), Err(CommitError::TimedOut));
    transaction.begin(Mode::Write, clock::monotonic() + Duration::from_secs(5));
    assert_eq!(commit(&mut *transaction, &set(b"a", b"2")), Ok(()));
    assert_eq!(get(&store, b"a"), Some(b"2".to_vec()));
    // It passes between a read and the commit.
    let deadline = clock::monotonic() + Duration::from_secs(1);
    transaction.begin(Mode::Write, deadline);
    let _ = look(&mut *transaction, |s| owned(s.get(b"a")));
    fetch(&mut *transaction).unwrap();
    wait_until(|| clock::monotonic() > deadline);
    assert_eq!(commit(&mut *transaction, &set(b"a", b"3")), Err(CommitError::TimedOut));
}

#[test]
fn what_is_abandoned_leaves_nothing_behind() {
    let Some(store) = open(&new_root()) else { return };
    let mut transaction = Arc::clone(&store).transaction();
    let waker = std::task::Waker::noop();
    for round in 0..200_u32 {
        transaction.begin(Mode::Write, clock::monotonic() + Duration::from_secs(5));
        let _ = look(&mut *transaction, |s| owned(s.get(&round.to_be_bytes())));
        let mut cx = std::task::Context::from_waker(waker);
        let _ = transaction.poll_fetch(&mut cx);
    }
    transaction.begin(Mode::Write, clock::monotonic() + Duration::from_secs(5));
    assert_eq!(look(&mut *transaction, |s| owned(s.get(b"a"))), Err(ReadError::Pending));
    fetch(&mut *transaction).unwrap();
    assert_eq!(look(&mut *transaction, |s| owned(s.get(b"a"))), Ok(None));
    assert_eq!(commit(&mut *transaction, &set(b"a", b"1")), Ok(()));
}

#[test]
fn the_state_is_reported() {
    let Some(store) = open(&new_root()) else { return };
    let text = |name: &str| store.status().into_iter().find(|(other, _)| *other == name);
    wait_until(|| text("recovery_state").is_some());
    assert_eq!(text("available").unwrap().1, "yes");
    assert!(text("client_version").unwrap().1.starts_with("7."));
    assert_eq!(store.write_failure(), None);
    assert_eq!(figure(&store, "cluster_available"), 1);
}

#[test]
fn a_cluster_that_does_not_answer_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fdb.cluster");
    let mut options = FdbOptions::new(vec!["ringstone".to_owned()]);
    options.cluster_file = Some(path.clone());
    options.connect_timeout = Duration::from_millis(300);
    std::fs::write(&path, "a:b@127.0.0.1:1").unwrap();
    let problem = FdbStore::open(options.clone()).err().unwrap();
    let expected = format!("no answer from the FoundationDB cluster of {}", path.display());
    assert!(problem.starts_with(&expected), "{problem}");
    std::fs::write(&path, "nonsense").unwrap();
    let problem = FdbStore::open(options).err().unwrap();
    assert!(problem.contains("is not a cluster file of FoundationDB"), "{problem}");
}
