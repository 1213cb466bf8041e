//! The log and its disk under crashes: random publishes, ticks, commits, seals and restarts against what was promised.
//!
//! The disk is a vector of bytes that a commit extends whole or not at all. Held together after each step: what readers of
//! a topic at `disk` may see has been synced, an offset never has two records, and after every restart each
//! acknowledged record is there with its offset and bytes.

use proptest::prelude::*;
use sprawl_core::batch;
use sprawl_core::disk::{self, PartitionEntries, SlotEntries};
use sprawl_core::envelope::{Envelope, ENVELOPE_LEN, KIND_BATCH};
use sprawl_core::log::durable::Level;
use sprawl_core::log::topics::Config;
use sprawl_core::log::{Log, NewRecord, Options, Setup, StoredBatch, TopicRecord};
use sprawl_core::slots::SlotTable;
use std::collections::HashMap;
use std::sync::Arc;

const MEMORY: usize = 64 * 1024;
const CHUNK: usize = 8 * 1024;
const NAMES: [&str; 3] = ["kept", "shown.early", "other"];

#[derive(Clone, Debug)]
enum Op {
    Publish { topic: usize, size: usize, level: Option<Level> },
    EndTick,
    Commit,
    TakeOnly,
    Seal,
    AgeOut,
    Crash,
    Stop,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let level = prop_oneof![Just(None), Just(Some(Level::Memory)), Just(Some(Level::Disk))];
    let op = prop_oneof![
        8 => (0..3_usize, 1..3_000_usize, level).prop_map(|(topic, size, level)| Op::Publish { topic, size, level }),
        4 => Just(Op::EndTick),
        4 => Just(Op::Commit),
        1 => Just(Op::TakeOnly),
        2 => Just(Op::Seal),
        1 => Just(Op::AgeOut),
        1 => Just(Op::Crash),
        1 => Just(Op::Stop),
    ];
    proptest::collection::vec(op, 1..200)
}

/// What is on disk.
#[derive(Default)]
struct Disk {
    log: Vec<u8>,
    /// First and end position of each sealed window, with its index values.
    windows: Vec<(u64, u64, disk::Window)>,
    /// Where the log ended without order, and how often there.
    unclean: Vec<(u64, u64)>,
}

struct Acked {
    topic: usize,
    offset: u64,
    value: Vec<u8>,
    mark: u64,
}

struct Node {
    log: Log,
    disk: Disk,
    /// Publishes that asked for the disk, not yet answered.
    waiting: Vec<Acked>,
    acked: Vec<Acked>,
    /// Every record that ever had this offset, by topic and offset.
    given: HashMap<(usize, u64), Vec<u8>>,
    now_ns: i64,
    count: u32,
}

fn setup(disk_lsn: u64) -> Setup {
    Setup {
        memory_bytes_max: MEMORY,
        chunk_bytes: CHUNK,
        dedup_keys_max: 100,
        topics_max: 10,
        seed: disk_lsn + 1,
        auto_create: true,
        delete_grace_s: 60,
        disk_lsn: Some(disk_lsn),
    }
}

fn empty(disk_lsn: u64) -> Log {
    Log::new(setup(disk_lsn), Arc::new(SlotTable::single("n", 1).unwrap()))
}

impl Node {
    fn new() -> Self {
        let mut node = Self {
            log: empty(0),
            disk: Disk::default(),
            waiting: Vec::new(),
            acked: Vec::new(),
            given: HashMap::new(),
            now_ns: 1_700_000_000_000_000_000,
            count: 0,
        };
        let config = Config { level: Some(Level::Memory), ..Config::default() };
        node.log.put_topic(NAMES[1].as_bytes(), &config, node.now_ns).unwrap();
        for name in [NAMES[0], NAMES[2]] {
            node.log.put_topic(name.as_bytes(), &Config::default(), node.now_ns).unwrap();
        }
        node.log.mark();
        node.log.end_tick(node.now_ns);
        node.commit();
        node
    }

    fn part(&mut self, topic: usize) -> u32 {
        let index = self.log.topic(NAMES[topic].as_bytes()).expect("topics are never lost");
        self.log.topics().get(index).parts.as_slice()[0]
    }

    fn publish(&mut self, topic: usize, size: usize, level: Option<Level>) {
        self.count += 1;
        let mut value = vec![b'v'; size];
        value[..size.min(4)].copy_from_slice(&self.count.to_le_bytes()[..size.min(4)]);
        let index = self.log.topic(NAMES[topic].as_bytes()).unwrap();
        let record = NewRecord { value: &value, ..NewRecord::default() };
        // Refused when the disk is behind: then nothing was stored.
        let Ok(receipt) = self.log.publish(index, &record, &Options::default(), self.now_ns) else { return };
        let before = self.given.insert((topic, receipt.offset), value.clone());
        assert!(before.is_none(), "offset {} of {} was given before", receipt.offset, NAMES[topic]);
        let level = level.unwrap_or_else(|| self.log.level_of(index));
        if level == Level::Disk {
            let mark = self.log.mark();
            self.waiting.push(Acked { topic, offset: receipt.offset, value, mark });
        }
    }

    fn commit(&mut self) {
        if let Some(taken) = self.log.take_commit(20_000) {
            assert_eq!(taken.first_lsn, self.disk.log.len() as u64, "commits join");
            for slice in &taken.slices {
                self.disk.log.extend_from_slice(slice);
            }
            assert_eq!(taken.end_lsn, self.disk.log.len() as u64);
            self.log.synced(taken.end_lsn, taken.mark);
            let (done, waiting) =
                std::mem::take(&mut self.waiting).into_iter().partition(|a| a.mark <= taken.mark);
            self.waiting = waiting;
            self.acked.extend::<Vec<_>>(done);
        }
    }

    fn seal(&mut self) {
        let Some(window) = self.log.window(1) else { return };
        let parts: Vec<&[u8]> = window.slices.iter().map(|s| &**s).collect();
        let built = disk::build(window.first_lsn, &parts, true, &[]).expect("the ring holds whole envelopes");
        assert_eq!(self.disk.windows.last().map_or(0, |(_, end, _)| *end), window.first_lsn, "windows join");
        self.disk.windows.push((window.first_lsn, window.end_lsn, built));
        self.log.window_sealed(window.end_lsn);
    }

    /// A record that nobody saw and the disk does not have leaves its offset free.
    fn forget_unseen(&mut self) {
        let synced = records(&self.disk.log);
        for (topic, name) in NAMES.iter().enumerate() {
            let handle = self.part(topic);
            let index = self.log.topic(name.as_bytes()).unwrap();
            let (id, visible) = (self.log.topics().get(index).id, self.log.part(handle).visible);
            if self.log.level_of(index) == Level::Disk {
                self.given.retain(|(t, offset), _| {
                    *t != topic || *offset < visible || synced.contains_key(&(id, *offset))
                });
            }
        }
    }

    fn restart(&mut self, is_clean: bool) {
        if is_clean {
            self.log.end_tick(self.now_ns);
            while self.log.has_commit() {
                self.commit();
            }
            assert!(self.waiting.is_empty(), "an orderly stop answers everybody");
        }
        let end = self.disk.log.len() as u64;
        if !is_clean {
            match self.disk.unclean.last_mut() {
                Some((last, times)) if *last == end => *times += 1,
                _ => self.disk.unclean.push((end, 1)),
            }
        }
        self.waiting.clear();
        self.forget_unseen();
        let sealed = self.disk.windows.last().map_or(0, |(_, end, _)| *end);
        if end > sealed {
            let tail = &self.disk.log[usize::try_from(sealed).unwrap()..];
            let built = disk::build(sealed, &[tail], true, &[]).expect("what was synced is whole");
            self.disk.windows.push((sealed, end, built));
        }
        self.log = empty(end);
        for section in [4, 1, 2] {
            for (first, _, window) in &self.disk.windows {
                for pair in window.pairs.iter().filter(|pair| pair.key[8] == section) {
                    restore(&mut self.log, *first, section, &pair.value);
                }
            }
        }
        assert_eq!(self.log.finish_restore(&self.disk.unclean, &[]), None, "every batch has a topic");
        let found = records(&self.disk.log);
        for acked in &self.acked {
            let index = self.log.topic(NAMES[acked.topic].as_bytes()).expect("topics are never lost");
            let id = self.log.topics().get(index).id;
            assert_eq!(found.get(&(id, acked.offset)), Some(&acked.value), "an acknowledged record is lost");
        }
        if is_clean {
            // Nothing was lost, so nothing is skipped.
            for topic in 0..3 {
                let part = self.part(topic);
                let given =
                    self.given.keys().filter(|(t, _)| *t == topic).map(|(_, offset)| offset + 1).max();
                if self.disk.unclean.is_empty() {
                    assert_eq!(self.log.part(part).end, given.unwrap_or(0));
                }
            }
        }
    }

    fn check(&mut self) {
        let synced = records(&self.disk.log);
        for (topic, name) in NAMES.iter().enumerate() {
            let handle = self.part(topic);
            let index = self.log.topic(name.as_bytes()).unwrap();
            let id = self.log.topics().get(index).id;
            let part = self.log.part(handle);
            let (visible, end) = (part.visible, part.end);
            assert!(part.low <= visible && visible <= end);
            if self.log.level_of(index) == Level::Disk {
                for (key, value) in
                    self.given.iter().filter(|((t, offset), _)| *t == topic && *offset < visible)
                {
                    assert_eq!(synced.get(&(id, key.1)), Some(value), "seen before it was synced");
                }
            }
            for batch in self.log.batches(handle, 0) {
                assert!(batch.end() <= visible);
            }
        }
        assert!(self.log.ring().bytes_allocated() <= MEMORY + 2 * CHUNK);
    }
}

fn restore(log: &mut Log, first_lsn: u64, section: u8, value: &[u8]) {
    match section {
        4 => {
            for (key, state) in disk::snapshot_entries(value).unwrap() {
                log.restore_topic(&TopicRecord::decode(key, state.unwrap()).expect("our own record"));
            }
        }
        1 => {
            let entries = PartitionEntries::open(value).unwrap();
            for entry in (0..entries.len()).map(|at| entries.get(at)) {
                log.restore_batch(&StoredBatch {
                    topic_id: entry.topic_id,
                    partition: entry.partition,
                    base: entry.base,
                    records: entry.records,
                    length: entry.length,
                    append_ns: entry.append_ns,
                    end_lsn: first_lsn + u64::from(entry.lsn_rel) + u64::from(entry.length),
                });
            }
        }
        _ => {
            for last in SlotEntries::open(value).unwrap().last_of_each() {
                log.restore_sequence(last.slot, last.sequence);
            }
        }
    }
}

/// Every record on disk by topic id and offset; no offset twice.
fn records(log: &[u8]) -> HashMap<(u64, u64), Vec<u8>> {
    let mut found = HashMap::new();
    let mut at = 0;
    while at < log.len() {
        let (envelope, length) = Envelope::check(&log[at..]).unwrap().expect("whole envelopes");
        if envelope.kind == KIND_BATCH {
            let mut scratch = Vec::new();
            for record in batch::records(&log[at + ENVELOPE_LEN..at + length], &mut scratch).unwrap() {
                let record = record.unwrap();
                let key = (envelope.topic_id, u64::try_from(record.offset).unwrap());
                assert!(
                    found.insert(key, record.value.unwrap().to_vec()).is_none(),
                    "two records at {key:?}"
                );
            }
        }
        at += length;
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn nothing_acknowledged_is_lost_and_no_offset_has_two_records(ops in ops()) {
        let mut node = Node::new();
        for op in ops {
            node.now_ns += 1_000_000;
            match op {
                Op::Publish { topic, size, level } => node.publish(topic, size, level),
                Op::EndTick => drop(node.log.end_tick(node.now_ns)),
                Op::Commit => node.commit(),
                Op::TakeOnly => {
                    // Taken and never synced: the process dies with it.
                    drop(node.log.take_commit(20_000));
                    node.restart(false);
                }
                Op::Seal => node.seal(),
                Op::AgeOut => node.log.age_out(node.now_ns),
                Op::Crash => node.restart(false),
                Op::Stop => node.restart(true),
            }
            node.check();
        }
        node.restart(true);
        node.check();
    }
}
