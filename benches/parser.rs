//! The request parser beside redis-protocol's decoder: bytes a second on pipelines of 100 commands.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use redis_protocol::resp2::decode::decode_range;
use ringstone::resp::{ParseLimits, Parser, Requests};

const DEPTH: usize = 100;

fn pipeline(command: impl Fn(usize) -> Vec<String>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for index in 0..DEPTH {
        let args = command(index);
        bytes.extend(format!("*{}\r\n", args.len()).bytes());
        for arg in args {
            bytes.extend(format!("${}\r\n{arg}\r\n", arg.len()).bytes());
        }
    }
    bytes
}

fn key(index: usize) -> String {
    format!("key:{:012}", index * 7919)
}

fn pipelines() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("get", pipeline(|index| vec!["GET".into(), key(index)])),
        ("set_3", pipeline(|index| vec!["SET".into(), key(index), "xxx".into()])),
        ("set_64", pipeline(|index| vec!["SET".into(), key(index), "x".repeat(64)])),
        ("set_1000", pipeline(|index| vec!["SET".into(), key(index), "x".repeat(1000)])),
    ]
}

fn parser(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parser");
    for (name, input) in pipelines() {
        group.throughput(Throughput::Bytes(input.len() as u64));
        group.bench_function(BenchmarkId::new("ringstone", name), |bencher| {
            let mut parser = Parser::new();
            let mut requests = Requests::default();
            let limits = ParseLimits::default();
            let mut input = input.clone();
            bencher.iter(|| {
                requests.clear();
                let progress = parser.parse(&mut input, &limits, usize::MAX, &mut requests);
                assert_eq!(requests.len(), DEPTH);
                black_box((progress.is_ok(), &requests));
            });
        });
        // Its cheapest form: ranges of the input, as ours, though each frame allocates its array.
        group.bench_function(BenchmarkId::new("redis_protocol", name), |bencher| {
            bencher.iter(|| {
                let mut rest = black_box(&input[..]);
                let mut commands = 0;
                while let Ok(Some((frame, len))) = decode_range(rest) {
                    black_box(&frame);
                    commands += 1;
                    rest = &rest[len..];
                }
                assert_eq!(commands, DEPTH);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, parser);
criterion_main!(benches);
