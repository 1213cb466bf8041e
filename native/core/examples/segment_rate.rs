//! How fast one core turns a window into segments and reads them back: MB of message bytes by second of CPU time.
//!
//! `cargo run --release -p sprawl-core --example segment_rate [bytes of a value] [messages of a batch]`
use sprawl_core::batch::{Builder, Record};
use sprawl_core::envelope::{Envelope, KIND_BATCH};
use sprawl_core::segment::{build, page, Bounds, Seek, Topic};

const WINDOW_BYTES: usize = 64 * 1024 * 1024;
const TOPICS_COUNT: u64 = 100;
const RUNS_COUNT: usize = 5;
const READS_COUNT: u32 = 50;

/// A third of each value is random, the rest repeats.
fn value(out: &mut Vec<u8>, length: usize, seed: &mut u64) {
    out.clear();
    while out.len() < length / 3 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        out.extend_from_slice(&(*seed >> 16).to_le_bytes()[..6]);
    }
    out.resize(length, b'x');
}

/// Seconds that this thread ran (Linux).
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("a kernel with schedstat");
    let ran_ns: u64 = stat.split(' ').next().and_then(|text| text.parse().ok()).expect("nanoseconds");
    ran_ns as f64 / 1e9
}

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>().expect("a number"));
    let (value_bytes, batch_count) = (numbers.next().unwrap_or(128), numbers.next().unwrap_or(100));
    let (mut log, mut offsets, mut bytes, mut messages) = (Vec::new(), [0u64; TOPICS_COUNT as usize], 0, 0);
    let (mut builder, mut payload, mut batch, mut seed, mut sequence) =
        (Builder::new(), Vec::new(), Vec::new(), 1, 0);
    while log.len() < WINDOW_BYTES {
        let topic_id = sequence % TOPICS_COUNT;
        builder.clear();
        for _ in 0..batch_count {
            value(&mut payload, value_bytes, &mut seed);
            let record =
                Record { timestamp_ms: 1_700_000_000_000, value: Some(&payload), ..Record::default() };
            builder.push(&record).expect("a record within its bounds");
            bytes += payload.len();
            messages += 1;
        }
        batch.clear();
        builder.finish_into(&mut batch, offsets[topic_id as usize] as i64, 1, None);
        offsets[topic_id as usize] += batch_count as u64;
        let envelope = Envelope {
            kind: KIND_BATCH,
            slot: topic_id as u16,
            epoch: 1,
            partition: 0,
            sequence,
            topic_id,
            append_ns: 1_700_000_000_000_000_000 + sequence as i64 * 10_000,
            expiry_ns: 0,
            records_count: batch_count as u32,
        };
        sequence += 1;
        envelope.write_into(&batch, &mut log);
    }
    let names: Vec<String> = (0..TOPICS_COUNT).map(|id| format!("bench.topic.{id:03}")).collect();
    let topics: Vec<Topic<'_>> = names
        .iter()
        .enumerate()
        .map(|(id, name)| Topic { id: id as u64, name: Some(name), lifetimes: &[] })
        .collect();
    println!(
        "{messages} messages of {value_bytes} bytes in batches of {batch_count}, {} bytes of log",
        log.len()
    );
    for _ in 0..RUNS_COUNT {
        let start = cpu_s();
        let built = build(&[&log], &topics, &Bounds::default()).expect("a window that holds");
        let seconds = cpu_s() - start;
        let size: usize = built.segments.iter().map(|segment| segment.data.len()).sum();
        let manifests: usize = built.segments.iter().map(|segment| segment.manifest.encode().len()).sum();
        let segment = &built.segments[0];
        let (data, manifest) = (&segment.data, &segment.manifest);
        let seek = Seek { topic_id: 50, partition: 0, offset: 0, since_ns: 0 };
        let found = manifest.locate(&seek, 1_000, 8 << 20).expect("a topic of the window");
        let footer = &data[manifest.footer_at as usize..];
        let range = &data[found.at as usize..(found.at + found.length) as usize];
        let start = cpu_s();
        let mut read_bytes = 0;
        for _ in 0..READS_COUNT {
            let page = page(manifest, footer, found.at, range, &seek, 1 << 20).expect("a range that holds");
            read_bytes = page.expect("rows of the topic").envelopes.len();
        }
        println!(
            "write {:.0} MB/s; {size} bytes, manifest {manifests}, {} row groups; read of {} bytes: {} bytes of batches in {:.1} ms",
            bytes as f64 / seconds / 1e6,
            manifest.groups.len(),
            found.length,
            read_bytes,
            (cpu_s() - start) * 1e3 / f64::from(READS_COUNT),
        );
    }
}
