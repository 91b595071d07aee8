//! Every bound of the server in one place, and how the bounds relate.

/// Longest key of a user, in bytes.
pub const KEY_BYTES_MAX: usize = 8 * 1024;
/// Longest value and longest request by default, in bytes.
pub const REQUEST_BYTES_DEFAULT: usize = 5 * 1024 * 1024;
/// What [`REQUEST_BYTES_DEFAULT`] may be configured to at most: a transaction must hold it.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Arguments of one command at most (Redis: 1024 * 1024).
pub const ARGUMENTS_MAX: usize = 1024 * 1024;
/// Longest inline command, and longest line of a multi-bulk header (Redis: PROTO_INLINE_MAX_SIZE).
pub const INLINE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of keys and values one transaction may write.
pub const TRANSACTION_BYTES_MAX: usize = 10_000_000;
/// Longest record key in a store: a user's key and what the data model puts before it.
pub const RECORD_KEY_BYTES_MAX: usize = KEY_BYTES_MAX + 64;
/// Longest record value in a store; FoundationDB's limit is 100,000.
pub const RECORD_VALUE_BYTES_MAX: usize = 100_000;
/// Strings up to this length live in the key's meta record.
pub const INLINE_VALUE_BYTES_MAX: usize = 4 * 1024;
/// Longer strings are split into chunks of this length.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// The embedded store moves its write buffer to the LSM tree when it is this large; there are at most
/// two, the second being moved while the first fills again.
pub const MEMTABLE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// It also does so when this much log was written: what a start after a crash reads is at most twice
/// this. Overwriting a few hot keys fills the log, not the buffer, hence the larger bound.
pub const LOG_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Size of a log file.
pub const LOG_SEGMENT_BYTES: u64 = 64 * 1024 * 1024;
/// Size of the very first log file, so that the first start is quick; each next one is at most four
/// times as large, up to [`LOG_SEGMENT_BYTES`].
pub const LOG_FIRST_SEGMENT_BYTES: u64 = 2 * 1024 * 1024;
/// Log files kept for reuse after a checkpoint.
pub const LOG_SPARES_MAX: usize = 5;
/// Longest record of the log: a transaction and six bytes per mutation.
pub const LOG_RECORD_BYTES_MAX: usize = 3 * TRANSACTION_BYTES_MAX;
/// Zeros written at once into a new log file; a commit's sync waits for no more than this.
pub const LOG_ZEROS_BYTES: usize = 1024 * 1024;
/// Sorted runs in the LSM tree's first level before checkpoints wait for compaction: every read may
/// have to look into each of them.
pub const TREE_RUNS_MAX: usize = 16;
/// Blocks of the LSM tree kept in memory.
pub const TREE_CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// Files of the LSM tree kept open.
pub const TREE_FILES_MAX: usize = 256;
/// Longer values are not kept in the record cache: each would displace too many others.
pub const CACHED_VALUE_BYTES_MAX: usize = 64 * 1024;
/// Numbered databases, as `SELECT` knows them.
pub const DATABASES: u8 = 16;

const _: () = {
    assert!(REQUEST_BYTES_DEFAULT <= REQUEST_BYTES_MAX);
    assert!(REQUEST_BYTES_MAX < TRANSACTION_BYTES_MAX);
    assert!(INLINE_VALUE_BYTES_MAX + 64 < CHUNK_BYTES);
    assert!(CHUNK_BYTES < RECORD_VALUE_BYTES_MAX);
    assert!(INLINE_BYTES_MAX < REQUEST_BYTES_DEFAULT);
    // A record fits into any full-sized segment, key lengths into the log's u16.
    assert!((LOG_RECORD_BYTES_MAX as u64) < LOG_SEGMENT_BYTES);
    assert!(RECORD_KEY_BYTES_MAX <= u16::MAX as usize);
    assert!(LOG_FIRST_SEGMENT_BYTES <= LOG_SEGMENT_BYTES);
    assert!(LOG_SEGMENT_BYTES * (LOG_SPARES_MAX as u64) >= LOG_BYTES_MAX);
};
