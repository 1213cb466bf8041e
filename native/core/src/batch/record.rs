//! One record at a time, borrowed from the batch (or from its inflated records).
use super::reserved::{is_reserved, Reserved};
use super::varint::Reader;
use super::{BatchError, Codec, Header, HEADER_LEN};

/// The parts of one record as they stand in the bytes.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i32,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers_count: usize,
    /// Everything after the header count.
    pub(super) headers: &'a [u8],
    /// Position of `headers` in the records, for errors.
    pub(super) headers_at: usize,
}

/// The next record of `reader`, which stands at its length.
#[inline(always)]
pub(super) fn parts<'a>(reader: &mut Reader<'a>) -> Result<Parts<'a>, BatchError> {
    let start = reader.at;
    let length = reader.varint().ok_or_else(|| BatchError::ends(start, "record length"))?;
    let body_at = reader.at;
    let body = usize::try_from(length).ok().and_then(|length| reader.take(length)).ok_or_else(|| {
        BatchError::invalid(start, format!("record of {length} bytes ends outside of the batch"))
    })?;
    let mut inner = Reader::new(body);
    macro_rules! part {
        ($read:ident, $name:literal) => {{
            let at = body_at + inner.at;
            inner.$read().ok_or_else(|| BatchError::ends(at, $name))?
        }};
    }
    let attributes = part!(byte, "record attributes");
    if attributes != 0 {
        return Err(BatchError::invalid(body_at, format!("record attributes {attributes} are not 0")));
    }
    let timestamp_delta = part!(varlong, "timestamp delta");
    let offset_delta = part!(varint, "offset delta");
    let key = part!(nullable, "key");
    let value = part!(nullable, "value");
    let count = part!(varint, "header count");
    let headers_at = body_at + inner.at;
    let headers = &body[inner.at..];
    // Every header takes two bytes at least, so a count is checked before anything is done as often.
    let headers_count =
        usize::try_from(count).ok().filter(|&count| count <= headers.len() / 2).ok_or_else(|| {
            BatchError::invalid(
                headers_at,
                format!("{count} headers do not fit into {} bytes", headers.len()),
            )
        })?;
    if headers_count == 0 && !headers.is_empty() {
        return Err(BatchError::invalid(
            headers_at,
            format!("{} bytes after the record's end", headers.len()),
        ));
    }
    Ok(Parts { timestamp_delta, offset_delta, key, value, headers_count, headers, headers_at })
}

/// The next header: name, value and the position of its name.
#[inline]
pub(super) fn header<'a>(reader: &mut Reader<'a>) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    let length = reader.varint()?;
    let name = reader.take(usize::try_from(length).ok()?)?;
    Some((name, reader.nullable()?))
}

/// Calls `user` for each header that is not reserved and returns the reserved ones.
#[inline]
pub(super) fn walk_headers<'a>(
    parts: &Parts<'a>,
    mut user: impl FnMut(&'a [u8], Option<&'a [u8]>, usize) -> Result<(), BatchError>,
) -> Result<Reserved<'a>, BatchError> {
    let mut reserved = Reserved::default();
    let mut reader = Reader::new(parts.headers);
    for _ in 0..parts.headers_count {
        let at = parts.headers_at + reader.at;
        let (name, value) = header(&mut reader).ok_or_else(|| BatchError::ends(at, "record header"))?;
        if is_reserved(name) {
            reserved.take(name[0], value, at)?;
        } else {
            user(name, value, at)?;
        }
    }
    if reader.at != parts.headers.len() {
        let at = parts.headers_at + reader.at;
        return Err(BatchError::invalid(
            at,
            format!("{} bytes after the last header", parts.headers.len() - reader.at),
        ));
    }
    Ok(reserved)
}

/// The headers that the client set (reserved ones are skipped), in their order; a null value reads as empty.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    reader: Reader<'a>,
    left: usize,
}

impl<'a> Headers<'a> {
    /// The next header as it stands in the bytes: a null value is told apart from an empty one.
    #[inline]
    pub fn next_nullable(&mut self) -> Option<(&'a [u8], Option<&'a [u8]>)> {
        while self.left > 0 {
            self.left -= 1;
            let (name, value) = header(&mut self.reader)?;
            if !is_reserved(name) {
                return Some((name, value));
            }
        }
        None
    }
}

#[allow(clippy::copy_iterator, reason = "two words, so that a borrowed record stays Copy")]
impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.next_nullable().map(|(name, value)| (name, value.unwrap_or_default()))
    }
}

/// One record, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    /// Offset in its partition (base offset plus delta).
    pub offset: i64,
    /// The producer's timestamp in milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The key, if any.
    pub key: Option<&'a [u8]>,
    /// The payload; `None` is Kafka's null (a tombstone).
    pub value: Option<&'a [u8]>,
    /// Headers that the client set.
    pub headers: Headers<'a>,
    /// Time to live in seconds; 0 (as absent) means the topic's default.
    pub ttl_s: Option<u32>,
    /// The caller's idempotency key.
    pub idempotency_key: Option<&'a [u8]>,
    /// The full text of the content type.
    pub content_type: Option<&'a str>,
}

/// The records of one batch, in order. After an error nothing follows.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    header: Header,
    reader: Reader<'a>,
    /// Position of the records' first byte for errors: 61, or 0 in inflated records.
    base_at: usize,
    left: i32,
    last_delta: i32,
}

impl Records<'_> {
    /// The batch's header.
    pub fn header(&self) -> &Header {
        &self.header
    }
}

/// The records of the first batch in `bytes`, which must be complete; the next one starts at `header().length`.
///
/// Records of a compressed batch are inflated into `scratch` (cleared first) within the bounds of `limits`. Offsets
/// may have gaps (a batch that was filtered for a reader) but ascend. The checksum is not looked at: use
/// [`Header::has_valid_crc`] or [`super::verify`] on bytes that nobody has checked.
pub fn records<'a>(bytes: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<Records<'a>, BatchError> {
    let header = Header::parse(bytes)?.filter(|header| header.length <= bytes.len());
    let header = header
        .ok_or_else(|| BatchError::invalid(0, format!("batch is incomplete after {} bytes", bytes.len())))?;
    let body = &bytes[HEADER_LEN..header.length];
    let (data, base_at) = match header.codec()? {
        Codec::None => (body, HEADER_LEN),
        codec => {
            codec.inflate(body, scratch)?;
            (&scratch[..], 0)
        }
    };
    Ok(Records { header, reader: Reader::new(data), base_at, left: header.records_count, last_delta: -1 })
}

impl<'a> Records<'a> {
    fn read(&mut self) -> Result<RecordRef<'a>, BatchError> {
        let start = self.reader.at;
        let parts = parts(&mut self.reader)?;
        if parts.offset_delta <= self.last_delta || parts.offset_delta > self.header.last_offset_delta {
            let (delta, last) = (parts.offset_delta, self.last_delta);
            return Err(BatchError::invalid(
                start,
                format!("offset delta {delta} after {last} is out of order"),
            ));
        }
        self.last_delta = parts.offset_delta;
        let reserved = if parts.headers_count == 0 {
            Reserved::default()
        } else {
            walk_headers(&parts, |_, _, _| Ok(()))?
        };
        Ok(RecordRef {
            offset: self.header.base_offset.wrapping_add(i64::from(parts.offset_delta)),
            timestamp_ms: self.header.base_timestamp_ms.wrapping_add(parts.timestamp_delta),
            key: parts.key,
            value: parts.value,
            headers: Headers { reader: Reader::new(parts.headers), left: parts.headers_count },
            ttl_s: reserved.ttl_s,
            idempotency_key: reserved.idempotency_key,
            content_type: reserved.content_type,
        })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordRef<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            let rest = self.reader.data.len() - self.reader.at;
            if self.left < 0 || rest == 0 {
                return None;
            }
            self.left = -1;
            let at = self.base_at + self.reader.at;
            return Some(Err(BatchError::invalid(at, format!("{rest} bytes after the last record"))));
        }
        self.left -= 1;
        let record = self.read().map_err(|error| error.moved(self.base_at));
        if record.is_err() {
            self.left = -1;
        }
        Some(record)
    }
}
