//! Time of appends: to one hot topic, spread over 100,000 topics, and whole batches.

#[path = "../examples/common/mod.rs"]
mod common;

use common::NOW;
use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use sprawl_core::batch::verify;
use sprawl_core::log::{NewRecord, Options};

fn appends(c: &mut Criterion) {
    let record = NewRecord { value: &[b'x'; 100], ..NewRecord::default() };
    let mut group = c.benchmark_group("append");
    group.throughput(Throughput::Elements(64));
    for (name, topics_count) in [("hot topic", 1), ("100k topics", 100_000)] {
        let mut log = common::log();
        let topics: Vec<u32> = (0..topics_count)
            .map(|i| log.topic_to_publish(format!("t.{i}").as_bytes(), NOW).expect("created"))
            .collect();
        let mut at = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                for _ in 0..64 {
                    // A stride that is prime to the count visits every topic in no order that a cache likes.
                    at = (at + 61_001) % topics.len();
                    log.publish(topics[at], &record, &Options::default(), NOW).expect("taken");
                }
                log.end_tick(NOW)
            });
        });
    }
    let mut log = common::log();
    let topic = log.topic_to_publish(b"t", NOW).expect("created");
    let bytes = common::record_batch(100);
    group.throughput(Throughput::Elements(100));
    group.bench_function("batch of 100", |b| {
        b.iter(|| {
            let verified = verify(&bytes).expect("well-formed").expect("whole");
            log.publish_batch(topic, &bytes, &verified, &Options::default(), NOW).expect("taken")
        });
    });
    group.finish();
}

criterion_group!(benches, appends);
criterion_main!(benches);
