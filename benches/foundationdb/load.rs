//! Clients that send one command after another to ringstone and time each, for `scripts/bench.sh
//! --store foundationdb`: unlike redis-benchmark it counts error replies, knows the slowest command,
//! and checks that every acknowledged increment is in the counter. Uses nothing of ringstone.
//!
//! `cargo run --release --example load -- --help`. The measurement is one line of JSON on standard
//! output, and once more for people on standard error.

mod common;

use std::cell::{Cell, RefCell};
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use common::{Report, now, whole_number};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use xxhash_rust::xxh3::xxh3_64;

const VALUE: &str = "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv";
/// Commands of each client before those that count where the latency of a quiet server is asked.
const WARM_UP: u64 = 50;
/// Lifetimes given to a key: from this, in seconds, ...
const LIFETIME_MIN: u64 = 3600;
/// ... this many different ones, so that hardly ever the one it has is given again.
const LIFETIMES: u64 = 1_000_000;

fn arguments() -> ArgMatches {
    Command::new("load")
        .about("Times commands sent one at a time")
        .arg(
            Arg::new("address")
                .long("address")
                .value_name("ADDR:PORT")
                .required(true)
                .action(ArgAction::Append)
                .value_parser(value_parser!(SocketAddr))
                .help("A server; clients take turns when there are several"),
        )
        .arg(
            Arg::new("workload")
                .long("workload")
                .required(true)
                .value_parser(["incr", "expire", "hset", "sadd", "get", "set"])
                .help("One counter, the lifetime of one key, one hash, one set, or strings"),
        )
        .arg(whole_number("clients", "50", "Connections"))
        .arg(whole_number("seconds", "5", "How long"))
        .arg(whole_number("range", "100000", "How many different keys for get and set"))
        .get_matches()
}

fn main() -> Result<(), Error> {
    let arguments = arguments();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, run(&arguments))
}

async fn run(arguments: &ArgMatches) -> Result<(), Error> {
    let number = |name: &str| *arguments.get_one::<u64>(name).expect("has a default");
    let workload = arguments.get_one::<String>("workload").expect("required").clone();
    let addresses: Vec<SocketAddr> =
        arguments.get_many("address").expect("required").copied().collect();
    let (clients, range) = (number("clients"), number("range"));
    let mut control = Client::connect(addresses[0]).await?;
    prepare(&mut control, &workload, range).await?;
    let load = Rc::new(Load {
        workload: workload.clone(),
        range,
        end: Cell::new(now()),
        results: RefCell::default(),
    });
    let mut connected = Vec::new();
    for at in 0..clients as usize {
        connected.push(Client::connect(addresses[at % addresses.len()]).await?);
    }
    let started = now();
    load.end.set(started + Duration::from_secs(number("seconds")));
    let tasks: Vec<_> = (0..clients)
        .zip(connected)
        .map(|(at, client)| tokio::task::spawn_local(load.clone().client(client, at)))
        .collect();
    for task in tasks {
        task.await.expect("a client panicked")?;
    }
    let seconds = started.elapsed().as_secs_f64();
    let results = load.results.take();
    let report = Report::new(&workload)
        .count("clients", clients)
        .count("servers", addresses.len() as u64)
        .number("per_second", results.acknowledged as f64 / seconds)
        .count("acknowledged", results.acknowledged)
        .count("errors", results.errors)
        .text("first_error", &results.first_error)
        .latencies(results.taken);
    match workload.as_str() {
        "incr" => {
            let counter = control.call("GET load:counter").await?.value();
            report.count("counter", counter.parse().unwrap_or(0)).print();
        }
        _ => report.print(),
    }
    Ok(())
}

/// Makes the keys that the commands are about.
async fn prepare(control: &mut Client, workload: &str, range: u64) -> Result<(), Error> {
    match workload {
        "incr" => control.call("SET load:counter 0").await?.expect_ok(),
        "expire" => control.call(&format!("SET load:session {VALUE}")).await?.expect_ok(),
        "hset" => control.call(&format!("HSET load:hash field {VALUE}")).await?.expect_ok(),
        "sadd" => control.call("SADD load:set member").await?.expect_ok(),
        _ => {
            for first in (0..range).step_by(100) {
                let pairs: Vec<_> = (first..(first + 100).min(range))
                    .map(|number| format!("{} {VALUE}", key(number)))
                    .collect();
                control.call(&format!("MSET {}", pairs.join(" "))).await?.expect_ok()?;
            }
            Ok(())
        }
    }
}

fn key(number: u64) -> String {
    format!("key:{number:012}")
}

/// What all clients did.
#[derive(Default)]
struct Results {
    acknowledged: u64,
    errors: u64,
    first_error: String,
    taken: Vec<Duration>,
}

struct Load {
    workload: String,
    range: u64,
    end: Cell<Instant>,
    results: RefCell<Results>,
}

impl Load {
    fn command(&self, client: u64, at: u64) -> String {
        let random = xxh3_64(&[client.to_le_bytes(), at.to_le_bytes()].concat());
        match self.workload.as_str() {
            "incr" => "INCR load:counter".to_owned(),
            "expire" => format!("EXPIRE load:session {}", LIFETIME_MIN + random % LIFETIMES),
            "hset" => format!("HSET load:hash field:{client}:{random} {VALUE}"),
            "sadd" => format!("SADD load:set member:{client}:{random}"),
            "get" => format!("GET {}", key(random % self.range)),
            _ => format!("SET {} {VALUE}", key(random % self.range)),
        }
    }

    /// One client: a command, its reply, the next command.
    async fn client(self: Rc<Self>, mut client: Client, number: u64) -> Result<(), Error> {
        let is_quiet = matches!(self.workload.as_str(), "get" | "set");
        let warm_up = if is_quiet { WARM_UP } else { 0 };
        for at in 0.. {
            let command = self.command(number, at);
            let started = now();
            if started >= self.end.get() {
                break;
            }
            let reply = client.call(&command).await?;
            let mut results = self.results.borrow_mut();
            match reply {
                Reply::Error(text) => {
                    results.errors += 1;
                    if results.first_error.is_empty() {
                        results.first_error = text;
                    }
                }
                _ => results.acknowledged += 1,
            }
            if at >= warm_up {
                results.taken.push(started.elapsed());
            }
        }
        Ok(())
    }
}

/// As much of a reply as matters here.
enum Reply {
    /// A status, a number, a string, or nothing.
    Value(String),
    Error(String),
}

impl Reply {
    fn value(self) -> String {
        match self {
            Reply::Value(text) | Reply::Error(text) => text,
        }
    }

    fn expect_ok(self) -> Result<(), Error> {
        match self {
            Reply::Value(_) => Ok(()),
            Reply::Error(text) => Err(Error::other(text)),
        }
    }
}

/// A connection with at most one command under way.
struct Client {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Client {
    async fn connect(address: SocketAddr) -> Result<Client, Error> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Client { stream, input: Vec::new() })
    }

    /// Sends words and waits for the reply.
    async fn call(&mut self, line: &str) -> Result<Reply, Error> {
        let words: Vec<&str> = line.split(' ').collect();
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.send(request.as_bytes()).await?;
        loop {
            if let Some(reply) = self.reply() {
                self.input.clear();
                return Ok(reply);
            }
            self.receive().await?;
        }
    }

    async fn send(&mut self, mut rest: &[u8]) -> Result<(), Error> {
        while !rest.is_empty() {
            match self.stream.try_write(rest) {
                Ok(sent) => rest = &rest[sent..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.stream.writable().await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn receive(&mut self) -> Result<(), Error> {
        loop {
            self.stream.readable().await?;
            match self.stream.try_read_buf(&mut self.input) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The reply, once all of it is there.
    fn reply(&self) -> Option<Reply> {
        let text = std::str::from_utf8(&self.input).ok()?;
        let (line, rest) = text.split_once("\r\n")?;
        let value = &line[1..];
        match line.as_bytes()[0] {
            b'-' => Some(Reply::Error(value.to_owned())),
            b'$' if value != "-1" => {
                let length: usize = value.parse().ok()?;
                (rest.len() >= length + 2).then(|| Reply::Value(rest[..length].to_owned()))
            }
            _ => Some(Reply::Value(value.to_owned())),
        }
    }
}
