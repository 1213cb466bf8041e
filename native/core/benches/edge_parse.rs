//! What one request costs before anything is appended: heads, chunks, JSON bodies, answers.

use std::hint::black_box;
use std::mem::MaybeUninit;
use std::ops::ControlFlow;

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use sprawl_core::http::response::{self, Connection, Refusal};
use sprawl_core::http::{chunked, head, query};
use sprawl_core::json::{publish, write_string};
use sprawl_core::problem::{Code, Problem};

const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

const WRK: &[u8] = b"POST /v1/topics/bench/messages HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\
    Content-Type: text/plain\r\nAccept: */*\r\nContent-Length: 128\r\n\r\n";

const RICH: &[u8] = b"POST /v1/topics/bench/messages?durability=disk HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\
    User-Agent: curl/8.5.0\r\nAccept: */*\r\nContent-Type: application/json\r\nSprawl-Key: order-17\r\n\
    Idempotency-Key: 9f1b2c3d4e5f\r\nSprawl-Header-Tenant: 7\r\nSprawl-TTL: 3600\r\nContent-Length: 128\r\n\r\n";

fn heads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("head");
    for (name, bytes) in [("wrk", WRK), ("rich", RICH)] {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| head::parse(black_box(bytes))));
        // The tokens alone: what our checks add is the difference.
        group.bench_function(format!("{name}_httparse"), |bencher| {
            bencher.iter(|| {
                let mut fields = [const { MaybeUninit::uninit() }; 100];
                let mut request = httparse::Request::new(&mut []);
                request.parse_with_uninit_headers(black_box(bytes), &mut fields)
            });
        });
    }
    group.bench_function("query", |bencher| {
        bencher.iter(|| query::pairs(black_box("from=offset%3A12&partition=3&limit=100&wait=30")).count());
    });
    group.finish();
}

fn bodies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("body");
    let payload = "x".repeat(128);
    let message = format!("{{\"payload\":\"{payload}\"}}");
    let batch = format!("{{\"messages\":[{}]}}", vec![message.as_str(); 100].join(","));
    let alias = format!("{{\"topic\":\"bench\",\"payload\":\"{payload}\"}}");
    let chunks = format!("1000\r\n{}\r\n", "x".repeat(0x1000)).repeat(16) + "0\r\n\r\n";
    group.bench_function("alias", |bencher| {
        bencher.iter(|| publish::parse_alias(black_box(alias.as_bytes())));
    });
    group.bench_function("ndjson_line", |bencher| {
        bencher.iter(|| publish::parse_item(black_box(message.as_bytes()), true));
    });
    group.bench_function("json_batch_100x128", |bencher| {
        bencher.iter(|| {
            publish::for_each_message(black_box(batch.as_bytes()), |_, item| {
                black_box(item).ok();
                ControlFlow::Continue(())
            })
        });
    });
    group.bench_function("chunked_64k", |bencher| {
        let mut out = Vec::with_capacity(1 << 17);
        bencher.iter(|| {
            out.clear();
            chunked::Decoder::new().decode(black_box(chunks.as_bytes()), &mut out, 1 << 20)
        });
    });
    group.finish();
}

fn answers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("answer");
    let mut out = Vec::with_capacity(4096);
    let text = "x".repeat(128);
    group.bench_function("created_200_bytes", |bencher| {
        bencher.iter(|| {
            out.clear();
            response::begin(&mut out, 201, DATE, "application/json", Connection::Implied);
            let mark = response::begin_body(&mut out);
            write_string(&mut out, black_box(&text));
            response::end_body(&mut out, mark)
        });
    });
    let problem =
        Problem::new(Code::TooLarge, "payload of 10485761 bytes exceeds payload_bytes_max 10485760");
    group.bench_function("problem", |bencher| {
        bencher.iter(|| {
            out.clear();
            response::problem(&mut out, black_box(&problem), &Refusal::closing(DATE));
        });
    });
    group.finish();
}

criterion_group!(benches, heads, bodies, answers);
criterion_main!(benches);
