//! The view and the group runner on the memory store: commands a second, parsing and sockets apart.
//!
//! `cargo bench --bench group`. A write group is as the writer gets it: batches of many connections,
//! parsed, submitted together and executed on the spot.

#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use parking_lot::Mutex;
use ringstone::batch::{Batch, Home, Reader, Stay, Writer};
use ringstone::command::state::{ClientShared, Killer};
use ringstone::command::{Client, Server};
use ringstone::config::Config;
use ringstone::data::{KeyspaceId, Moment, Overlay, Prior, View, keys, string};
use ringstone::session::Session;
use ringstone::store::memory::MemoryStore;
use ringstone::store::{Local, Store};

const KEYSPACE: KeyspaceId = 1;
const KEYS: usize = 100_000;
const DEPTH: usize = 100;
const VALUE: [u8; 64] = [b'v'; 64];

/// A key's name; following numbers are anywhere in the store.
fn key(number: usize) -> String {
    format!("key:{:012}", number * 7919 % KEYS)
}

fn moment(sequence: u64) -> Moment {
    let value_bytes_max = VALUE.len();
    Moment { now_ms: 1, sequence, order: 0, seed: 1, value_bytes_max }
}

/// A store in which every key has its value.
fn filled() -> Arc<dyn Store> {
    let store = MemoryStore::new();
    let mut overlay = Overlay::default();
    store.read(&mut |snapshot| {
        let mut view = View::new(snapshot, &mut overlay, moment(1));
        for number in 0..KEYS {
            let name = key(number);
            string::put(&mut view, KEYSPACE, name.as_bytes(), &[&VALUE], 0, Prior::Absent).unwrap();
        }
        view.finish().unwrap();
    });
    store.commit(1, overlay.mutations()).unwrap();
    assert_eq!(keys::initial_keyspace(0, 0), KEYSPACE);
    Arc::new(store)
}

/// What the handler of `SET` does.
fn set(view: &mut View<'_>, name: &[u8]) {
    let prior = view.prior(KEYSPACE, name).unwrap();
    string::put(view, KEYSPACE, name, &[&VALUE], 0, prior).unwrap();
}

fn view(criterion: &mut Criterion) {
    let store = filled();
    let names: Vec<String> = (0..DEPTH).map(key).collect();
    let mut overlay = Overlay::default();
    let mut group = criterion.benchmark_group("view");
    group.throughput(Throughput::Elements(DEPTH as u64));
    let mut bench = |name: &str, step: fn(&mut View<'_>, &[u8])| {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                overlay.reset();
                store.local().unwrap().read(&mut |snapshot| {
                    let mut view = View::new(snapshot, &mut overlay, moment(2));
                    names.iter().for_each(|name| step(&mut view, name.as_bytes()));
                });
                black_box(&overlay);
            });
        });
    };
    bench("get", |view, name| {
        let found = string::get(view, KEYSPACE, name).unwrap().unwrap();
        black_box(found.value(view, KEYSPACE).unwrap());
    });
    bench("set", set);
    bench("set and roll back", |view, name| {
        let mark = view.mark();
        set(view, name);
        view.rollback(mark);
    });
    group.finish();
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

/// What a connection makes of pipelined requests.
fn batch(server: &Server, requests: impl Iterator<Item = Vec<String>>) -> Box<Batch> {
    let shared = ClientShared::new(1, String::new(), String::new(), 0, Arc::new(NoKiller));
    let mut session = Session::new(server, &shared);
    let mut batch = Box::new(Batch::new(Client::new(Arc::new(shared)), 0, 0));
    let mut input = String::new();
    for args in requests {
        input += &format!("*{}\r\n", args.len());
        args.iter().for_each(|arg| input += &format!("${}\r\n{arg}\r\n", arg.len()));
    }
    let mut input = input.into_bytes();
    let taken = session.take(&mut input, &mut batch);
    assert_eq!(taken.consumed, input.len());
    batch.input = input;
    batch
}

/// The same batch once more.
fn rewind(batch: &mut Batch) {
    batch.next = 0;
    batch.reply.clear();
}

fn groups(criterion: &mut Criterion) {
    let server = Arc::new(Server::new(Config::default(), filled()));
    let desk = Arc::new(Desk::default());
    let writer = Writer::new(&server, vec![Arc::clone(&desk) as Arc<dyn Home>]);
    let mut group = criterion.benchmark_group("group");
    let value = String::from_utf8(VALUE.to_vec()).unwrap();
    let set = |number| vec!["SET".to_owned(), key(number), value.clone()];
    let incr = |_| vec!["INCR".to_owned(), "counter".to_owned()];
    type Request<'r> = &'r dyn Fn(usize) -> Vec<String>;
    let writes: [(&str, usize, usize, Request<'_>); 3] = [
        ("16 SETs of 16 connections", 16, 1, &set),
        ("800 SETs of 50 connections", 50, 16, &set),
        ("800 INCRs of one key", 50, 16, &incr),
    ];
    for (name, connections, depth, request) in writes {
        let mut batches: Vec<_> = (0..connections)
            .map(|at| batch(&server, (at * depth..(at + 1) * depth).map(request)))
            .collect();
        group.throughput(Throughput::Elements((connections * depth) as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                batches.iter_mut().for_each(|batch| rewind(batch));
                writer.submit(&mut batches);
                batches.append(&mut desk.0.lock());
                assert!(batches.len() == connections && batches[0].is_done());
            });
        });
    }
    let mut gets = batch(&server, (0..DEPTH).map(|number| vec!["GET".to_owned(), key(number)]));
    let input = std::mem::take(&mut gets.input);
    let mut reader = Reader::default();
    group.throughput(Throughput::Elements(DEPTH as u64));
    group.bench_function("100 GETs of one connection", |bencher| {
        bencher.iter(|| {
            rewind(&mut gets);
            reader.run(&mut gets, &input, &server, server.store.local().unwrap());
            black_box(gets.reply.bytes());
        });
    });
    assert!(gets.reply.len() > DEPTH * VALUE.len(), "every key was there");
    group.finish();
}

criterion_group!(benches, view, groups);
criterion_main!(benches);
