//! Encodes records into a batch: bytes are appended to one buffer, the header is written at the end.
use super::reserved::{
    check_idempotency_key, check_ttl, content_type_code, content_type_fault, content_type_text, is_reserved,
    CONTENT_TYPE, IDEMPOTENCY_KEY, TTL,
};
use super::varint::{varint_len, Small};
use super::verify::{check_header_name, check_header_sizes};
use super::{BatchError, Codec, Header, HEADER_LEN};
use crate::limits::{
    BATCH_BYTES_MAX, BATCH_RECORDS_MAX, INFLATED_RATIO_MAX, KEY_BYTES_MAX, PAYLOAD_BYTES_MAX,
};

/// One record to encode, borrowed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record<'a> {
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The key, at most `KEY_BYTES_MAX` bytes.
    pub key: Option<&'a [u8]>,
    /// The payload, at most `PAYLOAD_BYTES_MAX` bytes; `None` is Kafka's null.
    pub value: Option<&'a [u8]>,
    /// Names (UTF-8) and values of the client's headers; see also [`Builder::push_with`].
    pub headers: &'a [(&'a [u8], &'a [u8])],
    /// Time to live in seconds; 0 (as absent) means the topic's default.
    pub ttl_s: Option<u32>,
    /// UTF-8, 1 to 255 bytes.
    pub idempotency_key: Option<&'a [u8]>,
    /// ASCII text; common ones take one byte.
    pub content_type: Option<&'a [u8]>,
}

/// Numbers by which a producer's batches are deduplicated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    /// Random, 63 bits.
    pub id: i64,
    /// Raised by each start of the producer.
    pub epoch: i16,
    /// Sequence of the batch's first record.
    pub sequence: i32,
}

impl From<(i64, i16, i32)> for Producer {
    fn from((id, epoch, sequence): (i64, i16, i32)) -> Self {
        Self { id, epoch, sequence }
    }
}

/// A batch in the making; reusable after [`Builder::clear`], which keeps its memory.
///
/// Everything pushed was checked against the limits, so the batch that comes out passes [`super::verify`]. After an
/// error of a push the builder is as it was before.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    records: Vec<u8>,
    count: u32,
    next_delta: u32,
    base_timestamp_ms: i64,
    max_timestamp_ms: i64,
}

impl Builder {
    /// An empty builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty builder with memory for `bytes` of encoded records.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { records: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Forgets the records and keeps the memory.
    pub fn clear(&mut self) {
        self.records.clear();
        self.count = 0;
        self.next_delta = 0;
    }

    /// Records pushed.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Timestamp of the first record in milliseconds (0 while empty).
    pub fn base_timestamp_ms(&self) -> i64 {
        if self.is_empty() {
            0
        } else {
            self.base_timestamp_ms
        }
    }

    /// Largest timestamp in milliseconds (0 while empty).
    pub fn max_timestamp_ms(&self) -> i64 {
        if self.is_empty() {
            0
        } else {
            self.max_timestamp_ms
        }
    }

    /// Bytes that [`Builder::finish_into`] writes.
    pub fn encoded_len(&self) -> usize {
        HEADER_LEN + self.records.len()
    }

    /// Leaves a gap of `count` offsets before the next record (a batch filtered for a reader; producers' have none).
    pub fn skip(&mut self, count: u32) {
        self.next_delta += count;
    }

    /// Offset delta that the next record gets.
    pub fn next_delta(&self) -> u32 {
        self.next_delta
    }

    /// Appends a record with the headers of its slice. Returns its offset delta.
    #[inline]
    pub fn push(&mut self, record: &Record<'_>) -> Result<u32, BatchError> {
        self.push_with(record, record.headers.iter().copied())
    }

    /// Appends a record with the headers of `headers` instead of its slice: nothing has to be collected before.
    ///
    /// A value may be `None`, Kafka's null. `TooLarge` for a size above its limit or a full batch, `InvalidBatch` for a header or number that no record has.
    #[inline]
    pub fn push_with<'h, H, V>(&mut self, record: &Record<'_>, headers: H) -> Result<u32, BatchError>
    where
        H: Iterator<Item = (&'h [u8], V)> + Clone,
        V: Into<Option<&'h [u8]>>,
    {
        let headers = headers.map(|(name, value)| (name, value.into()));
        let sizes = self.sizes(record, headers.clone())?;
        let (delta, at) = (self.next_delta, self.records.len());
        // Longest: length 5, attributes 1, timestamp 10, offset 5, key length 5, value length 5.
        let mut small = Small::<31>::new();
        small.varint(sizes.body as i64);
        small.byte(0);
        small.varint(sizes.timestamp_delta);
        small.varint(i64::from(delta));
        self.records.reserve(VARINT_32_LEN + sizes.body);
        small.varint(record.key.map_or(-1, |key| key.len() as i64));
        if let Some(key) = record.key {
            self.records.extend_from_slice(small.as_slice());
            self.records.extend_from_slice(key);
            small = Small::new();
        }
        small.varint(record.value.map_or(-1, |value| value.len() as i64));
        self.records.extend_from_slice(small.as_slice());
        self.records.extend_from_slice(record.value.unwrap_or_default());
        if sizes.headers_count == 0 {
            self.records.push(0);
        } else {
            self.put_headers(record, headers, sizes.headers_count);
        }
        debug_assert_eq!(self.records.len() - at, varint_len(sizes.body as i64) + sizes.body);
        if self.count == 0 {
            self.base_timestamp_ms = record.timestamp_ms;
            self.max_timestamp_ms = record.timestamp_ms;
        }
        self.max_timestamp_ms = self.max_timestamp_ms.max(record.timestamp_ms);
        self.count += 1;
        self.next_delta += 1;
        Ok(delta)
    }

    /// Checks a record against every limit and counts its bytes.
    #[inline(always)]
    fn sizes<'h>(
        &self,
        record: &Record<'_>,
        headers: impl Iterator<Item = (&'h [u8], Option<&'h [u8]>)>,
    ) -> Result<Sizes, BatchError> {
        let at = self.encoded_len();
        let (key_len, value_len) = (record.key.map_or(0, <[u8]>::len), record.value.map_or(0, <[u8]>::len));
        if key_len > KEY_BYTES_MAX {
            return Err(BatchError::above(at, "key bytes", key_len, "key_bytes_max", KEY_BYTES_MAX));
        }
        if value_len > PAYLOAD_BYTES_MAX {
            return Err(BatchError::above(
                at,
                "payload bytes",
                value_len,
                "payload_bytes_max",
                PAYLOAD_BYTES_MAX,
            ));
        }
        if self.next_delta as usize >= BATCH_RECORDS_MAX {
            let count = self.next_delta as usize + 1;
            return Err(BatchError::above(at, "record count", count, "batch_records_max", BATCH_RECORDS_MAX));
        }
        let base = if self.count == 0 { record.timestamp_ms } else { self.base_timestamp_ms };
        let Some(timestamp_delta) = record.timestamp_ms.checked_sub(base) else {
            let reason = format!("timestamp {} is too far from the batch's {base}", record.timestamp_ms);
            return Err(BatchError::invalid(at, reason));
        };
        let (mut headers_count, mut headers_len, mut headers_bytes) = (0, 0, 0);
        for (name, value) in headers {
            headers_count += 1;
            headers_bytes += name.len() + value.map_or(0, <[u8]>::len);
            check_header_name(name, at)?;
            if is_reserved(name) {
                return Err(BatchError::invalid(at, format!("header name 0x{:02x} is reserved", name[0])));
            }
            check_header_sizes(headers_count, headers_bytes, at)?;
            headers_len += prefixed_len(name.len()) + value.map_or(1, |value| prefixed_len(value.len()));
        }
        if record.ttl_s.is_some() || record.idempotency_key.is_some() || record.content_type.is_some() {
            let (count, bytes) = reserved_len(record).map_err(|reason| BatchError::invalid(at, reason))?;
            headers_count += count;
            headers_len += bytes;
        }
        let body = 1
            + varint_len(timestamp_delta)
            + varint_len(i64::from(self.next_delta))
            + record.key.map_or(1, |key| prefixed_len(key.len()))
            + record.value.map_or(1, |value| prefixed_len(value.len()))
            + varint_len(headers_count as i64)
            + headers_len;
        let total = at + VARINT_32_LEN + body;
        if total > BATCH_BYTES_MAX {
            return Err(BatchError::above(at, "batch bytes", total, "batch_bytes_max", BATCH_BYTES_MAX));
        }
        Ok(Sizes { timestamp_delta, headers_count, body })
    }

    fn put_headers<'h>(
        &mut self,
        record: &Record<'_>,
        headers: impl Iterator<Item = (&'h [u8], Option<&'h [u8]>)>,
        count: usize,
    ) {
        self.put_varint(count as i64);
        if let Some(ttl_s) = record.ttl_s {
            self.put_header(&[TTL], Some(&ttl_s.to_be_bytes()));
        }
        if let Some(key) = record.idempotency_key {
            self.put_header(&[IDEMPOTENCY_KEY], Some(key));
        }
        if let Some(text) = record.content_type {
            match content_type_code(text) {
                Some(code) => self.put_header(&[CONTENT_TYPE], Some(&[code])),
                None => self.put_header(&[CONTENT_TYPE], Some(text)),
            }
        }
        for (name, value) in headers {
            self.put_header(name, value);
        }
    }

    fn put_varint(&mut self, value: i64) {
        let mut small = Small::<VARINT_32_LEN>::new();
        small.varint(value);
        self.records.extend_from_slice(small.as_slice());
    }

    fn put_header(&mut self, name: &[u8], value: Option<&[u8]>) {
        self.put_varint(name.len() as i64);
        self.records.extend_from_slice(name);
        self.put_varint(value.map_or(-1, |value| value.len() as i64));
        self.records.extend_from_slice(value.unwrap_or_default());
    }

    /// The batch's header for records that are stored as `codec`.
    fn header(
        &self,
        codec: Codec,
        base_offset: i64,
        leader_epoch: i32,
        producer: Option<Producer>,
    ) -> Header {
        assert!(self.count > 0, "a batch has one record at least");
        let producer = producer.unwrap_or(Producer { id: -1, epoch: -1, sequence: -1 });
        Header {
            base_offset,
            length: 0,
            leader_epoch,
            crc: 0,
            attributes: codec as i16,
            last_offset_delta: self.next_delta as i32 - 1,
            base_timestamp_ms: self.base_timestamp_ms,
            max_timestamp_ms: self.max_timestamp_ms,
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            base_sequence: producer.sequence,
            records_count: self.count as i32,
        }
    }

    /// Appends the whole uncompressed batch to `out`. The builder keeps its records; at least one was pushed.
    pub fn finish_into(
        &self,
        out: &mut Vec<u8>,
        base_offset: i64,
        leader_epoch: i32,
        producer: Option<Producer>,
    ) {
        let header = self.header(Codec::None, base_offset, leader_epoch, producer).encode(&self.records);
        out.reserve(self.encoded_len());
        out.extend_from_slice(&header);
        out.extend_from_slice(&self.records);
    }

    /// Writes the whole uncompressed batch over the first [`Builder::encoded_len`] bytes of `out` and returns that
    /// length. `out` is at least so long.
    pub fn finish_in_place(
        &self,
        out: &mut [u8],
        base_offset: i64,
        leader_epoch: i32,
        producer: Option<Producer>,
    ) -> usize {
        let length = self.encoded_len();
        let header = self.header(Codec::None, base_offset, leader_epoch, producer).encode(&self.records);
        out[..HEADER_LEN].copy_from_slice(&header);
        out[HEADER_LEN..length].copy_from_slice(&self.records);
        length
    }

    /// Appends the whole batch with compressed records to `out`. Returns the codec used: records that shrink by more
    /// than a reader may inflate (`INFLATED_RATIO_MAX`), or do not shrink at all, are written as they are.
    pub fn compress_into(
        &self,
        codec: Codec,
        out: &mut Vec<u8>,
        base_offset: i64,
        leader_epoch: i32,
        producer: Option<Producer>,
    ) -> Result<Codec, BatchError> {
        let mut packed = Vec::new();
        codec.deflate(&self.records, &mut packed)?;
        let is_worth = packed.len() < self.records.len();
        let is_within = packed.len().saturating_mul(INFLATED_RATIO_MAX) >= self.records.len();
        let (codec, records) =
            if is_worth && is_within { (codec, &packed) } else { (Codec::None, &self.records) };
        let header = self.header(codec, base_offset, leader_epoch, producer).encode(records);
        out.reserve(HEADER_LEN + records.len());
        out.extend_from_slice(&header);
        out.extend_from_slice(records);
        Ok(codec)
    }
}

/// Bytes of the longest 32-bit varint.
const VARINT_32_LEN: usize = 5;

struct Sizes {
    timestamp_delta: i64,
    headers_count: usize,
    /// Bytes of the record after its length.
    body: usize,
}

/// Bytes of a length and what it announces.
#[inline(always)]
fn prefixed_len(length: usize) -> usize {
    varint_len(length as i64) + length
}

/// Count and bytes of the reserved headers, which are checked on the way.
fn reserved_len(record: &Record<'_>) -> Result<(usize, usize), String> {
    let (mut count, mut bytes) = (0, 0);
    let mut add = |length: usize| {
        count += 1;
        bytes += prefixed_len(1) + prefixed_len(length);
    };
    if let Some(ttl_s) = record.ttl_s {
        check_ttl(ttl_s)?;
        add(4);
    }
    if let Some(key) = record.idempotency_key {
        check_idempotency_key(key)?;
        add(key.len());
    }
    if let Some(text) = record.content_type {
        if matches!(text, [0..=0x1f]) || content_type_text(text).is_none() {
            return Err(content_type_fault(text));
        }
        add(if content_type_code(text).is_some() { 1 } else { text.len() });
    }
    Ok((count, bytes))
}
