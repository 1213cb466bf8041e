//! The log, its disk and the cloud under crashes: random publishes, ticks, commits, seals, moves and restarts against what
//! was promised.
//!
//! The disk is a vector of bytes that a commit extends whole or not at all; the oldest window moves to the cloud as segments,
//! and what is known of it are the records of its manifests. Held together after each step: what readers of a topic at `disk`
//! may see has been synced, an offset never has two records, each record counts in the one tier that has it, and
//! after every restart each acknowledged record is there with its offset and bytes.

use proptest::prelude::*;
use sprawl_core::batch;
use sprawl_core::disk::{self, PartitionEntries, PartitionEntry, SlotEntries};
use sprawl_core::envelope::{Envelope, ENVELOPE_LEN, KIND_BATCH};
use sprawl_core::log::durable::Level;
use sprawl_core::log::partition::{Moved, NOT_PENDING};
use sprawl_core::log::topics::{name_hash, Config};
use sprawl_core::log::{ColdRange, Log, NewRecord, Options, Setup, StoredBatch, TopicRecord, MANIFESTS_ID};
use sprawl_core::segment::{self, Bounds, Manifest, PartitionRange, Seek, Topic};
use sprawl_core::slots::SlotTable;
use std::collections::{BTreeMap, HashMap};
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
    Move { until: Step },
    Crash,
    Stop,
}

/// How far a move gets before the process dies; to the end, if it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Built,
    Recorded,
    Durable,
    Dropped,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let level = prop_oneof![Just(None), Just(Some(Level::Memory)), Just(Some(Level::Disk))];
    let step = prop_oneof![1 => Just(Step::Built), 1 => Just(Step::Recorded), 1 => Just(Step::Durable), 5 => Just(Step::Dropped)];
    let op = prop_oneof![
        8 => (0..3_usize, 1..3_000_usize, level).prop_map(|(topic, size, level)| Op::Publish { topic, size, level }),
        4 => Just(Op::EndTick),
        4 => Just(Op::Commit),
        1 => Just(Op::TakeOnly),
        2 => Just(Op::Seal),
        1 => Just(Op::AgeOut),
        3 => step.prop_map(|until| Op::Move { until }),
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
    /// Where the local log begins: what lies below was moved to the cloud. The bytes stay in `log`, for the model alone.
    cut: u64,
    /// What outlived the windows that are gone: states by key, ends of internal partitions, sequences of slots.
    states: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    lows: HashMap<(u64, u16), u64>,
    sequences: HashMap<u16, u64>,
    /// Objects in the cloud by name.
    cloud: HashMap<String, Vec<u8>>,
}

/// What the model knows of a topic in one tier.
#[derive(Debug, Default, PartialEq, Eq)]
struct Held {
    records: u64,
    bytes: u64,
    oldest_ns: Option<i64>,
}

impl Held {
    fn of(held: &Moved) -> Self {
        let oldest_ns = (held.records > 0).then_some(held.oldest_ns);
        Self { records: held.records, bytes: held.bytes, oldest_ns }
    }
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
        let end = self.disk.windows.last().map_or(self.disk.cut, |(_, end, _)| *end);
        assert_eq!(end, window.first_lsn, "windows join");
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
        let sealed = self.disk.windows.last().map_or(self.disk.cut, |(_, end, _)| *end);
        if end > sealed {
            let tail = &self.disk.log[usize::try_from(sealed).unwrap()..];
            let built = disk::build(sealed, &[tail], true, &[]).expect("what was synced is whole");
            self.disk.windows.push((sealed, end, built));
        }
        self.log = empty(end);
        self.restore();
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

    /// What a start does: states, manifests of what is not local any more, then the index of what is.
    fn restore(&mut self) {
        let mut states = self.disk.states.clone();
        for (_, _, window) in &self.disk.windows {
            states.extend(states_of(window));
        }
        for (key, state) in states.iter().filter(|(key, _)| TopicRecord::has_key(key)) {
            let state = state.as_deref().expect("no topic is forgotten");
            self.log.restore_topic(&TopicRecord::decode(key, state).expect("our own record"));
        }
        for (&(id, partition), &end) in &self.disk.lows {
            self.log.restore_low(id, partition, end);
        }
        for (&slot, &sequence) in &self.disk.sequences {
            self.log.restore_sequence(slot, sequence);
        }
        for (key, state) in states.iter().filter(|(key, _)| !TopicRecord::has_key(key)) {
            let end_lsn = u64::from_be_bytes(*key.first_chunk().unwrap());
            if end_lsn <= self.disk.cut {
                let manifest = Manifest::parse(state.as_deref().unwrap()).unwrap();
                // Twice, and nothing counts twice.
                for range in manifest.partitions.iter().chain(&manifest.partitions) {
                    self.log.restore_cold(&cold_range(range), end_lsn);
                }
            }
        }
        for (first, _, window) in &self.disk.windows {
            for pair in &window.pairs {
                restore(&mut self.log, *first, pair.key[8], &pair.value);
            }
        }
    }

    /// Moves the oldest window to the cloud once memory has let go of it.
    fn move_oldest(&mut self, until: Step) {
        self.log.age_out(self.now_ns);
        let Some((first, end, window)) = self.disk.windows.first() else { return };
        let (first, end) = (*first, *end);
        if end > self.log.ring().memory_tail() {
            return;
        }
        let values: Vec<_> = window.pairs.iter().map(|pair| (pair.key[8], pair.value.clone())).collect();
        let states: Vec<_> = states_of(window).collect();
        let bytes = &self.disk.log[first as usize..end as usize];
        let names = NAMES.map(|name| {
            self.log
                .topics()
                .get(self.log.topics().find(name.as_bytes(), name_hash(name.as_bytes())).unwrap())
                .id
        });
        let topics: Vec<_> = names
            .iter()
            .zip(NAMES)
            .map(|(&id, name)| Topic { id, name: Some(name), lifetimes: &[] })
            .collect();
        let built = segment::build(
            &[bytes],
            &topics,
            &Bounds { group_rows: 3, file_bytes: 6_000, ..Bounds::default() },
        );
        let segments = built.expect("what was synced is whole").segments;
        for segment in &segments {
            self.disk.cloud.insert(segment.manifest.key.clone(), segment.data.clone());
        }
        if until == Step::Built {
            return self.restart(false);
        }
        for (part, segment) in segments.iter().enumerate() {
            for (slot, pieces) in segment.manifest.slots(600).unwrap() {
                let key = |piece: usize| {
                    [&end.to_be_bytes()[..], &slot.to_be_bytes(), &[part as u8, piece as u8]].concat()
                };
                let keys: Vec<_> = (0..pieces.len()).map(key).collect();
                let records: Vec<_> = keys.iter().zip(&pieces).map(|(k, p)| (&k[..], Some(&p[..]))).collect();
                if !records.is_empty() {
                    let head = self.log.record_manifests(slot, &records, self.now_ns).unwrap();
                    assert_eq!(head, self.log.ring().head_lsn());
                }
            }
        }
        if until == Step::Recorded {
            return self.restart(false);
        }
        self.log.mark();
        self.log.end_tick(self.now_ns);
        while self.log.has_commit() {
            self.commit();
        }
        if until == Step::Durable {
            return self.restart(false);
        }
        let oldest_ns = self.disk.windows.get(1).map_or(0, |(_, _, next)| next.header.oldest_ns);
        for (section, value) in &values {
            self.let_go(*section, value, oldest_ns);
        }
        self.disk.states.extend(states);
        self.disk.cut = end;
        self.disk.windows.remove(0);
    }

    /// What of an index value outlives its window, and the engine told of its batches.
    fn let_go(&mut self, section: u8, value: &[u8], oldest_ns: i64) {
        match section {
            1 => {
                let entries = PartitionEntries::open(value).unwrap();
                let batches: Vec<_> = (0..entries.len()).map(|at| stored(0, &entries.get(at))).collect();
                self.log.move_to_cloud(&batches, oldest_ns).expect("memory has none of them");
                for last in entries.last_of_each().iter().filter(|last| last.topic_id <= MANIFESTS_ID) {
                    self.disk.lows.insert((last.topic_id, last.partition), last.end());
                }
            }
            2 => {
                for last in SlotEntries::open(value).unwrap().last_of_each() {
                    self.disk.sequences.insert(last.slot, last.sequence);
                }
            }
            _ => {}
        }
    }

    /// Each record counts in the one tier that has it.
    fn check_tiers(&self) {
        let mut tiers: HashMap<u64, [Held; 3]> = HashMap::new();
        let tail = self.log.ring().memory_tail();
        let mut ring = Vec::new();
        for slice in self.log.ring().range(tail, self.log.ring().head_lsn()) {
            ring.extend_from_slice(&slice);
        }
        let local = &self.disk.log[..tail as usize];
        for (bytes, first) in [(local, 0), (&ring[..], tail)] {
            for_each_batch(bytes, |at, envelope, length| {
                let lsn = first + at as u64;
                let tier = usize::from(lsn >= self.disk.cut) + usize::from(lsn >= tail);
                let held = &mut tiers.entry(envelope.topic_id).or_default()[tier];
                held.records += u64::from(envelope.records_count);
                held.bytes += length as u64;
                held.oldest_ns.get_or_insert(envelope.append_ns);
            });
        }
        let (mut cold, mut moved) = (0, 0);
        for name in NAMES {
            let index = self.log.topics().find(name.as_bytes(), name_hash(name.as_bytes())).unwrap();
            let topic = self.log.topics().get(index);
            let (handle, id) = (topic.parts.as_slice()[0], topic.id);
            let part = self.log.part(handle);
            let [in_cloud, on_disk, in_memory] = tiers.remove(&id).unwrap_or_default();
            cold += in_cloud.records;
            moved += on_disk.records;
            let all = [&in_cloud, &on_disk, &in_memory];
            let oldest_ns = all.iter().find_map(|held| held.oldest_ns);
            assert_eq!(part.bytes, all.iter().map(|held| held.bytes).sum::<u64>());
            assert_eq!(self.log.time_range(handle).map(|(oldest, _)| oldest), oldest_ns);
            if part.pending == NOT_PENDING {
                assert_eq!(self.log.readable(handle), all.iter().map(|held| held.records).sum::<u64>());
            }
            assert_eq!(Held::of(&part.in_cloud()), in_cloud);
            assert_eq!((part.moved.records, part.moved.bytes), (on_disk.records, on_disk.bytes));
            assert!(on_disk.oldest_ns.is_none_or(|oldest_ns| part.moved.oldest_ns <= oldest_ns));
            assert_eq!(self.log.is_cold(id, 0), in_cloud.records > 0);
        }
        assert_eq!((self.log.cold_records(), self.log.moved_records()), (cold, moved));
    }

    /// What the manifests of the windows that are gone find in the cloud is what lay in them.
    fn check_cloud(&self) {
        let mut found = HashMap::new();
        let mut states = self.disk.states.clone();
        for (_, _, window) in &self.disk.windows {
            states.extend(states_of(window));
        }
        for (key, state) in states.iter().filter(|(key, _)| !TopicRecord::has_key(key)) {
            if u64::from_be_bytes(*key.first_chunk().unwrap()) > self.disk.cut {
                continue;
            }
            let manifest = Manifest::parse(state.as_deref().unwrap()).unwrap();
            let data = &self.disk.cloud[&manifest.key];
            let footer = &data[manifest.footer_at as usize..];
            for range in &manifest.partitions {
                let (topic_id, partition, mut offset) = (range.topic_id, range.partition, range.first);
                while offset <= range.last {
                    let seek = Seek { topic_id, partition, offset, since_ns: 0 };
                    let at = manifest.locate(&seek, 1, 1).unwrap();
                    let bytes = &data[at.at as usize..(at.at + at.length) as usize];
                    let page = segment::page(&manifest, footer, at.at, bytes, &seek, 1).unwrap().unwrap();
                    found.extend(records(&page.envelopes));
                    offset = page.end;
                }
            }
        }
        assert_eq!(found, records(&self.disk.log[..self.disk.cut as usize]));
    }

    fn check(&mut self) {
        self.check_tiers();
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
        1 => {
            let entries = PartitionEntries::open(value).unwrap();
            for entry in (0..entries.len()).map(|at| entries.get(at)) {
                log.restore_batch(&stored(first_lsn, &entry));
            }
        }
        2 => {
            for last in SlotEntries::open(value).unwrap().last_of_each() {
                log.restore_sequence(last.slot, last.sequence);
            }
        }
        _ => {}
    }
}

fn stored(first_lsn: u64, entry: &PartitionEntry) -> StoredBatch {
    StoredBatch {
        topic_id: entry.topic_id,
        partition: entry.partition,
        base: entry.base,
        records: entry.records,
        length: entry.length,
        append_ns: entry.append_ns,
        end_lsn: first_lsn + u64::from(entry.lsn_rel) + u64::from(entry.length),
    }
}

fn cold_range(range: &PartitionRange) -> ColdRange {
    ColdRange {
        topic_id: range.topic_id,
        partition: range.partition,
        first: range.first,
        end: range.last + 1,
        records: u64::from(range.count),
        bytes: range.log_bytes,
        oldest_ns: range.oldest_ns,
        newest_ns: range.newest_ns,
        last_expiry_ns: range.last_expiry_ns,
    }
}

/// The states in the snapshot of a window.
fn states_of(window: &disk::Window) -> impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)> + '_ {
    let values = window.pairs.iter().filter(|pair| pair.key[8] == 4);
    values.flat_map(|pair| {
        let entries = disk::snapshot_entries(&pair.value).unwrap();
        let owned = |(key, state): (&[u8], Option<&[u8]>)| (key.to_vec(), state.map(<[u8]>::to_vec));
        entries.into_iter().map(owned).collect::<Vec<_>>()
    })
}

/// Each batch of a client: where its envelope begins, what it says, and its length.
fn for_each_batch(log: &[u8], mut take: impl FnMut(usize, &Envelope, usize)) {
    let mut at = 0;
    while at < log.len() {
        let (envelope, length) = Envelope::check(&log[at..]).unwrap().expect("whole envelopes");
        if envelope.kind == KIND_BATCH {
            take(at, &envelope, length);
        }
        at += length;
    }
}

/// Every record on disk by topic id and offset; no offset twice.
fn records(log: &[u8]) -> HashMap<(u64, u64), Vec<u8>> {
    let mut found = HashMap::new();
    for_each_batch(log, |at, envelope, length| {
        let mut scratch = Vec::new();
        for record in batch::records(&log[at + ENVELOPE_LEN..at + length], &mut scratch).unwrap() {
            let record = record.unwrap();
            let key = (envelope.topic_id, u64::try_from(record.offset).unwrap());
            assert!(found.insert(key, record.value.unwrap().to_vec()).is_none(), "two records at {key:?}");
        }
    });
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
                Op::Move { until } => node.move_oldest(until),
                Op::Crash => node.restart(false),
                Op::Stop => node.restart(true),
            }
            node.check();
        }
        node.restart(true);
        node.check();
        node.check_cloud();
    }
}
