//! Time of requests through a connection: publishes of each form, and reads of 1,000 messages in each form.

#[path = "../examples/common/mod.rs"]
mod common;

use common::NOW;
use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use sprawl_core::edge::encode::Form;
use sprawl_core::edge::fetch::Fetch;
use sprawl_core::edge::Connection;

fn publishes(c: &mut Criterion) {
    let single = common::post("orders.eu", "text/plain", &[b'x'; 100]);
    let json = common::post("orders.eu", "application/vnd.sprawl.messages+json", &common::json_batch(100));
    let batch = common::post("orders.eu", "application/x-sprawl-batch", &common::record_batch(100));
    let mut group = c.benchmark_group("publish");
    for (name, request, count) in [
        ("single", single.clone(), 1),
        ("pipelined 16", single.repeat(16), 16),
        ("json 100", json, 100),
        ("batch 100", batch, 100),
    ] {
        let (mut edge, mut connection, mut out) = (common::edge(), Connection::new(1, true), Vec::new());
        group.throughput(Throughput::Elements(count));
        group.bench_function(name, |b| {
            b.iter(|| {
                common::receive(&mut edge, &mut connection, &request, &mut out);
                edge.log.end_tick(NOW)
            });
        });
    }
    group.finish();
}

fn reads(c: &mut Criterion) {
    let mut edge = common::edge();
    let request = common::post("orders.eu", "application/x-sprawl-batch", &common::record_batch(100));
    common::publish(&mut edge, &request, 10);
    let mut group = c.benchmark_group("fetch 1000");
    group.throughput(Throughput::Elements(1000));
    for (name, form) in [("json", Form::Json), ("sse", Form::Sse), ("binary", Form::Binary)] {
        let fetch = Fetch::parse("", None, NOW).expect("no parameter");
        let fresh = fetch.reader(&mut edge.log, "orders.eu", form).expect("a reader");
        let mut out = Vec::new();
        group.bench_function(name, |b| {
            b.iter(|| {
                out.clear();
                let pulled = edge.pull(&mut fresh.clone(), usize::MAX / 2, 1000, NOW, &mut out);
                assert_eq!(pulled.messages, 1000);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, publishes, reads);
criterion_main!(benches);
