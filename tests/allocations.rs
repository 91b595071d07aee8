//! No allocation for each command on the way of a `GET` and of a `SET`, for keys that fit into a
//! [`ringstone::data::keys::RecordKey`] and values that lie in the meta record; for `LPUSH`,
//! `RPOP` and `LRANGE` only what the store itself needs.
//!
//! Pipelines go through the gatekeeper, the reader or the writer, the statistics and the reply
//! buffer as they do on a connection, whose buffers live as long as it does; only the sockets are
//! missing. Both stores' writers run here on the thread that submits, and allocations are counted
//! for that thread alone, so neither other tests nor background threads disturb the count.

// A global allocator is an unsafe trait: there is no other way to count.
#![allow(unsafe_code, clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ringstone::batch::{Batch, Home, Reader, Stay, Writer};
use ringstone::command::state::{ClientShared, Done, Killer};
use ringstone::command::stats::{Shard, registry};
use ringstone::command::{Client, Server};
use ringstone::config::Config;
use ringstone::limits::{IDLE_BUFFER_BYTES_MAX, LOG_FIRST_SEGMENT_BYTES, REGISTERED_BUFFER_BYTES};
use ringstone::session::Session;
use ringstone::store::Store;
use ringstone::store::embedded::{Durability, EmbeddedOptions, EmbeddedStore};
use ringstone::store::memory::MemoryStore;

/// Commands in a pipeline.
const DEPTH: usize = 100;
/// Pipelines until every buffer has its size.
const WARM_UP: usize = 20;
/// Pipelines that are measured.
const PIPELINES: usize = 100;
/// A batch whose input or replies are larger than an idle connection may keep gets its buffers anew:
/// one for the input, one for the replies and its doublings, however many commands there are.
const LARGE_BATCH_ALLOCATIONS_MAX: u64 = 10;
/// A snapshot of the embedded store keeps alive what it lends out of the cache: the first few records
/// in place, 64 in each allocation after that.
const CACHED_BATCH_ALLOCATIONS_MAX: u64 = (DEPTH as u64).div_ceil(64);

/// The store keeps the record of a new item, and copies both ends of a range that it looks through.
const LIST_COMMAND_ALLOCATIONS_MAX: u64 = 2;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting what each thread asks of it.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count() {
    // Neither initialised lazily nor dropped, so this itself never allocates.
    ALLOCATIONS.with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is passed on as it is to `System`, which keeps the contract; counting touches
// nothing but a number of the thread's own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of the same function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of the same function.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of the same function, and `block` came from `System`.
        unsafe { System.realloc(block, layout, new_size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of the same function, and `block` came from `System`.
        unsafe { System.dealloc(block, layout) }
    }
}

/// How often this thread allocates, or makes an allocation larger, in `run`.
fn allocations(run: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    run();
    ALLOCATIONS.get() - before
}

/// Where the writer's batches come back to.
#[derive(Default)]
struct Desk(Mutex<Vec<Box<Batch>>>);

impl Home for Desk {
    fn parked(&self, _: Stay) {}

    fn deliver(&self, batches: &mut Vec<Box<Batch>>) {
        self.0.lock().append(batches);
    }
}

#[derive(Debug)]
struct NoKiller;

impl Killer for NoKiller {
    fn unblock(&self, _: u64, _: u64, _: bool) {}
    fn kill(&self, _client: u64) {}
}

/// A connection without its socket.
struct Connection {
    server: Arc<Server>,
    session: Session,
    reader: Reader,
    writer: Writer,
    desk: Arc<Desk>,
    shard: Arc<Shard>,
    batch: Option<Box<Batch>>,
    pending: Vec<Box<Batch>>,
    /// What the client has received of the last pipeline.
    received: Vec<u8>,
}

impl Connection {
    fn open(store: Arc<dyn Store>) -> Connection {
        assert!(!store.local().unwrap().commit_blocks(), "the writer runs on this thread");
        let server = Arc::new(Server::new(Config::default(), store));
        let desk = Arc::new(Desk::default());
        let (addr, laddr) = ("127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned());
        let shared = ClientShared::new(1, addr, laddr, 0, Arc::new(NoKiller));
        Connection {
            session: Session::new(&server, &shared),
            reader: Reader::default(),
            writer: Writer::new(&server, vec![Arc::clone(&desk) as Arc<dyn Home>]),
            desk,
            shard: server.stats.shard(),
            server,
            batch: Some(Box::new(Batch::new(Client::new(Arc::new(shared)), 0, 0))),
            pending: Vec::new(),
            received: Vec::with_capacity(1 << 20),
        }
    }

    /// All of a pipeline's way but the sockets, as `net::conn` goes it.
    fn pipeline(&mut self, input: &mut [u8]) {
        let mut batch = self.batch.take().unwrap();
        batch.timeline.begin(self.server.started, self.server.started, true);
        let taken = self.session.take(input, &mut batch);
        assert_eq!((taken.consumed, batch.ops.len()), (input.len(), DEPTH));
        if batch.writes {
            batch.input.extend_from_slice(input);
        }
        self.received.clear();
        while !batch.is_done() {
            if batch.writes {
                self.pending.push(batch);
                self.writer.submit(&mut self.pending);
                batch = self.desk.0.lock().pop().unwrap();
            } else {
                let local = self.server.store.local().unwrap();
                self.reader.run(&mut batch, input, &self.server, local);
            }
            self.send(&mut batch);
        }
        let written = batch.record(&self.shard, Duration::from_micros(1));
        let command = batch.last.map(|spec| registry().number(spec));
        written.record(&self.shard, self.server.started + Duration::from_micros(1));
        let protocol = batch.reply.protocol();
        batch.client.publish(Done { at_ms: 1, command, protocol, queued: self.session.queued() });
        batch.shrink();
        self.batch = Some(batch);
    }

    /// Short replies are copied into a registered buffer, long ones go out from where they are.
    fn send(&mut self, batch: &mut Batch) {
        self.received.extend_from_slice(batch.reply.bytes());
        if batch.reply.len() <= REGISTERED_BUFFER_BYTES {
            return batch.reply.clear();
        }
        let bytes = batch.reply.take();
        if bytes.capacity() <= IDLE_BUFFER_BYTES_MAX {
            batch.reply.give_back(bytes);
        }
    }

    /// Allocations of the costliest of many pipelines, which alternate between `inputs`. All of them
    /// are answered with `reply` so many times.
    fn costliest(&mut self, inputs: [&[u8]; 2], reply: &str, times: usize) -> u64 {
        let mut inputs = inputs.map(<[u8]>::to_vec);
        let replies = reply.repeat(times);
        let mut costliest = 0;
        for round in 0..WARM_UP + PIPELINES {
            let input = &mut inputs[round % 2];
            let cost = allocations(|| self.pipeline(input));
            assert_eq!(self.received, replies.as_bytes());
            if round >= WARM_UP {
                costliest = costliest.max(cost);
            }
        }
        costliest
    }

    /// Of `SET`s over existing keys, with values of `len` bytes.
    fn sets(&mut self, len: usize) -> u64 {
        let [one, other] =
            ["x", "y"].map(|value| pipeline(|key| request(&["SET", key, &value.repeat(len)])));
        self.costliest([&one, &other], "+OK\r\n", DEPTH)
    }

    /// Of pushes and pops, at a list that never is empty, and of ranges of it.
    fn lists(&mut self) -> [u64; 2] {
        let push = |_: &str| request(&["RPUSH", "list", "item"]);
        self.pipeline(&mut pipeline(push));
        let input = through_a_list();
        let replies = format!(":{}\r\n$4\r\nitem\r\n", DEPTH + 1);
        let through = self.costliest([&input, &input], &replies, DEPTH / 2);
        let input = pipeline(|_| request(&["LRANGE", "list", "0", "9"]));
        let replies = format!("*10\r\n{}", "$4\r\nitem\r\n".repeat(10));
        [through, self.costliest([&input, &input], &replies, DEPTH)]
    }

    /// Of `GET`s of what [`Connection::sets`] left.
    fn gets(&mut self, len: usize) -> u64 {
        let input = pipeline(|key| request(&["GET", key]));
        self.costliest([&input, &input], &format!("${len}\r\n{}\r\n", "y".repeat(len)), DEPTH)
    }

    /// Of `GET`s of keys that are not there.
    fn misses(&mut self) -> u64 {
        let input = pipeline(|key| request(&["GET", &format!("no {key}")]));
        self.costliest([&input, &input], "$-1\r\n", DEPTH)
    }
}

/// A pipeline that leaves a list as it was: half of it pushes, half of it pops.
fn through_a_list() -> Vec<u8> {
    let command = |index| match index % 2 {
        0 => request(&["LPUSH", "list", "item"]),
        _ => request(&["RPOP", "list"]),
    };
    (0..DEPTH).map(command).collect::<String>().into_bytes()
}

fn request(args: &[&str]) -> String {
    let args: Vec<String> = args.iter().map(|arg| format!("${}\r\n{arg}\r\n", arg.len())).collect();
    format!("*{}\r\n{}", args.len(), args.concat())
}

fn pipeline(command: impl Fn(&str) -> String) -> Vec<u8> {
    (0..DEPTH).map(|index| command(&format!("key:{index:012}"))).collect::<String>().into_bytes()
}

fn embedded(dir: &Path) -> Arc<EmbeddedStore> {
    let mut options = EmbeddedOptions::new(dir);
    options.durability = Durability::None;
    Arc::new(EmbeddedStore::open(options).unwrap())
}

#[test]
fn the_count_is_of_allocations() {
    // An optimiser that sees through these would leave them out.
    let mut bytes = black_box(Vec::new());
    assert_eq!(allocations(|| bytes.push(1)), 1);
    assert_eq!(allocations(|| bytes.reserve_exact(4096)), 1);
    assert_eq!(allocations(|| black_box(&mut bytes).clear()), 0);
    assert_eq!(allocations(|| drop(black_box(Box::new(1)))), 1);
}

#[test]
fn get_and_set_allocate_nothing_on_the_memory_store() {
    for len in [3, 64] {
        let mut connection = Connection::open(Arc::new(MemoryStore::new()));
        assert_eq!(connection.sets(len), 0, "SET of {len} bytes");
        assert_eq!(connection.gets(len), 0, "GET of {len} bytes");
        assert_eq!(connection.misses(), 0, "GET of nothing");
    }
}

#[test]
fn commands_on_lists_allocate_what_the_store_needs() {
    let mut connection = Connection::open(Arc::new(MemoryStore::new()));
    for cost in connection.lists() {
        assert!(cost <= DEPTH as u64 * LIST_COMMAND_ALLOCATIONS_MAX, "{cost}");
    }
}

#[test]
fn get_and_set_allocate_nothing_in_the_embedded_store_s_write_buffer() {
    for len in [3, 64] {
        let dir = tempfile::tempdir().unwrap();
        let store = embedded(dir.path());
        let mut connection = Connection::open(Arc::clone(&store) as Arc<dyn Store>);
        assert_eq!(connection.sets(len), 0, "SET of {len} bytes");
        assert_eq!(connection.gets(len), 0, "GET of {len} bytes");
        // Going on to the next file allocates, once in many thousand commands.
        let log = store.figures().into_iter().find(|(name, _)| *name == "log_bytes").unwrap();
        assert!(log.1 < LOG_FIRST_SEGMENT_BYTES, "more than one log file: measure fewer pipelines");
    }
}

#[test]
fn get_out_of_the_embedded_store_s_cache_allocates_once_for_64_commands() {
    let dir = tempfile::tempdir().unwrap();
    let store = embedded(dir.path());
    Connection::open(Arc::clone(&store) as Arc<dyn Store>).sets(64);
    store.close().unwrap();
    drop(store);
    let mut connection = Connection::open(embedded(dir.path()));
    for cost in [connection.gets(64), connection.misses()] {
        assert!(cost <= CACHED_BATCH_ALLOCATIONS_MAX, "{cost} for {DEPTH} commands");
    }
}

#[test]
fn a_large_batch_allocates_its_buffers_and_nothing_for_a_command() {
    let mut connection = Connection::open(Arc::new(MemoryStore::new()));
    const { assert!(DEPTH * 1000 > IDLE_BUFFER_BYTES_MAX) };
    for cost in [connection.sets(1000), connection.gets(1000)] {
        assert!(cost <= LARGE_BATCH_ALLOCATIONS_MAX, "{cost} for {DEPTH} commands");
    }
}
