//! Batches of 128-byte records: verify, build, read; `cargo bench -p sprawl-core --bench batch`.
use criterion::{criterion_group, criterion_main, BatchSize, Criterion, Throughput};
use sprawl_core::batch::{records, verify, Builder, Codec, Record};
use sprawl_core::envelope::{Envelope, ENVELOPE_LEN, KIND_BATCH};
use std::hint::black_box;

const COUNT: usize = 100;
const VALUE: [u8; 128] = *b"0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789ABCDEF\
    0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789ABCDEF";

fn fill(builder: &mut Builder, key: Option<&[u8]>) {
    for index in 0..COUNT {
        let record = Record {
            timestamp_ms: 1_700_000_000_000 + index as i64,
            key,
            value: Some(&VALUE),
            ..Record::default()
        };
        builder.push(&record).unwrap();
    }
}

fn batches(criterion: &mut Criterion) {
    let mut builder = Builder::new();
    fill(&mut builder, None);
    let mut plain = Vec::new();
    builder.finish_into(&mut plain, 0, 0, None);
    let mut group = criterion.benchmark_group("batch_100x128");
    group.throughput(Throughput::Elements(COUNT as u64));
    group.bench_function("verify", |bencher| bencher.iter(|| verify(black_box(&plain)).unwrap().unwrap()));
    group.bench_function("crc_alone", |bencher| bencher.iter(|| crc32c::crc32c(black_box(&plain[21..]))));
    group.bench_function("push", |bencher| {
        bencher.iter(|| {
            builder.clear();
            fill(black_box(&mut builder), None);
        });
    });
    group.bench_function("push_keyed", |bencher| {
        bencher.iter(|| {
            builder.clear();
            fill(black_box(&mut builder), Some(b"customer-12345"));
        });
    });
    let mut out = vec![0; 64 * 1024];
    group.bench_function("finish_in_place", |bencher| {
        bencher.iter(|| builder.finish_in_place(black_box(&mut out), 1, 1, None));
    });
    let mut scratch = Vec::new();
    group.bench_function("read", |bencher| {
        bencher.iter(|| {
            records(black_box(&plain), &mut scratch)
                .unwrap()
                .map(|record| record.unwrap().offset)
                .sum::<i64>()
        });
    });
    for codec in [Codec::Lz4, Codec::Zstd] {
        let mut packed = Vec::new();
        builder.compress_into(codec, &mut packed, 0, 0, None).unwrap();
        group.bench_function(format!("verify_{}", codec.as_str()), |bencher| {
            bencher.iter(|| verify(black_box(&packed)).unwrap().unwrap());
        });
    }
    let envelope = Envelope {
        kind: KIND_BATCH,
        slot: 1,
        epoch: 1,
        partition: 0,
        sequence: 1,
        topic_id: 1,
        append_ns: 1,
        expiry_ns: 0,
        records_count: COUNT as u32,
    };
    group.bench_function("seal", |bencher| {
        bencher.iter_batched_ref(
            || [&[0; ENVELOPE_LEN][..], &plain].concat(),
            |bytes| envelope.seal(black_box(bytes)),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, batches);
criterion_main!(benches);
