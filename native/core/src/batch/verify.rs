//! What a producer's batch must be before it is appended: one walk, no allocation per record.
use super::record::{parts, walk_headers, Parts};
use super::reserved::Reserved;
use super::varint::Reader;
use super::{BatchError, Codec, Header, HEADER_LEN};
use crate::limits::{
    BATCH_RECORDS_MAX, KEY_BYTES_MAX, PAYLOAD_BYTES_MAX, RECORD_HEADERS_BYTES_MAX, RECORD_HEADERS_COUNT_MAX,
};
use crate::problem::Code;

const CODEC_MASK: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

/// A batch that holds: every length, count, checksum and record of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Bytes consumed: the whole batch.
    pub length: usize,
    /// Its header.
    pub header: Header,
    /// The smallest time to live of its records in seconds; `None` when no record has one of its own.
    pub ttl_s_min: Option<u32>,
    /// Records with a time to live of their own; the others have the topic's.
    pub ttl_count: u32,
    /// Whether a record has an idempotency key.
    pub has_keys: bool,
    /// Bytes of the largest payload.
    pub value_bytes_max: usize,
    /// Whether the records are compressed.
    pub is_compressed: bool,
}

impl Verified {
    /// Records in the batch, 1 to `BATCH_RECORDS_MAX`.
    pub fn count(&self) -> u32 {
        self.header.records_count as u32
    }
}

/// Verifies the first batch in `bytes`; `None` when more bytes are needed.
///
/// In this order: length bounds, magic, checksum, attributes (codec only; no control, transactional or log-append-time
/// batches), counts, producer numbers, then every record: inflated within its bounds by what comes out, offset deltas
/// 0, 1, 2, …, sizes of key, value and headers, header names UTF-8, reserved headers well-formed.
pub fn verify(bytes: &[u8]) -> Result<Option<Verified>, BatchError> {
    verify_with(bytes, &mut Vec::new())
}

/// [`verify`] with a buffer that keeps its capacity between compressed batches.
pub fn verify_with(bytes: &[u8], scratch: &mut Vec<u8>) -> Result<Option<Verified>, BatchError> {
    let Some(header) = Header::parse(bytes)? else { return Ok(None) };
    let Some(batch) = bytes.get(..header.length) else { return Ok(None) };
    if !header.has_valid_crc(batch) {
        let found = crc32c::crc32c(&batch[super::header::CHECKED_FROM..]);
        let reason = format!("CRC32C {:#010x} of the header is not {found:#010x} of the bytes", header.crc);
        return Err(BatchError::new(Code::BadChecksum, 17, reason));
    }
    check_fields(&header)?;
    let body = &batch[HEADER_LEN..];
    let codec = header.codec()?;
    let ttl = match codec {
        Codec::None => walk(&header, body).map_err(|error| error.moved(HEADER_LEN))?,
        codec => {
            codec.inflate(body, scratch)?;
            walk(&header, scratch)?
        }
    };
    Ok(Some(Verified {
        length: header.length,
        header,
        ttl_s_min: (ttl.count > 0).then_some(ttl.min_s),
        ttl_count: ttl.count,
        has_keys: ttl.has_keys,
        value_bytes_max: ttl.value_bytes_max,
        is_compressed: codec != Codec::None,
    }))
}

fn check_fields(header: &Header) -> Result<(), BatchError> {
    let attributes = header.attributes;
    for (bit, name) in
        [(LOG_APPEND_TIME, "log append time"), (TRANSACTIONAL, "transactional"), (CONTROL, "control")]
    {
        if attributes & bit != 0 {
            return Err(BatchError::invalid(
                21,
                format!("attributes {attributes:#06x}: {name} batches are not taken"),
            ));
        }
    }
    if attributes & !CODEC_MASK != 0 {
        return Err(BatchError::invalid(21, format!("attributes {attributes:#06x} have unknown bits")));
    }
    let count = header.records_count;
    if count < 1 {
        return Err(BatchError::invalid(57, format!("{count} records, there must be 1 at least")));
    }
    if count as usize > BATCH_RECORDS_MAX {
        return Err(BatchError::above(
            57,
            "record count",
            count as usize,
            "batch_records_max",
            BATCH_RECORDS_MAX,
        ));
    }
    if header.last_offset_delta != count - 1 {
        let delta = header.last_offset_delta;
        return Err(BatchError::invalid(
            23,
            format!("last offset delta {delta} is not {} for {count} records", count - 1),
        ));
    }
    let (id, epoch, sequence) = (header.producer_id, header.producer_epoch, header.base_sequence);
    if id < -1 || (id >= 0 && (epoch < 0 || sequence < 0)) {
        let reason = format!("producer id {id}, epoch {epoch} and sequence {sequence} do not go together");
        return Err(BatchError::invalid(43, reason));
    }
    Ok(())
}

#[derive(Default)]
struct Ttl {
    min_s: u32,
    count: u32,
    value_bytes_max: usize,
    has_keys: bool,
}

fn walk(header: &Header, records: &[u8]) -> Result<Ttl, BatchError> {
    let mut reader = Reader::new(records);
    let mut ttl = Ttl { min_s: u32::MAX, count: 0, value_bytes_max: 0, has_keys: false };
    for index in 0..header.records_count {
        let start = reader.at;
        let parts = parts(&mut reader)?;
        if parts.offset_delta != index {
            let delta = parts.offset_delta;
            return Err(BatchError::invalid(start, format!("offset delta {delta} is not {index}")));
        }
        if header.base_timestamp_ms.checked_add(parts.timestamp_delta).is_none() {
            let delta = parts.timestamp_delta;
            return Err(BatchError::invalid(
                start,
                format!("timestamp delta {delta} leaves the range of 64 bits"),
            ));
        }
        let (key, value) = (parts.key.map_or(0, <[u8]>::len), parts.value.map_or(0, <[u8]>::len));
        if key > KEY_BYTES_MAX {
            return Err(BatchError::above(start, "key bytes", key, "key_bytes_max", KEY_BYTES_MAX));
        }
        if value > PAYLOAD_BYTES_MAX {
            return Err(BatchError::above(
                start,
                "payload bytes",
                value,
                "payload_bytes_max",
                PAYLOAD_BYTES_MAX,
            ));
        }
        ttl.value_bytes_max = ttl.value_bytes_max.max(value);
        if parts.headers_count > 0 {
            let reserved = check_headers(&parts)?;
            if let Some(own_s @ 1..) = reserved.ttl_s {
                ttl.min_s = ttl.min_s.min(own_s);
                ttl.count += 1;
            }
            ttl.has_keys |= reserved.idempotency_key.is_some();
        }
    }
    if reader.at != records.len() {
        let rest = records.len() - reader.at;
        return Err(BatchError::invalid(reader.at, format!("{rest} bytes after the last record")));
    }
    Ok(ttl)
}

fn check_headers<'a>(parts: &Parts<'a>) -> Result<Reserved<'a>, BatchError> {
    let (mut count, mut bytes) = (0, 0);
    let reserved = walk_headers(parts, |name, value, at| {
        count += 1;
        bytes += name.len() + value.map_or(0, <[u8]>::len);
        check_header_name(name, at)?;
        check_header_sizes(count, bytes, at)
    })?;
    Ok(reserved)
}

/// A header's name is UTF-8 text of one byte at least.
pub(super) fn check_header_name(name: &[u8], at: usize) -> Result<(), BatchError> {
    if name.is_empty() {
        return Err(BatchError::invalid(at, "header name is empty"));
    }
    std::str::from_utf8(name)
        .map(|_| ())
        .map_err(|error| BatchError::invalid(at, format!("header name is not UTF-8 ({error})")))
}

/// Count and bytes of one record's headers that are not reserved.
pub(super) fn check_header_sizes(count: usize, bytes: usize, at: usize) -> Result<(), BatchError> {
    if count > RECORD_HEADERS_COUNT_MAX {
        return Err(BatchError::above(
            at,
            "header count",
            count,
            "record_headers_count_max",
            RECORD_HEADERS_COUNT_MAX,
        ));
    }
    if bytes > RECORD_HEADERS_BYTES_MAX {
        return Err(BatchError::above(
            at,
            "header bytes",
            bytes,
            "record_headers_bytes_max",
            RECORD_HEADERS_BYTES_MAX,
        ));
    }
    Ok(())
}
