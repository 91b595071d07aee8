//! A full or broken disk: commits get the cause, reads go on, nothing acknowledged is lost.

use rustix::io::Errno;

use super::*;

const FULL: &str = "No space left on device";
const BROKEN: &str = "Input/output error";

fn sync(dir: &Path) -> EmbeddedOptions {
    EmbeddedOptions { durability: Durability::Sync, ..tiny(dir) }
}

fn refused(cause: &str) -> Result<(), CommitError> {
    Err(CommitError::Refused(cause.to_owned()))
}

/// Commits until one fails, and returns how many succeeded and the error.
fn commit_until_refused(store: &EmbeddedStore) -> (u32, CommitError) {
    for number in 0..10_000_u32 {
        if let Err(error) = set(store, &number.to_be_bytes(), &[1; 5000]) {
            return (number, error);
        }
    }
    panic!("nothing failed");
}

fn assert_present(store: &Arc<EmbeddedStore>, count: u32) {
    for number in 0..count {
        assert_eq!(get(store, &number.to_be_bytes()).unwrap(), [1; 5000], "record {number}");
    }
}

#[test]
fn a_full_disk_refuses_commits_until_there_is_room() {
    let dir = scratch();
    // No checkpoint gives a log file back.
    let (memtable_bytes, log_bytes) = (usize::MAX, u64::MAX);
    let options =
        EmbeddedOptions { memtable_bytes, log_bytes, segment_bytes: 64 * 1024, ..sync(dir.path()) };
    let store = open(&options);
    options.files.faults.fail(Operation::Allocate, Errno::NOSPC);
    let (count, error) = commit_until_refused(&store);
    assert_eq!(Err(error), refused(FULL));
    assert_eq!(store.write_failure().as_deref(), Some(FULL));
    assert_present(&store, count);
    assert_eq!(set(&store, b"still", &[1; 5000]), refused(FULL));
    options.files.faults.clear();
    set(&store, b"room", b"again").unwrap();
    assert_eq!(store.write_failure(), None);
    drop(store);
    let store = open(&options);
    assert_present(&store, count);
    assert_eq!((get(&store, b"still"), get(&store, b"room").unwrap()), (None, b"again".to_vec()));
}

#[test]
fn an_append_without_room_is_written_over() {
    let dir = scratch();
    let options = sync(dir.path());
    let store = open(&options);
    set(&store, b"before", b"1").unwrap();
    for part in [0, 20, 60, 500] {
        options.files.faults.tear(part);
        options.files.faults.fail(Operation::Append, Errno::NOSPC);
        assert_eq!(set(&store, b"refused", &[7; 600]), refused(FULL));
        options.files.faults.clear();
        set(&store, &part.to_be_bytes(), b"2").unwrap();
        assert_eq!(store.write_failure(), None);
    }
    let before = all(&store);
    drop(store);
    assert_eq!(all(&open(&options)), before);
}

#[test]
fn a_failed_sync_ends_writing_and_the_commit_does_not_come_back() {
    let dir = scratch();
    let options = sync(dir.path());
    let store = open(&options);
    set(&store, b"before", b"1").unwrap();
    let mut failed = false;
    options.files.faults.set(move |operation| {
        if operation == Operation::Sync && !std::mem::replace(&mut failed, true) {
            return Err(Errno::IO.into());
        }
        Ok(())
    });
    assert_eq!(set(&store, b"failing", b"1"), refused(BROKEN));
    // The disk would sync now, but what it lost is lost.
    assert_eq!(set(&store, b"later", b"1"), refused(BROKEN));
    assert_eq!(store.write_failure().as_deref(), Some(BROKEN));
    assert_eq!((get(&store, b"before").unwrap(), get(&store, b"failing")), (b"1".to_vec(), None));
    drop(store);
    let store = open(&options);
    assert_eq!((get(&store, b"failing"), get(&store, b"later"), store.sequence()), (None, None, 1));
    set(&store, b"after", b"1").unwrap();
}

#[test]
fn a_sync_that_keeps_failing_leaves_the_commit_unknown() {
    let dir = scratch();
    let options = sync(dir.path());
    let store = open(&options);
    options.files.faults.fail(Operation::Sync, Errno::IO);
    assert_eq!(set(&store, b"failing", b"1"), Err(CommitError::Unknown(BROKEN.into())));
    assert_eq!(get(&store, b"failing"), None);
    assert_eq!(set(&store, b"later", b"1"), refused(BROKEN));
    assert_eq!(store.close(), Err(BROKEN.to_owned()));
}

#[test]
fn a_failed_background_sync_ends_writing() {
    let dir = scratch();
    let durability = Durability::Interval(Duration::from_millis(1));
    let options = EmbeddedOptions { durability, ..tiny(dir.path()) };
    let store = open(&options);
    options.files.faults.fail(Operation::Sync, Errno::IO);
    set(&store, b"key", b"1").unwrap();
    wait_until(|| store.write_failure().is_some());
    assert_eq!(set(&store, b"later", b"1"), refused(BROKEN));
    assert_eq!(get(&store, b"key").unwrap(), b"1");
}

#[test]
fn a_failing_checkpoint_keeps_the_log_and_is_tried_again() {
    for operation in [Operation::Ingest, Operation::Replace] {
        let dir = scratch();
        let options = sync(dir.path());
        let store = open(&options);
        options.files.faults.fail(operation, Errno::NOSPC);
        let (count, error) = commit_until_refused(&store);
        assert_eq!(Err(error), refused(FULL));
        assert!(count > 10, "commits go on until the second buffer is full, {count} did");
        assert_present(&store, count);
        assert!(figure(&store, "checkpoint_failures") > 0);
        let copy = {
            drop(store);
            options.files.faults.clear();
            open(&options)
        };
        assert_present(&copy, count);
        options.files.faults.fail(operation, Errno::NOSPC);
        commit_until_refused(&copy);
        options.files.faults.clear();
        copy.core.checkpoints.retry_now();
        wait_until(|| figure(&copy, "checkpoints") > 0);
        assert_eq!(copy.write_failure(), None);
        set(&copy, b"again", b"1").unwrap();
    }
}

#[test]
fn a_store_that_cannot_be_created_says_why() {
    let dir = scratch();
    let options = sync(dir.path());
    for operation in [Operation::Replace, Operation::Allocate] {
        options.files.faults.fail(operation, Errno::NOSPC);
        let error = EmbeddedStore::open(options.clone()).err().unwrap();
        assert!(error.to_string().contains(FULL), "{error}");
    }
    options.files.faults.clear();
    set(&open(&options), b"key", b"1").unwrap();
}
