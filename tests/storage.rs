//! Property: what a tenant with a storage quota stores is counted exactly, through crashes, conflicts and
//! whatever clients do; past the quota what would add to it is refused, and what takes away is not.
//!
//! The tenant is the first one, which needs no token.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod common;
#[path = "differential/generate.rs"]
#[allow(dead_code)]
mod generate;
#[path = "storage/records.rs"]
mod records;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use common::{Address, Conn, DEADLINE, Load, Options, Reply, Rng, Server, Subject, fdb};
use generate::Step;
use ringstone::store::Store;
use ringstone::store::embedded::{EmbeddedOptions, EmbeddedStore};

const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";
/// Clients writing at the same time.
const CLIENTS: u64 = 3;
/// Commands of one of a client's sessions.
const SESSION_COMMANDS: usize = 200;

fn ok() -> Reply {
    Reply::Simple(b"OK".to_vec())
}

fn oom() -> Reply {
    Reply::Error(OOM.as_bytes().to_vec())
}

/// Asks again and again until the answer is this one.
fn until(conn: &mut Conn, line: &str, expected: &Reply) {
    let started = Instant::now();
    loop {
        let reply = conn.command(line);
        if reply == *expected {
            return;
        }
        assert!(started.elapsed() < DEADLINE, "{line}: still {reply:?}, not {expected:?}");
    }
}

/// A field of `TENANT INFO`.
fn info(conn: &mut Conn, name: &str) -> Reply {
    let reply = conn.command("TENANT INFO default");
    let at = reply.items().iter().position(|item| *item == Reply::Bulk(name.into())).unwrap();
    reply.items()[at + 1].clone()
}

fn wait_until_counted(conn: &mut Conn) {
    let started = Instant::now();
    while info(conn, "counting") != Reply::Int(0) {
        assert!(started.elapsed() < DEADLINE, "still being counted");
    }
}

#[test]
fn memory_refuses_what_would_grow() {
    refuses_what_would_grow(Subject::Memory);
}

#[test]
fn embedded_refuses_what_would_grow() {
    refuses_what_would_grow(Subject::Embedded);
}

#[test]
fn a_faulty_store_refuses_what_would_grow() {
    refuses_what_would_grow(Subject::Faulty);
}

#[test]
fn foundationdb_refuses_what_would_grow() {
    if fdb::is_here() {
        refuses_what_would_grow(Subject::FoundationDb);
    }
}

fn refuses_what_would_grow(subject: Subject) {
    let server = Server::start(subject);
    let mut conn = server.connect();
    let is_local = matches!(subject, Subject::Memory | Subject::Embedded);
    // Where only the store knows, others hear of it within a second or so.
    let settles = |conn: &mut Conn, line: &str, expected: Reply| match is_local {
        true => assert_eq!(conn.command(line), expected, "{line}"),
        false => until(conn, line, &expected),
    };
    let long = "x".repeat(15_000);
    assert!(info(&mut conn, "storage").is_nil());
    assert_eq!(conn.command(&format!("SET before {long}")), ok());
    assert_eq!(conn.command("RPUSH list a b c"), Reply::Int(3));
    assert_eq!(conn.command("TENANT SETQUOTA default STORAGE 20000"), ok());
    wait_until_counted(&mut conn);
    assert!(matches!(info(&mut conn, "storage"), Reply::Int(15_000..16_000)));
    assert_eq!(conn.command(&format!("SET a {long}")), ok());
    settles(&mut conn, "SET b x", oom());
    refuses_all(&mut conn);
    goes_on(&mut conn);
    assert_eq!(conn.command("DEL a"), Reply::Int(1));
    settles(&mut conn, "SET b x", ok());
    let items = format!("RPUSH long {}", "item ".repeat(100) + &"y".repeat(10_000));
    assert_eq!(conn.command(&items), Reply::Int(101));
    settles(&mut conn, "SET b y", oom());
    assert_eq!(conn.command("DEL long"), Reply::Int(1));
    // Elements of large collections are removed a little later.
    until(&mut conn, "SET b y", &ok());
    assert_eq!(conn.command(&format!("SET a {long}")), ok());
    settles(&mut conn, "SETNX c x", oom());
    assert_eq!(conn.command("FLUSHDB"), ok());
    settles(&mut conn, "SET c x", ok());
    assert!(matches!(info(&mut conn, "storage"), Reply::Int(1..500)));
    changes_of_the_quota(&mut conn, &settles);
}

fn changes_of_the_quota(conn: &mut Conn, settles: &dyn Fn(&mut Conn, &str, Reply)) {
    assert_eq!(conn.command("TENANT SETQUOTA default STORAGE 10"), ok());
    settles(conn, "SET d x", oom());
    assert_eq!(conn.command("TENANT SETQUOTA default STORAGE none"), ok());
    assert_eq!(conn.command("SET d x"), ok());
    assert!(info(conn, "storage").is_nil());
    assert_eq!(conn.command("TENANT SETQUOTA default STORAGE 10"), ok());
    wait_until_counted(conn);
    settles(conn, "SET d x", oom());
    assert_eq!(conn.command("TENANT SETQUOTA default STORAGE 10mb"), ok());
    settles(conn, "SET d x", ok());
}

fn refuses_all(conn: &mut Conn) {
    for line in [
        "APPEND b x",
        "INCR n",
        "SETRANGE b 0 x",
        "SETBIT b 1 1",
        "GETSET b x",
        "MSET b x c y",
        "HSET h f v",
        "LPUSH list x",
        "RPOPLPUSH list other",
        "BLMOVE list other LEFT LEFT 0",
        "SADD s a",
        "SUNIONSTORE s t",
        "ZADD z 1 a",
        "COPY before other",
        "BITOP NOT other before",
        "JSON.SET j $ 1",
    ] {
        assert_eq!(conn.command(line), oom(), "{line}");
    }
    assert_eq!(conn.command("EXISTS n h s z j other"), Reply::Int(0));
    let queued = Reply::Simple(b"QUEUED".to_vec());
    assert_eq!(conn.command("MULTI"), ok());
    assert_eq!(conn.command("SELECT 3"), queued);
    assert_eq!(conn.command("DEL list"), queued);
    assert_eq!(conn.command("SET b x"), queued);
    let aborted = format!("EXECABORT Transaction discarded because of: {OOM}");
    assert_eq!(conn.command("EXEC"), Reply::Error(aborted.into_bytes()));
    is_counted_as_rejected(conn);
}

/// What is refused for want of room has not been called, and neither has what its `EXEC` was to execute.
fn is_counted_as_rejected(conn: &mut Conn) {
    assert_eq!(conn.command("CONFIG RESETSTAT"), ok());
    for line in ["SET b x", "APPEND b x", "MULTI", "SET b x", "GET b", "EXEC"] {
        conn.command(line);
    }
    let reply = conn.command("INFO commandstats errorstats");
    let page = String::from_utf8_lossy(reply.bulk().unwrap()).into_owned();
    for (name, rejected) in [("set", 1), ("append", 1), ("exec", 1)] {
        let line = page.lines().find(|line| line.starts_with(&format!("cmdstat_{name}:")));
        let line = line.unwrap();
        let expected = format!(",rejected_calls={rejected},failed_calls=0");
        assert!(line.contains(":calls=0,") && line.ends_with(&expected), "{line}");
    }
    assert!(!page.contains("cmdstat_get:"), "{page}");
    for line in ["errorstat_OOM:count=2", "errorstat_EXECABORT:count=1"] {
        assert!(page.lines().any(|told| told == line), "{page}");
    }
}

fn goes_on(conn: &mut Conn) {
    assert_eq!(conn.command("STRLEN before"), Reply::Int(15_000));
    assert_eq!(conn.command("LPOP list"), Reply::Bulk(b"a".to_vec()));
    assert_eq!(conn.command("EXPIRE list 1000"), Reply::Int(1));
    assert_eq!(conn.command("RENAME list moved"), ok());
    assert_eq!(conn.command("MOVE moved 1"), Reply::Int(1));
    assert_eq!(conn.command("SWAPDB 0 1"), ok());
    assert_eq!(conn.command("SWAPDB 1 0"), ok());
    assert_eq!(conn.command("MULTI"), ok());
    assert_eq!(conn.command("DEL moved"), Reply::Simple(b"QUEUED".to_vec()));
    assert_eq!(conn.command("EXEC"), Reply::Array(vec![Reply::Int(0)]));
    assert_eq!(conn.command("SELECT 5"), ok());
    assert_eq!(conn.command("FLUSHDB"), ok());
    assert_eq!(conn.command("SET b x"), oom());
    assert_eq!(conn.command("SELECT 0"), ok());
}

/// What a client does in sessions of random commands.
struct Client {
    rng: Rng,
}

impl Client {
    fn run(mut self, address: &Address, load: &Load) -> Client {
        let mut conn = Conn::open(address);
        while !load.is_killed() {
            let steps = generate::session(self.rng.bits(), SESSION_COMMANDS);
            for step in steps {
                if self.step(&mut conn, step, load).is_none() {
                    assert!(load.is_killed(), "the connection broke too early");
                    return self;
                }
            }
        }
        self
    }

    /// `None` when the server is gone.
    fn step(&mut self, conn: &mut Conn, step: Step, load: &Load) -> Option<()> {
        let commands = match step {
            Step::Batch(_, commands) => commands.into_iter().map(|command| command.args).collect(),
            Step::Scan(_, args) => vec![args],
        };
        let bytes: Vec<u8> = commands.iter().flat_map(|args| common::encode(args)).collect();
        conn.try_send_raw(&bytes).ok()?;
        for _ in commands {
            conn.try_read().ok()?;
            load.acknowledge();
        }
        Some(())
    }
}

/// Lets clients do what they like until the server is killed.
fn load(server: &mut Server, rng: &mut Rng) {
    let target = rng.between(200, 3000) as u64;
    let clients = (0..CLIENTS).map(|_| Client { rng: Rng::new(rng.bits()) }).collect();
    common::kill_under_load(server, target, clients, Client::run);
}

#[test]
fn embedded_counts_through_kills() {
    counts_through_kills(Subject::Embedded, 12);
}

#[test]
fn embedded_with_faults_counts_through_kills() {
    counts_through_kills(Subject::FaultyEmbedded, 6);
}

fn counts_through_kills(subject: Subject, rounds: u64) {
    let directory = tempfile::tempdir().unwrap();
    let seed = common::env_number("RINGSTONE_TEST_CRASH_SEED", 1);
    println!("{subject:?}: RINGSTONE_TEST_CRASH_SEED={seed}");
    let mut rng = Rng::new(seed);
    let data_dir = Some(directory.path().to_path_buf());
    let options = Options { durability: "interval", data_dir, unix: true, ..Options::default() };
    for round in 0..rounds {
        let mut server = Server::start_with(subject, &options);
        if let Some(quota) = ["none", "1gb", "2gb", "3gb"].get(rng.below(5) as usize) {
            let setting = format!("TENANT SETQUOTA default STORAGE {quota}");
            assert_eq!(server.connect().command(&setting), ok());
        }
        load(&mut server, &mut rng);
        check(directory.path(), subject, &format!("round {round}"));
    }
    let mut server = Server::start_with(subject, &options);
    let mut conn = server.connect();
    assert_eq!(conn.command("TENANT SETQUOTA default STORAGE 1gb"), ok());
    wait_until_counted(&mut conn);
    assert!(server.terminate().success(), "no clean exit\n{}", server.log());
    assert!(check(directory.path(), subject, "at the end"));
}

fn check(directory: &Path, subject: Subject, what: &str) -> bool {
    let store = EmbeddedStore::open(EmbeddedOptions::new(directory)).unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    let is_done = records::check(&store, subject == Subject::Embedded, what);
    store.close().unwrap();
    is_done
}

#[test]
fn foundationdb_counts_what_several_processes_do() {
    #[cfg(feature = "fdb")]
    if fdb::is_here() {
        counts_what_several_processes_do();
        ringstone::store::foundationdb::stop_network();
    }
}

#[cfg(feature = "fdb")]
fn counts_what_several_processes_do() {
    use ringstone::store::foundationdb::{FdbOptions, FdbStore};
    let (root, file) = (fdb::new_root(), fdb::shared_cluster_file());
    let mut options = FdbOptions::new(root.split('/').map(str::to_owned).collect());
    options.cluster_file = Some(file);
    let store: Arc<dyn Store> = Arc::new(FdbStore::open(options).unwrap());
    let options = Options { fdb_root: Some(root), unix: true, ..Options::default() };
    let mut rng = Rng::new(common::env_number("RINGSTONE_TEST_CRASH_SEED", 1));
    for quota in ["none", "1gb", "1gb", "none", "1gb", "2gb"] {
        let mut servers = [Subject::FoundationDb, Subject::FaultyFoundationDb]
            .map(|subject| Server::start_with(subject, &options));
        let seeds = [rng.bits(), rng.bits()];
        std::thread::scope(|scope| {
            let mut threads = Vec::new();
            let mut conn = servers[0].connect();
            for (server, seed) in servers.iter_mut().zip(seeds) {
                threads.push(scope.spawn(move || load(server, &mut Rng::new(seed))));
            }
            let setting = format!("TENANT SETQUOTA default STORAGE {quota}");
            // It may be killed before it answers.
            let _ = conn.try_send_raw(&common::encode(&common::words(&setting)));
            let _ = conn.try_read();
        });
        records::check(&store, false, quota);
    }
    let server = Server::start_with(Subject::FoundationDb, &options);
    let mut conn = server.connect();
    assert_eq!(conn.command("TENANT SETQUOTA default STORAGE 1gb"), ok());
    wait_until_counted(&mut conn);
    drop(server);
    assert!(records::check(&store, false, "at the end"));
}
