//! Disasters of the log, one by one; random operations are in `tests/log.rs`.

use super::*;
use crate::batch::Record;
use crate::envelope::ENVELOPE_LEN;
use crate::log::dedup::Producer;

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
    assert_eq!(log.records_held(), 1);
    log.sweep(11 * SECOND);
    assert_eq!((log.records_held(), log.part(at).bytes), (0, 0));
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
