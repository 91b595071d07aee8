//! What a point read and a commit cost on each store.
//!
//! `cargo bench --bench store`. Records look like those of small strings: a key of 29 bytes in hash
//! order and a value of 64. The synced commits depend on the disk; all else on the processor.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main,
};
use ringstone::store::embedded::{Durability, EmbeddedOptions, EmbeddedStore};
use ringstone::store::memory::MemoryStore;
use ringstone::store::{Local, Mutations, Store};
use xxhash_rust::xxh3::xxh3_64;

const RECORDS: u64 = 100_000;
const VALUE: [u8; 64] = [b'v'; 64];

fn key(number: u64) -> Vec<u8> {
    let name = format!("key:{number:012}");
    [b"\0\0\0\0m", &xxh3_64(name.as_bytes()).to_be_bytes()[..], name.as_bytes()].concat()
}

/// Keys in an order without pattern, side by side in memory so that fetching them costs nothing.
fn shuffled(count: usize) -> Vec<Vec<u8>> {
    (0..count as u64).map(|at| key(xxh3_64(&at.to_le_bytes()) % RECORDS)).collect()
}

fn fill(store: &(impl Store + Local)) {
    let mut mutations = Mutations::default();
    for number in 0..RECORDS {
        mutations.set(&key(number), &[&VALUE]);
        if mutations.len() == 1000 {
            store.commit(store.next_sequence(), &mutations).unwrap();
            mutations.reset();
        }
    }
}

fn open(dir: &Path, durability: Durability, cache_bytes: u64) -> EmbeddedStore {
    let mut options = EmbeddedOptions::new(dir);
    (options.durability, options.cache_bytes) = (durability, cache_bytes);
    EmbeddedStore::open(options).unwrap()
}

fn read_one(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, store: &(impl Store + Local)) {
    let keys = shuffled(50_000);
    let mut next = keys.iter().cycle();
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            let key = next.next().expect("it cycles");
            let mut found = 0;
            store.read(&mut |snapshot| {
                found = snapshot.get(key).unwrap().map_or(0, |value| value.len());
            });
            assert_eq!(found, VALUE.len());
        });
    });
}

fn point_reads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    let memory = MemoryStore::new();
    fill(&memory);
    read_one(&mut group, "memory", &memory);
    drop(memory);

    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Durability::None, 256 << 20);
    fill(&store);
    read_one(&mut group, "embedded, write buffer", &store);
    store.close().unwrap();
    drop(store);

    let store = open(dir.path(), Durability::None, 256 << 20);
    for number in 0..RECORDS {
        store.read(&mut |snapshot| assert!(snapshot.get(&key(number)).unwrap().is_some()));
    }
    read_one(&mut group, "embedded, cache", &store);
    drop(store);

    let store = open(dir.path(), Durability::None, 0);
    read_one(&mut group, "embedded, LSM tree", &store);
    group.finish();
}

fn commit(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, store: &(impl Store + Local)) {
    let keys = shuffled(50_000);
    let mut next = keys.iter().cycle();
    for records in [1, 16, 500] {
        group.throughput(Throughput::Elements(records));
        group.bench_function(format!("{name}, {records}"), |bencher| {
            let prepare = || {
                let mut mutations = Mutations::default();
                for _ in 0..records {
                    mutations.set(next.next().expect("it cycles"), &[&VALUE]);
                }
                mutations
            };
            let execute = |mutations: Mutations| {
                store.commit(store.next_sequence(), &mutations).unwrap();
                mutations
            };
            bencher.iter_batched(prepare, execute, BatchSize::SmallInput);
        });
    }
}

fn commits(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commit");
    let memory = MemoryStore::new();
    fill(&memory);
    commit(&mut group, "memory", &memory);
    drop(memory);
    for (name, durability) in [("none", Durability::None), ("sync", Durability::Sync)] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), durability, 256 << 20);
        fill(&store);
        commit(&mut group, &format!("embedded {name}"), &store);
        store.close().unwrap();
    }
    group.finish();
}

criterion_group!(benches, point_reads, commits);
criterion_main!(benches);
