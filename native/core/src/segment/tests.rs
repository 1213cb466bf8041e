use std::collections::BTreeMap;

use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;
use crate::batch::{self, Builder, Codec, Producer, Record, HEADER_LEN};
use crate::edge::page::{Page, Want};
use crate::envelope::{Envelope, ENVELOPE_LEN, KIND_BATCH, KIND_MANIFEST, KIND_TOPICS};
use crate::ids;

/// Timestamp, key, value, headers, lifetime, content type and idempotency key of a record.
type Plain = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Headers, Option<u32>, Option<String>, Option<String>);

const DAY_NS: i64 = 86_400 * 1_000_000_000;
const NAMES: [&str; 4] = ["orders", "a.b.c", "日本", "z"];

type Headers = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// Everything that a record is, by value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Whole {
    offset: u64,
    epoch: u32,
    append_ns: i64,
    timestamp_ms: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Headers,
    ttl_s: Option<u32>,
    idempotency_key: Option<Vec<u8>>,
    content_type: Option<String>,
    producer: Option<(i64, i16, i32)>,
}

/// The records of whole envelopes by topic id and partition.
fn records_of(bytes: &[u8]) -> BTreeMap<(u64, u16), Vec<Whole>> {
    let (mut out, mut at) = (BTreeMap::<_, Vec<Whole>>::new(), 0);
    while at < bytes.len() {
        let (envelope, length) = Envelope::check(&bytes[at..]).unwrap().unwrap();
        if envelope.kind == KIND_BATCH {
            let batch = &bytes[at + ENVELOPE_LEN..at + length];
            let mut scratch = Vec::new();
            let records = batch::records(batch, &mut scratch).unwrap();
            let header = *records.header();
            let place = out.entry((envelope.topic_id, envelope.partition)).or_default();
            for (index, record) in records.enumerate() {
                let record = record.unwrap();
                let (mut headers, mut list) = (record.headers, Vec::new());
                while let Some((name, value)) = headers.next_nullable() {
                    list.push((name.to_vec(), value.map(<[u8]>::to_vec)));
                }
                let sequence = header.base_sequence.wrapping_add(index as i32) & i32::MAX;
                let is_numbered = header.producer_id >= 0;
                place.push(Whole {
                    offset: record.offset as u64,
                    epoch: envelope.epoch,
                    append_ns: envelope.append_ns,
                    timestamp_ms: record.timestamp_ms,
                    key: record.key.map(<[u8]>::to_vec),
                    value: record.value.map(<[u8]>::to_vec),
                    headers: list,
                    ttl_s: record.ttl_s,
                    idempotency_key: record.idempotency_key.map(<[u8]>::to_vec),
                    content_type: record.content_type.map(str::to_owned),
                    producer: is_numbered.then_some((header.producer_id, header.producer_epoch, sequence)),
                });
            }
        }
        at += length;
    }
    out
}

#[derive(Clone, Debug)]
struct Piece {
    topic: usize,
    partition: u16,
    gap: u64,
    step_ns: i64,
    epoch_step: u32,
    producer: Option<(i64, i16, i32)>,
    codec: Codec,
    records: Vec<Plain>,
}

prop_compose! {
    fn pieces()(
        topic in 0..NAMES.len(),
        partition in 0..3u16,
        gap in prop_oneof![4 => Just(0u64), 1 => 1..9u64],
        step_ns in prop_oneof![4 => 0..3i64, 1 => Just(DAY_NS / 3)],
        epoch_step in prop_oneof![9 => Just(0u32), 1 => 1..3u32],
        producer in proptest::option::of((0..i64::MAX, 0..i16::MAX, prop_oneof![0..100i32, i32::MAX - 2..=i32::MAX])),
        codec in prop_oneof![3 => Just(Codec::None), 1 => Just(Codec::Zstd)],
        records in prop::collection::vec((
            prop_oneof![8 => 0..2_000_000_000_000i64, 1 => any::<i64>()],
            proptest::option::of(prop::collection::vec(any::<u8>(), 0..9)),
            proptest::option::of(prop::collection::vec(any::<u8>(), 0..40)),
            prop::collection::vec(("[a-z]{1,5}".prop_map(String::into_bytes),
                proptest::option::of(prop::collection::vec(any::<u8>(), 0..5))), 0..3),
            proptest::option::of(prop_oneof![Just(0u32), 1..9_000u32]),
            proptest::option::of("[a-zé]{1,9}"),
            proptest::option::of(prop_oneof![Just("text/plain".to_owned()), Just("application/json".to_owned()),
                "[ -~]{1,20}"]),
        ), 1..6),
    ) -> Piece {
        Piece { topic, partition, gap, step_ns, epoch_step, producer, codec, records }
    }
}

fn id_of(topic: usize) -> u64 {
    [900, 3, u64::MAX, 77][topic]
}

/// The bytes of a window.
fn window(pieces: &[Piece]) -> Vec<u8> {
    let (mut out, mut ends, mut sequences) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    let (mut now_ns, mut epoch) = (1_700_000_000_123_456_789i64, 3);
    for piece in pieces {
        now_ns += piece.step_ns;
        epoch += piece.epoch_step;
        let slot = ids::slot_of(NAMES[piece.topic].as_bytes(), u32::from(piece.partition));
        let base: &mut u64 = ends.entry((piece.topic, piece.partition)).or_insert(5);
        *base += piece.gap;
        let sequence: &mut u64 = sequences.entry(slot).or_insert(0);
        let mut builder = Builder::new();
        for (timestamp_ms, key, value, headers, ttl_s, idempotency_key, content_type) in &piece.records {
            let record = Record {
                timestamp_ms: *timestamp_ms,
                key: key.as_deref(),
                value: value.as_deref(),
                headers: &[],
                ttl_s: *ttl_s,
                idempotency_key: idempotency_key.as_deref().map(str::as_bytes),
                content_type: content_type.as_deref().map(str::as_bytes),
            };
            // A time too far from the batch's first one belongs to no record of it.
            if builder.is_empty() || timestamp_ms.checked_sub(builder.base_timestamp_ms()).is_some() {
                builder.push_with(&record, headers.iter().map(|(n, v)| (&n[..], v.as_deref()))).unwrap();
            }
        }
        let mut batch = Vec::new();
        let producer = piece.producer.map(Producer::from);
        builder.compress_into(piece.codec, &mut batch, *base as i64, epoch as i32, producer).unwrap();
        let envelope = Envelope {
            kind: KIND_BATCH,
            slot,
            epoch,
            partition: piece.partition,
            sequence: *sequence,
            topic_id: id_of(piece.topic),
            append_ns: now_ns,
            expiry_ns: 0,
            records_count: builder.count(),
        };
        envelope.write_into(&batch, &mut out);
        *base += u64::from(builder.count());
        *sequence += 1;
    }
    out
}

fn topics() -> Vec<Topic<'static>> {
    let lifetimes: &[(i64, u64)] = &[(0, 60), (1_700_100_000_000_000_000, 0)];
    (0..NAMES.len())
        .map(|topic| Topic {
            id: id_of(topic),
            name: Some(NAMES[topic]),
            lifetimes: if topic == 1 { lifetimes } else { &[] },
        })
        .collect()
}

fn small() -> Bounds {
    Bounds { group_bytes: 200, group_rows: 7, file_bytes: 4_000, partitions: 3 }
}

/// When the last of these records is over; 0: never.
fn last_expiry(records: &[&Whole], topic_id: u64) -> i64 {
    let topics = topics();
    let topic = topics.iter().find(|topic| topic.id == topic_id).unwrap();
    let expiry = |record: &&Whole| {
        let default = if record.append_ns < 1_700_100_000_000_000_000 { 60 } else { 0 };
        let default = if topic.lifetimes.is_empty() { 0 } else { default };
        match record.ttl_s.filter(|ttl| *ttl > 0).map_or(default, i64::from) {
            0 => i64::MAX,
            ttl_s => record.append_ns + ttl_s * 1_000_000_000,
        }
    };
    records.iter().map(expiry).max().filter(|last| *last != i64::MAX).unwrap_or(0)
}

/// Bytes of envelopes with their batches, by topic id and partition.
fn log_bytes_of(log: &[u8]) -> BTreeMap<(u64, u16), u64> {
    let (mut out, mut at) = (BTreeMap::<_, u64>::new(), 0);
    while at < log.len() {
        let (envelope, length) = Envelope::check(&log[at..]).unwrap().unwrap();
        *out.entry((envelope.topic_id, envelope.partition)).or_default() += length as u64;
        at += length;
    }
    out
}

/// The pieces of a manifest say together what it says, each of its slot alone and within the bound.
fn assert_pieces(manifest: &Manifest, bytes_max: usize) {
    let slots = manifest.slots(bytes_max).unwrap();
    assert!(slots.iter().map(|(slot, _)| *slot).eq(manifest.covers.iter().map(|cover| cover.slot)));
    let mut found = BTreeMap::<_, Vec<PartitionRange>>::new();
    for (slot, pieces) in slots {
        for piece in pieces {
            assert!(piece.len() <= bytes_max, "{} bytes exceed {bytes_max}", piece.len());
            let own = Manifest::parse(&piece).unwrap();
            assert!(own.covers.iter().map(|cover| cover.slot).eq([slot]));
            assert!(!own.partitions.is_empty() && own.partitions.iter().all(|range| range.slot == slot));
            assert!(own.groups.iter().all(|group| manifest.groups.contains(group)));
            for range in &own.partitions {
                found.entry((range.topic_id, range.partition)).or_default().push(*range);
            }
            let rest = (own.key, own.size, own.sha256, own.footer_at, own.part, own.parts);
            let Manifest { key, size, sha256, footer_at, part, parts, .. } = manifest.clone();
            assert_eq!(rest, (key, size, sha256, footer_at, part, parts));
        }
    }
    for range in &manifest.partitions {
        let own = found.remove(&(range.topic_id, range.partition)).unwrap();
        let (first, last) = (own[0], own[own.len() - 1]);
        assert_eq!((first.first, first.row, last.last), (range.first, range.row, range.last));
        assert!(own.windows(2).all(|pair| pair[0].last < pair[1].first));
        assert!(own.windows(2).all(|pair| pair[0].row + u64::from(pair[0].count) == pair[1].row));
        assert_eq!(own.iter().map(|part| part.count).sum::<u32>(), range.count);
        assert_eq!(own.iter().map(|part| part.log_bytes).sum::<u64>(), range.log_bytes);
    }
    assert!(found.is_empty());
}

/// Every record of a partition, read as a cold read would: locate, fetch one range, re-encode, go on after its end.
fn read_all(segments: &Segments, place: (u64, u16), bytes_max: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for segment in &segments.segments {
        let (mut offset, manifest) = (0, Manifest::parse(&segment.manifest.encode()).unwrap());
        let footer = &segment.data[manifest.footer_at as usize..];
        loop {
            let seek = Seek { topic_id: place.0, partition: place.1, offset, since_ns: 0 };
            let Some(found) = manifest.locate(&seek, 4, 600) else { break };
            let bytes = &segment.data[found.at as usize..(found.at + found.length) as usize];
            let page = page(&manifest, footer, found.at, bytes, &seek, bytes_max).unwrap().unwrap();
            assert!(page.end > offset, "{} is not after {offset}", page.end);
            let want = Want { topic_id: place.0, partition: place.1, offset, since_ns: 0, end: u64::MAX };
            Page::new(&want, page.end, page.envelopes.clone(), Vec::new()).unwrap();
            out.extend_from_slice(&page.envelopes);
            offset = page.end;
        }
    }
    out
}

/// Earliest expiry of each batch against the records in it.
fn assert_expiries(bytes: &[u8], topic: &Topic<'_>) {
    let mut at = 0;
    while at < bytes.len() {
        let (envelope, length) = Envelope::check(&bytes[at..]).unwrap().unwrap();
        let default = if envelope.append_ns < 1_700_100_000_000_000_000 { 60 } else { 0 };
        let default = if topic.lifetimes.is_empty() { 0 } else { default };
        let (mut scratch, mut earliest) = (Vec::new(), 0);
        for record in batch::records(&bytes[at + ENVELOPE_LEN..at + length], &mut scratch).unwrap() {
            let ttl_s = record.unwrap().ttl_s.filter(|ttl| *ttl > 0).map_or(default, i64::from);
            let expiry = if ttl_s == 0 { 0 } else { envelope.append_ns + ttl_s * 1_000_000_000 };
            earliest = [earliest, expiry].into_iter().filter(|&ns| ns != 0).min().unwrap_or(0);
        }
        assert_eq!(envelope.expiry_ns, earliest);
        at += length;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn records_come_back_as_they_went_in(
        pieces in prop::collection::vec(pieces(), 0..40), bytes_max in prop_oneof![Just(1usize), Just(usize::MAX)],
        is_small: bool,
    ) {
        let log = window(&pieces);
        let (topics, bounds) = (topics(), if is_small { small() } else { Bounds::default() });
        let segments = build(&[&log], &topics, &bounds).unwrap();
        let expected = records_of(&log);
        let total: usize = expected.values().map(Vec::len).sum();
        prop_assert_eq!(segments.segments.iter().map(|s| s.manifest.records).sum::<u64>(), total as u64);
        for (place, records) in &expected {
            let bytes = read_all(&segments, *place, bytes_max);
            prop_assert_eq!(&records_of(&bytes)[place], records);
            assert_expiries(&bytes, topics.iter().find(|topic| topic.id == place.0).unwrap());
        }
    }

    #[test]
    fn manifests_say_what_the_files_hold(
        pieces in prop::collection::vec(pieces(), 1..40), bytes_max in prop_oneof![Just(340_usize), 340..2_000_usize],
    ) {
        let log = window(&pieces);
        let segments = build(&[&log], &topics(), &small()).unwrap();
        let expected = records_of(&log);
        let mut counted = BTreeMap::<_, usize>::new();
        for (part, segment) in segments.segments.iter().enumerate() {
            let manifest = &segment.manifest;
            prop_assert_eq!(manifest.sha256, <[u8; 32]>::from(Sha256::digest(&segment.data)));
            prop_assert_eq!(manifest.size as usize, segment.data.len());
            prop_assert_eq!((manifest.part as usize, manifest.parts as usize), (part, segments.segments.len()));
            prop_assert_eq!(&manifest.covers, &segments.covers);
            prop_assert_eq!(&segment.data[..4], b"PAR1");
            prop_assert_eq!(manifest.groups[0].at, 4);
            prop_assert_eq!(manifest.oldest_ns.div_euclid(DAY_NS), manifest.newest_ns.div_euclid(DAY_NS));
            for range in &manifest.partitions {
                let place = (range.topic_id, range.partition);
                let is_inside = |record: &&Whole| (range.first..=range.last).contains(&record.offset)
                    && (range.oldest_ns..=range.newest_ns).contains(&record.append_ns);
                let inside: Vec<_> = expected[&place].iter().filter(is_inside).collect();
                prop_assert_eq!(inside.len(), range.count as usize);
                prop_assert_eq!(range.last_expiry_ns, last_expiry(&inside, range.topic_id));
                *counted.entry(place).or_default() += inside.len();
            }
            assert_pieces(manifest, bytes_max);
        }
        let logged: BTreeMap<_, u64> = log_bytes_of(&log);
        let mut stated = BTreeMap::<_, u64>::new();
        for range in segments.segments.iter().flat_map(|segment| &segment.manifest.partitions) {
            *stated.entry((range.topic_id, range.partition)).or_default() += range.log_bytes;
        }
        prop_assert_eq!(stated, logged);
        for (place, records) in &expected {
            prop_assert_eq!(counted[place], records.len());
        }
    }

    #[test]
    fn the_same_window_gives_the_same_bytes(pieces in prop::collection::vec(pieces(), 1..20), cut: prop::sample::Index) {
        let log = window(&pieces);
        let (one, two) = log.split_at(cut.index(log.len()));
        let mut topics = topics();
        let a = build(&[&log], &topics, &small()).unwrap();
        topics.reverse();
        let b = build(&[one, two], &topics, &small()).unwrap();
        prop_assert_eq!(a.segments.len(), b.segments.len());
        for (a, b) in a.segments.iter().zip(&b.segments) {
            prop_assert_eq!(&a.data, &b.data);
            prop_assert_eq!(&a.manifest, &b.manifest);
        }
    }

    #[test]
    fn any_bytes_are_no_manifest(bytes: Vec<u8>) {
        prop_assert!(Manifest::parse(&bytes).is_err());
    }
}

fn piece(topic: usize, count: usize) -> Piece {
    let record = |n: usize| {
        let header = (b"h".to_vec(), Some(b"v".to_vec()));
        (1_700_000_000_000 + n as i64, None, Some(vec![n as u8; 30]), vec![header], None, None, None)
    };
    let records = (0..count).map(record).collect();
    Piece {
        topic,
        partition: 0,
        gap: 0,
        step_ns: 1_000,
        epoch_step: 0,
        producer: None,
        codec: Codec::None,
        records,
    }
}

#[test]
fn a_read_takes_one_range_and_begins_at_its_offset() {
    let pieces: Vec<Piece> = (0..50).map(|_| piece(0, 10)).collect();
    let bounds = Bounds { group_rows: 100, ..Bounds::default() };
    let log = window(&pieces);
    let segments = build(&[&log], &topics(), &bounds).unwrap();
    let Segment { data, manifest } = &segments.segments[0];
    assert_eq!((segments.segments.len(), manifest.groups.len()), (1, 5));
    let seek = Seek { topic_id: id_of(0), partition: 0, offset: 105 + 50, since_ns: 0 };
    let found = manifest.locate(&seek, 100, u64::MAX).unwrap();
    // 50 rows of the second group follow the wanted offset, so another one is taken for 100.
    assert_eq!(found.at, manifest.groups[1].at);
    assert_eq!(found.length, manifest.groups[1].length + manifest.groups[2].length);
    assert_eq!(manifest.locate(&seek, 50, u64::MAX).unwrap().length, manifest.groups[1].length);
    let bytes = &data[found.at as usize..(found.at + found.length) as usize];
    let footer = &data[manifest.footer_at as usize..];
    let page = page(manifest, footer, found.at, bytes, &seek, usize::MAX).unwrap().unwrap();
    let records = &records_of(&page.envelopes)[&(id_of(0), 0)];
    assert_eq!((records[0].offset, page.end), (155, 305));
    assert_eq!(records.len(), 150);
}

#[test]
fn a_read_by_time_begins_with_the_first_record_of_that_time() {
    let log = window(&(0..20).map(|_| piece(0, 10)).collect::<Vec<_>>());
    let segments = build(&[&log], &topics(), &Bounds { group_rows: 30, ..Bounds::default() }).unwrap();
    let Segment { data, manifest } = &segments.segments[0];
    let since_ns = records_of(&log)[&(id_of(0), 0)][117].append_ns;
    let seek = Seek { topic_id: id_of(0), partition: 0, offset: 0, since_ns };
    let found = manifest.locate(&seek, 1, 1).unwrap();
    let bytes = &data[found.at as usize..(found.at + found.length) as usize];
    let page = page(manifest, &data[manifest.footer_at as usize..], found.at, bytes, &seek, usize::MAX)
        .unwrap()
        .unwrap();
    assert_eq!(records_of(&page.envelopes)[&(id_of(0), 0)][0].append_ns, since_ns);
    let later = Seek { since_ns: manifest.newest_ns + 1, ..seek };
    assert_eq!(manifest.locate(&later, 1, 1), None);
}

#[test]
fn a_flipped_bit_is_never_read() {
    let log = window(&[piece(0, 3), piece(2, 3)]);
    let segments = build(&[&log], &topics(), &Bounds::default()).unwrap();
    let Segment { data, manifest } = &segments.segments[0];
    let seek = Seek { topic_id: id_of(2), partition: 0, offset: 0, since_ns: 0 };
    let footer_at = manifest.footer_at as usize;
    let groups_end = (manifest.groups[0].at + manifest.groups[0].length) as usize;
    let read = |data: &[u8]| page(manifest, &data[footer_at..], 4, &data[4..groups_end], &seek, usize::MAX);
    assert!(read(data).unwrap().is_some());
    for byte in (4..groups_end).chain(footer_at..data.len()) {
        let mut damaged = data.clone();
        damaged[byte] ^= 1 << (byte % 8);
        assert!(read(&damaged).is_err(), "byte {byte}");
    }
    let encoded = manifest.encode();
    for bit in 0..encoded.len() * 8 {
        let mut damaged = encoded.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Manifest::parse(&damaged).is_err(), "bit {bit}");
    }
}

#[test]
fn topics_that_are_gone_are_left_out_and_covered() {
    let log = window(&[piece(0, 3), piece(1, 3)]);
    let mut topics = topics();
    topics[0].name = None;
    let segments = build(&[&log], &topics, &Bounds::default()).unwrap();
    assert_eq!((segments.covers.len(), segments.segments.len()), (2, 1));
    assert_eq!(segments.segments[0].manifest.records, 3);
    topics[1].name = None;
    let segments = build(&[&log], &topics, &Bounds::default()).unwrap();
    assert_eq!((segments.covers.len(), segments.segments.len()), (2, 0));
    topics.remove(0);
    let error = build(&[&log], &topics, &Bounds::default()).err().unwrap();
    assert!(error.reason.contains("is not named"), "{error}");
}

#[test]
fn batches_of_the_log_itself_are_covered_and_not_rows() {
    let mut log = window(&[piece(0, 1)]);
    let (mut envelope, _) = Envelope::check(&log).unwrap().unwrap();
    let batch = log[ENVELOPE_LEN..].to_vec();
    (envelope.kind, envelope.sequence, envelope.epoch) = (KIND_TOPICS, 7, 9);
    envelope.write_into(&batch, &mut log);
    let segments = build(&[&log], &topics(), &Bounds::default()).unwrap();
    let slot = ids::slot_of(NAMES[0].as_bytes(), 0);
    assert_eq!(segments.covers, [Cover { slot, epoch: 9, first: 0, last: 7 }]);
    assert_eq!(segments.segments[0].manifest.records, 1);
    (envelope.kind, envelope.sequence) = (KIND_MANIFEST, 8);
    envelope.write_into(&batch, &mut log);
    let segments = build(&[&log], &topics(), &Bounds::default()).unwrap();
    assert_eq!((segments.covers[0].last, segments.segments[0].manifest.records), (8, 1));
    // The same sequence again is no log of ours.
    envelope.write_into(&batch, &mut log);
    assert!(build(&[&log], &topics(), &Bounds::default()).is_err());
}

#[test]
fn a_damaged_window_gives_nothing() {
    let log = window(&[piece(0, 3)]);
    for byte in 0..log.len() {
        let mut damaged = log.clone();
        damaged[byte] ^= 0x10;
        assert!(build(&[&damaged], &topics(), &Bounds::default()).is_err(), "byte {byte}");
    }
    assert!(build(&[&log[..log.len() - 1]], &topics(), &Bounds::default()).is_err());
    assert!(build(&[&log[..ENVELOPE_LEN + HEADER_LEN - 1]], &topics(), &Bounds::default()).is_err());
    assert!(build(&[], &topics(), &Bounds::default()).unwrap().segments.is_empty());
}

#[test]
fn files_are_named_after_the_day_and_what_they_cover() {
    let log = window(&[piece(0, 3), Piece { step_ns: DAY_NS, ..piece(0, 3) }]);
    let segments = build(&[&log], &topics(), &Bounds::default()).unwrap();
    let keys: Vec<&str> = segments.segments.iter().map(|segment| &segment.manifest.key[..]).collect();
    let stem = &keys[0][20..52];
    assert_eq!(keys[0], format!("data/day=2023-11-14/{stem}-0000.parquet"));
    assert_eq!(keys[1], format!("data/day=2023-11-15/{stem}-0001.parquet"));
}

#[test]
fn a_read_goes_on_over_a_gap_between_row_groups() {
    let pieces = [piece(0, 10), Piece { gap: 5, ..piece(0, 10) }];
    let log = window(&pieces);
    let segments = build(&[&log], &topics(), &Bounds { group_rows: 10, ..Bounds::default() }).unwrap();
    let Segment { data, manifest } = &segments.segments[0];
    assert_eq!((manifest.groups[0].first, manifest.groups[1].first), (5, 20));
    // Offsets 15 to 19 have no record: a page that ended at 15 would be asked for again, for ever.
    let seek = Seek { topic_id: id_of(0), partition: 0, offset: 15, since_ns: 0 };
    let found = manifest.locate(&seek, 1, 1).unwrap();
    let bytes = &data[found.at as usize..(found.at + found.length) as usize];
    let page =
        page(manifest, &data[manifest.footer_at as usize..], found.at, bytes, &seek, 1).unwrap().unwrap();
    assert_eq!(page, ColdPage { envelopes: Vec::new(), end: 20 });
}
