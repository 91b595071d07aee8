//! Groups in flight neither lose nor repeat anything, whatever the store does to them.

use std::ops::ControlFlow;

use super::*;
use crate::batch::group::Execution;
use crate::batch::{Reader, Stay};
use crate::command::Client;
use crate::command::state::{ClientShared, Killer};
use crate::config::Config;
use crate::data::background::Chore;
use crate::data::keys::RecordKey;
use crate::error;
use crate::limits::BATCH_REPLY_BYTES;
use crate::session::Session;
use crate::store::fault::{FaultPlan, FaultStore};
use crate::store::memory::MemoryStore;
use crate::store::{ReadError, Scan, Snapshot, Store, Value, Visitor, wait};

#[derive(Debug)]
struct Nobody;

impl Killer for Nobody {
    fn kill(&self, _: u64) {}
    fn unblock(&self, _: u64, _: u64, _: bool) {}
}

#[derive(Default)]
struct Desk(Mutex<Vec<Box<Batch>>>);

impl Home for Desk {
    fn parked(&self, _: Stay) {}

    fn deliver(&self, batches: &mut Vec<Box<Batch>>) {
        self.0.lock().append(batches);
    }
}

/// A server whose store misbehaves.
struct World {
    server: Arc<Server>,
    desk: Arc<Desk>,
}

impl World {
    fn new(plan: FaultPlan, config: Config) -> World {
        let store = Arc::new(FaultStore::new(Arc::new(MemoryStore::new()), plan));
        World { server: Arc::new(Server::new(config, store)), desk: Arc::default() }
    }

    fn batch(&self, number: u64, input: &str) -> Box<Batch> {
        let shared = ClientShared::new(number, String::new(), String::new(), 0, Arc::new(Nobody));
        let mut session = Session::new(&self.server, &shared);
        let mut batch = Batch::new(Client::new(Arc::new(shared)), 0, number as usize);
        let mut input = input.as_bytes().to_vec();
        session.take(&mut input, &mut batch);
        batch.input = input;
        Box::new(batch)
    }

    /// Serves these batches until all have come back; those of one client in turn.
    fn serve(&self, mode: Mode, mut batches: Vec<Box<Batch>>) -> Vec<Box<Batch>> {
        let homes = vec![Arc::clone(&self.desk) as Arc<dyn Home>];
        let groups = Arc::new(Groups::new(&self.server, homes, mode));
        groups.submit(&mut batches);
        groups.close();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(groups.serve());
        let mut finished = std::mem::take(&mut *self.desk.0.lock());
        finished.sort_by_key(|batch| batch.slot);
        finished
    }

    /// What the server answers to `input` when it is asked alone.
    fn ask(&self, mode: Mode, input: &str) -> String {
        let batches = self.serve(mode, vec![self.batch(0, input)]);
        reply(&batches[0])
    }
}

fn reply(batch: &Batch) -> String {
    String::from_utf8(batch.reply.bytes().to_vec()).unwrap()
}

/// Everything that may go wrong and is put right.
fn troubled(seed: u64) -> FaultPlan {
    FaultPlan {
        seed,
        pending_1_in: 2,
        delay_1_in: 3,
        retry_1_in: 7,
        conflict_1_in: 3,
        unknown_applied_1_in: 5,
        unknown_not_applied_1_in: 5,
        ..FaultPlan::default()
    }
}

fn crowded() -> Config {
    Config { group_commands_max: 5, groups_in_flight_max: 4, ..Config::default() }
}

#[test]
fn every_increment_counts_once() {
    for seed in 0..40 {
        let world = World::new(troubled(seed), crowded());
        let inputs = ["INCR a\r\nINCR b\r\n", "INCR b\r\n", "INCR c\r\nINCR a\r\nINCR a\r\n"];
        let batches =
            (0..60).map(|number| world.batch(number, inputs[number as usize % 3])).collect();
        let finished = world.serve(Mode::Write, batches);
        assert_eq!(finished.len(), 60);
        let mut counts: Vec<String> = finished
            .iter()
            .filter(|batch| batch.slot % 3 == 1)
            .chain(finished.iter().filter(|batch| batch.slot % 3 == 0))
            .map(|batch| reply(batch).split("\r\n").nth((batch.slot % 3) ^ 1).unwrap().to_owned())
            .collect();
        counts.sort();
        counts.dedup();
        assert_eq!(counts.len(), 40, "seed {seed}: every INCR of b has a number of its own");
        assert_eq!(
            world.ask(Mode::Read, "MGET a b c\r\n"),
            "*3\r\n$2\r\n60\r\n$2\r\n40\r\n$2\r\n20\r\n"
        );
    }
}

#[test]
fn what_is_undone_has_skipped_nothing() {
    let world = World::new(FaultPlan::default(), Config::default());
    let mut batch = world.batch(7, "PING\r\nCLIENT KILL ID 7 SKIPME no\r\nPING\r\nPING\r\n");
    world.server.add_client(&batch.client.shared);
    batch.save();
    let store = MemoryStore::new();
    let input = std::mem::take(&mut batch.input);
    Reader::default().run(&mut batch, &input, &world.server, store.local().unwrap());
    assert_eq!((batch.is_done(), batch.done().len(), batch.executed()), (true, 2, 2));
    batch.restore();
    assert!(!batch.has_begun());
}

#[test]
fn what_is_undone_does_not_end_the_connection() {
    let world = World::new(FaultPlan::default(), Config::default());
    let value = "x".repeat(1_000_000);
    let set = format!("*3\r\n$3\r\nSET\r\n$1\r\n0\r\n$1000000\r\n{value}\r\n");
    let copies: String = (1..12).map(|key| format!("COPY 0 {key}\r\n")).collect();
    let kill = "CLIENT KILL ID 7 SKIPME no\r\n";
    let batch = world.batch(7, &format!("MULTI\r\n{kill}{set}{copies}EXEC\r\nPING\r\n"));
    world.server.add_client(&batch.client.shared);
    let finished = world.serve(Mode::Write, vec![batch]);
    let expected = format!("-{}\r\n+PONG\r\n", error::TRANSACTION_TOO_LARGE);
    assert!(reply(&finished[0]).ends_with(&expected), "{}", reply(&finished[0]));
    assert!(finished[0].client.closing.is_none());
}

#[test]
fn a_group_of_reads_sees_one_state() {
    for seed in 0..20 {
        let world = World::new(troubled(seed), crowded());
        world.ask(Mode::Write, "MSET a 1 b 1 c 1\r\n");
        let pipeline = "GET a\r\nMGET a b c\r\nPING\r\nSTRLEN missing\r\n";
        let expected = "$1\r\n1\r\n*3\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n+PONG\r\n:0\r\n";
        assert_eq!(world.ask(Mode::Read, pipeline), expected);
    }
}

#[test]
fn equal_reads_are_counted_once_whatever_it_takes() {
    let saved = |plan, mode, input: &str| {
        let config = Config { group_commands_max: 100, groups_in_flight_max: 1, ..crowded() };
        let world = World::new(plan, config);
        world.serve(mode, (0..100).map(|number| world.batch(number, input)).collect());
        assert_eq!(world.server.stats.group_totals(mode).commands.count(), 1, "one group");
        world.server.stats.group_totals(mode).equal_reads
    };
    let fetched = FaultPlan { pending_1_in: 1, ..FaultPlan::default() };
    assert_eq!(saved(fetched, Mode::Read, "GET k\r\n"), 99);
    assert_eq!(saved(fetched, Mode::Write, "INCR k\r\n"), 99);
    assert_eq!(saved(FaultPlan::default(), Mode::Read, "GET k\r\n"), 0, "nothing is fetched");
    for seed in 0..20 {
        let retried = FaultPlan { seed, retry_1_in: 2, ..fetched };
        assert_eq!(saved(retried, Mode::Read, "GET k\r\n"), 99, "seed {seed}");
    }
}

#[test]
fn effects_wait_for_the_execution_that_counts() {
    let plan = FaultPlan { seed: 1, conflict_1_in: 2, ..FaultPlan::default() };
    let world = World::new(plan, crowded());
    let pausing = world.batch(0, "MULTI\r\nCLIENT PAUSE 1000000\r\nINCR n\r\nEXEC\r\n");
    let mut finished = world.serve(Mode::Write, vec![pausing]);
    assert_eq!(finished[0].client.effects.len(), 1);
    assert!(!world.server.pause.holds(true));
    finished[0].client.apply_effects(&world.server);
    assert!(world.server.pause.holds(true) && finished[0].client.effects.is_empty());
}

#[test]
fn what_comes_behind_a_pending_command_is_not_too_much_yet() {
    let config = Config { output_buffer_limit: 16 * 1024, ..crowded() };
    for seed in 0..20 {
        let plan = FaultPlan { seed, pending_1_in: 2, ..FaultPlan::default() };
        let world = World::new(plan, config.clone());
        world.ask(Mode::Write, &format!("MSET short 1 k {}\r\n", "x".repeat(4000)));
        let reads = "GET k\r\n".repeat(5);
        let exec = world.batch(0, &format!("MULTI\r\nRENAME short k\r\n{reads}EXEC\r\n"));
        let finished = world.serve(Mode::Write, vec![exec]);
        assert!(finished[0].client.closing.is_none(), "seed {seed}");
        let expected = format!("*6\r\n+OK\r\n{}", "$1\r\n1\r\n".repeat(5));
        assert!(reply(&finished[0]).ends_with(&expected), "seed {seed}");
    }
}

/// Has the metas of long strings, and counts how many chunks it is asked for.
struct Metas<'a> {
    inner: &'a dyn Snapshot,
    chunks: std::cell::Cell<usize>,
}

impl Snapshot for Metas<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Value<'_>>, ReadError> {
        if keys::expected_bytes(key) == 0 {
            return self.inner.get(key);
        }
        self.chunks.set(self.chunks.get() + 1);
        Err(ReadError::Pending)
    }

    fn scan(&self, scan: Scan<'_>, visit: &mut Visitor<'_>) -> Result<(), ReadError> {
        self.inner.scan(scan, visit)
    }

    fn answers_at_once(&self) -> bool {
        false
    }
}

#[test]
fn no_more_large_values_are_fetched_than_are_sent_together() {
    let world = World::new(FaultPlan::default(), Config::default());
    let strings: String = (0..40).map(|n| format!("SETRANGE k{n} 99999 x\r\n")).collect();
    world.ask(Mode::Write, &strings);
    let run = |input: &str| {
        let mut items = vec![Item::Batch(world.batch(0, input))];
        let mut transaction = Arc::clone(&world.server.store).transaction();
        let (mut asked, mut overlay) = (0, crate::data::Overlay::default());
        let mut frame = Frame::new(Arc::clone(&world.server), None);
        let moment = frame.moment(1);
        transaction.read(&mut |inner| {
            let metas = Metas { inner, chunks: std::cell::Cell::default() };
            let (overlay, items) = (&mut overlay, &mut items);
            let mut execution = Execution { moment, overlay, items, refusal: None };
            assert!(frame.execute(&metas, &mut execution).is_err());
            asked = metas.chunks.get();
        });
        asked
    };
    let reads: String = (0..40).map(|n| format!("GET k{n}\r\n")).collect();
    assert_eq!(run(&reads), BATCH_REPLY_BYTES / crate::limits::CHUNK_BYTES);
    assert_eq!(run(&format!("{reads}SET a b\r\n")), 80, "that is not sent before it is committed");
}

#[test]
fn what_the_store_does_not_answer_in_time_is_an_error_reply() {
    let world = World::new(FaultPlan { timeout_1_in: 1, ..FaultPlan::default() }, crowded());
    let unconfirmed = format!("-{}\r\n", crate::error::UNCONFIRMED);
    assert_eq!(world.ask(Mode::Write, "SET k v\r\n"), unconfirmed);
    let plan = FaultPlan { timeout_1_in: 1, pending_1_in: 1, ..FaultPlan::default() };
    let world = World::new(plan, crowded());
    let timed_out = format!("-{}\r\n", crate::error::TIMED_OUT);
    assert_eq!(world.ask(Mode::Write, "INCR k\r\n"), timed_out);
    assert_eq!(world.ask(Mode::Read, "PING\r\nGET k\r\n"), format!("+PONG\r\n{timed_out}"));
    assert_eq!(world.server.stats.groups.timeouts.load(std::sync::atomic::Ordering::Relaxed), 2);
}

#[test]
fn a_refused_commit_is_no_commit() {
    let world = World::new(FaultPlan { refused_1_in: 1, ..FaultPlan::default() }, crowded());
    let refused = "-ERR the store refuses writes: refused by the test\r\n";
    assert_eq!(world.ask(Mode::Write, "SET k v\r\n"), refused);
}

#[test]
fn groups_in_flight_have_no_key_in_common() {
    let world = World::new(FaultPlan::default(), crowded());
    let homes = vec![Arc::clone(&world.desk) as Arc<dyn Home>];
    let groups = Groups::new(&world.server, homes, Mode::Write);
    let mut flights = Flights::new(&groups);
    let inputs = ["INCR a\r\n", "INCR b\r\n", "INCR a\r\nINCR c\r\n", "INCR c\r\n", "INCR d\r\n"];
    for (number, input) in (0..).zip(inputs) {
        let item = Item::Batch(world.batch(number, input));
        let company_max = if number == 0 { 1 } else { usize::MAX };
        flights.waiting.push(groups.waiting(item, clock::monotonic(), company_max));
    }
    let slots = |flight: &Flight| -> Vec<usize> {
        let each = flight.items.iter().map(|item| match item {
            Item::Batch(batch) => batch.slot,
            Item::Chores(..) => unreachable!("nobody submitted any"),
        });
        each.collect()
    };
    assert_eq!(slots(&flights.take_group().unwrap()), [0], "it wanted to be alone");
    assert_eq!(slots(&flights.take_group().unwrap()), [1, 4], "the one behind 2 waits with it");
    assert!(flights.take_group().is_none());
}

#[test]
fn who_waited_long_does_not_wait_on_with_those_who_arrive() {
    let world = World::new(FaultPlan::default(), crowded());
    let homes = vec![Arc::clone(&world.desk) as Arc<dyn Home>];
    let groups = Groups::new(&world.server, homes, Mode::Write);
    let mut flights = Flights::new(&groups);
    let now = clock::monotonic();
    let ago = |number| now - COMMAND_DEADLINE * number / 10;
    for (number, since) in (0..).zip([ago(19), ago(12), ago(9), ago(0)]) {
        let item = Item::Batch(world.batch(number, "INCR a\r\n"));
        flights.waiting.push(groups.waiting(item, since, usize::MAX));
    }
    let late = flights.take_group().unwrap();
    assert_eq!((late.items.len(), late.deadline), (2, ago(19) + 2 * COMMAND_DEADLINE));
    flights.waiting.release(&late.footprint, std::iter::empty());
    let others = flights.take_group().unwrap();
    assert_eq!((others.items.len(), others.deadline), (2, now + COMMAND_DEADLINE));
}

#[test]
fn a_commit_that_was_given_up_keeps_its_marker_to_itself() {
    let plan = FaultPlan { timeout_1_in: 1, ..FaultPlan::default() };
    let world = World::new(plan, Config { groups_in_flight_max: 1, ..crowded() });
    let homes = vec![Arc::clone(&world.desk) as Arc<dyn Home>];
    let groups = Groups::new(&world.server, homes, Mode::Write);
    let mut flights = Flights::new(&groups);
    let mut cx = Context::from_waker(std::task::Waker::noop());
    for slot in 1..4 {
        let item = Item::Batch(world.batch(0, "SET k v\r\n"));
        flights.waiting.push(groups.waiting(item, clock::monotonic(), usize::MAX));
        assert!(flights.poll(&mut cx).is_pending());
        assert_eq!(flights.idle[0].slot(), slot);
    }
    assert_eq!(world.desk.0.lock().len(), 3);
    // When all have been used it begins again, without those in use.
    flights.idle.push(Flight::new(&world.server, Mode::Write, 0));
    flights.next_slot = u16::MAX;
    let slots: Vec<u16> = (0..4).map(|_| flights.free_slot()).collect();
    assert_eq!(slots, [u16::MAX, 1, 2, 4], "3 and 0 are in use");
}

#[test]
fn background_work_keeps_to_itself_and_off_keys_in_use() {
    let world = World::new(FaultPlan::default(), crowded());
    let homes = vec![Arc::clone(&world.desk) as Arc<dyn Home>];
    let groups = Groups::new(&world.server, homes, Mode::Write);
    let mut flights = Flights::new(&groups);
    let expire = |key: &[u8]| {
        let chore = Chore::Expire { tenant: 0, keyspace: 1, at_ms: 1, key: key.into() };
        Item::Chores(Chores { chores: vec![chore], done: std::sync::mpsc::channel().0 }, None)
    };
    let incr = Item::Batch(world.batch(0, "INCR a\r\n"));
    let set = Item::Batch(world.batch(1, "SET c v\r\n"));
    for item in [incr, expire(b"a"), expire(b"b"), set] {
        flights.waiting.push(groups.waiting(item, clock::monotonic(), usize::MAX));
    }
    let groups: Vec<_> = std::iter::from_fn(|| flights.take_group()).collect();
    let is_batch = |flight: &Flight| matches!(flight.items[..], [Item::Batch(_)]);
    assert_eq!(groups.iter().map(is_batch).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(flights.waiting.len(), 1, "the one about a waits for the first");
}

#[test]
fn a_watch_that_failed_lets_no_transaction_through() {
    let plan = FaultPlan { timeout_1_in: 1, pending_1_in: 1, ..FaultPlan::default() };
    let mut world = World::new(plan, crowded());
    let watching = world.serve(Mode::Read, vec![world.batch(0, "WATCH k\r\n")]).remove(0);
    assert!(reply(&watching).starts_with("-TIMEOUT"));
    let client = watching.client.clone();
    let store = Arc::new(FaultStore::new(Arc::new(MemoryStore::new()), FaultPlan::default()));
    world.server = Arc::new(Server::new(crowded(), store));
    let mut exec = world.batch(0, "MULTI\r\nSET k v\r\nEXEC\r\nMULTI\r\nSET k w\r\nEXEC\r\n");
    exec.client = client;
    let replies = reply(&world.serve(Mode::Write, vec![exec]).remove(0));
    assert_eq!(replies, "+OK\r\n+QUEUED\r\n*-1\r\n+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n");
}

/// All records but the system's own.
fn records(world: &World) -> Vec<RecordKey> {
    let mut transaction = Arc::clone(&world.server.store).transaction();
    transaction.begin(Mode::Read, clock::monotonic() + COMMAND_DEADLINE);
    let find = &mut |snapshot: &dyn Snapshot| {
        let mut found = Vec::new();
        let end = [0xff; 8];
        snapshot.scan(Scan::all(b"", &end), &mut |key, _| {
            found.push(RecordKey::from_slice(key));
            ControlFlow::Continue(())
        })?;
        Ok(found)
    };
    wait::read(&mut *transaction, find).unwrap()
}

#[test]
fn a_tenant_created_by_many_at_once_has_one_id() {
    for seed in 0..20 {
        let world = World::new(troubled(seed), crowded());
        let create = |number| {
            world.batch(number, &format!("TENANT SETQUOTA t{} commands 1\r\n", number % 5))
        };
        let finished = world.serve(Mode::Write, (0..40).map(create).collect());
        assert!(finished.iter().all(|batch| reply(batch) == "+OK\r\n"), "seed {seed}");
        let records = records(&world);
        let count = |kind| records.iter().filter(|key| key[..5] == [0, 0, 0, 0, kind]).count();
        assert_eq!((count(b'T'), count(b'U')), (5, 5), "seed {seed}");
        let listed = world.ask(Mode::Read, "TENANT LIST\r\n");
        assert!(listed.starts_with("*2\r\n$1\r\n0\r\n*6\r\n$7\r\ndefault\r\n"), "{listed}");
    }
}

#[test]
fn nothing_is_written_for_a_tenant_that_is_dropped_meanwhile() {
    let (mut written, mut refused) = (0, 0);
    for seed in 0..40 {
        let world = World::new(troubled(seed), crowded());
        world.ask(Mode::Write, "TENANT SETQUOTA acme commands 1\r\n");
        let batch = |number: u64| {
            if number == 20 {
                return world.batch(number, "TENANT DROP acme\r\n");
            }
            let database = number % 3;
            let mut batch =
                world.batch(number, &format!("SELECT {database}\r\nSET k{number} v\r\n"));
            batch.client.tenant = 1;
            batch
        };
        let finished = world.serve(Mode::Write, (0..60).map(batch).collect());
        for batch in finished.iter().filter(|batch| batch.slot != 20) {
            let reply = reply(batch);
            let is_written = reply == "+OK\r\n+OK\r\n";
            let gone = format!("+OK\r\n-{}\r\n", crate::error::TENANT_GONE);
            assert!(is_written || reply == gone, "{reply}");
            (written, refused) = match is_written {
                true => (written + 1, refused),
                false => (written, refused + 1),
            };
        }
        let records = records(&world);
        let is_there = |wanted: &RecordKey| records.contains(wanted);
        assert!(!is_there(&keys::tenant(1)) && !is_there(&keys::tenant_name(b"acme")));
        for database in 0..3 {
            assert!(!is_there(&keys::catalog(1, database)), "seed {seed}");
            let keyspace = keys::initial_keyspace(1, database);
            let has_any = records.iter().any(|key| keys::be_u32(&key[..4]) == keyspace);
            assert_eq!(is_there(&keys::trash(keyspace)), has_any, "seed {seed}: the collector's");
        }
    }
    assert!(written > 100 && refused > 100, "{written} written, {refused} refused");
}
