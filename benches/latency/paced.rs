//! Clients that send pipelines of GET and SET at a given rate, for `scripts/bench.sh --plot`.
//!
//! A load that does not wait for the server: when each pipeline is due is decided beforehand, by
//! random (exponential) gaps, and its latency counts from then on, also while all connections wait
//! for replies. So a server that stops for a moment is charged for everything that would have come
//! meanwhile. A pipeline goes out on the connection that has been idle longest, one pipeline each at
//! a time. With a rate of 0 the next pipeline is due as soon as a connection is idle: that finds
//! what a server can do at most. One thread, which never sleeps: give it a core of its own.
//!
//! Uses nothing of ringstone. `cargo run --release --example paced -- --help`. The measurement is
//! one line of JSON on standard output, and once more for people on standard error.

#[allow(dead_code, reason = "its latencies are counted, not kept")]
#[path = "../foundationdb/common.rs"]
mod common;
mod histogram;

use std::collections::VecDeque;
use std::io::{Error, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use common::{Report, now, whole_number};
use histogram::Histogram;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;

const VALUE_BYTES: usize = 64;
const SET_REPLY: &[u8] = b"+OK\r\n";
const GET_REPLY: &[u8] = b"$64\r\n";
const GET_REPLY_BYTES: usize = GET_REPLY.len() + VALUE_BYTES + 2;
const GET: &[u8] = b"*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000000\r\n";
const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000000\r\n$64\r\n";
/// Where the digits of the key end, in both.
const KEY_END: usize = GET.len() - 2;
const INPUT_BYTES: usize = 256 * 1024;
/// Keys written at once before the measurement.
const FILL: u64 = 1000;
/// How long replies may still come when all has been sent.
const DRAIN: Duration = Duration::from_secs(20);
/// Points of the curve: from the slower half of all commands, ten for each power of ten, to the
/// slowest 10,000th part.
const CURVE_POINTS: i32 = 38;

fn arguments() -> ArgMatches {
    Command::new("paced")
        .about("Times pipelines of GET and SET sent at a given rate")
        .arg(
            Arg::new("address")
                .long("address")
                .value_name("ADDR:PORT")
                .required(true)
                .value_parser(value_parser!(SocketAddr))
                .help("The server"),
        )
        .arg(
            Arg::new("rate")
                .long("rate")
                .value_name("N")
                .default_value("0")
                .value_parser(value_parser!(u64))
                .help("Commands a second; 0 for as many as the server answers"),
        )
        .arg(
            Arg::new("gets")
                .long("gets")
                .value_name("PERCENT")
                .default_value("50")
                .value_parser(value_parser!(u64).range(0..=100))
                .help("How many of 100 commands are GET; the others are SET"),
        )
        .arg(
            Arg::new("fill")
                .long("fill")
                .action(ArgAction::SetTrue)
                .help("Write all keys first; GET expects them"),
        )
        .arg(whole_number("clients", "50", "Connections"))
        .arg(whole_number("pipeline", "16", "Commands sent together"))
        .arg(whole_number("milliseconds", "1000", "How long"))
        .arg(whole_number("warm-up-milliseconds", "200", "How long before that, not counted"))
        .arg(whole_number("range", "100000", "How many different keys"))
        .arg(whole_number("seed", "1", "Of gaps, keys and the order of GET and SET"))
        .get_matches()
}

fn main() -> Result<(), Error> {
    let arguments = arguments();
    let number = |name: &str| *arguments.get_one::<u64>(name).expect("has a default");
    let address = *arguments.get_one::<SocketAddr>("address").expect("required");
    let range = number("range");
    if arguments.get_flag("fill") {
        fill(address, range)?;
    }
    let warm_up = number("warm-up-milliseconds") * 1_000_000;
    let end = warm_up + number("milliseconds") * 1_000_000;
    let (rate, pipeline) = (number("rate"), number("pipeline"));
    let mut random = Random(number("seed"));
    random.next();
    let mut load = Load {
        connections: connect(address, number("clients"))?,
        idle: (0..number("clients") as usize).collect(),
        gap: if rate == 0 { 0.0 } else { pipeline as f64 * 1e9 / rate as f64 },
        due: 0.0,
        random,
        gets: number("gets"),
        range,
        pipeline: pipeline as u32,
        warm_up,
        end,
        all_busy: 0,
        output: Vec::new(),
        results: Results::default(),
    };
    load.run()?;
    report(&load.results, rate, (end - warm_up) as f64 / 1e9);
    Ok(())
}

/// Prints what was measured.
fn report(results: &Results, rate: u64, seconds: f64) {
    let taken = &results.taken;
    let us = |share: f64| taken.at(share) / 1000.0;
    let slower = |point: i32| 0.5 * 10f64.powf(-f64::from(point) / 10.0);
    let curve = (0..CURVE_POINTS).map(|point| (slower(point), us(1.0 - slower(point)))).collect();
    Report::new("paced")
        .count("rate", rate)
        .number("per_second", results.answered as f64 / seconds)
        .count("commands", results.commands)
        .count("measured", taken.count())
        .number("p50_us", us(0.5))
        .number("p90_us", us(0.9))
        .number("p99_us", us(0.99))
        .number("p999_us", us(0.999))
        .number("max_us", us(1.0))
        .number("late_p99_us", results.late.at(0.99) / 1000.0)
        .number("busy", results.busy as f64 / 1e9 / seconds)
        .pairs("slower_share_us", curve)
        .print();
}

/// Writes all keys.
fn fill(address: SocketAddr, range: u64) -> Result<(), Error> {
    let mut stream = TcpStream::connect(address)?;
    for first in (0..range).step_by(FILL as usize) {
        let keys = first..(first + FILL).min(range);
        let mut output = Vec::new();
        let mut input = vec![0; keys.clone().count() * SET_REPLY.len()];
        for key in keys {
            push_set(&mut output, key);
        }
        stream.write_all(&output)?;
        stream.read_exact(&mut input)?;
        if let Some(reply) = input.chunks(SET_REPLY.len()).find(|reply| *reply != SET_REPLY) {
            return Err(unexpected(reply));
        }
    }
    Ok(())
}

fn push_get(output: &mut Vec<u8>, key: u64) {
    let start = output.len();
    output.extend_from_slice(GET);
    put_digits(&mut output[start..start + KEY_END], key);
}

fn push_set(output: &mut Vec<u8>, key: u64) {
    let start = output.len();
    output.extend_from_slice(SET);
    put_digits(&mut output[start..start + KEY_END], key);
    output.extend_from_slice(&[b'v'; VALUE_BYTES]);
    output.extend_from_slice(b"\r\n");
}

/// Writes a number over the zeros at the end.
fn put_digits(text: &mut [u8], mut number: u64) {
    for digit in text.iter_mut().rev() {
        if number == 0 {
            break;
        }
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

fn unexpected(reply: &[u8]) -> Error {
    let text = String::from_utf8_lossy(&reply[..reply.len().min(200)]);
    Error::other(format!("the server answered {text:?}"))
}

fn connect(address: SocketAddr, clients: u64) -> Result<Vec<Connection>, Error> {
    (0..clients)
        .map(|_| {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            Ok(Connection { stream, input: vec![0; INPUT_BYTES], filled: 0, waiting: 0, due: 0 })
        })
        .collect()
}

/// One pipeline under way at most.
struct Connection {
    stream: TcpStream,
    /// Bytes read that are no whole reply yet, ...
    input: Vec<u8>,
    /// ... and how many there are.
    filled: usize,
    /// Replies to come.
    waiting: u32,
    /// When the pipeline under way should have been sent.
    due: u64,
}

impl Connection {
    /// Sends all of it. The server reads what it is sent, as nothing else is under way, so that a
    /// full buffer empties soon.
    fn send(&mut self, mut rest: &[u8]) -> Result<(), Error> {
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(sent) => rest = &rest[sent..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::hint::spin_loop(),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// How many replies have come.
    fn receive(&mut self) -> Result<u32, Error> {
        match self.stream.read(&mut self.input[self.filled..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => self.filled += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) => return Err(error),
        }
        let (mut at, mut replies) = (0, 0);
        loop {
            let rest = &self.input[at..self.filled];
            let (begin, length) = match rest.first() {
                Some(b'+') => (SET_REPLY, SET_REPLY.len()),
                Some(b'$') => (GET_REPLY, GET_REPLY_BYTES),
                None => break,
                _ => return Err(unexpected(rest)),
            };
            if rest.len() >= begin.len() && !rest.starts_with(begin) {
                return Err(unexpected(rest));
            }
            if rest.len() < length {
                break;
            }
            at += length;
            replies += 1;
        }
        self.input.copy_within(at..self.filled, 0);
        self.filled -= at;
        self.waiting = self.waiting.checked_sub(replies).ok_or_else(|| unexpected(SET_REPLY))?;
        Ok(replies)
    }
}

/// What was measured; times in nanoseconds.
#[derive(Default)]
struct Results {
    /// From when a command was due to its reply.
    taken: Histogram,
    /// From when a pipeline was due to when it was sent, where a connection was idle.
    late: Histogram,
    /// Replies that came, ...
    commands: u64,
    /// ... and those between warm-up and end.
    answered: u64,
    /// How long there was something to send or receive between warm-up and end.
    busy: u64,
}

/// All connections, and what is due. Times are nanoseconds since the start.
struct Load {
    connections: Vec<Connection>,
    /// The one that has been idle longest is first.
    idle: VecDeque<usize>,
    /// Mean time between pipelines; 0 for as soon as possible.
    gap: f64,
    /// When the next pipeline is due.
    due: f64,
    random: Random,
    gets: u64,
    range: u64,
    pipeline: u32,
    warm_up: u64,
    end: u64,
    /// When a pipeline was last kept waiting because no connection was idle.
    all_busy: u64,
    output: Vec<u8>,
    results: Results,
}

impl Load {
    fn run(&mut self) -> Result<(), Error> {
        let poll = epoll::create(CreateFlags::CLOEXEC)?;
        for (at, connection) in self.connections.iter().enumerate() {
            let data = EventData::new_u64(at as u64);
            epoll::add(&poll, &connection.stream, data, EventFlags::IN)?;
        }
        let none = Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
        let mut events = vec![none; self.connections.len()];
        let start = now();
        let mut time = 0;
        loop {
            let sent = self.send_due(start, time)?;
            let is_sent = self.gap == 0.0 || self.due >= self.end as f64;
            if time >= self.end && is_sent && self.idle.len() == self.connections.len() {
                return Ok(());
            }
            let received = self.receive(&poll, &mut events, start)?;
            let before = std::mem::replace(&mut time, elapsed(start));
            if (sent || received) && before >= self.warm_up && time <= self.end {
                self.results.busy += time - before;
            }
            if time > self.end + DRAIN.as_nanos() as u64 {
                return Err(Error::other("replies are missing long after the end"));
            }
        }
    }

    /// Sends pipelines that are due while there are idle connections; whether there were any.
    fn send_due(&mut self, start: Instant, mut time: u64) -> Result<bool, Error> {
        let mut some = false;
        loop {
            let due = if self.gap == 0.0 { time } else { self.due as u64 };
            if due > time || due >= self.end {
                return Ok(some);
            }
            let Some(at) = self.idle.pop_front() else {
                self.all_busy = time;
                return Ok(some);
            };
            self.due += -self.gap * self.random.share().ln();
            self.fill_output();
            let connection = &mut self.connections[at];
            connection.due = due;
            connection.waiting = self.pipeline;
            connection.send(&self.output)?;
            if due >= self.all_busy.max(self.warm_up) {
                self.results.late.add(time - due, 1);
            }
            time = elapsed(start);
            some = true;
        }
    }

    fn fill_output(&mut self) {
        self.output.clear();
        for _ in 0..self.pipeline {
            let random = self.random.next();
            let key = ((random >> 32) * self.range) >> 32;
            if ((random & 0xffff_ffff) * 100) >> 32 < self.gets {
                push_get(&mut self.output, key);
            } else {
                push_set(&mut self.output, key);
            }
        }
    }

    /// Takes the replies that have come; whether there were any.
    fn receive(
        &mut self,
        poll: &OwnedFd,
        events: &mut [Event],
        start: Instant,
    ) -> Result<bool, Error> {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let count = epoll::wait(poll, &mut *events, Some(&at_once))?;
        for event in &events[..count] {
            let at = event.data.u64() as usize;
            let connection = &mut self.connections[at];
            let replies = connection.receive()?;
            let time = elapsed(start);
            self.results.commands += u64::from(replies);
            if (self.warm_up..self.end).contains(&time) {
                self.results.answered += u64::from(replies);
            }
            if connection.due >= self.warm_up {
                self.results.taken.add(time - connection.due, u64::from(replies));
            }
            if connection.waiting == 0 {
                self.idle.push_back(at);
            }
        }
        Ok(count > 0)
    }
}

fn elapsed(start: Instant) -> u64 {
    start.elapsed().as_nanos() as u64
}

/// splitmix64: quick, and the same numbers for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Above 0, at most 1.
    fn share(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }
}
