//! The store's own thread: fetches blocks of sequence numbers and asks for the cluster's state.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use foundationdb::FdbError;
use foundationdb::options::TransactionOption;
use parking_lot::{Condvar, Mutex};

use super::error::cause;
use super::raw::{Database, Future, Outcome, Waiting};
use super::sequence::{Sequences, Taken, fetch_block};
use super::status::{Report, STATUS_KEY};
use crate::clock;
use crate::limits::{
    FDB_STATUS_INTERVAL, FDB_STATUS_TIMEOUT, REFUSED_PAUSE_MAX, REFUSED_PAUSE_MIN, SEQUENCE_BITS,
};

/// What the thread and the store share.
pub struct Shared {
    /// The connection.
    pub database: Database,
    /// Where the counter of blocks is.
    pub sequence_key: Vec<u8>,
    /// The numbers.
    pub sequences: Sequences,
    /// The last report on the cluster.
    pub report: Mutex<Arc<Report>>,
    /// Set once the store is closed.
    pub closed: AtomicBool,
    calls: Mutex<Calls>,
    called: Condvar,
}

#[derive(Default)]
struct Calls {
    stop: bool,
    refill: bool,
}

impl Shared {
    /// What a store needs; the thread does not run yet.
    pub fn new(database: Database, sequence_key: Vec<u8>, first_block: u64) -> Self {
        Self {
            database,
            sequence_key,
            sequences: Sequences::new(first_block),
            report: Mutex::new(Arc::new(Report::none(clock::monotonic()))),
            closed: AtomicBool::new(false),
            calls: Mutex::default(),
            called: Condvar::new(),
        }
    }

    /// The next sequence number. Blocks while the cluster owes a block, which is rare.
    pub fn next_sequence(&self) -> u64 {
        loop {
            match self.sequences.take() {
                Taken::Number(number) => return number,
                Taken::HalfUsed(number) => {
                    self.calls.lock().refill = true;
                    self.called.notify_one();
                    return number;
                }
                Taken::Missing(turn) => {
                    if let Err(cause) = self.fill(turn) {
                        if self.closed.load(Ordering::Relaxed) {
                            // Nothing is committed any more, so that it makes no difference.
                            return (1 << SEQUENCE_BITS) - 1;
                        }
                        tracing::warn!(cause, "cannot fetch sequence numbers; trying again");
                        std::thread::sleep(REFUSED_PAUSE_MIN);
                    }
                }
            }
        }
    }

    fn fill(&self, turn: u64) -> Result<(), String> {
        let fetch = || {
            let timeout_ms = FDB_STATUS_TIMEOUT.as_millis() as i32;
            fetch_block(&self.database, &self.sequence_key, timeout_ms, &self.closed)
        };
        self.sequences.fill(turn, fetch)
    }

    /// Starts the thread.
    pub fn start(self: Arc<Self>) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("fdb-maintenance".to_owned()).spawn(move || self.run())
    }

    /// Ends the thread, soon.
    pub fn stop(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.calls.lock().stop = true;
        self.called.notify_one();
    }

    fn run(&self) {
        let mut next_report = clock::monotonic();
        let mut next_refill = next_report;
        loop {
            let now = clock::monotonic();
            let refill = {
                let mut calls = self.calls.lock();
                if calls.stop {
                    return;
                }
                let until = if calls.refill { next_report.min(next_refill) } else { next_report };
                if now < until {
                    self.called.wait_until(&mut calls, until);
                    continue;
                }
                calls.refill && now >= next_refill
            };
            if refill {
                next_refill = self.refill(now);
            } else {
                let report = self.ask().unwrap_or_else(|cause| Report::failed(now, cause));
                self.announce(&report);
                *self.report.lock() = Arc::new(report);
                next_report = now + FDB_STATUS_INTERVAL;
            }
        }
    }

    /// Logs what has become of the cluster, if that has changed.
    fn announce(&self, report: &Report) {
        match (self.report.lock().failure().is_some(), report.failure()) {
            (false, Some(cause)) => tracing::warn!(cause, "the store refuses; commands time out"),
            (true, None) => tracing::info!("the FoundationDB cluster answers again"),
            _ => {}
        }
    }

    /// Fetches the next block; when to do that again at the earliest.
    fn refill(&self, now: Instant) -> Instant {
        match self.fill(self.sequences.next_turn()) {
            Ok(()) => {
                self.calls.lock().refill = false;
                now
            }
            Err(cause) => {
                tracing::warn!(cause, "cannot fetch sequence numbers; trying again");
                now + REFUSED_PAUSE_MAX
            }
        }
    }

    fn ask(&self) -> Result<Report, String> {
        let fetch = || -> Outcome<_> {
            let transaction = self.database.transaction()?;
            let timeout_ms = FDB_STATUS_TIMEOUT.as_millis() as i32;
            transaction.option(&TransactionOption::Timeout(timeout_ms))?;
            block_on(transaction.get(STATUS_KEY, true), &self.closed)?.take()
        };
        let value = fetch().map_err(cause)?;
        let json = value.get().ok_or("the cluster gives no status")?;
        Report::parse(json, clock::monotonic())
    }
}

/// How long a blocked thread may not notice that the store was closed.
const CLOSED_CHECK: Duration = Duration::from_millis(50);
/// The code of `operation_cancelled`.
const CANCELLED: i32 = 1101;

/// Blocks until `future` is ready or the store is closed; not for event loops.
pub fn block_on<T>(future: Future<T>, closed: &AtomicBool) -> Outcome<Future<T>> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut waiting = Waiting::default();
    waiting.start();
    waiting.add(&future);
    waiting.seal();
    while waiting.poll(&mut Context::from_waker(&waker)).is_pending() {
        if closed.load(Ordering::Relaxed) {
            return Err(FdbError::from_code(CANCELLED));
        }
        std::thread::park_timeout(CLOSED_CHECK);
    }
    Ok(future)
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
