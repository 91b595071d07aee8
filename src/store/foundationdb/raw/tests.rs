//! Futures of a cluster that does not answer: waited for, timed out, abandoned.

use std::time::Duration;

use super::*;
use crate::store::foundationdb::{error, network};
use crate::store::wait;

/// A database that nobody serves: requests stay under way.
fn silent() -> (tempfile::TempDir, Database) {
    network::start().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fdb.cluster");
    std::fs::write(&path, "nobody:here@127.0.0.1:1").unwrap();
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    (directory, Database::open(&path).unwrap())
}

#[test]
fn the_last_of_many_wakes() {
    let (_directory, database) = silent();
    let transaction = database.transaction().unwrap();
    transaction.option(&TransactionOption::Timeout(50)).unwrap();
    let mut waiting = Waiting::default();
    waiting.start();
    let values: Vec<_> = (0..100_u8).map(|key| transaction.get(&[key], true)).collect();
    let version = transaction.read_version();
    values.iter().for_each(|value| waiting.add(value));
    waiting.add(&version);
    waiting.seal();
    wait::wait(|cx| waiting.poll(cx));
    for value in values {
        assert_eq!(value.take().err().unwrap().code(), error::TIMED_OUT);
    }
    assert_eq!(version.take().unwrap_err().code(), error::TIMED_OUT);
}

#[test]
fn nothing_to_wait_for_is_ready() {
    let mut waiting = Waiting::default();
    waiting.start();
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(waiting.poll(&mut cx).is_pending());
    waiting.seal();
    assert!(waiting.poll(&mut cx).is_ready());
}

#[test]
fn abandoned_futures_call_back_once() {
    let (_directory, database) = silent();
    let mut waiting = Waiting::default();
    let mut abandoned = Vec::new();
    for round in 0..50_u8 {
        let transaction = database.transaction().unwrap();
        waiting.start();
        abandoned.push(Arc::clone(&waiting.shared));
        let futures: Vec<_> = (0..10).map(|_| transaction.get(&[round], false)).collect();
        futures.iter().for_each(|future| waiting.add(future));
        waiting.seal();
        // In either order, and with the transaction reset before.
        match round % 3 {
            0 => drop(transaction),
            1 => drop(futures),
            _ => transaction.reset(),
        }
    }
    drop(waiting);
    for countdown in &abandoned {
        while Arc::strong_count(countdown) > 1 {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(countdown.left.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn a_future_that_is_not_ready_gives_an_error() {
    let (_directory, database) = silent();
    let transaction = database.transaction().unwrap();
    assert!(transaction.get(b"a", true).take().is_err());
    let edges = (Edge::At(&b"a"[..]), Edge::After(&b"b"[..]));
    assert!(transaction.get_range(edges, 1, false, true).take().is_err());
    assert!(transaction.read_version().take().is_err());
}
