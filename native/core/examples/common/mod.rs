//! What the instruction counts and benchmarks share: an engine on fixed input. Not an example itself.
#![allow(dead_code)] // each program uses its part

use sprawl_core::batch::{Builder, Record};
use sprawl_core::edge::{Connection, Edge, Step};
use sprawl_core::log::{Log, Setup};
use sprawl_core::slots::SlotTable;
use std::sync::Arc;

/// Node time of every program, ns.
pub const NOW: i64 = 1_700_000_000_000_000_000;
/// Operations before anything is counted or timed.
pub const WARM_UP: usize = 500;

/// N, the only argument.
pub fn operations() -> usize {
    std::env::args().nth(1).and_then(|n| n.parse().ok()).expect("usage: program N")
}

/// A log of 64 MiB, so that eviction belongs to what is counted.
pub fn log() -> Log {
    let setup = Setup {
        memory_bytes_max: 64 << 20,
        chunk_bytes: 1 << 20,
        dedup_keys_max: 1000,
        topics_max: 1 << 20,
        seed: 1,
        auto_create: true,
        delete_grace_s: 1,
        disk_lsn: None,
    };
    Log::new(setup, Arc::new(SlotTable::single("n", 1).expect("a table of one")))
}

/// An edge over it.
pub fn edge() -> Edge {
    Edge::new(log())
}

/// One publish of `body`.
pub fn post(topic: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST /v1/topics/{topic}/messages HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: bench\r\nAccept: */*\r\n\
         Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// A JSON batch of `count` messages of 100 bytes.
pub fn json_batch(count: usize) -> Vec<u8> {
    let item = format!("{{\"payload\":\"{}\",\"key\":\"key\"}}", "x".repeat(100));
    format!("{{\"messages\":[{}]}}", vec![item; count].join(",")).into_bytes()
}

/// A RecordBatch of `count` records of 100 bytes.
pub fn record_batch(count: usize) -> Vec<u8> {
    let mut builder = Builder::new();
    for _ in 0..count {
        let record =
            Record { timestamp_ms: 1, key: Some(b"key"), value: Some(&[b'x'; 100]), ..Record::default() };
        builder.push(&record).expect("small records fit");
    }
    let mut out = Vec::new();
    builder.finish_into(&mut out, 0, 0, None);
    out
}

/// Sends one piece; the answer stands in `out`.
pub fn receive(edge: &mut Edge, connection: &mut Connection, bytes: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let step = edge.receive(connection, bytes, NOW, out);
    assert!(matches!(step, Step::More) && out.starts_with(b"HTTP/1.1 20"), "answered at once");
}

/// Publishes `requests` N times through one connection, a tick each.
pub fn publish(edge: &mut Edge, requests: &[u8], count: usize) {
    let mut connection = Connection::new(1, true);
    let mut out = Vec::new();
    for _ in 0..count {
        receive(edge, &mut connection, requests, &mut out);
        edge.log.end_tick(NOW);
    }
}
