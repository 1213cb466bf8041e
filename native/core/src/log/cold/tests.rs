//! The cloud tier's figures, case by case; random moves and crashes are in `tests/durable.rs`.

use super::*;
use crate::log::durable::{Level, Refuses};
use crate::log::topics::{name_hash, Config};
use crate::log::{NewRecord, Options, Setup, TopicRecord, LOST_TAIL_OFFSETS};
use crate::slots::SlotTable;
use proptest::prelude::*;
use std::sync::Arc;

const SECOND: i64 = 1_000_000_000;
const ID: u64 = 70;

fn empty() -> Log {
    let setup = Setup {
        memory_bytes_max: 256 * 1024,
        chunk_bytes: 16 * 1024,
        dedup_keys_max: 4,
        topics_max: 5,
        seed: 1,
        auto_create: true,
        delete_grace_s: 10,
        disk_lsn: Some(1000),
    };
    Log::new(setup, Arc::new(SlotTable::single("n", 1).unwrap()))
}

fn topic(log: &mut Log, config: &Config) {
    let (name, config) = (b"t"[..].into(), config.clone());
    log.restore_topic(&TopicRecord { id: ID, name, config, created_ns: 1, deleted_ns: 0 });
}

/// Offsets `[first, end)` with a record each, ten bytes and a second apart.
fn range(first: u64, end: u64) -> ColdRange {
    let at_ns = |offset: u64| i64::try_from(offset).unwrap() * SECOND;
    ColdRange {
        topic_id: ID,
        partition: 0,
        first,
        end,
        records: end - first,
        bytes: 10 * (end - first),
        oldest_ns: at_ns(first),
        newest_ns: at_ns(end - 1),
        last_expiry_ns: 0,
    }
}

fn batch(base: u64, end: u64) -> StoredBatch {
    let append_ns = i64::try_from(base).unwrap() * SECOND;
    let records = u32::try_from(end - base).unwrap();
    StoredBatch { topic_id: ID, partition: 0, base, records, length: 10 * records, append_ns, end_lsn: 900 }
}

/// Offsets 0 to 9 in the cloud, 10 to 19 on disk.
fn two_tiers(config: &Config) -> Log {
    let mut log = empty();
    topic(&mut log, config);
    log.restore_cold(&range(0, 5), 400);
    log.restore_cold(&range(5, 10), 500);
    log.restore_batch(&batch(10, 15));
    log.restore_batch(&batch(15, 20));
    assert_eq!(log.finish_restore(&[], &[]), None);
    log
}

fn handle(log: &Log) -> u32 {
    log.known_part(ID, 0).unwrap()
}

/// Low offset, records in all tiers, records and bytes in the cloud alone, the same on disk alone, bytes in all.
fn figures(log: &Log) -> (u64, u64, (u64, u64), (u64, u64), u64) {
    let at = handle(log);
    let part = log.part(at);
    let (cold, moved) = (part.in_cloud(), part.moved);
    assert_eq!((log.cold_records(), log.moved_records()), (cold.records, moved.records));
    assert_eq!(log.records_held(), log.readable(at));
    assert_eq!(part.cold.is_some(), part.cold_end() > part.low);
    (part.low, log.readable(at), (cold.records, cold.bytes), (moved.records, moved.bytes), part.bytes)
}

#[test]
fn a_record_counts_in_the_one_tier_that_has_it() {
    let log = two_tiers(&Config::default());
    assert_eq!(figures(&log), (0, 20, (10, 100), (10, 100), 200));
    assert_eq!(log.time_range(handle(&log)), Some((0, 15 * SECOND)));
    assert!(log.is_cold(ID, 0) && !log.is_cold(ID, 1) && !log.is_cold(9, 0) && log.has_cloud());
}

#[test]
fn a_move_changes_no_sum() {
    let mut log = two_tiers(&Config::default());
    log.move_to_cloud(&[batch(10, 15)], 15 * SECOND).unwrap();
    assert_eq!(figures(&log), (0, 20, (15, 150), (5, 50), 200));
    assert_eq!(
        (log.part(handle(&log)).cold_end(), log.part(handle(&log)).moved.oldest_ns),
        (15, 15 * SECOND)
    );
    // What was moved before is not moved again, nor what nobody knows.
    log.move_to_cloud(&[batch(10, 15), StoredBatch { topic_id: 9, ..batch(15, 20) }], 0).unwrap();
    assert_eq!(figures(&log), (0, 20, (15, 150), (5, 50), 200));
    log.move_to_cloud(&[batch(15, 20)], 0).unwrap();
    assert_eq!(figures(&log), (0, 20, (20, 200), (0, 0), 200));
    assert_eq!(log.time_range(handle(&log)), Some((0, 15 * SECOND)));
}

#[test]
fn what_memory_has_is_not_moved() {
    let mut log = two_tiers(&Config::default());
    let index = log.topic(b"t").unwrap();
    let record = NewRecord { value: b"v", ..NewRecord::default() };
    log.publish(index, &record, &Options::default(), 30 * SECOND).unwrap();
    log.end_tick(30 * SECOND);
    let problem = log.move_to_cloud(&[batch(10, 15), batch(20, 21)], 0).unwrap_err();
    assert_eq!(problem.code, Code::InvalidParameter);
    assert_eq!(figures(&log).2, (10, 100), "nothing of the value was counted");
}

#[test]
fn a_start_counts_a_range_once_and_nothing_below_the_low_offset() {
    let mut log = empty();
    topic(&mut log, &Config::default());
    log.restore_low(ID, 0, 7);
    let gone = ColdRange { topic_id: 9, ..range(0, 5) };
    for found in [range(0, 5), range(5, 10), range(5, 10), range(0, 5), gone, range(12, 20), range(12, 20)] {
        log.restore_cold(&found, 500);
    }
    // A window that was moved and is still there counts in the cloud.
    log.restore_batch(&batch(15, 20));
    log.restore_batch(&batch(20, 25));
    assert_eq!(log.finish_restore(&[], &[]), None);
    assert_eq!(figures(&log), (7, 16, (11, 110), (5, 50), 160));
    let part = log.part(handle(&log));
    assert_eq!((part.end, part.visible, part.cold_end()), (25, 25, 20));
    assert_eq!((log.counters().restored_records, log.now_ns()), (16, 20 * SECOND));
    // Offsets 10 and 11 are nowhere.
    assert_eq!(log.hole(handle(&log), 10, 12), Some((12, "damaged")));
}

#[test]
fn a_low_offset_inside_a_range_with_gaps_counts_its_share() {
    let mut log = empty();
    topic(&mut log, &Config::default());
    log.restore_low(ID, 0, 25);
    log.restore_cold(&ColdRange { records: 10, bytes: 7, ..range(0, 100) }, 500);
    log.finish_restore(&[], &[]);
    assert_eq!(figures(&log), (25, 8, (8, 6), (0, 0), 6));
    // All but one of the rest would be over: never more than there is room for.
    log.retired_cold(ID, 0, 99, 8, 6, 0);
    assert_eq!(figures(&log).0, 99);
    log.retired_cold(ID, 0, 100, 0, 0, 0);
    assert_eq!(figures(&log), (100, 0, (0, 0), (0, 0), 0));
}

#[test]
fn a_lost_tail_before_what_is_in_the_cloud_is_not_added_again() {
    let ends = |unclean: &[(u64, u64)]| {
        let mut log = empty();
        topic(&mut log, &Config { level: Some(Level::Memory), ..Config::default() });
        log.restore_cold(&range(0, 5), 500);
        log.finish_restore(unclean, &[]);
        log.part(handle(&log)).end
    };
    assert_eq!(ends(&[(499, 1)]), 5);
    // The window ended where the process did.
    assert_eq!(ends(&[(500, 1)]), 5 + LOST_TAIL_OFFSETS);
}

#[test]
fn what_is_over_goes_from_the_cloud_first() {
    let mut log = empty();
    topic(&mut log, &Config { ttl_s: 100, ..Config::default() });
    for first in [0, 5] {
        let cold = range(first, first + 5);
        log.restore_cold(&ColdRange { last_expiry_ns: cold.newest_ns + 100 * SECOND, ..cold }, 500);
    }
    log.restore_batch(&batch(10, 20));
    log.finish_restore(&[], &[]);
    log.expire(103 * SECOND);
    assert_eq!(figures(&log), (0, 20, (10, 100), (10, 100), 200));
    log.expire(104 * SECOND);
    assert_eq!(figures(&log), (0, 15, (5, 100), (10, 100), 200));
    // A move between the dates changes nothing of them.
    log.move_to_cloud(&[batch(10, 20)], 0).unwrap();
    log.expire(109 * SECOND);
    assert_eq!(figures(&log), (0, 10, (10, 200), (0, 0), 200));
    log.expire(110 * SECOND);
    assert_eq!(figures(&log), (0, 0, (0, 0), (0, 0), 0));
    assert_eq!((log.counters().expired_records, log.time_range(handle(&log))), (20, None));
}

#[test]
fn records_that_retention_took_do_not_expire_again() {
    let mut log = empty();
    topic(&mut log, &Config { ttl_s: 100, ..Config::default() });
    log.restore_cold(&ColdRange { last_expiry_ns: 109 * SECOND, ..range(0, 10) }, 500);
    log.restore_batch(&batch(10, 20));
    log.finish_restore(&[], &[]);
    log.retired_cold(ID, 0, 10, 10, 100, 0);
    assert_eq!(figures(&log), (10, 10, (0, 0), (10, 100), 100));
    log.expire(109 * SECOND);
    assert_eq!(figures(&log).1, 10, "these dates were of what went");
    log.expire(110 * SECOND);
    assert_eq!(figures(&log).1, 0);
}

#[test]
fn retention_looks_at_the_oldest_tier_first() {
    let now_ns = 30 * SECOND;
    let due = |config: Config| {
        let mut log = two_tiers(&config);
        let found = log.overdue(10, now_ns);
        found.first().map(|o| (o.low, o.end, o.before_ns, o.bytes, o.records, o.keeps_last, o.cold_end))
    };
    assert_eq!(due(Config::default()), None);
    let none = i64::MIN;
    let by_count = Config { retention_count: 12, ..Config::default() };
    assert_eq!(due(by_count), Some((0, 20, none, 0, 8, true, 10)));
    assert_eq!(
        due(Config { retention_bytes: 50, ..Config::default() }),
        Some((0, 20, none, 150, 0, true, 10))
    );
    let by_age = Config { retention_age_s: 25, ..Config::default() };
    assert_eq!(due(by_age), Some((0, 20, 5 * SECOND, 0, 0, true, 10)));
    assert_eq!(due(Config { retention_age_s: 30, ..Config::default() }), None);
}

#[test]
fn retention_takes_from_the_cloud_then_from_the_disk() {
    let config = Config { retention_count: 12, ..Config::default() };
    let mut log = two_tiers(&config);
    log.retired_cold(ID, 0, 8, 8, 80, 8 * SECOND);
    assert_eq!(figures(&log), (8, 12, (2, 20), (10, 100), 120));
    assert!(log.overdue(10, 30 * SECOND).is_empty());
    assert_eq!(log.time_range(handle(&log)).unwrap().0, 8 * SECOND);
    assert_eq!(log.take_lows(10), [(ID, 0, 8)]);
    // Never beyond what the cloud has.
    log.retired_cold(ID, 0, 15, 7, 70, 15 * SECOND);
    assert_eq!(figures(&log), (10, 10, (0, 0), (10, 100), 100));
    log.retired_cold(ID, 0, 12, 2, 20, 12 * SECOND);
    assert_eq!(figures(&log).0, 10, "nothing is there any more");
    log.retired(ID, 0, 15, 5, 50, 15 * SECOND);
    assert_eq!(figures(&log), (15, 5, (0, 0), (5, 50), 50));
    assert_eq!(log.counters().retired_records, 15);
}

#[test]
fn a_low_offset_that_was_looked_up_on_disk_may_come_after_the_move() {
    // Batches up to 15 were found to go, and moved meanwhile.
    let mut log = two_tiers(&Config::default());
    log.move_to_cloud(&[batch(10, 15)], 15 * SECOND).unwrap();
    log.retired(ID, 0, 13, 13, 130, 13 * SECOND);
    assert_eq!(figures(&log), (13, 7, (2, 20), (5, 50), 70));
    // Want of room takes both tiers.
    log.discarded(ID, 0, 20, 7, 70, 0);
    assert_eq!(figures(&log), (20, 0, (0, 0), (0, 0), 0));
    assert_eq!((log.counters().retired_records, log.counters().evicted_records), (13, 7));
}

#[test]
fn many_partitions_take_turns_when_they_are_over() {
    let mut log = empty();
    topic(&mut log, &Config { partitions: 5, retention_bytes: 1, ..Config::default() });
    for partition in 0..5 {
        log.restore_cold(&ColdRange { partition, ..range(0, 5) }, 500);
    }
    log.finish_restore(&[], &[]);
    let mut seen = Vec::new();
    for _ in 0..4 {
        let found: Vec<u16> = log.overdue(2, SECOND).iter().map(|due| due.partition).collect();
        assert_eq!(found.len(), 2);
        seen.extend(found);
    }
    assert_eq!(seen, [0, 1, 2, 3, 4, 0, 1, 2]);
    assert_eq!(log.overdue(9, SECOND).len(), 5);
}

#[test]
fn a_deleted_topic_is_in_no_tier_until_it_is_back() {
    let mut log = two_tiers(&Config::default());
    assert!(log.delete_topic(b"t", 30 * SECOND));
    assert_eq!((log.records_held(), log.cold_records(), log.moved_records()), (0, 0, 0));
    log.move_to_cloud(&[batch(10, 15)], 15 * SECOND).unwrap();
    log.retired_cold(ID, 0, 5, 5, 50, 5 * SECOND);
    assert!(log.undelete_topic(b"t"));
    assert_eq!(figures(&log), (5, 15, (10, 100), (5, 50), 150));
    assert!(log.delete_topic(b"t", 31 * SECOND));
    let at = handle(&log);
    log.sweep(100 * SECOND);
    assert_eq!((log.known_part(ID, 0), log.records_held(), log.cold_records()), (None, 0, 0));
    assert_eq!((log.part(at).bytes, log.part(at).cold.is_none()), (0, true));
    assert_eq!(log.topics().find(b"t", name_hash(b"t")), None);
}

#[test]
fn retention_in_memory_goes_on_when_all_in_the_cloud_is_over() {
    let mut log = empty();
    topic(&mut log, &Config { retention_count: 2, ..Config::default() });
    log.restore_cold(&ColdRange { last_expiry_ns: 20 * SECOND, ..range(0, 10) }, 500);
    log.finish_restore(&[], &[]);
    log.expire(30 * SECOND);
    let index = log.topic(b"t").unwrap();
    for _ in 0..3 {
        let record = NewRecord { value: b"v", ..NewRecord::default() };
        log.publish(index, &record, &Options::default(), 30 * SECOND).unwrap();
        log.end_tick(30 * SECOND);
    }
    let (low, readable, cold, ..) = figures(&log);
    assert_eq!((low, readable, cold), (11, 2, (0, 0)));
}

#[test]
fn manifest_records_are_taken_when_publishes_are_refused() {
    let mut log = empty();
    log.set_refuses(Refuses::All);
    log.set_disk_full(true);
    let before = log.ring().head_lsn();
    let records: [(&[u8], Option<&[u8]>); 2] = [(b"window:1", None), (b"window:10", Some(b"piece"))];
    let problem = log.record_manifests(7, &records, SECOND).unwrap_err();
    assert_eq!(problem.code, Code::InvalidParameter, "a key of 8 bytes is of a topic");
    assert_eq!(log.ring().head_lsn(), before);
    let end = log.record_manifests(7, &records[1..], SECOND).unwrap();
    assert!(end > before && end == log.ring().head_lsn() && log.is_dirty());
    log.end_tick(SECOND);
    assert_eq!(log.take_commit(1 << 20).unwrap().end_lsn, end);
    assert!(log.record_manifests(4096, &records[1..], SECOND).is_err());
    assert!(log.record_manifests(7, &[], SECOND).is_err());
}

#[test]
fn a_segment_is_built_with_the_lifetimes_that_held_at_each_append() {
    let mut log = empty();
    log.put_topic(b"t", &Config { ttl_s: 5, ..Config::default() }, SECOND).unwrap();
    let index = log.topic(b"t").unwrap();
    assert_eq!(log.topic_lifetimes(index), [(i64::MIN, 5)]);
    let record = NewRecord { value: b"v", ..NewRecord::default() };
    log.publish(index, &record, &Options::default(), 2 * SECOND).unwrap();
    log.put_topic(b"t", &Config { ttl_s: 9, ..Config::default() }, 3 * SECOND).unwrap();
    let changed_ns = log.topic_lifetimes(index)[1].0;
    assert!(changed_ns > 2 * SECOND);
    assert_eq!(log.topic_lifetimes(index), [(i64::MIN, 5), (changed_ns, 9)]);
    log.put_topic(b"u", &Config::default(), 3 * SECOND).unwrap();
    let other = log.topic(b"u").unwrap();
    assert_eq!(log.topic_lifetimes(other), []);
    let (key, state) = log.topic_state(log.topics().get(index).id).unwrap();
    assert_eq!(TopicRecord::decode(&key, &state).unwrap().config.ttl_s, 9);
    assert_eq!(log.topic_state(12345), None);
}

/// One batch as the model knows it.
#[derive(Clone, Copy, Debug)]
struct Stored {
    base: u64,
    records: u32,
    length: u32,
    append_ns: i64,
}

impl Stored {
    fn end(&self) -> u64 {
        self.base + u64::from(self.records)
    }
}

#[derive(Clone, Debug)]
enum Op {
    Publish { records: u32, ttl_s: Option<u32> },
    Evict,
    Move { batches: usize },
    Wait { seconds: u8 },
    Retire { share: u8, is_cold: bool },
    Discard { share: u8 },
    Delete,
    Undelete,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let ttl_s = prop_oneof![3 => Just(None), 1 => (1..20_u32).prop_map(Some)];
    let op = prop_oneof![
        6 => (1..6_u32, ttl_s).prop_map(|(records, ttl_s)| Op::Publish { records, ttl_s }),
        3 => Just(Op::Evict),
        3 => (1..4_usize).prop_map(|batches| Op::Move { batches }),
        2 => (0..15_u8).prop_map(|seconds| Op::Wait { seconds }),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(share, is_cold)| Op::Retire { share, is_cold }),
        1 => any::<u8>().prop_map(|share| Op::Discard { share }),
        1 => Just(Op::Delete),
        1 => Just(Op::Undelete),
    ];
    proptest::collection::vec(op, 1..120)
}

/// A log with one topic, and what was stored in it.
struct World {
    log: Log,
    /// Batches in the order of their offsets; those before `cold` are in the cloud, those before `moved` on disk.
    stored: Vec<Stored>,
    cold: usize,
    moved: usize,
    now_ns: i64,
}

impl World {
    fn new(topic_ttl_s: u64) -> Self {
        let mut log = empty();
        topic(&mut log, &Config { ttl_s: topic_ttl_s, ..Config::default() });
        log.finish_restore(&[], &[]);
        Self { log, stored: Vec::new(), cold: 0, moved: 0, now_ns: SECOND }
    }

    fn publish(&mut self, records: u32, ttl_s: Option<u32>) {
        let Some(index) = self.log.topic(b"t") else { return };
        let before = self.log.ring().head_lsn();
        let base = self.log.part(handle(&self.log)).end;
        for _ in 0..records {
            let record = NewRecord { value: b"v", ttl_s, ..NewRecord::default() };
            self.log.publish(index, &record, &Options::default(), self.now_ns).unwrap();
        }
        self.log.end_tick(self.now_ns);
        let length = u32::try_from(self.log.ring().head_lsn() - before).unwrap();
        self.stored.push(Stored { base, records, length, append_ns: self.log.now_ns() });
    }

    fn evict(&mut self) {
        self.log.mark();
        self.log.end_tick(self.now_ns);
        while let Some(taken) = self.log.take_commit(1 << 20) {
            self.log.synced(taken.end_lsn, taken.mark);
        }
        self.log.window_sealed(self.log.ring().head_lsn());
        self.log.age_out(i64::MAX);
        assert_eq!(self.log.ring().memory_tail(), self.log.ring().head_lsn());
        self.moved = self.stored.len();
    }

    fn move_oldest(&mut self, count: usize) {
        let end = self.moved.min(self.cold + count);
        let entries = self.stored[self.cold..end].iter().map(|one| StoredBatch {
            topic_id: ID,
            partition: 0,
            base: one.base,
            records: one.records,
            length: one.length,
            append_ns: one.append_ns,
            end_lsn: 0,
        });
        let oldest_ns = self.stored.get(end).map_or(0, |next| next.append_ns);
        self.log.move_to_cloud(&entries.collect::<Vec<_>>(), oldest_ns).unwrap();
        self.cold = end;
    }

    /// Raises the low offset over whole batches, as a look at the index finds them.
    fn retire(&mut self, share: u8, upto: usize, raise: impl FnOnce(&mut Log, u64, u64, u64, i64)) {
        let low = self.log.part(handle(&self.log)).low;
        let mut held = self.stored[..upto].iter().filter(|one| one.end() > low).collect::<Vec<_>>();
        held.truncate(usize::from(share) * held.len() / 255);
        let Some(last) = held.last() else { return };
        let records = held.iter().map(|one| one.end() - one.base.max(low)).sum();
        let bytes = held.iter().map(|one| u64::from(one.length)).sum();
        raise(&mut self.log, last.end(), records, bytes, last.append_ns);
    }

    /// Records from the low offset on by tier, as the model has them, whatever their lifetimes.
    fn counts(&self) -> [u64; 3] {
        let low = self.log.part(handle(&self.log)).low;
        let sum = |held: &[Stored]| held.iter().map(|one| one.end() - one.base.max(low).min(one.end())).sum();
        [
            sum(&self.stored[..self.cold]),
            sum(&self.stored[self.cold..self.moved]),
            sum(&self.stored[self.moved..]),
        ]
    }

    fn check(&self, has_lifetimes: bool) {
        let at = handle(&self.log);
        let part = self.log.part(at);
        let (cold, moved, readable) = (part.in_cloud(), part.moved, self.log.readable(at));
        let [in_cloud, on_disk, in_memory] = self.counts();
        assert!(readable <= in_cloud + on_disk + in_memory);
        assert!(cold.records + moved.records <= readable, "{cold:?} and {moved:?} of {readable}");
        assert!(cold.bytes + moved.bytes <= part.bytes);
        assert_eq!(part.cold.is_some(), part.cold_end() > part.low);
        if !has_lifetimes {
            assert_eq!((cold.records, moved.records), (in_cloud, on_disk));
            assert_eq!(readable, in_cloud + on_disk + in_memory);
        }
        let is_live = self.log.topics().live() == 1;
        let counted = (self.log.cold_records(), self.log.moved_records(), self.log.records_held());
        let expected = if is_live { (cold.records, moved.records, readable) } else { (0, 0, 0) };
        assert_eq!(counted, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn figures_hold_under_random_moves(ops in ops(), has_lifetimes: bool, topic_ttl_s in 0..30_u64) {
        let mut world = World::new(if has_lifetimes { topic_ttl_s } else { 0 });
        for op in ops {
            world.now_ns += SECOND;
            match op {
                Op::Publish { records, ttl_s } => world.publish(records, ttl_s.filter(|_| has_lifetimes)),
                Op::Evict => world.evict(),
                Op::Move { batches } => world.move_oldest(batches),
                Op::Wait { seconds } => world.now_ns += i64::from(seconds) * SECOND,
                Op::Retire { share, is_cold: true } => {
                    world.retire(share, world.cold, |log, low, records, bytes, ns| {
                        log.retired_cold(ID, 0, low, records, bytes, ns);
                    });
                }
                Op::Retire { share, is_cold: false } => {
                    world.retire(share, world.moved, |log, low, records, bytes, ns| {
                        log.retired(ID, 0, low, records, bytes, ns);
                    });
                }
                Op::Discard { share } => world.retire(share, world.moved, |log, low, records, bytes, ns| {
                    log.discarded(ID, 0, low, records, bytes, ns);
                }),
                Op::Delete => drop(world.log.delete_topic(b"t", world.now_ns)),
                Op::Undelete => drop(world.log.undelete_topic(b"t")),
            }
            world.log.expire(world.now_ns);
            world.check(has_lifetimes);
        }
    }
}
