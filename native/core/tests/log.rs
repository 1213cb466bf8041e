//! The log against an obvious model: lists of records per partition, held together by invariants after random operations.
//!
//! The model knows every record ever appended; what the log may drop, it may only drop from the front, and only where
//! eviction, retention or deletion allow it.

use proptest::prelude::*;
use sprawl_core::batch::{self, Builder, Record};
use sprawl_core::envelope::Envelope;
use sprawl_core::ids::partition_of_key;
use sprawl_core::log::dedup::Producer;
use sprawl_core::log::topics::Config;
use sprawl_core::log::{Expect, Log, NewRecord, Options, Put, Setup, Start};
use sprawl_core::problem::Code;
use sprawl_core::slots::SlotTable;
use std::collections::HashMap;
use std::sync::Arc;

const MEMORY: usize = 256 * 1024;
const CHUNK: usize = 16 * 1024;
const NAMES: [&str; 4] = ["a", "b.c", "d", "e.f.g"];
const SECOND: i64 = 1_000_000_000;

#[derive(Clone, Debug)]
enum Op {
    Publish {
        topic: usize,
        size: usize,
        key: Option<u8>,
        id: Option<u8>,
        ttl_s: u32,
        empty: bool,
        last: bool,
    },
    Batch {
        topic: usize,
        count: usize,
        size: usize,
        ttl_s: u32,
    },
    Numbered {
        topic: usize,
        producer: u8,
        ahead: i32,
    },
    Atomic {
        topic: usize,
        count: usize,
        id: Option<u8>,
    },
    Put {
        topic: usize,
        config: Config,
    },
    Delete {
        topic: usize,
    },
    Undelete {
        topic: usize,
    },
    EndTick {
        after: i64,
    },
    Sweep {
        after: i64,
    },
    Time {
        topic: usize,
        back: i64,
    },
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..300usize, 3 => 300..5000usize, 1 => 15_000..40_000usize]
}

fn after() -> impl Strategy<Value = i64> {
    // Whole milliseconds, as receipts tell times: the model knows exactly when a lifetime ends.
    prop_oneof![4 => 0..1000i64, 1 => 0..20_000i64].prop_map(|ms| ms * 1_000_000)
}

fn config() -> impl Strategy<Value = Config> {
    let few = |values: &'static [u64]| prop::sample::select(values);
    (
        1..4u32,
        any::<bool>(),
        few(&[0, 0, 3]),
        few(&[0, 0, 5]),
        few(&[0, 0, 20_000]),
        few(&[0, 0, 7]),
        few(&[1, 60]),
    )
        .prop_map(|(partitions, discard_new, ttl_s, age, bytes, count, dedup_window_s)| Config {
            partitions,
            discard_new,
            ttl_s,
            retention_age_s: age,
            retention_bytes: bytes,
            retention_count: count,
            dedup_window_s,
            message_bytes_max: 60_000,
            ..Config::default()
        })
}

fn op() -> impl Strategy<Value = Op> {
    let topic = || 0..NAMES.len();
    let some = |max: u8| prop::option::of(0..max);
    prop_oneof![
        10 => (topic(), size(), some(6), some(9), 0..4u32, prop::bool::weighted(0.05), prop::bool::weighted(0.05))
            .prop_map(|(topic, size, key, id, ttl_s, empty, last)| Op::Publish { topic, size, key, id, ttl_s, empty, last }),
        4 => (topic(), 1..30usize, 0..1500usize, 0..4u32)
            .prop_map(|(topic, count, size, ttl_s)| Op::Batch { topic, count, size, ttl_s }),
        2 => (topic(), 0..3u8, -3..2i32)
            .prop_map(|(topic, producer, ahead)| Op::Numbered { topic, producer, ahead }),
        1 => (topic(), 1..5usize, some(9)).prop_map(|(topic, count, id)| Op::Atomic { topic, count, id }),
        2 => (topic(), config()).prop_map(|(topic, config)| Op::Put { topic, config }),
        1 => topic().prop_map(|topic| Op::Delete { topic }),
        1 => topic().prop_map(|topic| Op::Undelete { topic }),
        6 => after().prop_map(|after| Op::EndTick { after }),
        2 => after().prop_map(|after| Op::Sweep { after }),
        2 => (topic(), 0..15 * SECOND).prop_map(|(topic, back)| Op::Time { topic, back }),
    ]
}

struct Kept {
    value: Vec<u8>,
    append_ms: i64,
    /// Its own or, without one, the topic's when it was appended; 0 is none.
    ttl_s: i64,
}

#[derive(Default)]
struct Part {
    records: Vec<Kept>,
    low: u64,
    sequences: HashMap<i64, i32>,
}

struct Topic {
    name: &'static str,
    index: u32,
    /// Its partitions' handles when it was deleted.
    handles: Vec<u32>,
    deleted_ns: Option<i64>,
    forgotten: bool,
    was_pinned: bool,
    config: Config,
    parts: Vec<Part>,
}

struct Remembered {
    offset: u64,
    until_ns: i64,
    size: usize,
    key: Option<[u8; 1]>,
}

struct Twin {
    log: Log,
    now_ns: i64,
    topics: Vec<Topic>,
    ids: HashMap<(u32, u8), Remembered>,
    serial: u64,
    largest: usize,
    has_been_pinned: bool,
}

fn value_of(serial: u64, size: usize) -> Vec<u8> {
    let mut value = serial.to_le_bytes().to_vec();
    value.resize(8 + size, serial as u8);
    value
}

impl Twin {
    fn new() -> Self {
        let setup = Setup {
            memory_bytes_max: MEMORY,
            chunk_bytes: CHUNK,
            dedup_keys_max: 1000,
            topics_max: 1000,
            seed: 7,
            auto_create: true,
            delete_grace_s: 10,
            disk_lsn: None,
        };
        Self {
            log: Log::new(setup, Arc::new(SlotTable::single("n", 1).unwrap())),
            now_ns: 1_700_000_000 * SECOND,
            topics: Vec::new(),
            ids: HashMap::new(),
            serial: 0,
            largest: 0,
            has_been_pinned: false,
        }
    }

    fn live(&self, name: &str) -> Option<usize> {
        self.topics.iter().position(|t| t.name == name && t.deleted_ns.is_none())
    }

    /// The live topic of this name in model and log, created when absent.
    fn target(&mut self, topic: usize) -> usize {
        let name = NAMES[topic];
        let index = self.log.topic_to_publish(name.as_bytes(), self.now_ns).unwrap();
        self.live(name).unwrap_or_else(|| self.insert(name, index, Config::default()))
    }

    fn insert(&mut self, name: &'static str, index: u32, config: Config) -> usize {
        let parts = (0..config.partitions).map(|_| Part::default()).collect();
        self.topics.push(Topic {
            name,
            index,
            handles: Vec::new(),
            deleted_ns: None,
            forgotten: false,
            was_pinned: false,
            config,
            parts,
        });
        self.topics.len() - 1
    }

    fn handle(&self, topic: usize, number: usize) -> u32 {
        self.log.topics().get(self.topics[topic].index).parts.as_slice()[number]
    }

    fn keep(&mut self, topic: usize, number: usize, offset: u64, append_ms: i64, value: Vec<u8>, ttl_s: u32) {
        let ttl_s = if ttl_s > 0 { i64::from(ttl_s) } else { self.topics[topic].config.ttl_s as i64 };
        let records = &mut self.topics[topic].parts[number].records;
        assert_eq!(offset, records.len() as u64, "offsets ascend by one and are never used again");
        records.push(Kept { value, append_ms, ttl_s });
    }

    /// A refusal for want of room is only right for `discard=new` at its bound.
    fn refused(&self, code: Code, topic: usize, size: usize) {
        let config = &self.topics[topic].config;
        match code {
            Code::StorageFull => {
                assert!(config.discard_new);
                assert!(
                    self.log.pinned_bytes() + (size as u64) + 1000 > MEMORY as u64 / 2,
                    "refused too early"
                );
            }
            Code::TooLarge => assert!(size + 1000 > MEMORY / 4 || size as u64 > config.message_bytes_max),
            other => panic!("unexpected refusal {other:?}"),
        }
    }

    fn publish(
        &mut self,
        topic: usize,
        size: usize,
        key: Option<u8>,
        id: Option<u8>,
        ttl_s: u32,
        expect: Option<bool>,
    ) {
        let at = self.target(topic);
        // The same id always brings a value of the id, so that content is equal unless the size differs.
        let serial = id.map_or(self.serial, |id| 1 << 40 | u64::from(id));
        self.serial += 1;
        let value = value_of(serial, size);
        let key = key.map(|k| [k]);
        let id_text = id.map(|id| format!("id-{id}"));
        let record = NewRecord {
            key: key.as_ref().map(|k| &k[..]),
            value: &value,
            headers: &[(b"h", b"v")],
            ttl_s: (ttl_s > 0).then_some(ttl_s),
            idempotency_key: id_text.as_deref().map(str::as_bytes),
            ..NewRecord::default()
        };
        let partitions = self.topics[at].config.partitions;
        let number = key.map(|k| partition_of_key(&k, partitions)).or(id_text.is_none().then_some(0));
        // With neither key nor fixed partition, ask for partition 0: the model does not repeat the choice.
        let options = Options {
            partition: if key.is_none() { Some(0) } else { None },
            expect: expect.map(|empty| {
                let part = &self.topics[at].parts[number.unwrap_or(0) as usize];
                if empty {
                    Expect::Empty
                } else {
                    Expect::Last((part.records.len() as u64).wrapping_sub(1))
                }
            }),
            ..Options::default()
        };
        let number = number.unwrap_or(0) as usize;
        let handle = self.handle(at, number);
        let known = id.and_then(|id| self.ids.get(&(handle, id))).filter(|k| k.until_ns > self.now_ns);
        let known = known.map(|k| (k.offset, k.size == size && k.key == key));
        let is_empty = {
            let part = self.log.part(handle);
            part.low == part.end
        };
        let done = self.log.publish(self.topics[at].index, &record, &options, self.now_ns);
        match (done, known) {
            (Ok(receipt), Some((offset, same))) => {
                assert!(same && receipt.duplicate, "another message under a remembered key was taken");
                assert_eq!(receipt.offset, offset);
            }
            (Err(problem), Some((_, same))) => {
                assert_eq!((problem.code, same), (Code::IdempotencyConflict, false));
            }
            (Ok(receipt), None) => {
                assert!(!receipt.duplicate, "a forgotten or new key was called a duplicate");
                if expect == Some(true) {
                    assert!(is_empty);
                }
                assert_eq!(receipt.partition as usize, number);
                self.largest = self.largest.max(size);
                if let Some(id) = id {
                    let until_ns = self.now_ns + self.topics[at].config.dedup_window_s as i64 * SECOND;
                    self.ids.insert((handle, id), Remembered { offset: receipt.offset, until_ns, size, key });
                }
                self.keep(at, number, receipt.offset, receipt.append_ms, value, ttl_s);
            }
            (Err(problem), None) if problem.code == Code::ExpectationFailed => {
                let part = &self.topics[at].parts[number];
                assert!(
                    expect == Some(true) && !is_empty || expect == Some(false) && part.records.is_empty()
                );
            }
            (Err(problem), None) => self.refused(problem.code, at, value.len()),
        }
    }

    fn batch(
        &mut self,
        topic: usize,
        count: usize,
        size: usize,
        ttl_s: u32,
        producer: Option<Producer>,
    ) -> bool {
        let at = self.target(topic);
        let mut builder = Builder::new();
        let mut values = Vec::new();
        for i in 0..count {
            values.push(value_of(self.serial, size));
            self.serial += 1;
            // Every second record has a lifetime of its own.
            let ttl_s = (ttl_s > 0 && i % 2 == 0).then_some(ttl_s);
            let record = Record {
                timestamp_ms: 5,
                value: values.last().map(Vec::as_slice),
                ttl_s,
                ..Record::default()
            };
            builder.push(&record).unwrap();
        }
        let mut bytes = Vec::new();
        let numbers = producer.map(|p| batch::Producer { id: p.id, epoch: p.epoch, sequence: p.sequence });
        builder.finish_into(&mut bytes, 0, 0, numbers);
        let verified = batch::verify(&bytes).unwrap().unwrap();
        let options = Options { partition: Some(0), ..Options::default() };
        let index = self.topics[at].index;
        match self.log.publish_batch(index, &bytes, &verified, &options, self.now_ns) {
            Ok(receipt) if receipt.first.duplicate => return false,
            Ok(receipt) => {
                assert_eq!(receipt.count as usize, count);
                self.largest = self.largest.max(bytes.len());
                for (i, value) in values.into_iter().enumerate() {
                    let ttl_s = if i % 2 == 0 { ttl_s } else { 0 };
                    self.keep(at, 0, receipt.first.offset + i as u64, receipt.first.append_ms, value, ttl_s);
                }
            }
            Err(problem) if producer.is_some() => {
                assert!(matches!(problem.code, Code::SequenceGap | Code::SequenceTooOld | Code::StorageFull));
                return false;
            }
            Err(problem) => self.refused(problem.code, at, bytes.len()),
        }
        true
    }

    fn numbered(&mut self, topic: usize, producer: u8, ahead: i32) {
        let at = self.target(topic);
        let id = i64::from(producer);
        let next = self.topics[at].parts[0].sequences.get(&id).copied();
        let sequence = next.map_or(0, |n| n + ahead).max(0);
        let before = self.topics[at].parts[0].records.len();
        let stored = self.batch(topic, 1, 10, 0, Some(Producer { id, epoch: 0, sequence }));
        let grew = self.topics[at].parts[0].records.len() > before;
        assert_eq!(stored, grew, "a duplicate or refused batch stores nothing");
        if let Some(next) = next.filter(|_| grew) {
            assert_eq!(sequence, next, "only the next number is new");
        }
        if grew {
            self.topics[at].parts[0].sequences.insert(id, sequence + 1);
        }
    }

    fn atomic(&mut self, topic: usize, count: usize, id: Option<u8>) {
        let at = self.target(topic);
        let handle = self.handle(at, 0);
        let values: Vec<Vec<u8>> = (0..count as u64).map(|i| value_of(self.serial + i, 20)).collect();
        self.serial += count as u64;
        let id_text = id.map(|id| format!("twice-{id}"));
        // The id stands before two messages: with two of them the whole publish is refused.
        let record = |(i, value): (usize, &'_ Vec<u8>)| (i < 2, value.clone());
        let given: Vec<_> = values.iter().enumerate().map(record).collect();
        let records: Vec<NewRecord<'_>> = given
            .iter()
            .map(|(has_id, value)| NewRecord {
                value,
                idempotency_key: id_text.as_deref().filter(|_| *has_id).map(str::as_bytes),
                ..NewRecord::default()
            })
            .collect();
        let options = Options { partition: Some(0), ..Options::default() };
        let before = self.log.part(handle).end;
        match self.log.publish_all(self.topics[at].index, &records, &options, self.now_ns) {
            Ok(receipts) => {
                assert!(id.is_none() || count == 1);
                for (receipt, value) in receipts.into_iter().zip(values) {
                    assert!(!receipt.duplicate);
                    self.keep(at, 0, receipt.offset, receipt.append_ms, value, 0);
                }
            }
            Err(problem) => {
                assert_eq!(self.log.part(handle).end, before, "refused, and yet something was stored");
                if problem.code != Code::IdempotencyConflict {
                    self.refused(problem.code, at, count * 600);
                }
            }
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Publish { topic, size, key, id, ttl_s, empty, last } => {
                let expect = if empty { Some(true) } else { last.then_some(false) };
                self.publish(topic, size, key, id, ttl_s, expect);
            }
            Op::Batch { topic, count, size, ttl_s } => {
                self.batch(topic, count, size, ttl_s, None);
            }
            Op::Numbered { topic, producer, ahead } => self.numbered(topic, producer, ahead),
            Op::Atomic { topic, count, id } => self.atomic(topic, count, id),
            Op::Put { topic, config } => {
                let name = NAMES[topic];
                let at = self.live(name);
                match self.log.put_topic(name.as_bytes(), &config, self.now_ns) {
                    Ok(Put::Created) => {
                        assert!(at.is_none());
                        let index = self.log.topic(name.as_bytes()).unwrap();
                        self.insert(name, index, config);
                    }
                    Ok(put) => {
                        let topic = &mut self.topics[at.unwrap()];
                        assert_eq!(put == Put::Same, topic.config == config);
                        topic.parts.resize_with(config.partitions as usize, Part::default);
                        topic.config = config;
                        // What the old retention drops now, the new configuration does not have to explain.
                        topic.was_pinned = false;
                    }
                    Err(problem) => {
                        assert_eq!(problem.code, Code::TopicConflict);
                        let old = &self.topics[at.unwrap()].config;
                        let pins = config.discard_new && !old.discard_new;
                        assert!(config.partitions < old.partitions || pins && problem.location == "/discard");
                    }
                }
            }
            Op::Delete { topic } => {
                let at = self.live(NAMES[topic]);
                assert_eq!(self.log.delete_topic(NAMES[topic].as_bytes(), self.now_ns), at.is_some());
                if let Some(at) = at {
                    self.topics[at].deleted_ns = Some(self.now_ns);
                    let parts = 0..self.topics[at].parts.len();
                    self.topics[at].handles = parts.map(|number| self.handle(at, number)).collect();
                }
            }
            Op::Undelete { topic } => {
                let name = NAMES[topic];
                let is_taken = self.live(name).is_some();
                // The one deleted last: the order of deletion, not of creation.
                let hidden = |t: &Topic| t.name == name && t.deleted_ns.is_some() && !t.forgotten;
                let candidates = self.topics.iter().enumerate().filter(|(_, t)| hidden(t));
                let newest = candidates.max_by_key(|(at, t)| (t.deleted_ns, *at)).map(|(at, _)| at);
                let done = self.log.undelete_topic(name.as_bytes());
                assert_eq!(done, newest.is_some() && !is_taken);
                if done {
                    let index = self.log.topic(name.as_bytes()).unwrap();
                    let at = self.topics.iter().position(|t| t.index == index && !t.forgotten).unwrap();
                    assert_eq!(self.topics[at].deleted_ns, self.topics[newest.unwrap()].deleted_ns);
                    self.topics[at].deleted_ns = None;
                }
            }
            Op::EndTick { after } => {
                self.log.end_tick(self.now_ns);
                assert!(!self.log.is_dirty());
                self.now_ns += after;
            }
            Op::Sweep { after } => {
                self.now_ns += after;
                self.log.sweep(self.now_ns);
                let is_over = |t: &Topic| t.deleted_ns.is_some_and(|ns| self.now_ns - ns > 10 * SECOND);
                for topic in self.topics.iter_mut().filter(|t| !t.forgotten) {
                    if is_over(topic) {
                        topic.forgotten = true;
                        self.ids.retain(|(handle, _), _| !topic.handles.contains(handle));
                    }
                }
            }
            Op::Time { topic, back } => self.time(topic, back),
        }
        // A change of a topic's lifetime takes a nanosecond.
        self.now_ns = self.log.advance(self.now_ns);
    }

    fn time(&mut self, topic: usize, back: i64) {
        let Some(at) = self.live(NAMES[topic]) else { return };
        let since_ms = (self.now_ns - back).div_euclid(1_000_000);
        let handle = self.handle(at, 0);
        let found = self.log.resolve(handle, Start::Time(since_ms * 1_000_000));
        assert_eq!(self.log.resolve(handle, Start::Earliest), self.log.part(handle).low);
        assert_eq!(self.log.resolve(handle, Start::Latest), self.log.part(handle).end);
        let part = self.log.part(handle);
        let records = &self.topics[at].parts[0].records;
        // What is over may have left the index, or not yet.
        let first = (part.low..part.end).find(|o| {
            let kept = &records[*o as usize];
            kept.append_ms >= since_ms && (*o == found || !self.is_over(kept))
        });
        assert_eq!(found, first.unwrap_or(part.end));
    }

    /// Whether a record is over.
    fn is_over(&self, kept: &Kept) -> bool {
        kept.ttl_s > 0 && kept.append_ms * 1_000_000 + kept.ttl_s * SECOND <= self.now_ns
    }

    fn check(&mut self, thorough: bool) {
        self.log.expire(self.now_ns);
        let mut pinned = 0;
        let mut held = 0;
        let known = (0..self.topics.len()).filter(|at| !self.topics[*at].forgotten).collect::<Vec<_>>();
        assert_eq!(self.log.topics().known(), known.len());
        for at in known {
            let is_pinned = self.topics[at].deleted_ns.is_none() && self.topics[at].config.discard_new;
            for number in 0..self.topics[at].parts.len() {
                let handle = self.handle(at, number);
                let part = self.log.part(handle);
                let topic = &self.topics[at];
                let model = &topic.parts[number];
                assert!(part.low >= model.low && part.low <= part.end, "low went back or beyond the end");
                if is_pinned && topic.was_pinned && !topic.config.has_retention() {
                    assert_eq!(part.low, model.low, "a record of a discard=new topic was dropped");
                }
                assert_eq!(part.end, model.records.len() as u64);
                let kept = &model.records[part.low as usize..];
                let readable = kept.iter().filter(|kept| !self.is_over(kept)).count() as u64;
                assert_eq!(self.log.readable(handle), readable);
                if topic.deleted_ns.is_none() {
                    held += readable;
                }
                if is_pinned {
                    pinned += part.bytes;
                }
                let low = part.low;
                if thorough {
                    self.check_part(at, number, handle);
                }
                self.topics[at].parts[number].low = low;
            }
            self.has_been_pinned |= is_pinned;
            self.topics[at].was_pinned = is_pinned;
        }
        assert_eq!(self.log.records_held(), held);
        if self.log.is_dirty() {
            assert!(self.log.pinned_bytes() >= pinned);
        } else {
            assert_eq!(self.log.pinned_bytes(), pinned);
        }
        assert!(self.log.pinned_bytes() <= MEMORY as u64 / 2);
        let spare = if self.has_been_pinned { CHUNK.max(self.largest + 1000) } else { 0 };
        assert!(self.log.ring().bytes_allocated() <= MEMORY + spare, "memory bound");
    }

    /// Every batch of a partition, byte for byte.
    fn check_part(&self, at: usize, number: usize, handle: u32) {
        let (part, topic) = (self.log.part(handle), &self.topics[at]);
        let mut scratch = Vec::new();
        let (mut bytes, mut next) = (0, None);
        for i in 0..part.index.len() {
            let entry = part.index.get(i).unwrap();
            let chunk = self.log.ring().chunk(entry.position.chunk).expect("indexed chunks are held");
            let (envelope, total) =
                Envelope::check(&chunk.bytes()[entry.position.byte as usize..]).unwrap().expect("whole");
            assert_eq!(envelope.topic_id, self.log.topics().get(topic.index).id);
            assert_eq!(usize::from(envelope.partition), number);
            let from = next.unwrap_or(part.low).max(part.low);
            assert!(
                (from..entry.base).all(|o| self.is_over(&topic.parts[number].records[o as usize])),
                "a hole in the index"
            );
            assert!(
                entry.base + u64::from(envelope.records_count) > part.low,
                "a batch below the low offset"
            );
            next = Some(entry.base + u64::from(envelope.records_count));
            bytes += total as u64;
        }
        assert_eq!(part.bytes, bytes);
        let visible = next.unwrap_or(0);
        let is_over = |offset: u64| self.is_over(&topic.parts[number].records[offset as usize]);
        let mut seen = part.low;
        for batch in self.log.batches(handle, part.low) {
            let records = batch::records(batch.bytes, &mut scratch).unwrap();
            for record in records.map(Result::unwrap).filter(|r| r.offset as u64 >= part.low) {
                assert!((seen..record.offset as u64).all(is_over));
                seen = record.offset as u64;
                assert_eq!(record.value, Some(&topic.parts[number].records[seen as usize].value[..]));
                seen += 1;
            }
        }
        assert!(seen == visible.max(part.low) && seen <= part.end);
        if !self.log.is_dirty() {
            assert!((seen..part.end).all(is_over), "sealed records are visible");
        }
        for offset in [part.low.saturating_sub(1), part.low, visible.saturating_sub(1), visible] {
            let is_there = offset >= part.low && offset < visible && {
                if let Some(found) = self.log.find(handle, offset, 0) {
                    let append_ms = topic.parts[number].records[offset as usize].append_ms;
                    assert_eq!(found.append_ns.div_euclid(1_000_000), append_ms);
                }
                !is_over(offset)
            };
            let found = self.log.find(handle, offset, self.now_ns);
            assert_eq!(found.is_some(), is_there, "find at {offset}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_log_agrees_with_lists_of_records(ops in prop::collection::vec(op(), 1..220)) {
        let mut twin = Twin::new();
        for (at, op) in ops.into_iter().enumerate() {
            twin.apply(op);
            twin.check(at % 16 == 15);
        }
        twin.log.end_tick(twin.now_ns);
        twin.check(true);
    }
}
