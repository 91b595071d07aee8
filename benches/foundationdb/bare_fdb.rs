//! A bare FoundationDB client loop, for `scripts/bench.sh --store foundationdb` to compare ringstone
//! with: the same cluster, keys and values without a server between. Uses nothing of ringstone.
//!
//! `cargo run --release --features fdb --example bare_fdb -- --help`. Every measurement is one line
//! of JSON on standard output, and once more for people on standard error.

#![allow(unsafe_code)]

mod common;

use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::{Arg, ArgMatches, Command};
use common::{Report, now, whole_number};
use foundationdb::api::FdbApiBuilder;
use foundationdb::{Database, FdbResult, Transaction};
use tokio::task::{JoinHandle, LocalSet};
use xxhash_rust::xxh3::xxh3_64;

const VALUE: [u8; 64] = [b'v'; 64];
/// Keys written or cleared in one transaction where nothing is measured.
const FILL_KEYS: u64 = 1000;
/// Operations before those whose latency counts.
const WARM_UP: usize = 50;

fn arguments() -> ArgMatches {
    Command::new("bare_fdb")
        .about("Measures a bare FoundationDB client")
        .arg(Arg::new("cluster-file").long("cluster-file").value_name("PATH").required(true))
        .arg(
            Arg::new("mode")
                .long("mode")
                .value_parser(["latency", "sets", "gets", "incr", "all"])
                .default_value("all")
                .help("What to measure"),
        )
        .arg(Arg::new("prefix").long("prefix").default_value("bare:").help("Of all keys"))
        .arg(whole_number("seconds", "5", "How long to measure throughput"))
        .arg(whole_number("samples", "1000", "How many latencies to measure"))
        .arg(whole_number("range", "100000", "How many different keys"))
        .arg(whole_number("keys", "200", "Keys per transaction"))
        .arg(whole_number("in-flight", "4", "Transactions in flight"))
        .arg(whole_number("tasks", "50", "Tasks that increment"))
        .get_matches()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = arguments();
    let network = FdbApiBuilder::default().build()?;
    // SAFETY: the guard is dropped at the end of this function, before the program exits.
    let guard = unsafe { network.boot()? };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = LocalSet::new().block_on(&runtime, run(&arguments));
    drop(runtime);
    drop(guard);
    Ok(result?)
}

async fn run(arguments: &ArgMatches) -> FdbResult<()> {
    let text = |name: &str| arguments.get_one::<String>(name).expect("required or has a default");
    let number = |name: &str| *arguments.get_one::<u64>(name).expect("has a default");
    let database = Database::from_path(text("cluster-file"))?;
    let bench = Rc::new(Bench {
        database,
        prefix: text("prefix").as_bytes().to_vec(),
        range: number("range"),
        keys: number("keys"),
        in_flight: number("in-flight"),
        tasks: number("tasks"),
        samples: number("samples") as usize,
        time: Duration::from_secs(number("seconds")),
    });
    let mode = text("mode").as_str();
    let measures = |name| mode == name || mode == "all";
    bench.clear().await?;
    if measures("latency") || measures("gets") {
        bench.fill().await?;
    }
    if measures("latency") {
        bench.latency().await?;
    }
    if measures("sets") {
        bench.throughput("sets", |bench, seed| async move { bench.set_some(seed).await }).await?;
    }
    if measures("gets") {
        bench.throughput("gets", |bench, seed| async move { bench.get_some(seed).await }).await?;
    }
    if measures("incr") {
        bench.increments().await?;
    }
    bench.clear().await
}

struct Bench {
    database: Database,
    prefix: Vec<u8>,
    range: u64,
    keys: u64,
    in_flight: u64,
    tasks: u64,
    samples: usize,
    time: Duration,
}

impl Bench {
    /// A key as ringstone stores it: in hash order, 29 bytes with the default prefix.
    fn key(&self, number: u64) -> Vec<u8> {
        let name = format!("key:{number:012}");
        [&self.prefix, &xxh3_64(name.as_bytes()).to_be_bytes()[..], name.as_bytes()].concat()
    }

    fn random_key(&self, seed: u64, at: u64) -> Vec<u8> {
        self.key(xxh3_64(&[seed.to_le_bytes(), at.to_le_bytes()].concat()) % self.range)
    }

    async fn clear(&self) -> FdbResult<()> {
        let mut end = self.prefix.clone();
        end.push(0xff);
        self.commit_surely(|transaction| transaction.clear_range(&self.prefix, &end)).await
    }

    async fn fill(&self) -> FdbResult<()> {
        for first in (0..self.range).step_by(FILL_KEYS as usize) {
            let numbers = first..(first + FILL_KEYS).min(self.range);
            self.commit_surely(|transaction| {
                for number in numbers.clone() {
                    transaction.set(&self.key(number), &VALUE);
                }
            })
            .await?;
        }
        Ok(())
    }

    /// Commits blind writes that may be repeated.
    async fn commit_surely(&self, write: impl Fn(&Transaction)) -> FdbResult<()> {
        let mut transaction = self.database.create_trx()?;
        loop {
            write(&transaction);
            match transaction.commit().await {
                Ok(_) => return Ok(()),
                Err(error) => transaction = error.on_error().await?,
            }
        }
    }

    async fn latency(&self) -> FdbResult<()> {
        self.one_at_a_time("read version", async |transaction, _| {
            transaction.get_read_version().await.map(drop)
        })
        .await?;
        self.one_at_a_time("read version and get", async |transaction, key| {
            let value = transaction.get(&key, true).await?;
            assert!(value.is_some_and(|value| value.len() == VALUE.len()), "a key is missing");
            Ok(())
        })
        .await?;
        self.one_at_a_time("blind commit", async |transaction, key| {
            transaction.set(&key, &VALUE);
            transaction.commit().await.map(drop).map_err(Into::into)
        })
        .await
    }

    async fn one_at_a_time(
        &self,
        name: &str,
        operation: impl AsyncFn(Transaction, Vec<u8>) -> FdbResult<()>,
    ) -> FdbResult<()> {
        let mut taken = Vec::with_capacity(self.samples);
        for sample in 0..WARM_UP + self.samples {
            let key = self.random_key(1, sample as u64);
            let started = now();
            operation(self.database.create_trx()?, key).await?;
            if sample >= WARM_UP {
                taken.push(started.elapsed());
            }
        }
        Report::new(name).count("samples", self.samples as u64).latencies(taken).print();
        Ok(())
    }

    async fn set_some(&self, seed: u64) -> FdbResult<()> {
        self.commit_surely(|transaction| {
            for at in 0..self.keys {
                transaction.set(&self.random_key(seed, at), &VALUE);
            }
        })
        .await
    }

    async fn get_some(&self, seed: u64) -> FdbResult<()> {
        let mut transaction = self.database.create_trx()?;
        'again: loop {
            let reads: Vec<_> = (0..self.keys)
                .map(|at| transaction.get(&self.random_key(seed, at), true))
                .collect();
            for read in reads {
                match read.await {
                    Ok(value) => assert!(value.is_some(), "a key is missing"),
                    Err(error) => {
                        transaction = transaction.on_error(error).await?;
                        continue 'again;
                    }
                }
            }
            return Ok(());
        }
    }

    /// Keeps so many transactions in flight for a while.
    async fn throughput<F>(
        self: &Rc<Self>,
        name: &str,
        transact: impl Fn(Rc<Bench>, u64) -> F + Copy + 'static,
    ) -> FdbResult<()>
    where
        F: Future<Output = FdbResult<()>> + 'static,
    {
        let started = now();
        let tasks = (0..self.in_flight)
            .map(|number| {
                let bench = self.clone();
                spawn_until(started + self.time, number, move |seed| transact(bench.clone(), seed))
            })
            .collect();
        let taken = join(tasks).await?;
        let seconds = started.elapsed().as_secs_f64();
        let keys = taken.len() as u64 * self.keys;
        Report::new(name)
            .count("keys_per_transaction", self.keys)
            .count("in_flight", self.in_flight)
            .number("keys_per_second", keys as f64 / seconds)
            .latencies(taken)
            .print();
        Ok(())
    }

    /// Adds one to a key, in a transaction of its own, as often as that takes.
    async fn increment(&self, retries: &std::cell::Cell<u64>) -> FdbResult<()> {
        let key = [&self.prefix[..], b"counter"].concat();
        let mut transaction = self.database.create_trx()?;
        loop {
            let committed = match transaction.get(&key, false).await {
                Ok(value) => {
                    transaction.set(&key, &(number(value.as_deref()) + 1).to_le_bytes());
                    transaction.commit().await.map_err(|error| error.on_error())
                }
                Err(error) => {
                    retries.set(retries.get() + 1);
                    transaction = transaction.on_error(error).await?;
                    continue;
                }
            };
            match committed {
                Ok(_) => return Ok(()),
                Err(retry) => {
                    retries.set(retries.get() + 1);
                    transaction = retry.await?;
                }
            }
        }
    }

    async fn increments(self: &Rc<Self>) -> FdbResult<()> {
        let retries = Rc::new(std::cell::Cell::new(0));
        let started = now();
        let tasks = (0..self.tasks)
            .map(|task| {
                let (bench, retries) = (self.clone(), retries.clone());
                spawn_until(started + self.time, task, move |_| {
                    let (bench, retries) = (bench.clone(), retries.clone());
                    async move { bench.increment(&retries).await }
                })
            })
            .collect();
        let taken = join(tasks).await?;
        let seconds = started.elapsed().as_secs_f64();
        let (key, transaction) =
            ([&self.prefix[..], b"counter"].concat(), self.database.create_trx()?);
        let counter = number(transaction.get(&key, true).await?.as_deref());
        Report::new("increments of one key")
            .count("tasks", self.tasks)
            .number("per_second", taken.len() as f64 / seconds)
            .count("done", taken.len() as u64)
            .count("counter", counter)
            .count("retries", retries.get())
            .latencies(taken)
            .print();
        Ok(())
    }
}

fn number(value: Option<&[u8]>) -> u64 {
    let bytes = value.map(|bytes| bytes.try_into().expect("a counter has eight bytes"));
    bytes.map_or(0, u64::from_le_bytes)
}

/// Repeats an operation until a moment; how long each took.
fn spawn_until<F>(
    end: Instant,
    task: u64,
    mut operation: impl FnMut(u64) -> F + 'static,
) -> JoinHandle<FdbResult<Vec<Duration>>>
where
    F: Future<Output = FdbResult<()>> + 'static,
{
    tokio::task::spawn_local(async move {
        let mut taken = Vec::new();
        let mut started = now();
        while started < end {
            operation((task << 32) + taken.len() as u64).await?;
            let ended = now();
            taken.push(ended - started);
            started = ended;
        }
        Ok(taken)
    })
}

async fn join(tasks: Vec<JoinHandle<FdbResult<Vec<Duration>>>>) -> FdbResult<Vec<Duration>> {
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.expect("a task panicked")?);
    }
    Ok(all)
}
