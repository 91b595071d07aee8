//! Every bound of the server in one place, and how the bounds relate.

use std::time::Duration;

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
/// How large one transaction may be, the same on every store and counted as FoundationDB counts it,
/// whose limit this is: every record that is written costs its key three times (once as what is
/// changed, twice as the range that may conflict with others), its value, and
/// [`MUTATION_OVERHEAD_BYTES`]; a removal costs a key more. What a transaction overwrites itself is
/// not sent, so it costs nothing up to [`OVERWRITTEN_FACTOR`].
pub const TRANSACTION_BYTES_MAX: usize = 10_000_000;
/// What a store may put before every key: FoundationDB's directory prefix.
pub const STORE_PREFIX_BYTES_MAX: usize = 32;
/// What a mutation costs besides its key and value: FoundationDB's structures for the mutation (44)
/// and its conflict range (24), the zero byte at that range's end, and the prefix in all three keys.
/// The rest is spare, so that a full transaction has room for its commit marker.
pub const MUTATION_OVERHEAD_BYTES: usize = 44 + 24 + 1 + 3 * STORE_PREFIX_BYTES_MAX + 8;
/// A transaction may write this many times [`TRANSACTION_BYTES_MAX`] in all, with what it overwrites
/// itself: that is not committed, but takes memory until then.
pub const OVERWRITTEN_FACTOR: usize = 8;
/// Memory that the mutations of a group leave to the next one.
pub const MUTATIONS_KEPT_BYTES: usize = 2 * TRANSACTION_BYTES_MAX;
/// Longest record key in a store: a user's key and what the data model puts before it.
pub const RECORD_KEY_BYTES_MAX: usize = KEY_BYTES_MAX + 64;
/// Longest record value in a store; FoundationDB's limit is 100,000.
pub const RECORD_VALUE_BYTES_MAX: usize = 100_000;
/// Strings up to this length live in the key's meta record.
pub const INLINE_VALUE_BYTES_MAX: usize = 4 * 1024;
/// Longer strings are split into chunks of this length.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// Collections with more elements than this are not copied: no transaction could hold them.
pub const COPIED_ELEMENTS_MAX: u64 = (TRANSACTION_BYTES_MAX / MUTATION_OVERHEAD_BYTES) as u64;
/// Longest payload of `DUMP`: `RESTORE` has to fit it into a transaction.
pub const DUMP_BYTES_MAX: usize = TRANSACTION_BYTES_MAX;
/// `SORT` holds elements and what they are sorted by in memory, of so many bytes at most...
pub const SORTED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// ... each counted with this much for its place among the others.
pub const SORTED_OVERHEAD_BYTES: usize = 48;
/// `MEMORY USAGE` looks at so many elements at least, whatever it is asked for.
pub const USAGE_SAMPLES_MIN: u64 = 128;
/// Elements up to this many are removed with their key; more are left to the collector.
pub const ELEMENTS_CLEARED_AT_ONCE: u64 = 32;
/// ... as they all are in a group that has written more than this: names of elements may be as long as
/// keys, and background work removes many keys in one group.
pub const CLEARING_BYTES_MAX: usize = TRANSACTION_BYTES_MAX / 4;
/// Taking an item out of the middle of a list, or putting one there, moves up to so many others...
pub const LIST_SHIFT_MAX: u64 = 1024;
/// ... of so many bytes; beyond that the list's positions are no longer consecutive.
pub const LIST_SHIFT_BYTES_MAX: usize = 256 * 1024;
/// Items that one command removes one by one at most.
pub const LIST_REMOVED_MAX: u64 = 32 * 1024;
/// Longest position of an item: they grow where one is put between two others again and again.
pub const LIST_POSITION_BYTES_MAX: usize = 4096;
/// The embedded store moves its write buffer to the LSM tree when it is this large; there are at
/// most two, the second being moved while the first fills again.
pub const MEMTABLE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// It also does so when this much log was written: what a start after a crash reads is at most
/// twice this. Overwriting a few hot keys fills the log, not the buffer, hence the larger bound.
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
pub const TREE_CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// What short scans found in the LSM tree is kept in memory, up to this part of the record cache's
/// bytes...
pub const STRETCHES_SHARE: u64 = 8;
/// ... in stretches of so many records at most...
pub const STRETCH_RECORDS_MAX: usize = 64;
/// ... read at once, until so many bytes have been read.
pub const STRETCH_READ_BYTES_MAX: usize = 8 * 1024;
/// Files of the LSM tree kept open.
pub const TREE_FILES_MAX: usize = 256;
/// Longer values are not kept in the record cache: each would displace too many others.
pub const CACHED_VALUE_BYTES_MAX: usize = 64 * 1024;
/// Numbered databases, as `SELECT` knows them.
pub const DATABASES: u8 = 16;
/// Tenants at most, with the one that is always there.
pub const TENANTS_MAX: u32 = 100_000;
/// Tenants there may ever have been: their ids are not used again.
pub const TENANT_IDS_MAX: u32 = (1 << 26) - 1;
/// Longest name of a tenant, in bytes.
pub const TENANT_NAME_BYTES_MAX: usize = 64;
/// Tenants that `TENANT LIST` names at once.
pub const TENANTS_LISTED: usize = 256;
/// A connection that has to wait because of its tenant's commands per second looks so often whether it is
/// to end.
pub const REST_STEP: Duration = Duration::from_millis(100);
/// Worker threads at most.
pub const WORKERS_MAX: usize = 256;
/// TCP addresses listened on at most.
pub const LISTENERS_MAX: usize = 64;
/// Longest path of a Unix socket: `sun_path` without its terminating zero.
pub const UNIX_SOCKET_PATH_BYTES_MAX: usize = 107;
/// What the limit on connections may be configured to at most.
pub const CLIENTS_MAX: usize = 1_000_000;
/// What the cap on commands of a group may be configured to at most.
pub const GROUP_COMMANDS_MAX: usize = 65_535;
/// What the cap on write groups in flight may be configured to at most.
pub const GROUPS_IN_FLIGHT_MAX: usize = 64;
/// What a bound on memory (cache, buffers) may be configured to at most.
pub const MEMORY_BYTES_MAX: usize = 1 << 40;
/// Levels of containers in a JSON document, as in RedisJSON. Whatever walks a document recurses so deep.
pub const JSON_DEPTH_MAX: usize = 128;
/// Names and values in a tree made of JSON, each of which takes about a hundred bytes.
pub const JSON_TREE_NODES_MAX: usize = 1024 * 1024;
/// Memory for parsing that a thread keeps is given back after a document longer than this.
pub const JSON_BUFFER_BYTES_MAX: usize = 256 * 1024;
/// Texts that a process remembers to be compact JSON; each takes eight bytes.
pub const JSON_KNOWN_TEXTS: usize = 64 * 1024;
/// Longest JSON path, in bytes.
pub const JSON_PATH_BYTES_MAX: usize = 8 * 1024;
/// Brackets and parentheses open at once in a JSON path: its parser takes exponential time in filters
/// inside filters, half a millisecond for so many.
pub const JSON_PATH_NESTING_MAX: usize = 8;
/// Characters of a path that errors quote.
pub const JSON_PATH_SHOWN_MAX: usize = 128;
/// Values that the paths of a command may look at in a document: about a second.
pub const JSON_PATH_WORK_MAX: u64 = 10_000_000;
/// A command that wants to know where the values are, too, pays so many times as much: places take more
/// memory than values.
pub const JSON_PLACE_COST: u64 = 4;
/// Names on the way to all places that a path leads to, in bytes together.
pub const JSON_PLACE_NAMES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What matching a regular expression costs of [`JSON_PATH_WORK_MAX`]...
pub const JSON_SEARCH_COST: u64 = 20;
/// ... and what one costs that has to be compiled for the purpose.
pub const JSON_SEARCH_DYNAMIC_COST: u64 = 10_000;
/// Longest regular expression in a path, in bytes.
pub const JSON_REGEX_BYTES_MAX: usize = 1024;
/// How large it may be when compiled.
pub const JSON_REGEX_PROGRAM_BYTES_MAX: usize = 256 * 1024;
/// Longer strings do not match any.
pub const JSON_REGEX_TEXT_BYTES_MAX: usize = 64 * 1024;
/// Compiled regular expressions that a thread keeps.
pub const JSON_REGEXES_KEPT: usize = 8;
/// Text of documents, in bytes, that one command may parse or print for its lengths alone, with what it
/// goes through again.
pub const JSON_TEXT_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Longest `INDENT`, `NEWLINE` and `SPACE` of `JSON.GET`, in bytes each.
pub const JSON_FORMAT_BYTES_MAX: usize = 64;
/// Longest configuration file, in bytes.
pub const CONFIG_FILE_BYTES_MAX: usize = 1024 * 1024;

const _: () = {
    assert!(REQUEST_BYTES_DEFAULT <= REQUEST_BYTES_MAX);
    // The largest value is a transaction with chunks of 17-byte keys and 8 KiB keys for the rest.
    let chunks = REQUEST_BYTES_MAX.div_ceil(CHUNK_BYTES);
    let rest = 16 * (4 * RECORD_KEY_BYTES_MAX + 2 * MUTATION_OVERHEAD_BYTES);
    let largest = REQUEST_BYTES_MAX + chunks * (3 * 17 + MUTATION_OVERHEAD_BYTES) + rest;
    assert!(largest < TRANSACTION_BYTES_MAX);
    // However few mutations fill a transaction, what they have to spare is enough for the marker.
    let one = 3 * RECORD_KEY_BYTES_MAX + RECORD_VALUE_BYTES_MAX + MUTATION_OVERHEAD_BYTES;
    assert!(TRANSACTION_BYTES_MAX / one * 8 > 3 * 15 + 8 + MUTATION_OVERHEAD_BYTES);
    // Places in the mutations' memory are 32 bits wide; a command may go past the bound before it
    // is looked at.
    assert!(3 * OVERWRITTEN_FACTOR * TRANSACTION_BYTES_MAX < u32::MAX as usize);
    assert!(INLINE_VALUE_BYTES_MAX + 64 < CHUNK_BYTES);
    assert!(CHUNK_BYTES < RECORD_VALUE_BYTES_MAX);
    assert!(LIST_POSITION_BYTES_MAX + 17 < RECORD_KEY_BYTES_MAX);
    // Removing an item costs its key, mostly of 21 bytes, four times.
    let removed = LIST_REMOVED_MAX as usize * (4 * 21 + MUTATION_OVERHEAD_BYTES);
    assert!(removed < TRANSACTION_BYTES_MAX);
    assert!(INLINE_BYTES_MAX < REQUEST_BYTES_DEFAULT);
    // A record fits into any full-sized segment, key lengths into the log's u16.
    assert!((LOG_RECORD_BYTES_MAX as u64) < LOG_SEGMENT_BYTES);
    assert!(RECORD_KEY_BYTES_MAX <= u16::MAX as usize);
    assert!(LOG_FIRST_SEGMENT_BYTES <= LOG_SEGMENT_BYTES);
    assert!(LOG_SEGMENT_BYTES * (LOG_SPARES_MAX as u64) >= LOG_BYTES_MAX);
};
/// Commands taken out of one connection's input as one batch.
pub const BATCH_COMMANDS_MAX: usize = 1024;
/// A batch is interrupted to send its replies once they exceed this, so that a pipeline of large
/// reads does not pile up its answers.
pub const BATCH_REPLY_BYTES: usize = 256 * 1024;
/// A group takes no more batches once the replies of those it has exceed this: they all wait for
/// the commit.
pub const GROUP_REPLY_BYTES: usize = 32 * 1024 * 1024;
/// Records that a group has fetched together at most: the next execution says what it needs beside
/// them...
pub const FETCHED_READS_MAX: usize = 16 * 1024;
/// ... and bytes of elements among them.
pub const FETCHED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// What an element, a field or an item, is taken to have before it is fetched: few are longer, and of
/// those that are no more are fetched together than memory takes...
pub const ELEMENT_BYTES_EXPECTED: usize = 4 * 1024;
/// ... and the same of a record in a range, of which many are fetched at once.
pub const SCANNED_BYTES_EXPECTED: usize = 256;
/// Commands queued by one `MULTI`, at most.
pub const TRANSACTION_COMMANDS_MAX: usize = 1024 * 1024;
/// A command that the store does not answer in this time is answered with `-TIMEOUT`. It may take twice
/// as long where it had to wait for others first.
pub const COMMAND_DEADLINE: Duration = Duration::from_secs(5);
/// The clients of a contended key are waited for, after their replies have left, for one part in so many
/// of the time their group took...
pub const GATHER_PART: u32 = 3;
/// ... and no longer than this, whatever held the group up...
pub const GATHER_MAX: Duration = Duration::from_millis(2);
/// ... and when that brought fewer than half of them, not at all so many times.
pub const GATHER_SKIPPED: u32 = 16;
/// Conflicts after which a group is executed in halves.
pub const CONFLICTS_BEFORE_SPLIT: u32 = 2;
/// Size of a buffer registered with a ring.
pub const REGISTERED_BUFFER_BYTES: usize = 16 * 1024;
/// Registered buffers of one worker at most; the kernel's own limit is 1024 (`UIO_MAXIOV`).
pub const REGISTERED_BUFFERS_MAX: usize = 512;
/// What a connection beyond the registered buffers starts with.
pub const HEAP_BUFFER_BYTES_MIN: usize = 4 * 1024;
/// What an idle connection may keep of a buffer that once had to grow.
pub const IDLE_BUFFER_BYTES_MAX: usize = 32 * 1024;
/// Room made at first for a request that announces more; from there on it doubles as bytes arrive.
pub const RECEIVE_STEP_BYTES: usize = 64 * 1024;
/// How many receives of one connection are told apart by when they came, until their requests are taken.
pub const ARRIVALS_MAX: usize = 64;
/// Received at once while a send is blocked.
pub const READ_AHEAD_BYTES: usize = 64 * 1024;
/// Bytes that a client may send before its TLS handshake is over; a handshake message has 64 KiB at most.
pub const TLS_HANDSHAKE_BYTES_MAX: usize = 128 * 1024;
/// Longest TLS record that is taken: its header, 16 KiB of data, and 2 KiB for what encryption adds.
pub const TLS_RECORD_BYTES_MAX: usize = 5 + 16 * 1024 + 2 * 1024;
/// Data in one TLS record at most.
pub const TLS_RECORD_DATA_BYTES: usize = 16 * 1024;
/// What encrypting adds to a record at most (header, nonce, content type, tag), and once to a send for
/// new keys.
pub const TLS_OVERHEAD_BYTES: usize = 64;
/// Replies encrypted at once into ordinary memory, in bytes.
pub const TLS_SEND_BYTES: usize = 4 * TLS_RECORD_DATA_BYTES;
/// Sessions that TLS clients without tickets can resume.
pub const TLS_SESSIONS_MAX: usize = 4096;
/// How long the last words of a TLS connection may take.
pub const TLS_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How often the files of TLS and the revocation list are looked at for changes.
pub const FILES_INTERVAL: Duration = Duration::from_secs(2);
/// Longest file with certificates or a key, in bytes.
pub const TLS_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Up to so many commands a worker commits itself on a disk that syncs quickly.
pub const INLINE_COMMANDS_MAX: usize = 64;
/// A disk syncs quickly if a commit usually takes no longer, in microseconds.
pub const INLINE_COMMIT_US_MAX: u64 = 300;
/// Groups a worker executes for all before it looks after its own connections again.
pub const COMBINED_GROUPS_MAX: usize = 16;
/// Tenants share from when another one is seen for so long.
pub const RIVALRY: Duration = Duration::from_secs(10);
/// Bytes of requests that a worker takes of one tenant before it looks what others have sent, while
/// tenants share...
pub const TURN_BYTES: usize = 4 * 1024;
/// ... or sooner, when it has counted the bytes of so many tenants...
pub const TENANTS_NOTED_MAX: usize = 64;
/// ... and commands of one tenant in a group. One batch may have more of both.
pub const SHARE_COMMANDS: usize = 128;
/// What a monitor has been shown and its connection has not sent, in bytes. It is written with up to four
/// characters for each byte of a request.
pub const MONITOR_QUEUE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Connections that monitor, of one tenant or of all operators together...
pub const MONITORS_OF_ONE_MAX: usize = 8;
/// ... and of all tenants.
pub const MONITORS_MAX: usize = 64;
/// Submission entries of a worker's ring.
pub const RING_ENTRIES: u32 = 1024;
/// How often idle connections are looked for.
pub const TIMEOUT_CHECK: Duration = Duration::from_secs(1);
/// Pause after a connection could not be accepted.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// How often that is logged at most.
pub const ACCEPT_COMPLAINT_INTERVAL: Duration = Duration::from_secs(1);

const _: () = {
    assert!(REGISTERED_BUFFERS_MAX <= 1024);
    assert!(4 * (REQUEST_BYTES_DEFAULT + INLINE_BYTES_MAX) < MONITOR_QUEUE_BYTES_MAX);
    assert!(IDLE_BUFFER_BYTES_MAX * 2 <= 64 * 1024, "idle connections cost at most 64 KiB");
    // What is left of a record that is not complete leaves room to receive the rest.
    assert!(TLS_RECORD_BYTES_MAX < IDLE_BUFFER_BYTES_MAX);
};
/// How often a stopping process looks whether its workers have ended.
pub const STOP_CHECK: Duration = Duration::from_millis(5);
/// Closing the store after the shutdown deadline may take the shutdown timeout again, or this.
pub const CLOSE_GRACE_MIN: Duration = Duration::from_secs(5);
/// `SCAN` visits at most this many keys in a call, whatever its COUNT: it reads from one snapshot,
/// which may hold up commits.
pub const SCAN_COUNT_MAX: usize = 65_536;
/// It also ends when the keys it found have this many bytes: they are collected before any is sent.
pub const SCAN_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Records asked of a store at once where all of a range is wanted.
pub const SCAN_STEP: usize = 1024;
/// Where that takes many steps they grow up to this many records...
pub const SCAN_STEP_MAX: usize = 64 * 1024;
/// ... while the records of a step have no more bytes than this.
pub const SCAN_STEP_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Rank indexes are brought up to date within a group when so many members have come and gone.
pub const RANK_CHANGES_MAX: usize = 4096;
/// Sorted sets with more members than this get a rank index, by which so many or more are passed over...
pub const RANK_INDEX_FROM: u64 = 512;
/// ... unless they have more than this when it is to be built: one command reads them all.
pub const RANK_INDEX_BUILT_MAX: u64 = 65_536;
/// Elements are chosen at random among so many neighbours in the order of their hashes, which begin at
/// a random position. Collections that have fewer are read whole and the choice is exactly uniform; in
/// others an element's chance is off by one part in the square root of this, typically...
pub const SAMPLE_RUN: usize = 64;
/// ... where many are wanted they come from so many places at least...
pub const SAMPLE_RUNS_MIN: u64 = 64;
/// ... so many distinct ones from each at most. If that would read more than the collection has, all
/// of it is walked through.
pub const SAMPLE_PICKS_MAX: u64 = 8;
/// Such runs that one execution has fetched at most.
pub const SAMPLE_RUNS_FETCHED_MAX: usize = 512;
/// Sets that are walked through side by side hold so many elements in memory at most...
pub const MERGED_ELEMENTS_MAX: usize = 16 * 1024;
/// ... or, where there are very many sets, so many of each.
pub const MERGED_STEP_MIN: usize = 16;
/// A set that has so many times the elements of the smallest is asked for each of its elements instead.
pub const PROBED_FACTOR: u64 = 8;
/// `INFO` looks at so many keys of each database for how many of them expire: it is asked for again and
/// again, and holds up others on its worker meanwhile.
pub const EXPIRES_SEEN_MAX: usize = 256;
/// Where nobody keeps the number of keys, `DBSIZE` looks at [`SCAN_STEP`] keys in each of so many
/// ranges of hashes, and estimates the rest of a range that has more...
pub const COUNT_RANGES_MAX: u64 = 128;
/// ... in fewer ranges if the records it would see there are larger than this together...
pub const COUNT_BYTES_MAX: usize = 32 * 1024 * 1024;
/// ... but in as many as this, so that the estimate is good.
pub const COUNT_RANGES_MIN: u64 = 16;
/// Keys one connection may watch...
pub const WATCHED_KEYS_MAX: usize = 65_536;
/// ... and their bytes.
pub const WATCHED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A key to be watched is compared with so many of those watched already.
pub const WATCHES_COMPARED_MAX: usize = 64;
/// How often expired keys and garbage are looked for while there are none.
pub const BACKGROUND_INTERVAL: Duration = Duration::from_millis(100);
/// The same where looking costs others something: expired keys are hidden until they are removed.
pub const BACKGROUND_INTERVAL_REMOTE: Duration = Duration::from_millis(500);
/// Records that background work changes in one write group: what a group is held up by.
pub const CHORES_MAX: usize = 256;
/// Bytes of keys after which it holds no more expired ones: removing one writes and checks records
/// with about ten times its key, and all of it has to fit into a transaction.
pub const CHORES_KEY_BYTES_MAX: usize = 512 * 1024;
/// [`CHORES_MAX`] on stores whose commits do not block: there the work is what a group's time goes into,
/// while elsewhere it is the disk, and fewer, larger groups mean fewer syncs.
pub const CHORES_INLINE_MAX: usize = 64;
/// After a step, background work rests this many times as long as the step took, which is the share
/// of the writer's time left to clients...
pub const CHORES_REST: u32 = 3;
/// ... but no longer than this...
pub const CHORES_PAUSE_MAX: Duration = Duration::from_millis(20);
/// ... and not at all while keys are there that expired so long ago: then they expire faster than
/// they are removed, and would fill the store.
pub const SWEEP_BEHIND_MS: u64 = 60_000;
/// Sequences that a process on a shared store takes for itself at a time.
pub const SEQUENCE_BLOCK: u64 = 1 << SEQUENCE_BLOCK_BITS;
/// How often a process shows the others on the same store that it is there.
pub const MEMBER_BEAT: Duration = Duration::from_secs(2);
/// A process that has not done so for this long gets no share of background work...
pub const MEMBER_SILENT: Duration = Duration::from_secs(10);
/// ... and after this long its records are removed. Far longer than any command may take: a process
/// needs them to find out how its commits ended.
pub const MEMBER_FORGOTTEN: Duration = Duration::from_secs(600);

const _: () = {
    assert!(10 * (CHORES_KEY_BYTES_MAX + RECORD_KEY_BYTES_MAX) < TRANSACTION_BYTES_MAX * 3 / 4);
    // Removing a record of the garbage costs its key four times.
    assert!(
        CHORES_MAX * (4 * RECORD_KEY_BYTES_MAX + MUTATION_OVERHEAD_BYTES) < TRANSACTION_BYTES_MAX
    );
    assert!(MEMBER_BEAT.as_millis() * 3 < MEMBER_SILENT.as_millis());
    assert!(COMMAND_DEADLINE.as_millis() * 10 < MEMBER_FORGOTTEN.as_millis());
};
/// Pause after a store refused background work: doubled each time, from the first to the second.
pub const REFUSED_PAUSE_MIN: Duration = Duration::from_millis(10);
/// See [`REFUSED_PAUSE_MIN`].
pub const REFUSED_PAUSE_MAX: Duration = Duration::from_secs(2);
/// Databases of tenants that one round of background work goes on to...
pub const SPACES_STEP: usize = 128;
/// ... where what is found there is not held in memory; fewer on other stores...
pub const SPACES_STEP_REMOTE: usize = 32;
/// ... and keyspaces for which a sweep remembers where it was; beyond them it begins again at the front.
pub const SWEEP_MARKS_MAX: usize = 16 * 1024;
/// Keyspaces that one step through the registries of incarnations looks at.
pub const AUDIT_SPACES: usize = 16;
/// The expiry index is looked through from this long before the last look: a commit may have been
/// under way.
pub const SWEEP_OVERLAP_MS: u64 = 1000;
/// Records of a kind that one step of counting what a tenant stores reads at most; fewer after one that
/// failed, since others were changing them.
pub const CENSUS_STEP: usize = 256;
/// Notes of keyspaces to be counted that are looked at for one of this process's share.
pub const CENSUS_NOTES: usize = 64;
/// What tenants with a quota store is looked up this often on a store of several processes...
pub const USAGE_INTERVAL: Duration = Duration::from_millis(900);
/// ... for so many tenants at once...
pub const USAGE_TENANTS: usize = 64;
/// ... and no longer for one who has not written anything for so many times.
pub const USAGE_IDLE_LOOKS: u32 = 60;
/// Entries of other processes' shares that a sweep passes over for each that it may find.
pub const SWEEP_PASSED_OVER: usize = 8;
/// It is looked through from its beginning this often, in milliseconds.
pub const SWEEP_AGAIN_MS: u64 = 60_000;
/// Incarnations compared with their keys in one step, on stores where writes may be blind.
pub const AUDIT_STEP: usize = 64;
/// How long opening a FoundationDB store may take.
pub const FDB_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest pause of the client library before a transaction is tried again. Those who compete for a key are
/// processes, few and each with one group: who pauses longer than a few attempts take just loses more.
pub const FDB_RETRY_PAUSE_MAX: Duration = Duration::from_millis(8);
/// Where these pauses begin, in seconds: about a transaction's duration.
pub const FDB_PAUSE_MIN_S: f64 = 0.001;
/// A transaction whose deadline is so close to [`COMMAND_DEADLINE`] gets that from the database's
/// options, which saves one hand-over to the network thread.
pub const FDB_TIMEOUT_SLACK: Duration = Duration::from_millis(50);
/// How often the state of the FoundationDB cluster is asked for...
pub const FDB_STATUS_INTERVAL: Duration = Duration::from_secs(5);
/// ... and how long the answer may take.
pub const FDB_STATUS_TIMEOUT: Duration = Duration::from_secs(4);
/// How long ending FoundationDB's network thread may hold up the process's exit.
pub const FDB_STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// Sequence numbers a process takes from the cluster at once, as a power of two.
pub const SEQUENCE_BLOCK_BITS: u32 = 20;
/// Sequence numbers are below two to the power of this.
pub const SEQUENCE_BITS: u32 = 48;
/// A record that hardly ever changes is assumed to be what it was so long ago. FoundationDB lets a
/// transaction commit five seconds after its read version; half of it is left for committing.
pub const ASSUMED_AGE_MAX: Duration = Duration::from_secs(2);
/// Readers renew what is known of assumed records when it is older than this.
pub const ASSUMED_RENEWAL: Duration = Duration::from_millis(500);
/// After a conflict, groups that write obtain a read version of their own for so long, instead of reading
/// at the newest one that is known.
pub const BORROWING_PAUSE: Duration = Duration::from_secs(1);
/// Of those who wait for a key so many look together whether there is something for them; the next ones
/// do if there was for all of these.
pub const SERVED_TOGETHER: usize = 16;
/// Records that a process watches because somebody waits for them; FoundationDB allows 10,000...
pub const WATCHES_MAX: usize = 8192;
/// ... and all who wait look again this often, watched or not.
pub const WATCH_AGAIN: Duration = Duration::from_secs(1);
/// Records that can be assumed at the same time, two for each tenant; more are read like others.
pub const ASSUMED_RECORDS_MAX: usize = ASSUMED_SHARDS * 256;
/// Parts of what is known of assumed records, which have as much room each: learning one copies its part.
pub const ASSUMED_SHARDS: usize = 256;

const _: () = {
    assert!(ASSUMED_RENEWAL.as_millis() < ASSUMED_AGE_MAX.as_millis());
    assert!(FDB_STATUS_TIMEOUT.as_millis() < FDB_STATUS_INTERVAL.as_millis());
    assert!(SEQUENCE_BLOCK_BITS < SEQUENCE_BITS);
    // A block's number and the number of the process's own block share one word; see sequence.rs.
    assert!(SEQUENCE_BITS - SEQUENCE_BLOCK_BITS <= 32);
};

/// Longest token, in base64.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Blocks of a token.
pub const TOKEN_BLOCKS_MAX: usize = 16;
/// What evaluating a token for one request may cost, in units of about a tenth of a microsecond.
pub const TOKEN_COST_MAX: u64 = 10_000;
/// Size of a compiled pattern in a token...
pub const TOKEN_PATTERN_BYTES_MAX: usize = 64 * 1024;
/// ... which costs so much each time it is evaluated, since the engine compiles it then...
pub const TOKEN_PATTERN_COST: u64 = 1000;
/// ... and counts as so many tests where it is compiled once.
pub const TOKEN_PATTERN_TESTS: usize = 32;
/// Memory in which a thread keeps what it found out about a compiled pattern while matching.
pub const TOKEN_PATTERN_CACHE_BYTES: usize = 128 * 1024;
/// Tests on each key of a command that a token's checks may have in all...
pub const TOKEN_KEY_TESTS_MAX: usize = 256;
/// ... and such checks; tokens with more have them evaluated by the engine.
pub const TOKEN_KEY_CHECKS_MAX: usize = 16;
/// Keys of a command about which the engine is asked: it takes their number squared.
pub const TOKEN_KEYS_MAX: usize = 256;
/// Decisions with keys that are kept of the engine's...
pub const TOKEN_DECISIONS_KEPT: usize = 1024;
/// ... if the command and its keys are no longer than this.
pub const TOKEN_DECISION_BYTES_MAX: usize = 1024;
/// Different reasons of a token's denials that are kept.
pub const TOKEN_REASONS_MAX: usize = 256;
/// Memory for tokens that have been verified, whether or not they are in use...
pub const TOKENS_KEPT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// ... of which each is taken to need this...
pub const TOKEN_KEPT_BYTES: u64 = 16 * 1024;
/// ... and this many times its length.
pub const TOKEN_KEPT_FACTOR: u64 = 16;
/// How long one decision may take. What a token may cost is bounded before it is evaluated, so this is
/// reached only where the machine stalls.
pub const TOKEN_RUN_MS_MAX: u64 = 1000;
/// Characters of a token's check that are shown to whom it denies something.
pub const DENIED_CHARS_MAX: usize = 200;
/// Longest revocation list.
pub const REVOKED_FILE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest time for which `ringstone token` makes a token valid: a hundred years.
pub const TOKEN_LIFETIME_S_MAX: u64 = 100 * 365 * 24 * 3600;
/// Tenants without connections that metrics go on to show: each is half a dozen series.
pub const TENANTS_SHOWN_MAX: usize = 1000;
/// Slow commands written to the process's log in a second; the others are counted.
pub const SLOW_LOGGED_PER_SECOND: u32 = 10;
/// Connections to the metrics endpoint at a time; for another one the one is closed that has asked for
/// nothing for the longest time.
pub const HTTP_CONNECTIONS_MAX: usize = 32;
/// How long such a connection may take to send a request, or be idle.
pub const HTTP_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a collector of spans may take to accept some of them; the process ends sooner.
pub const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// What `/ready` found out holds so long.
pub const READINESS_KEPT: Duration = Duration::from_secs(1);
/// How long `/ready` waits for the store: less than the second that probes wait by default.
pub const READY_DEADLINE: Duration = Duration::from_millis(800);
/// An event loop in the same turn for longer than this is stuck, in milliseconds: `/live` says so.
pub const LIVE_TURN_MS_MAX: u64 = 60_000;
/// Root keys of a server.
pub const ROOT_KEYS_MAX: usize = 16;
/// Entries of the slow log that are kept of one tenant, whatever `slowlog-max-len` says, and of all
/// together; beyond that the oldest of the tenant with the most goes...
pub const SLOWLOG_ENTRIES_MAX: usize = 16_384;
/// ... and so many tenants have entries; the one goes that has had no new one for the longest time.
pub const SLOWLOG_TENANTS_MAX: usize = 1024;
/// Arguments of an entry, the last of which says how many more there were...
pub const SLOWLOG_ARGUMENTS_MAX: usize = 32;
/// ... and bytes of each of them, and of what the client calls itself.
pub const SLOWLOG_ARGUMENT_BYTES_MAX: usize = 128;
/// Samples that are kept of a latency event, one a second at most.
pub const LATENCY_SAMPLES_MAX: usize = 160;
/// Percentiles that `INFO latencystats` tells of each command.
pub const PERCENTILES_MAX: usize = 64;
