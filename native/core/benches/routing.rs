//! Slots, routes, placement, patterns: `cargo bench -p sprawl-core --bench routing`.
use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use sprawl_core::hashring::{HashRing, WEIGHT_ORDINARY};
use sprawl_core::route::{Route, RouteCache};
use sprawl_core::slots::SlotTable;
use sprawl_core::trie::TopicTrie;
use std::hint::black_box;
use xxhash_rust::xxh3::xxh3_64;

const TOPICS: u32 = 8_192;

fn names() -> Vec<(Vec<u8>, u64)> {
    let name = |topic: u32| format!("orders.region-{}.{topic}", topic % 7).into_bytes();
    (0..TOPICS).map(name).map(|name| (name.clone(), xxh3_64(&name))).collect()
}

fn slots(criterion: &mut Criterion) {
    let table = SlotTable::single("n1", 1).unwrap();
    let mut slot = 0;
    criterion.bench_function("slot_leader_and_epoch", |bencher| {
        bencher.iter(|| {
            slot = (slot + 1_031) % 4_096;
            (table.leader(black_box(slot)), table.epoch(slot))
        });
    });
    let bytes = table.encode();
    criterion
        .bench_function("slot_table_decode", |bencher| bencher.iter(|| SlotTable::decode(black_box(&bytes))));
}

fn routes(criterion: &mut Criterion) {
    let names = names();
    let mut cache = RouteCache::default();
    for ((name, hash), topic) in names.iter().zip(0..) {
        cache.put(name, *hash, 1, Route { topic, slot0: (hash >> 52) as u16, leader: 0 });
    }
    let mut group = criterion.benchmark_group("route_get");
    let (name, hash) = &names[0];
    group.bench_function("one_topic", |bencher| bencher.iter(|| cache.get(black_box(name), *hash, 1)));
    let mut next = 0;
    group.bench_function("8192_topics", |bencher| {
        bencher.iter(|| {
            next = (next + 4_099) % names.len();
            let (name, hash) = &names[next];
            cache.get(black_box(name), *hash, 1)
        });
    });
    group.bench_function("miss", |bencher| bencher.iter(|| cache.get(black_box(b"absent"), 42, 1)));
    group.finish();
}

fn placement(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("placement_3_replicas");
    for count in [3, 16, 64] {
        let members: Vec<(String, u32)> =
            (0..count).map(|index| (format!("n{index}"), WEIGHT_ORDINARY)).collect();
        group.bench_function(format!("{count}_members"), |bencher| {
            bencher.iter(|| HashRing::new(black_box(&members)).unwrap().placement(3, 100));
        });
    }
    group.finish();
}

fn patterns(criterion: &mut Criterion) {
    let mut trie = TopicTrie::new();
    for ((name, _), id) in names().iter().zip(0u64..) {
        trie.insert(name, id).unwrap();
        trie.insert(format!("*.region-{}.>", id % 7).as_bytes(), id % 64).unwrap();
    }
    let names = names();
    let mut found = Vec::new();
    let mut group = criterion.benchmark_group("trie");
    group.throughput(Throughput::Elements(names.len() as u64));
    group.bench_function("matches_8192_topics", |bencher| {
        bencher.iter(|| names.iter().for_each(|(name, _)| trie.matches_into(black_box(name), &mut found)));
    });
    group.finish();
}

criterion_group!(benches, slots, routes, placement, patterns);
criterion_main!(benches);
