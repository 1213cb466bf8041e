//! Batches as producers send them: what is written reads back, what is damaged is refused and never panics.
use proptest::prelude::*;
use sprawl_core::batch::{
    records, stamp, verify, BatchError, Builder, Codec, Header, Producer, Record, RecordRef, CONTENT_TYPES,
    HEADER_LEN,
};
use sprawl_core::limits::{
    BATCH_BYTES_MAX, BATCH_RECORDS_MAX, INFLATED_RATIO_MAX, KEY_BYTES_MAX, PAYLOAD_BYTES_MAX,
    RECORD_HEADERS_BYTES_MAX, RECORD_HEADERS_COUNT_MAX, TTL_S_MAX,
};
use sprawl_core::problem::Code;

#[derive(Clone, Debug, PartialEq)]
struct Owned {
    timestamp_ms: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
    ttl_s: Option<u32>,
    idempotency_key: Option<String>,
    content_type: Option<String>,
}

impl Owned {
    fn push(&self, builder: &mut Builder) -> Result<u32, BatchError> {
        let record = Record {
            timestamp_ms: self.timestamp_ms,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &[],
            ttl_s: self.ttl_s,
            idempotency_key: self.idempotency_key.as_ref().map(String::as_bytes),
            content_type: self.content_type.as_ref().map(String::as_bytes),
        };
        builder.push_with(&record, self.headers.iter().map(|(name, value)| (name.as_bytes(), &value[..])))
    }

    fn of(record: &RecordRef<'_>) -> Self {
        Self {
            timestamp_ms: record.timestamp_ms,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.map(|(name, value)| (text(name), value.to_vec())).collect(),
            ttl_s: record.ttl_s,
            idempotency_key: record.idempotency_key.map(text),
            content_type: record.content_type.map(str::to_owned),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

prop_compose! {
    fn owned()(
        timestamp_ms in -1..(i64::MAX / 2),
        key in prop::option::of(prop::collection::vec(any::<u8>(), 0..80)),
        value in prop::option::of(prop::collection::vec(any::<u8>(), 0..300)),
        headers in prop::collection::vec(("[a-z\u{e4}]{1,9}", prop::collection::vec(any::<u8>(), 0..20)), 0..4),
        ttl_s in prop::option::of(0..=TTL_S_MAX as u32),
        idempotency_key in prop::option::of("[a-z\u{e4}]{1,80}"),
        content_type in prop::option::of(prop_oneof!["[ -~]{2,40}", prop::sample::select(&CONTENT_TYPES[..]).prop_map(str::to_owned)]),
    ) -> Owned {
        Owned { timestamp_ms, key, value, headers, ttl_s, idempotency_key, content_type }
    }
}

fn build(owned: &[Owned]) -> Builder {
    let mut builder = Builder::new();
    for (index, record) in owned.iter().enumerate() {
        assert_eq!(record.push(&mut builder), Ok(index as u32));
    }
    builder
}

fn read(bytes: &[u8]) -> Result<Vec<Owned>, BatchError> {
    let mut scratch = Vec::new();
    let found = records(bytes, &mut scratch)?;
    found.map(|record| record.map(|record| Owned::of(&record))).collect()
}

fn plain(values: &[&[u8]]) -> Vec<u8> {
    let mut builder = Builder::new();
    for value in values {
        builder
            .push(&Record { timestamp_ms: 1_700_000_000_000, value: Some(value), ..Record::default() })
            .unwrap();
    }
    let mut out = Vec::new();
    builder.finish_into(&mut out, 0, 0, None);
    out
}

/// A batch with these bytes as records and a right checksum, whatever the records are.
fn forged(attributes: i16, last_offset_delta: i32, count: i32, records: &[u8]) -> Vec<u8> {
    let mut batch = plain(&[b""]);
    batch.truncate(HEADER_LEN);
    batch[21..23].copy_from_slice(&attributes.to_be_bytes());
    batch[23..27].copy_from_slice(&last_offset_delta.to_be_bytes());
    batch[57..61].copy_from_slice(&count.to_be_bytes());
    batch.extend_from_slice(records);
    resealed(batch)
}

fn resealed(mut batch: Vec<u8>) -> Vec<u8> {
    let counted = (batch.len() - 12) as i32;
    batch[8..12].copy_from_slice(&counted.to_be_bytes());
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

fn refused(bytes: &[u8]) -> BatchError {
    match verify(bytes) {
        Err(error) => error,
        other => panic!("not refused: {other:?}"),
    }
}

/// One record without key and headers, by hand: length, attributes, timestamp 0, offset, key -1, value, headers.
fn record(offset: u8, value: &[u8], headers: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 0, offset * 2, 1, value.len() as u8 * 2];
    body.extend(value);
    body.extend(if headers.is_empty() { &[0] } else { headers });
    body.insert(0, body.len() as u8 * 2);
    assert!(body.len() < 64 && value.len() < 64 && offset < 64);
    body
}

proptest! {
    #[test]
    fn what_is_pushed_verifies_and_reads_back_with_every_codec(owned in prop::collection::vec(owned(), 1..20), number in 0..5u8) {
        let builder = build(&owned);
        let producer = Some(Producer { id: 7, epoch: 1, sequence: 3 });
        let mut out = b"before".to_vec();
        let codec = builder.compress_into(Codec::from_number(number).unwrap(), &mut out, 40, 2, producer).unwrap();
        let length = out.len() - 6;
        out.extend_from_slice(b"after");
        let verified = verify(&out[6..]).unwrap().unwrap();
        prop_assert_eq!(verified.length, length);
        prop_assert_eq!(verified.count() as usize, owned.len());
        prop_assert_eq!(verified.is_compressed, codec != Codec::None);
        let own = owned.iter().filter_map(|record| record.ttl_s.filter(|&ttl_s| ttl_s > 0));
        prop_assert_eq!(verified.ttl_count as usize, own.clone().count());
        prop_assert_eq!(verified.ttl_s_min, own.min());
        let largest = owned.iter().map(|record| record.value.as_ref().map_or(0, Vec::len)).max();
        prop_assert_eq!(Some(verified.value_bytes_max), largest);
        let header = verified.header;
        prop_assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (7, 1, 3));
        prop_assert_eq!((header.base_offset, header.leader_epoch), (40, 2));
        prop_assert_eq!(header.base_timestamp_ms, owned[0].timestamp_ms);
        prop_assert_eq!(Some(header.max_timestamp_ms), owned.iter().map(|record| record.timestamp_ms).max());
        prop_assert_eq!(read(&out[6..]), Ok(owned));
    }

    #[test]
    fn every_cut_is_incomplete_and_every_length_announced_is_written(owned in prop::collection::vec(owned(), 1..5), at: prop::sample::Index) {
        let builder = build(&owned);
        let mut out = Vec::new();
        builder.finish_into(&mut out, 0, 0, None);
        prop_assert_eq!(out.len(), builder.encoded_len());
        let mut placed = vec![0xee; out.len() + 1];
        prop_assert_eq!(builder.finish_in_place(&mut placed, 0, 0, None), out.len());
        prop_assert_eq!(&placed[..out.len()], &out[..]);
        prop_assert_eq!(placed[out.len()], 0xee);
        prop_assert_eq!(verify(&out[..at.index(out.len())]), Ok(None));
        prop_assert!(records(&out[..at.index(out.len())], &mut Vec::new()).is_err());
    }

    #[test]
    fn a_flipped_bit_behind_the_base_offset_never_verifies(owned in prop::collection::vec(owned(), 1..4), number in 0..5u8, at: prop::sample::Index) {
        let mut out = Vec::new();
        build(&owned).compress_into(Codec::from_number(number).unwrap(), &mut out, 0, 0, None).unwrap();
        // Base offset (0..8) and leader epoch (12..16) lie outside the checksum by design.
        let bits: Vec<usize> = (8 * 8..12 * 8).chain(16 * 8..out.len() * 8).collect();
        let bit = bits[at.index(bits.len())];
        out[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!matches!(verify(&out), Ok(Some(_))));
    }

    #[test]
    fn any_records_under_a_right_checksum_are_verified_or_refused(
        attributes in 0..5i16, count in 1..4i32, bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let batch = forged(attributes, count - 1, count, &bytes);
        if verify(&batch).is_ok() {
            prop_assert!(read(&batch).is_ok());
        } else {
            let _ = read(&batch);
        }
    }

    #[test]
    fn a_damaged_record_under_a_right_checksum_never_panics(
        owned in prop::collection::vec(owned(), 1..4), number in 0..5u8, at: prop::sample::Index, to: u8,
    ) {
        let mut out = Vec::new();
        build(&owned).compress_into(Codec::from_number(number).unwrap(), &mut out, 0, 0, None).unwrap();
        let at = HEADER_LEN + at.index(out.len() - HEADER_LEN);
        out[at] = to;
        let out = resealed(out);
        if verify(&out).is_ok() {
            prop_assert!(read(&out).is_ok());
        }
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(bytes: Vec<u8>) {
        let _ = Header::parse(&bytes);
        prop_assert!(!matches!(verify(&bytes), Ok(Some(_))));
    }
}

#[test]
fn batches_back_to_back_are_verified_one_by_one() {
    let (one, two) = (plain(&[b"a"]), plain(&[b"b", b"c"]));
    let both = [one.clone(), two.clone()].concat();
    let first = verify(&both).unwrap().unwrap();
    assert_eq!(first.length, one.len());
    assert_eq!(verify(&both[first.length..]).unwrap().unwrap().length, two.len());
}

#[test]
fn a_stamp_gives_the_place_and_keeps_the_checksum() {
    let mut batch = plain(&[b"a", b"b"]);
    stamp(&mut batch, 1 << 40, 77);
    let verified = verify(&batch).unwrap().unwrap();
    assert_eq!((verified.header.base_offset, verified.header.leader_epoch), (1 << 40, 77));
    let offsets: Vec<i64> =
        records(&batch, &mut Vec::new()).unwrap().map(|record| record.unwrap().offset).collect();
    assert_eq!(offsets, [1 << 40, (1 << 40) + 1]);
}

#[test]
fn a_length_outside_of_its_bounds_is_refused_before_anything_else_is_there() {
    for (counted, code) in [
        (-1, Code::InvalidBatch),
        (i32::MIN, Code::InvalidBatch),
        (48, Code::InvalidBatch),
        (i32::MAX, Code::TooLarge),
        (BATCH_BYTES_MAX as i32 - 11, Code::TooLarge),
    ] {
        let mut head = vec![0; 8];
        head.extend(i32::to_be_bytes(counted));
        assert_eq!(refused(&head).code, code, "{counted}");
    }
    let mut head = vec![0; 8];
    head.extend((BATCH_BYTES_MAX as i32 - 12).to_be_bytes());
    assert_eq!(verify(&head), Ok(None));
}

#[test]
fn another_magic_is_refused_as_soon_as_it_is_seen() {
    let mut batch = plain(&[b"a"]);
    batch[16] = 1;
    assert_eq!(refused(&batch[..17]).at, 16);
    assert!(verify(&plain(&[b"a"])[..17]).unwrap().is_none());
}

#[test]
fn a_wrong_checksum_has_its_own_code() {
    let mut batch = plain(&[b"a"]);
    *batch.last_mut().unwrap() ^= 1;
    assert_eq!(refused(&batch).code, Code::BadChecksum);
}

#[test]
fn flags_and_foreign_codecs_are_refused() {
    let records = record(0, b"a", &[]);
    for (attributes, code) in [
        (0x08, Code::InvalidBatch),
        (0x10, Code::InvalidBatch),
        (0x20, Code::InvalidBatch),
        (0x40, Code::InvalidBatch),
        (i16::MIN, Code::InvalidBatch),
        (5, Code::UnsupportedMediaType),
        (7, Code::UnsupportedMediaType),
    ] {
        assert_eq!(refused(&forged(attributes, 0, 1, &records)).code, code, "{attributes:#x}");
    }
}

#[test]
fn counts_and_deltas_must_agree() {
    let two = [record(0, b"a", &[]), record(1, b"b", &[])].concat();
    assert!(verify(&forged(0, 1, 2, &two)).unwrap().is_some());
    let gap = [record(0, b"a", &[]), record(2, b"b", &[])].concat();
    for (last, count, records, reason) in [
        (0, 0, &two, "0 records"),
        (-2, -1, &two, "-1 records"),
        (2, 2, &two, "last offset delta 2 is not 1"),
        (0, 1, &two, "bytes after the last record"),
        (2, 3, &two, "record length ends"),
        (1, 2, &gap, "offset delta 2 is not 1"),
        (BATCH_RECORDS_MAX as i32, BATCH_RECORDS_MAX as i32 + 1, &two, "batch_records_max"),
    ] {
        let error = refused(&forged(0, last, count, records));
        assert!(error.reason.contains(reason), "{reason}: {error}");
    }
}

#[test]
fn producer_numbers_go_together() {
    for (id, epoch, sequence, is_taken) in [
        (-1i64, -1i16, -1i32, true),
        (5, 0, 0, true),
        (5, -1, 0, false),
        (5, 0, -1, false),
        (-2, 0, 0, false),
    ] {
        let mut batch = plain(&[b"a"]);
        batch[43..51].copy_from_slice(&id.to_be_bytes());
        batch[51..53].copy_from_slice(&epoch.to_be_bytes());
        batch[53..57].copy_from_slice(&sequence.to_be_bytes());
        assert_eq!(verify(&resealed(batch)).is_ok(), is_taken, "{id} {epoch} {sequence}");
    }
}

#[test]
fn reserved_headers_are_taken_when_well_formed_only() {
    let header = |name: u8, value: &[u8]| [&[2, 2, name, value.len() as u8 * 2][..], value].concat();
    for (headers, reason) in [
        (header(1, &[0, 0, 1]), "ttl of 3 bytes"),
        (header(1, &[0xff; 4]), "ttl_s_max"),
        (header(2, b""), "idempotency key of 0 bytes"),
        (header(2, &[0xff]), "not UTF-8"),
        (header(3, &[0]), "content type"),
        (header(3, &[9]), "content type"),
        (header(3, b"a\n"), "content type"),
        (header(3, b""), "content type"),
        (header(4, b"x"), "0x04"),
        (header(0x1f, b"x"), "0x1f"),
        (vec![2, 2, 1, 1], "null"),
        (vec![4, 2, 3, 2, 1, 2, 3, 2, 1], "twice"),
        (vec![2, 0, 0], "name is empty"),
        (vec![2, 2, 0xff, 0], "not UTF-8"),
        (vec![2, 4, b'a'], "record header"),
        (vec![2, 2, b'a', 0, 0], "after the last header"),
        (vec![127, 0, 0, 0], "do not fit"),
        (vec![1], "do not fit"),
    ] {
        let error = refused(&forged(0, 0, 1, &record(0, b"a", &headers)));
        assert!(error.reason.contains(reason), "{reason}: {error}");
        assert_eq!(error.code, Code::InvalidBatch);
    }
    let headers = vec![6, 2, 1, 8, 0, 0, 0, 60, 2, 2, 2, b'k', 2, 3, 2, 3];
    let batch = forged(0, 0, 1, &record(0, b"{}", &headers));
    assert_eq!(verify(&batch).unwrap().unwrap().ttl_s_min, Some(60));
    let mut scratch = Vec::new();
    let found = records(&batch, &mut scratch).unwrap().next().unwrap().unwrap();
    assert_eq!(
        (found.ttl_s, found.idempotency_key, found.content_type),
        (Some(60), Some(&b"k"[..]), Some("application/json"))
    );
    assert_eq!(found.headers.count(), 0);
}

#[test]
fn sizes_at_their_limit_pass_and_one_more_is_refused_by_builder_and_verifier_alike() {
    let (key, value) = (vec![b'k'; KEY_BYTES_MAX + 1], vec![b'v'; PAYLOAD_BYTES_MAX + 1]);
    let most = Record { key: Some(&key[1..]), value: Some(&value[1..]), ..Record::default() };
    let mut builder = Builder::new();
    builder.push(&most).unwrap();
    let before = builder.encoded_len();
    for record in
        [Record { key: Some(&key), ..Record::default() }, Record { value: Some(&value), ..Record::default() }]
    {
        assert_eq!(builder.push(&record).unwrap_err().code, Code::TooLarge);
    }
    assert_eq!(
        builder.push(&most).unwrap_err().code,
        Code::TooLarge,
        "two payloads of 10 MiB exceed a batch"
    );
    assert_eq!((builder.count(), builder.encoded_len()), (1, before));
    let mut out = Vec::new();
    builder.finish_into(&mut out, 0, 0, None);
    assert!(verify(&out).unwrap().is_some());

    let name = [b'n'];
    let pair = (&name[..], &b""[..]);
    let headers = vec![pair; RECORD_HEADERS_COUNT_MAX + 1];
    let mut builder = Builder::new();
    assert!(builder.push(&Record { headers: &headers[1..], ..Record::default() }).is_ok());
    assert_eq!(
        builder.push(&Record { headers: &headers, ..Record::default() }).unwrap_err().code,
        Code::TooLarge
    );
    let long = vec![b'v'; RECORD_HEADERS_BYTES_MAX];
    assert!(builder.push(&Record { headers: &[(&name, &long[1..])], ..Record::default() }).is_ok());
    assert_eq!(
        builder.push(&Record { headers: &[(&name, &long)], ..Record::default() }).unwrap_err().code,
        Code::TooLarge
    );
    builder.finish_into(&mut Vec::new(), 0, 0, None);
    assert_eq!(builder.count(), 2);
}

#[test]
fn a_batch_holds_its_most_records_and_no_more() {
    let mut builder = Builder::new();
    for _ in 0..BATCH_RECORDS_MAX {
        builder.push(&Record::default()).unwrap();
    }
    assert_eq!(builder.push(&Record::default()).unwrap_err().code, Code::TooLarge);
    let mut out = Vec::new();
    builder.finish_into(&mut out, 0, 0, None);
    assert_eq!(verify(&out).unwrap().unwrap().count() as usize, BATCH_RECORDS_MAX);
    builder.clear();
    assert_eq!((builder.count(), builder.encoded_len()), (0, HEADER_LEN));
    builder.push(&Record::default()).unwrap();
}

#[test]
fn the_builder_refuses_what_no_record_may_say() {
    let mut builder = Builder::new();
    builder.push(&Record { timestamp_ms: i64::MAX, ..Record::default() }).unwrap();
    for record in [
        Record { timestamp_ms: -2, ..Record::default() },
        Record { timestamp_ms: i64::MAX, headers: &[(b"\x01", b"abcd")], ..Record::default() },
        Record { timestamp_ms: i64::MAX, headers: &[(b"", b"")], ..Record::default() },
        Record { timestamp_ms: i64::MAX, headers: &[(b"\xff", b"")], ..Record::default() },
        Record { timestamp_ms: i64::MAX, ttl_s: Some(u32::MAX), ..Record::default() },
        Record { timestamp_ms: i64::MAX, idempotency_key: Some(b""), ..Record::default() },
        Record { timestamp_ms: i64::MAX, content_type: Some(b"\x01"), ..Record::default() },
        Record { timestamp_ms: i64::MAX, content_type: Some(b"a\r\nb"), ..Record::default() },
    ] {
        assert_eq!(builder.push(&record).unwrap_err().code, Code::InvalidBatch, "{record:?}");
    }
    assert_eq!(builder.count(), 1);
}

#[test]
fn a_filtered_batch_keeps_its_offsets_and_is_no_producers_batch() {
    let mut builder = Builder::new();
    builder.skip(3);
    builder.push(&Record { value: Some(b"a"), ..Record::default() }).unwrap();
    builder.skip(2);
    builder.push(&Record { value: Some(b"b"), ..Record::default() }).unwrap();
    let mut out = Vec::new();
    builder.finish_into(&mut out, 100, 1, None);
    let offsets: Vec<i64> =
        records(&out, &mut Vec::new()).unwrap().map(|record| record.unwrap().offset).collect();
    assert_eq!(offsets, [103, 106]);
    assert_eq!(refused(&out).code, Code::InvalidBatch);
}

#[test]
fn a_bomb_is_refused_by_what_comes_out() {
    let zeros = vec![0; 8 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut gzip, &zeros).unwrap();
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    std::io::Write::write_all(&mut lz4, &zeros).unwrap();
    let bombs = [
        (1, gzip.finish().unwrap()),
        (3, lz4.finish().unwrap()),
        (4, zstd::encode_all(&zeros[..], 3).unwrap()),
        // Claims 64 MiB and one byte: refused by the claim, before memory is taken.
        (2, vec![0x81, 0x80, 0x80, 0x20, 0]),
    ];
    for (attributes, bytes) in bombs {
        let is_bomb = bytes.len() * INFLATED_RATIO_MAX < zeros.len();
        let found = refused(&forged(attributes, 0, 1, &bytes));
        assert!(is_bomb && found.code == Code::TooLarge, "{attributes}: {found}");
    }
}

#[test]
fn records_that_shrink_too_well_or_not_at_all_are_written_as_they_are() {
    let zeros = vec![0; 1 << 20];
    for codec in [Codec::Gzip, Codec::Zstd, Codec::Lz4, Codec::Snappy] {
        for value in [&zeros[..], b"x"] {
            let mut builder = Builder::new();
            builder.push(&Record { value: Some(value), ..Record::default() }).unwrap();
            let mut out = Vec::new();
            let used = builder.compress_into(codec, &mut out, 0, 0, None).unwrap();
            let verified = verify(&out).unwrap().unwrap();
            assert_eq!(verified.is_compressed, used != Codec::None);
        }
    }
}

#[test]
fn raw_snappy_and_trailing_bytes() {
    let records = record(0, b"a", &[]);
    let raw = snap::raw::Encoder::new().compress_vec(&records).unwrap();
    assert!(verify(&forged(2, 0, 1, &raw)).unwrap().is_some());
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    std::io::Write::write_all(&mut lz4, &records).unwrap();
    let packed = [(2, raw), (3, lz4.finish().unwrap()), (4, zstd::encode_all(&records[..], 3).unwrap())];
    for (attributes, mut bytes) in packed {
        bytes.extend_from_slice(b"tail");
        assert_eq!(refused(&forged(attributes, 0, 1, &bytes)).code, Code::InvalidBatch, "{attributes}");
    }
}
