//! The reply encoder: bytes a second for the replies of 100 pipelined commands.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringstone::resp::{Protocol, Reply};

const DEPTH: usize = 100;

fn replies(reply: &mut Reply, kind: &str, value: &[u8]) {
    for index in 0..DEPTH {
        match kind {
            "ok" => reply.ok(),
            "null" => reply.null(),
            "integer" => reply.integer(index as i64 * 7919),
            "double" => reply.double(index as f64 * 1.1),
            _ => reply.bulk(value),
        }
    }
}

fn encoder(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encoder");
    let kinds = [
        ("ok", 0),
        ("null", 0),
        ("integer", 0),
        ("double", 0),
        ("bulk_3", 3),
        ("bulk_64", 64),
        ("bulk_1000", 1000),
    ];
    for (kind, len) in kinds {
        let value = vec![b'x'; len];
        let mut reply = Reply::new();
        reply.set_protocol(Protocol::Resp3);
        replies(&mut reply, kind, &value);
        group.throughput(Throughput::Bytes(reply.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(kind), |bencher| {
            bencher.iter(|| {
                reply.clear();
                replies(&mut reply, kind, black_box(&value));
                black_box(reply.bytes());
            });
        });
    }
    group.finish();
}

criterion_group!(benches, encoder);
criterion_main!(benches);
