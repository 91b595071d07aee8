//! FoundationDB's C functions behind safe types, for what is done for every record.
//!
//! The `foundationdb` crate wakes the task once per future and moves a value twice. Here any number
//! of futures end with one wake-up ([`Waiting`]), and what was read is lent out of the future that
//! fetched it ([`Bytes`], [`Rows`]). Everything unsafe of the store is in this file.
//!
//! What makes it sound, from the C API's contract: all its objects may be used by any thread; a
//! future stays valid when its transaction is gone; what a ready future lends stays where it is until
//! the future is destroyed; a callback runs exactly once, also when its future is destroyed before it
//! is ready (it is cancelled then), unless the network thread has ended, and then never.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use atomic_waker::AtomicWaker;
use foundationdb::FdbError;
use foundationdb::api::NetworkRunner;
use foundationdb::options::{DatabaseOption, TransactionOption};
use foundationdb_sys as sys;

use super::network;
use crate::clock;

/// What a call of the C API gives.
pub type Outcome<T> = Result<T, FdbError>;

fn check(code: sys::fdb_error_t) -> Outcome<()> {
    if code == 0 { Ok(()) } else { Err(FdbError::from_code(code)) }
}

fn length(bytes: &[u8]) -> c_int {
    c_int::try_from(bytes.len()).expect("no record is longer than 2 GiB")
}

/// What the client library calls itself: version, source, protocol, separated by commas.
pub fn client_version() -> String {
    // SAFETY: the function has no precondition and gives a constant string.
    let text = unsafe { CStr::from_ptr(sys::fdb_get_client_version()) };
    text.to_string_lossy().into_owned()
}

/// Runs the network until it is stopped; it must be, before the process's static destructors run.
pub fn run_network(runner: NetworkRunner) -> Outcome<()> {
    // SAFETY: the server stops it before it returns from `main`; see `network` for other endings.
    unsafe { runner.run() }
}

/// Has `hook` called when the process exits, before what was registered earlier.
pub fn at_exit(hook: extern "C" fn()) {
    unsafe extern "C" {
        fn atexit(hook: extern "C" fn()) -> c_int;
    }
    // SAFETY: the function of the C library, with its declaration. It fails only for want of memory;
    // then the network ends with the process.
    let _ = unsafe { atexit(hook) };
}

/// A connection to a cluster.
pub struct Database(NonNull<sys::FDBDatabase>);

// SAFETY: the C API's objects may be used by any thread, at the same time.
unsafe impl Send for Database {}
// SAFETY: as above.
unsafe impl Sync for Database {}

impl Database {
    /// Connects in the background to the cluster that the file names. The network has been set up.
    pub fn open(cluster_file: &CStr) -> Outcome<Self> {
        let mut database = ptr::null_mut();
        // SAFETY: a string that ends with a zero, and a place for the result.
        check(unsafe { sys::fdb_create_database(cluster_file.as_ptr(), &mut database) })?;
        network::stop_at_exit();
        Ok(Self(NonNull::new(database).expect("no error means a database")))
    }

    /// Sets an option.
    pub fn option(&self, option: &DatabaseOption) -> Outcome<()> {
        // SAFETY: the pointer is a live database's.
        unsafe { option.apply(self.0.as_ptr()) }
    }

    /// A new transaction.
    pub fn transaction(&self) -> Outcome<Transaction> {
        let mut transaction = ptr::null_mut();
        // SAFETY: the pointer is a live database's, and there is a place for the result.
        check(unsafe { sys::fdb_database_create_transaction(self.0.as_ptr(), &mut transaction) })?;
        Ok(Transaction(NonNull::new(transaction).expect("no error means a transaction")))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // SAFETY: nobody else has the pointer, and transactions keep what they need.
        unsafe { sys::fdb_database_destroy(self.0.as_ptr()) };
        network::stop_at_exit();
    }
}

/// One end of a range to be read.
#[derive(Debug, Clone, Copy)]
pub enum Edge<'a> {
    /// The first record at or after the key.
    At(&'a [u8]),
    /// The first record after the key.
    After(&'a [u8]),
}

impl Edge<'_> {
    /// The key selector's parts: the key and `or_equal`; the offset is always 1.
    fn parts(&self) -> (&[u8], sys::fdb_bool_t) {
        match self {
            Self::At(key) => (key, 0),
            Self::After(key) => (key, 1),
        }
    }
}

/// A transaction.
pub struct Transaction(NonNull<sys::FDBTransaction>);

// SAFETY: the C API's objects may be used by any thread, at the same time.
unsafe impl Send for Transaction {}
// SAFETY: as above.
unsafe impl Sync for Transaction {}

impl Transaction {
    /// Sets an option.
    pub fn option(&self, option: &TransactionOption) -> Outcome<()> {
        // SAFETY: the pointer is a live transaction's, here and in all calls below; keys and values
        // are copied before a call returns.
        unsafe { option.apply(self.0.as_ptr()) }
    }

    /// Asks for the value of `key`.
    pub fn get(&self, key: &[u8], snapshot: bool) -> Future<Bytes> {
        let snapshot = sys::fdb_bool_t::from(snapshot);
        // SAFETY: see `option`.
        Future::new(unsafe {
            sys::fdb_transaction_get(self.0.as_ptr(), key.as_ptr(), length(key), snapshot)
        })
    }

    /// Asks for records from `begin` to before `end`, at most `limit` of them (at least 1).
    ///
    /// The exact mode lets the client library itself ask for more until it has them all, so that
    /// there is one future, whatever the records' size.
    pub fn get_range(
        &self,
        (begin, end): (Edge<'_>, Edge<'_>),
        limit: usize,
        reverse: bool,
        snapshot: bool,
    ) -> Future<Rows> {
        let ((begin, after_begin), (end, after_end)) = (begin.parts(), end.parts());
        // SAFETY: see `option`.
        Future::new(unsafe {
            sys::fdb_transaction_get_range(
                self.0.as_ptr(),
                begin.as_ptr(),
                length(begin),
                after_begin,
                1,
                end.as_ptr(),
                length(end),
                after_end,
                1,
                c_int::try_from(limit).unwrap_or(c_int::MAX),
                0,
                sys::FDBStreamingMode_FDB_STREAMING_MODE_EXACT,
                1,
                sys::fdb_bool_t::from(snapshot),
                sys::fdb_bool_t::from(reverse),
            )
        })
    }

    /// Asks for the version that reads see.
    pub fn read_version(&self) -> Future<i64> {
        // SAFETY: see `option`.
        Future::new(unsafe { sys::fdb_transaction_get_read_version(self.0.as_ptr()) })
    }

    /// Makes `version` the version that reads see; nothing has been read yet.
    pub fn set_read_version(&self, version: i64) {
        // SAFETY: see `option`.
        unsafe { sys::fdb_transaction_set_read_version(self.0.as_ptr(), version) }
    }

    /// Sets the value of `key`.
    pub fn set(&self, key: &[u8], value: &[u8]) {
        // SAFETY: see `option`.
        unsafe {
            sys::fdb_transaction_set(
                self.0.as_ptr(),
                key.as_ptr(),
                length(key),
                value.as_ptr(),
                length(value),
            )
        }
    }

    /// Adds a little-endian integer to the value of `key`, as many bytes as it has.
    pub fn add(&self, key: &[u8], operand: &[u8]) {
        // SAFETY: see `option`.
        unsafe {
            sys::fdb_transaction_atomic_op(
                self.0.as_ptr(),
                key.as_ptr(),
                length(key),
                operand.as_ptr(),
                length(operand),
                sys::FDBMutationType_FDB_MUTATION_TYPE_ADD,
            )
        }
    }

    /// Removes `key`.
    pub fn clear(&self, key: &[u8]) {
        // SAFETY: see `option`.
        unsafe { sys::fdb_transaction_clear(self.0.as_ptr(), key.as_ptr(), length(key)) }
    }

    /// Makes the commit conflict if others have written between `begin` and `end`.
    pub fn add_read_conflict(&self, begin: &[u8], end: &[u8]) -> Outcome<()> {
        // SAFETY: see `option`.
        check(unsafe {
            sys::fdb_transaction_add_conflict_range(
                self.0.as_ptr(),
                begin.as_ptr(),
                length(begin),
                end.as_ptr(),
                length(end),
                sys::FDBConflictRangeType_FDB_CONFLICT_RANGE_TYPE_READ,
            )
        })
    }

    /// Watches `key`: ready when its value is not any more what this transaction sees. To be committed.
    pub fn watch(&self, key: &[u8]) -> Future<()> {
        // SAFETY: see `option`.
        Future::new(unsafe {
            sys::fdb_transaction_watch(self.0.as_ptr(), key.as_ptr(), length(key))
        })
    }

    /// Commits.
    pub fn commit(&self) -> Future<()> {
        // SAFETY: see `option`.
        Future::new(unsafe { sys::fdb_transaction_commit(self.0.as_ptr()) })
    }

    /// The version of the commit, which has succeeded; negative if nothing was written.
    pub fn committed_version(&self) -> Outcome<i64> {
        let mut version = 0;
        // SAFETY: see `option`, and there is a place for the result.
        check(unsafe {
            sys::fdb_transaction_get_committed_version(self.0.as_ptr(), &mut version)
        })?;
        Ok(version)
    }

    /// Waits as long as `error` makes sensible, then makes the transaction as good as new, with the
    /// lasting options it has.
    pub fn on_error(&self, error: FdbError) -> Future<()> {
        // SAFETY: see `option`.
        Future::new(unsafe { sys::fdb_transaction_on_error(self.0.as_ptr(), error.code()) })
    }

    /// Makes the transaction as good as new.
    pub fn reset(&self) {
        // SAFETY: see `option`.
        unsafe { sys::fdb_transaction_reset(self.0.as_ptr()) }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        // SAFETY: nobody else has the pointer, and futures keep what they need.
        unsafe { sys::fdb_transaction_destroy(self.0.as_ptr()) }
    }
}

/// Owns a future of the C API.
struct Handle(NonNull<sys::FDBFuture>);

// SAFETY: the C API's objects may be used by any thread, at the same time.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: nobody else has the pointer. A future that is not ready is cancelled.
        unsafe { sys::fdb_future_destroy(self.0.as_ptr()) }
    }
}

/// What was asked for, once it has come; `T` says what that will be.
pub struct Future<T> {
    handle: Handle,
    kind: PhantomData<fn() -> T>,
}

impl<T> Future<T> {
    fn new(future: *mut sys::FDBFuture) -> Self {
        let future = NonNull::new(future).expect("the C API always gives a future");
        Self { handle: Handle(future), kind: PhantomData }
    }

    fn as_ptr(&self) -> *mut sys::FDBFuture {
        self.handle.0.as_ptr()
    }

    fn error(&self) -> Outcome<()> {
        // SAFETY: the pointer is a live future's, here and in the calls of this and other `impl`s.
        check(unsafe { sys::fdb_future_get_error(self.as_ptr()) })
    }
}

impl Future<()> {
    /// Whether what was asked for was done; an error as long as it is not ready.
    pub fn take(self) -> Outcome<()> {
        self.error()
    }
}

impl Future<i64> {
    /// The number; an error as long as it is not ready.
    pub fn take(self) -> Outcome<i64> {
        self.error()?;
        let mut number = 0;
        // SAFETY: see `error`, and there is a place for the result.
        check(unsafe { sys::fdb_future_get_int64(self.as_ptr(), &mut number) })?;
        Ok(number)
    }
}

impl Future<Bytes> {
    /// The value; an error as long as it is not ready.
    pub fn take(self) -> Outcome<Bytes> {
        self.error()?;
        let (mut present, mut start, mut len) = (0, ptr::null(), 0);
        // SAFETY: see `error`, and there are places for the results.
        check(unsafe {
            sys::fdb_future_get_value(self.as_ptr(), &mut present, &mut start, &mut len)
        })?;
        let place = (present != 0).then_some((start, len as usize));
        Ok(Bytes { place, _owner: self.handle })
    }
}

impl Future<Rows> {
    /// The records; an error as long as they are not ready.
    pub fn take(self) -> Outcome<Rows> {
        self.error()?;
        let (mut first, mut count, mut more) = (ptr::null(), 0, 0);
        // SAFETY: see `error`, and there are places for the results.
        check(unsafe {
            sys::fdb_future_get_keyvalue_array(self.as_ptr(), &mut first, &mut count, &mut more)
        })?;
        Ok(Rows { first, count: count as usize, more: more != 0, _owner: self.handle })
    }
}

/// # Safety
/// `start` is null, with nothing to be had, or points to `len` bytes that stay as they are for `'a`.
unsafe fn slice<'a>(start: *const u8, len: usize) -> &'a [u8] {
    if start.is_null() || len == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(start, len) }
}

/// A value, or that there is none, inside the future that fetched it.
pub struct Bytes {
    place: Option<(*const u8, usize)>,
    _owner: Handle,
}

// SAFETY: the bytes are never written, and the future that has them may be used by any thread.
unsafe impl Send for Bytes {}
// SAFETY: as above.
unsafe impl Sync for Bytes {}

impl Bytes {
    /// The value.
    pub fn get(&self) -> Option<&[u8]> {
        // SAFETY: the future lends the bytes for as long as it lives, which is as long as `self`.
        self.place.map(|(start, len)| unsafe { slice(start, len) })
    }
}

/// Records of a range, inside the future that fetched them.
pub struct Rows {
    first: *const sys::FDBKeyValue,
    count: usize,
    /// Whether the range goes on after them.
    pub more: bool,
    _owner: Handle,
}

// SAFETY: the records are never written, and the future that has them may be used by any thread.
unsafe impl Send for Rows {}
// SAFETY: as above.
unsafe impl Sync for Rows {}

impl Rows {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// The record at a place below [`Rows::len`], key first.
    pub fn get(&self, at: usize) -> (&[u8], &[u8]) {
        assert!(at < self.count);
        // SAFETY: the future lends an array of `count` packed structures, and what they point to,
        // for as long as it lives, which is as long as `self`. They are copied, as they may lie
        // unaligned.
        unsafe {
            let row = ptr::read_unaligned(self.first.add(at));
            let (key, key_len) = (row.key, row.key_length as usize);
            let (value, value_len) = (row.value, row.value_length as usize);
            (slice(key, key_len), slice(value, value_len))
        }
    }
}

/// Futures that are waited for together: whoever polls is woken once, when the last is ready.
#[derive(Default)]
pub struct Waiting {
    shared: Arc<Countdown>,
}

#[derive(Default)]
struct Countdown {
    left: AtomicUsize,
    waker: AtomicWaker,
    /// When the timed one was ready.
    timed: OnceLock<Instant>,
}

impl Countdown {
    fn one_less(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.waker.wake();
        }
    }
}

impl Waiting {
    /// Forgets the futures of before, ready or not. Until [`Waiting::seal`] it counts as one more.
    pub fn start(&mut self) {
        match Arc::get_mut(&mut self.shared) {
            Some(countdown) => {
                *countdown.left.get_mut() = 1;
                countdown.timed.take();
            }
            // Callbacks of abandoned futures still count down the old one.
            None => {
                self.shared = Arc::default();
                self.shared.left.store(1, Ordering::Relaxed);
            }
        }
    }

    /// Waits for `future` too.
    pub fn add<T>(&self, future: &Future<T>) {
        self.call_back(future, count_down);
    }

    /// Waits for `future` too, one of all, and notes when it is ready: [`Waiting::timed`].
    pub fn add_timed<T>(&self, future: &Future<T>) {
        self.call_back(future, note_and_count_down);
    }

    fn call_back<T>(&self, future: &Future<T>, callback: Callback) {
        self.shared.left.fetch_add(1, Ordering::Relaxed);
        let parameter = Arc::into_raw(Arc::clone(&self.shared)).cast_mut().cast::<c_void>();
        // SAFETY: the future is live. The callback runs at most once, so it may own a reference.
        let set = check(unsafe {
            sys::fdb_future_set_callback(future.as_ptr(), Some(callback), parameter)
        });
        if set.is_err() {
            callback(future.as_ptr(), parameter);
        }
    }

    /// When the timed future was ready, by the clock of the thread that brought it.
    pub fn timed(&self) -> Option<Instant> {
        self.shared.timed.get().copied()
    }

    /// All have been added.
    pub fn seal(&self) {
        self.shared.one_less();
    }

    /// Ready when all futures are.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let is_done = || self.shared.left.load(Ordering::Acquire) == 0;
        if is_done() {
            return Poll::Ready(());
        }
        self.shared.waker.register(cx.waker());
        if is_done() { Poll::Ready(()) } else { Poll::Pending }
    }
}

type Callback = extern "C" fn(*mut sys::FDBFuture, *mut c_void);

extern "C" fn count_down(_future: *mut sys::FDBFuture, parameter: *mut c_void) {
    // SAFETY: `Waiting::add` made the parameter out of a reference that is this call's to drop.
    let countdown = unsafe { Arc::from_raw(parameter.cast_const().cast::<Countdown>()) };
    countdown.one_less();
}

extern "C" fn note_and_count_down(_future: *mut sys::FDBFuture, parameter: *mut c_void) {
    // SAFETY: as for `count_down`.
    let countdown = unsafe { Arc::from_raw(parameter.cast_const().cast::<Countdown>()) };
    countdown.timed.get_or_init(clock::monotonic);
    countdown.one_less();
}

#[cfg(test)]
mod tests;
