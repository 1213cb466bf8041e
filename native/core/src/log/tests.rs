//! Disasters of the log, one by one; random operations are in `tests/log.rs`.

use super::*;
use crate::batch::Record;
use crate::envelope::ENVELOPE_LEN;
use crate::log::dedup::Producer;
use crate::log::durable::Level;
use crate::log::retain::parsed;

const SECOND: i64 = 1_000_000_000;

fn log_of(memory_bytes_max: usize) -> Log {
    let setup = Setup {
        memory_bytes_max,
        chunk_bytes: 16 * 1024,
        dedup_keys_max: 4,
        topics_max: 5,
        seed: 1,
        auto_create: true,
        delete_grace_s: 10,
        disk_lsn: None,
    };
    Log::new(setup, Arc::new(SlotTable::single("n", 1).unwrap()))
}

fn log() -> Log {
    log_of(256 * 1024)
}

fn put(log: &mut Log, name: &str, size: usize, now_ns: i64) -> Result<Receipt, Problem> {
    let topic = log.topic_to_publish(name.as_bytes(), now_ns)?;
    let value = vec![b'x'; size];
    log.publish(topic, &NewRecord { value: &value, ..NewRecord::default() }, &Options::default(), now_ns)
}

fn pinned() -> Config {
    Config { discard_new: true, ..Config::default() }
}

fn handle(log: &Log, name: &str) -> u32 {
    let topic = log.topics().find(name.as_bytes(), name_hash(name.as_bytes())).unwrap();
    log.topics().get(topic).parts.as_slice()[0]
}

#[test]
fn deleting_a_topic_with_discard_new_gives_its_room_back() {
    let mut log = log();
    log.put_topic(b"kept", &pinned(), 0).unwrap();
    while put(&mut log, "kept", 4000, 0).is_ok() {}
    assert_eq!(put(&mut log, "kept", 4000, 0).unwrap_err().code, Code::StorageFull);
    assert!(log.delete_topic(b"kept", 0));
    assert_eq!(log.pinned_bytes(), 0);
    log.put_topic(b"next", &pinned(), 0).unwrap();
    put(&mut log, "next", 4000, 0).unwrap();
}

#[test]
fn records_of_the_open_tick_count_towards_the_bound_of_discard_new() {
    let mut log = log();
    for name in [&b"a"[..], b"b", b"c"] {
        log.put_topic(name, &pinned(), 0).unwrap();
    }
    let taken = (0..1000).filter(|i| put(&mut log, ["a", "b", "c"][i % 3], 400, 0).is_ok()).count();
    assert!(taken < 128 * 1024 / 400, "{taken} records of 400 bytes are more than half of 256 KiB");
    log.end_tick(0);
    assert!(log.pinned_bytes() <= 128 * 1024);
}

#[test]
fn a_pass_over_pinned_chunks_ends() {
    // One byte and just above a chunk in turns: the worst packing there is.
    let mut log = log();
    log.put_topic(b"kept", &pinned(), 0).unwrap();
    let mut sizes = [1, 16_300].into_iter().cycle();
    let mut refused = 0;
    while refused < 3 {
        refused += usize::from(put(&mut log, "kept", sizes.next().unwrap(), 0).is_err());
        log.end_tick(0);
    }
    let end = log.part(handle(&log, "kept")).end;
    for _ in 0..200 {
        put(&mut log, "other", 9000, 0).unwrap();
        log.end_tick(0);
        assert!(log.ring().bytes_allocated() <= 256 * 1024 + 17 * 1024);
    }
    let part = log.part(handle(&log, "kept"));
    assert_eq!((part.low, part.end), (0, end));
    assert_eq!(
        log.batches(handle(&log, "kept"), 0).map(|b| u64::from(b.envelope.records_count)).sum::<u64>(),
        end
    );
}

#[test]
fn batches_that_moved_while_pinned_are_dropped_in_order_of_offsets() {
    let mut log = log();
    log.put_topic(b"t", &pinned(), 0).unwrap();
    for _ in 0..10 {
        put(&mut log, "t", 1000, 0).unwrap();
        put(&mut log, "other", 15_000, 0).unwrap();
        log.end_tick(0);
    }
    for _ in 0..8 {
        put(&mut log, "other", 15_000, 0).unwrap();
        log.end_tick(0);
    }
    log.put_topic(b"t", &Config { dedup_window_s: 1, ..Config::default() }, 0).unwrap();
    let at = handle(&log, "t");
    let mut low = 0;
    while low < 10 {
        put(&mut log, "other", 15_000, 0).unwrap();
        log.end_tick(0);
        let part = log.part(at);
        assert!(part.low >= low);
        low = part.low;
        let held: usize = log.batches(at, low).map(|b| ENVELOPE_LEN + b.bytes.len()).sum();
        assert_eq!(log.part(at).bytes, held as u64);
        assert_eq!(log.batches(at, low).next().map_or(10, |b| b.base), low);
    }
    assert_eq!(log.pinned_bytes(), 0);
}

#[test]
fn a_batch_that_moved_behind_its_successor_goes_with_it() {
    let mut log = log();
    let at = |log: &Log| handle(log, "t");
    log.put_topic(b"t", &pinned(), 0).unwrap();
    put(&mut log, "t", 1000, 0).unwrap();
    log.end_tick(0);
    let chunk = |log: &Log, at: u32, i| log.part(at).index.get(i).unwrap().position;
    let mut ends = 0;
    // A successor is stored in each chunk until the first batch moves behind one of them.
    while ends == 0 || chunk(&log, at(&log), 0) < chunk(&log, at(&log), ends) {
        put(&mut log, "t", 500, 0).unwrap();
        log.end_tick(0);
        ends += 1;
        put(&mut log, "other", 5000, 0).unwrap();
        log.end_tick(0);
    }
    log.put_topic(b"t", &Config { dedup_window_s: 1, ..Config::default() }, 0).unwrap();
    while log.part(at(&log)).low < log.part(at(&log)).end {
        put(&mut log, "other", 5000, 0).unwrap();
        log.end_tick(0);
    }
    assert_eq!((log.part(at(&log)).bytes, log.part(at(&log)).index.len()), (0, 0));
}

#[test]
fn retention_goes_on_after_a_topic_was_brought_back() {
    let mut log = log();
    log.put_topic(b"t", &Config { retention_age_s: 5, ..Config::default() }, 0).unwrap();
    put(&mut log, "t", 10, 0).unwrap();
    assert!(log.delete_topic(b"t", SECOND));
    log.sweep(2 * SECOND);
    assert!(log.undelete_topic(b"t"));
    log.sweep(6 * SECOND);
    let at = handle(&log, "t");
    assert_eq!((log.part(at).low, log.records_held()), (1, 0));
}

#[test]
fn a_topic_past_its_grace_time_is_out_of_the_books() {
    let mut log = log();
    put(&mut log, "t", 10, 0).unwrap();
    let at = handle(&log, "t");
    assert!(log.delete_topic(b"t", 0));
    assert_eq!((log.records_held(), log.readable(at)), (0, 1));
    log.sweep(11 * SECOND);
    assert_eq!((log.readable(at), log.part(at).bytes), (0, 0));
    assert!(!log.undelete_topic(b"t"));
}

#[test]
fn an_atomic_publish_refused_for_its_second_message_stores_none() {
    let mut log = log();
    let topic = log.topic_to_publish(b"t", 0).unwrap();
    let name: &[(&[u8], &[u8])] = &[(&[1], b"reserved")];
    let good = NewRecord { value: b"a", idempotency_key: Some(b"k"), ..NewRecord::default() };
    let faults = [
        (
            NewRecord { value: b"b", idempotency_key: Some(b"k"), ..NewRecord::default() },
            Code::IdempotencyConflict,
        ),
        (NewRecord { value: b"b", headers: name, ..NewRecord::default() }, Code::InvalidBatch),
        (
            NewRecord { value: b"b", idempotency_key: Some(&[b'k'; 256]), ..NewRecord::default() },
            Code::InvalidBatch,
        ),
    ];
    for (fault, code) in faults {
        let problem = log.publish_all(topic, &[good, fault], &Options::default(), 0).unwrap_err();
        assert_eq!((problem.code, &problem.location[..]), (code, "/messages/1"));
        assert_eq!((log.part(handle(&log, "t")).end, log.keys().len()), (0, 0));
    }
    let receipts = log.publish_all(topic, &[good, good], &Options::default(), 0).unwrap();
    assert_eq!(receipts.iter().map(|r| (r.offset, r.duplicate)).collect::<Vec<_>>(), [(0, false), (0, true)]);
}

#[test]
fn records_are_invisible_until_sealed_and_then_whole() {
    let mut log = log();
    put(&mut log, "t", 3, 7).unwrap();
    put(&mut log, "t", 3, 8).unwrap();
    let at = handle(&log, "t");
    assert!(log.batches(at, 0).next().is_none() && log.is_dirty());
    log.watch(at, true);
    assert_eq!(log.end_tick(9), [at]);
    assert!(log.end_tick(9).is_empty() && !log.is_dirty());
    let batch = log.batches(at, 0).next().unwrap();
    assert_eq!((batch.base, batch.end(), batch.envelope.append_ns), (0, 2, 7));
}

#[test]
fn numbered_records_never_share_a_batch_and_repeat_their_receipt() {
    let mut log = log();
    let topic = log.topic_to_publish(b"t", 0).unwrap();
    let record = NewRecord { value: b"v", ..NewRecord::default() };
    let publish = |log: &mut Log, sequence: Option<i32>| {
        let producer = sequence.map(|sequence| Producer { id: 5, epoch: 0, sequence });
        log.publish(topic, &record, &Options { producer, ..Options::default() }, 0)
    };
    for sequence in [None, Some(0), None, Some(1)] {
        assert!(!publish(&mut log, sequence).unwrap().duplicate);
    }
    let again = publish(&mut log, Some(0)).unwrap();
    assert_eq!((again.offset, again.duplicate), (1, true));
    assert_eq!(publish(&mut log, Some(3)).unwrap_err().code, Code::SequenceGap);
    log.end_tick(0);
    let at = handle(&log, "t");
    let producers: Vec<i64> =
        log.batches(at, 0).map(|b| i64::from_be_bytes(b.bytes[43..51].try_into().unwrap())).collect();
    assert_eq!(producers, [-1, 5, -1, 5]);
}

#[test]
fn a_refused_first_record_leaves_no_batch_behind() {
    let mut log = log();
    let topic = log.topic_to_publish(b"t", 0).unwrap();
    let bad = NewRecord { headers: &[(&[2], b"")], ..NewRecord::default() };
    assert!(log.publish(topic, &bad, &Options::default(), 0).is_err());
    assert!(!log.is_dirty());
    assert_eq!(put(&mut log, "t", 1, 0).unwrap().offset, 0);
}

#[test]
fn the_bounds_of_topics_and_keys_refuse_by_name() {
    let mut log = log();
    for name in ["a", "b", "c", "d", "e"] {
        put(&mut log, name, 1, 0).unwrap();
    }
    assert_eq!(put(&mut log, "f", 1, 0).unwrap_err().code, Code::TooManyRequests);
    let topic = log.topic(b"a").unwrap();
    let mut keyed = |key: &[u8], now_ns| {
        let record = NewRecord { idempotency_key: Some(key), ..NewRecord::default() };
        log.publish(topic, &record, &Options::default(), now_ns).map(|r| r.duplicate)
    };
    for key in [b"1", b"2", b"3", b"4"] {
        assert_eq!(keyed(key, 0), Ok(false));
    }
    assert_eq!(keyed(b"5", 599 * SECOND).unwrap_err().code, Code::TooManyRequests);
    assert_eq!(keyed(b"1", 599 * SECOND), Ok(true));
    assert_eq!(keyed(b"1", 600 * SECOND), Ok(false));
}

#[test]
fn a_record_below_the_low_offset_is_not_found_though_its_batch_is_held() {
    let mut log = log();
    log.put_topic(b"t", &Config { retention_count: 2, ..Config::default() }, 0).unwrap();
    for _ in 0..5 {
        put(&mut log, "t", 1, 0).unwrap();
    }
    log.end_tick(0);
    let at = handle(&log, "t");
    assert_eq!((log.part(at).low, log.part(at).index.len()), (3, 1));
    assert!(log.find(at, 2, 0).is_none() && log.find(at, 3, 0).is_some());
}

#[test]
fn views_of_a_batch_outlive_its_eviction() {
    let mut log = log();
    put(&mut log, "t", 100, 0).unwrap();
    log.end_tick(0);
    let at = handle(&log, "t");
    let batch = log.batches(at, 0).next().unwrap();
    let (lease, bytes) = (log.lease(&batch).unwrap(), batch.bytes.to_vec());
    while log.part(at).low == 0 {
        put(&mut log, "other", 15_000, 0).unwrap();
        log.end_tick(0);
    }
    assert!(log.batches(at, 0).next().is_none());
    assert_eq!(*lease, bytes[..]);
    assert_eq!(log.counters().evicted_records, 2, "the first chunk held a record of the other topic, too");
}

#[test]
fn a_batch_has_the_earliest_expiry_of_its_records() {
    let mut log = log();
    log.put_topic(b"t", &Config { ttl_s: 9, ..Config::default() }, 0).unwrap();
    let topic = log.topic(b"t").unwrap();
    let at = handle(&log, "t");
    for (ttls, expiry_s) in [(&[None, Some(4)][..], 4), (&[Some(20), Some(30)], 20), (&[Some(20), None], 9)] {
        let mut builder = Builder::new();
        for ttl_s in ttls {
            builder.push(&Record { ttl_s: *ttl_s, ..Record::default() }).unwrap();
        }
        let mut bytes = Vec::new();
        builder.finish_into(&mut bytes, 0, 0, None);
        let verified = crate::batch::verify(&bytes).unwrap().unwrap();
        let end = log.part(at).end;
        log.publish_batch(topic, &bytes, &verified, &Options::default(), 0).unwrap();
        assert_eq!(log.batches(at, end).next().unwrap().envelope.expiry_ns, expiry_s * SECOND);
    }
}

#[test]
fn keys_inside_a_batch_are_stored_once() {
    let mut log = log();
    let topic = log.topic_to_publish(b"t", 0).unwrap();
    let batch_of = |records: &[(&str, &str)]| {
        let mut builder = crate::batch::Builder::default();
        for (key, value) in records {
            let key = (!key.is_empty()).then_some(key.as_bytes());
            let record = Record { value: Some(value.as_bytes()), idempotency_key: key, ..Record::default() };
            builder.push(&record).unwrap();
        }
        let mut bytes = Vec::new();
        builder.finish_into(&mut bytes, 0, 0, None);
        bytes
    };
    let mut publish = |records: &[(&str, &str)]| {
        let bytes = batch_of(records);
        let verified = crate::batch::verify(&bytes).unwrap().unwrap();
        log.publish_batch(topic, &bytes, &verified, &Options::default(), 0).map_err(|problem| problem.code)
    };
    let pair = [("a", "1"), ("b", "2")];
    assert_eq!(publish(&pair).unwrap().first.offset, 0);
    let again = publish(&pair).unwrap();
    assert_eq!((again.first.offset, again.first.duplicate, again.count), (0, true, 2));
    for other in
        [&[("a", "1"), ("c", "3")][..], &[("a", "9")], &[("c", "3"), ("c", "3")], &[("a", "1"), ("", "4")]]
    {
        assert_eq!(publish(other), Err(Code::IdempotencyConflict), "{other:?}");
    }
    assert_eq!(publish(&[("c", "3"), ("", "4")]).unwrap().first.offset, 2);
    // The table holds four keys here: three are known.
    assert_eq!(publish(&[("d", "5"), ("e", "6")]), Err(Code::TooManyRequests));
    assert_eq!(publish(&[("", "7")]).unwrap().first.offset, 4);
    let single = NewRecord { value: b"1", idempotency_key: Some(b"a"), ..NewRecord::default() };
    let receipt = log.publish(topic, &single, &Options::default(), 0).unwrap();
    assert_eq!((receipt.offset, receipt.duplicate), (0, true));
}

fn put_for(log: &mut Log, name: &str, ttl_s: Option<u32>, now_ns: i64) {
    let topic = log.topic_to_publish(name.as_bytes(), now_ns).unwrap();
    let record = NewRecord { value: b"v", ttl_s, ..NewRecord::default() };
    log.publish(topic, &record, &Options::default(), now_ns).unwrap();
    log.end_tick(now_ns);
}

#[test]
fn what_is_over_is_counted_no_more() {
    let mut log = log();
    put_for(&mut log, "t", None, 0);
    put_for(&mut log, "t", Some(2), SECOND);
    put_for(&mut log, "t", Some(9), 2 * SECOND);
    log.put_topic(b"short", &Config { ttl_s: 1, ..Config::default() }, 2 * SECOND).unwrap();
    put_for(&mut log, "short", None, 2 * SECOND);
    let (t, short) = (handle(&log, "t"), handle(&log, "short"));
    let mut counts = |now_ns: i64| {
        log.sweep(now_ns);
        (log.readable(t), log.time_range(t), log.readable(short), log.time_range(short), log.records_held())
    };
    let short_ns = 2 * SECOND;
    let all = Some((0, 2 * SECOND));
    assert_eq!(counts(3 * SECOND - 1), (3, all, 1, Some((short_ns, short_ns)), 4));
    assert_eq!(counts(3 * SECOND), (2, all, 0, None, 2));
    assert_eq!(counts(11 * SECOND), (1, Some((0, 0)), 0, None, 1));
    assert_eq!(log.counters().expired_records, 3);
    assert_eq!((log.part(t).low, log.part(short).low), (0, 0), "what is over is no gap");
}

#[test]
fn records_of_one_batch_are_over_one_by_one() {
    let mut log = log();
    let topic = log.topic_to_publish(b"t", 0).unwrap();
    for ttl_s in [Some(3), None, Some(1), Some(5), Some(1)] {
        let record = NewRecord { value: b"v", ttl_s, ..NewRecord::default() };
        log.publish(topic, &record, &Options::default(), 0).unwrap();
    }
    log.end_tick(0);
    let at = handle(&log, "t");
    assert_eq!(log.part(at).index.len(), 1);
    let mut left = Vec::new();
    for now_s in 0..7 {
        log.expire(now_s * SECOND);
        left.push(log.readable(at));
        assert_eq!(log.records_held(), log.readable(at));
    }
    assert_eq!(left, [5, 3, 3, 2, 2, 1, 1]);
}

#[test]
fn a_topic_with_discard_new_has_its_room_back_when_its_records_are_over() {
    let mut log = log();
    log.put_topic(b"kept", &Config { ttl_s: 5, ..pinned() }, 0).unwrap();
    while put(&mut log, "kept", 4000, SECOND).is_ok() {
        log.end_tick(SECOND);
    }
    log.sweep(5 * SECOND);
    assert_eq!(put(&mut log, "kept", 4000, 5 * SECOND).unwrap_err().code, Code::StorageFull);
    log.sweep(7 * SECOND);
    let at = handle(&log, "kept");
    assert_eq!((log.pinned_bytes(), log.part(at).bytes, log.readable(at)), (0, 0, 0));
    put(&mut log, "kept", 4000, 7 * SECOND).unwrap();
}

#[test]
fn a_lifetime_of_the_topic_is_the_one_at_the_append() {
    let mut log = log();
    let ttl = |ttl_s| Config { ttl_s, ..Config::default() };
    put_for(&mut log, "t", None, 0); // offset 0: none
    log.put_topic(b"t", &ttl(4), 0).unwrap();
    put_for(&mut log, "t", None, 0); // offset 1: 4 s
    log.put_topic(b"t", &ttl(100), 0).unwrap();
    put_for(&mut log, "t", None, 0); // offset 2: 100 s
    log.put_topic(b"t", &ttl(0), 0).unwrap();
    put_for(&mut log, "t", None, 0); // offset 3: none
    put_for(&mut log, "t", Some(2), 0); // offset 4: 2 s, its own
    let at = handle(&log, "t");
    let found = |log: &Log, now_s: i64| {
        (0..5).filter(|o| log.find(at, *o, now_s * SECOND).is_some()).collect::<Vec<_>>()
    };
    for (now_s, there) in [(1, &[0, 1, 2, 3, 4][..]), (3, &[0, 1, 2, 3]), (5, &[0, 2, 3]), (101, &[0, 3])] {
        assert_eq!(found(&log, now_s), there);
        log.expire(now_s * SECOND);
        assert_eq!((found(&log, now_s), log.readable(at)), (there.to_vec(), there.len() as u64));
    }
}

#[test]
fn the_sum_over_topics_is_the_total_also_when_one_is_deleted() {
    let mut log = log();
    put_for(&mut log, "a", None, 0);
    put_for(&mut log, "b", None, 0);
    put_for(&mut log, "b", Some(5), 0);
    assert!(log.delete_topic(b"b", 0));
    assert_eq!(log.records_held(), 1);
    log.sweep(6 * SECOND);
    assert_eq!(log.records_held(), 1);
    assert!(log.undelete_topic(b"b"));
    assert_eq!((log.records_held(), log.readable(handle(&log, "b"))), (2, 1));
}

#[test]
fn retention_of_a_topic_with_discard_new_drops_the_oldest_and_refuses_nothing() {
    for config in [Config { retention_count: 3, ..pinned() }, Config { retention_bytes: 13_000, ..pinned() }]
    {
        let mut log = log();
        log.put_topic(b"kept", &config, 0).unwrap();
        for _ in 0..200 {
            put(&mut log, "kept", 4000, 0).unwrap();
            log.end_tick(0);
        }
        let at = handle(&log, "kept");
        assert_eq!((log.part(at).low, log.readable(at), log.counters().retired_records), (197, 3, 197));
        assert_eq!(log.pinned_bytes(), log.part(at).bytes);
    }
}

#[test]
fn room_for_topics_comes_back_when_their_grace_time_is_over() {
    let mut log = log();
    let mut now_ns = 0;
    for round in 0..3 {
        for at in 0..5 {
            let name = format!("t{round}.{at}");
            log.put_topic(name.as_bytes(), &Config { partitions: 1 + at % 3, ..Config::default() }, now_ns)
                .unwrap();
            put(&mut log, &name, 10, now_ns).unwrap();
        }
        assert_eq!(put(&mut log, "more", 1, now_ns).unwrap_err().code, Code::TooManyRequests);
        for at in 0..5 {
            assert!(log.delete_topic(format!("t{round}.{at}").as_bytes(), now_ns));
        }
        log.sweep(now_ns + 10 * SECOND);
        assert_eq!(put(&mut log, "more", 1, now_ns).unwrap_err().code, Code::TooManyRequests);
        now_ns += 11 * SECOND;
        log.sweep(now_ns);
        assert_eq!((log.topics().known(), log.topics().len(), log.records_held()), (0, 5, 0));
    }
    assert!(log.parts.len() <= 2 * 9, "handles are used again: {}", log.parts.len());
}

#[test]
fn a_topic_in_the_place_of_a_forgotten_one_has_nothing_of_it() {
    let mut log = log();
    let config = Config { ttl_s: 30, dedup_window_s: 1000, ..Config::default() };
    log.put_topic(b"old", &config, 0).unwrap();
    log.put_topic(b"old", &Config { ttl_s: 40, ..config }, 0).unwrap();
    let old = log.topic(b"old").unwrap();
    let old_id = log.topics().get(old).id;
    let keyed = |value| NewRecord { value, idempotency_key: Some(b"k"), ..NewRecord::default() };
    let numbers = Options { producer: Some(Producer { id: 5, epoch: 0, sequence: 0 }), ..Options::default() };
    log.publish(old, &keyed(b"old"), &numbers, 0).unwrap();
    log.end_tick(0);
    let at = handle(&log, "old");
    log.watch(at, true); // a reader of the old topic that has not left yet
    assert!(log.delete_topic(b"old", 0));
    assert_eq!(log.end_tick(0), [at], "its readers learn that it is gone");
    log.sweep(11 * SECOND);
    let key = dedup::key_hash(b"k");
    assert!(log.keys().find_anywhere(key, 11 * SECOND).is_none() && log.keys().is_empty());

    let new = log.topic_to_publish(b"new", 11 * SECOND).unwrap();
    assert_eq!((new, handle(&log, "new")), (old, at), "entry and handle are used again");
    assert!(log.is_deleted(old, old_id) && log.topics().find_id(old_id).is_none());
    assert!(log.topic(b"old").is_none() && !log.undelete_topic(b"old"));
    let receipt = log.publish(new, &keyed(b"new"), &numbers, 11 * SECOND).unwrap();
    assert_eq!((receipt.offset, receipt.duplicate), (0, false));
    log.watch(at, true);
    log.watch(at, false); // the old reader leaves
    assert_eq!(log.end_tick(11 * SECOND), [at], "readers of the new topic are woken");
    log.sweep(100 * SECOND);
    assert_eq!(
        (log.readable(at), log.find(at, 0, 100 * SECOND).is_some()),
        (1, true),
        "no lifetime is left over"
    );
    // The old topic's batch leaves the ring while the new one's index has a batch with the same offset.
    while log.ring().memory_tail() == 0 {
        put(&mut log, "other", 15_000, 100 * SECOND).unwrap();
        log.end_tick(100 * SECOND);
    }
}

/// A log that a start found: one topic at `memory`, one at `disk`, each with offsets 0 to 9 in a batch that ends at 100.
fn restored(unclean: &[(u64, u64)], damaged_lsns: &[u64]) -> Log {
    let setup = Setup { disk_lsn: Some(1000), ..log().setup };
    let mut log = Log::new(setup, Arc::new(SlotTable::single("n", 1).unwrap()));
    for (id, name, level) in [(70, "m", Level::Memory), (71, "d", Level::Disk)] {
        let config = Config { level: Some(level), ..Config::default() };
        let name = name.as_bytes().into();
        log.restore_topic(&TopicRecord { id, name, config, created_ns: 1, deleted_ns: 0 });
        let (base, records) = (0, 10);
        let batch =
            StoredBatch { topic_id: id, partition: 0, base, records, length: 50, append_ns: 5, end_lsn: 100 };
        log.restore_batch(&batch);
    }
    assert_eq!(log.finish_restore(unclean, damaged_lsns), None);
    log
}

#[test]
fn a_start_goes_on_above_what_was_shown_and_may_be_lost() {
    let ends = |log: &Log| [log.part(handle(log, "m")).end, log.part(handle(log, "d")).end];
    let jump = LOST_TAIL_OFFSETS;
    assert_eq!(ends(&restored(&[], &[])), [10, 10]);
    // Where the log ended before the newest batch, that one came later.
    assert_eq!(ends(&restored(&[(99, 1)], &[99])), [10, 10]);
    assert_eq!(ends(&restored(&[(100, 1)], &[])), [10 + jump, 10]);
    assert_eq!(ends(&restored(&[(99, 5), (100, 2), (300, 1)], &[])), [10 + 3 * jump, 10]);
    // Damaged bytes may have been of any partition without a later batch, at any level.
    assert_eq!(ends(&restored(&[], &[300])), [10 + jump, 10 + jump]);
    assert_eq!(ends(&restored(&[(400, 1)], &[300])), [10 + 2 * jump, 10 + jump]);
}

#[test]
fn offsets_without_a_batch_are_gaps_as_far_as_the_start_knew_them() {
    let log = restored(&[(400, 1)], &[300]);
    let (memory, disk) = (handle(&log, "m"), handle(&log, "d"));
    let end = 10 + 2 * LOST_TAIL_OFFSETS;
    assert_eq!(log.hole(memory, 10, u64::MAX), Some((end, "lost_tail")));
    assert_eq!(log.hole(memory, 10, 12), Some((12, "lost_tail")));
    assert_eq!(log.hole(memory, 10, 10), None);
    assert_eq!(log.hole(memory, end, end + 5), None, "what expired in memory is no gap");
    assert_eq!(log.hole(disk, 10, u64::MAX), Some((10 + LOST_TAIL_OFFSETS, "damaged")));
}

#[test]
fn a_log_that_dropped_nothing_begins_at_its_first_offset_also_where_that_is_damaged() {
    let setup = Setup { disk_lsn: Some(1000), ..log().setup };
    let mut log = Log::new(setup, Arc::new(SlotTable::single("n", 1).unwrap()));
    let (name, config) = (b"t"[..].into(), Config::default());
    log.restore_topic(&TopicRecord { id: 70, name, config, created_ns: 1, deleted_ns: 0 });
    let batch = StoredBatch {
        topic_id: 70,
        partition: 0,
        base: 7,
        records: 1,
        length: 50,
        append_ns: 5,
        end_lsn: 100,
    };
    log.restore_batch(&batch);
    log.restore_batch(&StoredBatch { topic_id: 99, ..batch });
    assert_eq!(log.finish_restore(&[], &[]), Some(99), "of this one only the messages are left");
    assert_eq!(log.part(handle(&log, "t")).low, 0);
}

#[test]
fn a_topic_is_recorded_with_what_is_stored_in_it_and_one_that_goes_again_is_not() {
    let setup = Setup { disk_lsn: Some(0), ..log().setup };
    let mut log = Log::new(setup, Arc::new(SlotTable::single("n", 1).unwrap()));
    let topic = log.topic_to_publish(b"t", 0).unwrap();
    assert!(!log.settle_topic(topic, 0));
    log.mark();
    log.end_tick(0);
    assert_eq!((log.ring().head_lsn(), log.topics().known()), (0, 0));
    let topic = log.topic_to_publish(b"t", 0).unwrap();
    let record = NewRecord { value: b"v", ..NewRecord::default() };
    log.publish(topic, &record, &Options::default(), 0).unwrap();
    assert!(log.settle_topic(topic, 0));
    log.mark();
    log.end_tick(0);
    let taken = log.take_commit(1 << 20).expect("one commit holds both");
    assert_eq!(taken.end_lsn, log.ring().head_lsn());
    let (mut bytes, mut ids) =
        (taken.slices.iter().flat_map(|s| s.iter().copied()).collect::<Vec<u8>>(), Vec::new());
    while !bytes.is_empty() {
        let (envelope, length) = parsed(&bytes);
        ids.push(envelope.topic_id);
        bytes.drain(..length);
    }
    assert_eq!(ids, [restore::CONFIGS_ID, log.topics().get(topic).id]);
}

#[test]
fn what_the_disk_refuses_is_counted_by_its_reason() {
    let setup = Setup { disk_lsn: Some(0), ..log().setup };
    let mut log = Log::new(setup, Arc::new(SlotTable::single("n", 1).unwrap()));
    log.put_topic(b"t", &Config::default(), 0).unwrap();
    let refused = loop {
        if let Err(problem) = put(&mut log, "t", 4000, 0) {
            break problem;
        }
    };
    assert_eq!(refused.code, Code::DiskBehind);
    assert_eq!((log.counters().behind, log.counters().without_room), (1, 0));
    log.set_disk_full(true);
    assert_eq!(put(&mut log, "t", 4000, 0).unwrap_err().code, Code::StorageFull);
    assert_eq!((log.counters().behind, log.counters().without_room), (1, 1));
}
