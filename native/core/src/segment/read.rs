//! Reads back what a segment holds of one partition, as envelopes with their batches.
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;
use xxhash_rust::xxh3::xxh3_64;

use super::columns::sequence_at;
use super::manifest::{Group, Manifest, PartitionRange, Seek};
use super::schema::{Index, COLUMNS_COUNT};
use super::SegmentError;
use crate::batch::{Builder, Producer, Record};
use crate::envelope::{Envelope, KIND_BATCH};
use crate::limits::BATCH_RECORDS_MAX;

/// Bytes after which a batch made from rows ends.
const BATCH_BYTES: usize = 256 * 1024;
const FOOTER_TAIL_LEN: usize = 8;

/// What a segment gave for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColdPage {
    /// Whole envelopes with their batches, in order of offsets.
    pub envelopes: Vec<u8>,
    /// Offset after what was looked at: below it, from the wanted offset on, no other record is in this segment.
    pub end: u64,
}

/// Reads records of a partition from whole row groups.
///
/// `footer` is the file from `footer_at` on, `bytes` the file from `at` on, at least what [`Manifest::locate`] named. The page
/// ends with the given row groups, or after `bytes_max` bytes of envelopes (one batch at least). `None`: the segment holds
/// nothing at or after what is wanted.
///
/// # Errors
/// Bytes that are not those the manifest was made of, or too few of them.
pub fn page(
    manifest: &Manifest,
    footer: &[u8],
    at: u64,
    bytes: &[u8],
    seek: &Seek,
    bytes_max: usize,
) -> Result<Option<ColdPage>, SegmentError> {
    let (Some(groups), Some(range)) =
        (manifest.groups_for(seek, u64::MAX, u64::MAX), manifest.partition(seek.topic_id, seek.partition))
    else {
        return Ok(None);
    };
    let metadata = parse_footer(manifest, footer)?;
    let mut encoder = Encoder::new(range);
    let mut end = None;
    for index in groups {
        let group = &manifest.groups[index];
        let inside = group.at.checked_sub(at).map(|from| from as usize..(from + group.length) as usize);
        let Some(stored) = inside.and_then(|inside| bytes.get(inside)) else { break };
        if xxh3_64(stored) != group.sum {
            let (ordinal, key) = (group.ordinal, &manifest.key);
            return Err(SegmentError::new(format!("row group {ordinal} of {key} does not hold")));
        }
        let stored = Stored { at: group.at, bytes: Bytes::copy_from_slice(stored) };
        let full_at = read_group(&metadata, group, range, stored, seek, bytes_max, &mut encoder)?;
        if full_at.is_some() {
            end = full_at;
            break;
        }
        // Offsets between two groups have no record, and a read must not come back to them.
        let is_last = range.row + u64::from(range.count) <= group.row + u64::from(group.rows);
        end = Some(if is_last { range.last + 1 } else { manifest.groups[index + 1].first });
    }
    let Some(end) = end else {
        let length = bytes.len();
        return Err(SegmentError::new(format!(
            "{length} bytes from {at} on hold no row group that is wanted"
        )));
    };
    encoder.finish()?;
    Ok(Some(ColdPage { envelopes: encoder.out, end }))
}

fn parse_footer(manifest: &Manifest, footer: &[u8]) -> Result<ParquetMetaData, SegmentError> {
    let is_whole = footer.len() as u64 == manifest.size - manifest.footer_at;
    if !is_whole || xxh3_64(footer) != manifest.footer_sum {
        let (length, key) = (footer.len(), &manifest.key);
        return Err(SegmentError::new(format!("footer of {length} bytes is not that of {key}")));
    }
    let metadata = ParquetMetaDataReader::decode_metadata(&footer[..footer.len() - FOOTER_TAIL_LEN])?;
    let columns = metadata.file_metadata().schema_descr().num_columns();
    if columns != COLUMNS_COUNT {
        return Err(SegmentError::new(format!("a file of {columns} columns, a segment has {COLUMNS_COUNT}")));
    }
    Ok(metadata)
}

/// Encodes the rows of the partition in one group; the first offset that the page has no room for.
fn read_group(
    metadata: &ParquetMetaData,
    group: &Group,
    range: &PartitionRange,
    stored: Stored,
    seek: &Seek,
    bytes_max: usize,
    encoder: &mut Encoder,
) -> Result<Option<u64>, SegmentError> {
    let found = metadata.row_groups().get(group.ordinal as usize);
    let found = found.filter(|found| found.num_rows() == i64::from(group.rows));
    let found = found.ok_or_else(|| {
        SegmentError::new(format!("row group {} is not that of the manifest", group.ordinal))
    })?;
    let start = range.row.max(group.row) - group.row;
    let end = (range.row + u64::from(range.count)).min(group.row + u64::from(group.rows)) - group.row;
    let mut source = Source { stored: Arc::new(stored), group: found, rows: start as usize..end as usize };
    let offsets = source.column::<Int64Type>(Index::Offset)?.values;
    let mut skip = offsets.partition_point(|&offset| (offset as u64) < seek.offset);
    if seek.since_ns != 0 {
        let append_us = source.column::<Int64Type>(Index::AppendTime)?.values;
        let rest_ns = source.column::<Int32Type>(Index::AppendTimeNs)?.values;
        let times = append_us.iter().zip(&rest_ns).map(|(us, ns)| us * 1_000 + i64::from(*ns));
        skip += times.skip(skip).take_while(|append_ns| *append_ns < seek.since_ns).count();
    }
    let offsets = &offsets[skip..];
    source.rows.start += skip;
    if offsets.is_empty() {
        return Ok(None);
    }
    let rows = RowGroup::read(&source, offsets)?;
    for (index, &offset) in offsets.iter().enumerate() {
        if encoder.size() >= bytes_max {
            return Ok(Some(offset as u64));
        }
        encoder.push(&rows, index, offset as u64)?;
    }
    Ok(None)
}

/// A part of the file, addressed as in the file.
struct Stored {
    at: u64,
    bytes: Bytes,
}

impl Length for Stored {
    fn len(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }
}

impl ChunkReader for Stored {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        let length = self.len().checked_sub(start).unwrap_or_default();
        Ok(self.get_bytes(start, length as usize)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let from = start.checked_sub(self.at).map(|from| from as usize);
        let inside = from.and_then(|from| Some(from..from.checked_add(length)?));
        let inside = inside.filter(|inside| inside.end <= self.bytes.len());
        inside.map(|inside| self.bytes.slice(inside)).ok_or_else(|| {
            ParquetError::EOF(format!("{length} bytes from {start} on are outside of the row group"))
        })
    }
}

/// Some rows of one group.
struct Source<'a> {
    stored: Arc<Stored>,
    group: &'a RowGroupMetaData,
    rows: Range<usize>,
}

/// A column as it is stored: levels for all rows, values for those that have one.
struct Column<T> {
    levels: Vec<i16>,
    repeats: Vec<i16>,
    values: Vec<T>,
}

impl Source<'_> {
    fn column<T: DataType>(&self, index: Index) -> Result<Column<T::T>, SegmentError> {
        let chunk = self.group.column(index as usize);
        if chunk.column_type() != T::get_physical_type() {
            return Err(SegmentError::new(format!("column {} is of another type", chunk.column_path())));
        }
        let total = self.group.num_rows() as usize;
        let pages = SerializedPageReader::new(Arc::clone(&self.stored), chunk, total, None)?;
        let mut reader = ColumnReaderImpl::<T>::new(chunk.column_descr_ptr(), Box::new(pages));
        let mut column = Column { levels: Vec::new(), repeats: Vec::new(), values: Vec::new() };
        let skipped = reader.skip_records(self.rows.start)?;
        let (levels, repeats) = (Some(&mut column.levels), Some(&mut column.repeats));
        let (count, ..) = reader.read_records(self.rows.len(), levels, repeats, &mut column.values)?;
        if (skipped, count) != (self.rows.start, self.rows.len()) {
            let path = chunk.column_path();
            return Err(SegmentError::new(format!("column {path} ends after {skipped} + {count} rows")));
        }
        Ok(column)
    }

    /// A column that may be null, one value for each row.
    fn nullable<T: DataType>(&self, index: Index) -> Result<Vec<Option<T::T>>, SegmentError> {
        let column = self.column::<T>(index)?;
        let mut values = column.values.into_iter();
        Ok(column.levels.iter().map(|&level| if level == 0 { None } else { values.next() }).collect())
    }
}

/// The decoded rows of one partition in one group.
struct RowGroup {
    epochs: Vec<i64>,
    append_us: Vec<i64>,
    append_rest_ns: Vec<i32>,
    create_ms: Vec<i64>,
    expiry_us: Vec<Option<i64>>,
    ttl_s: Vec<Option<i64>>,
    keys: Vec<Option<ByteArray>>,
    values: Vec<Option<ByteArray>>,
    content_types: Vec<Option<ByteArray>>,
    idempotency_keys: Vec<Option<ByteArray>>,
    producer_ids: Vec<Option<i64>>,
    producer_epochs: Vec<Option<i32>>,
    producer_sequences: Vec<Option<i32>>,
    headers: Vec<(ByteArray, Option<ByteArray>)>,
    /// Headers before each row, and their count at the end.
    header_starts: Vec<usize>,
}

impl RowGroup {
    fn read(source: &Source<'_>, offsets: &[i64]) -> Result<Self, SegmentError> {
        let (headers, header_starts) = read_headers(source)?;
        let rows = Self {
            epochs: source.column::<Int64Type>(Index::Epoch)?.values,
            append_us: source.column::<Int64Type>(Index::AppendTime)?.values,
            append_rest_ns: source.column::<Int32Type>(Index::AppendTimeNs)?.values,
            create_ms: source.column::<Int64Type>(Index::CreateTime)?.values,
            expiry_us: source.nullable::<Int64Type>(Index::ExpiryTime)?,
            ttl_s: source.nullable::<Int64Type>(Index::Ttl)?,
            keys: source.nullable::<ByteArrayType>(Index::Key)?,
            values: source.nullable::<ByteArrayType>(Index::Value)?,
            content_types: source.nullable::<ByteArrayType>(Index::ContentType)?,
            idempotency_keys: source.nullable::<ByteArrayType>(Index::IdempotencyKey)?,
            producer_ids: source.nullable::<Int64Type>(Index::ProducerId)?,
            producer_epochs: source.nullable::<Int32Type>(Index::ProducerEpoch)?,
            producer_sequences: source.nullable::<Int32Type>(Index::ProducerSequence)?,
            headers,
            header_starts,
        };
        let count = offsets.len();
        let counts = [
            rows.epochs.len(),
            rows.append_us.len(),
            rows.append_rest_ns.len(),
            rows.create_ms.len(),
            rows.expiry_us.len(),
            rows.ttl_s.len(),
            rows.keys.len(),
            rows.values.len(),
            rows.content_types.len(),
            rows.idempotency_keys.len(),
            rows.producer_ids.len(),
            rows.producer_epochs.len(),
            rows.producer_sequences.len(),
            rows.header_starts.len() - 1,
        ];
        if counts.iter().any(|&found| found != count) {
            return Err(SegmentError::new(format!("columns of {counts:?} rows, not of {count}")));
        }
        Ok(rows)
    }

    fn producer(&self, index: usize) -> Option<Producer> {
        let (id, epoch) = (self.producer_ids[index]?, self.producer_epochs[index]?);
        Some(Producer { id, epoch: epoch as i16, sequence: self.producer_sequences[index]? })
    }
}

type HeaderList = Vec<(ByteArray, Option<ByteArray>)>;

fn read_headers(source: &Source<'_>) -> Result<(HeaderList, Vec<usize>), SegmentError> {
    let names = source.column::<ByteArrayType>(Index::HeaderName)?;
    let values = source.column::<ByteArrayType>(Index::HeaderValue)?;
    if names.repeats != values.repeats || names.levels.len() != values.levels.len() {
        return Err(SegmentError::new("names and values of headers do not go together"));
    }
    let (mut name, mut value) = (names.values.into_iter(), values.values.into_iter());
    let (mut headers, mut starts) = (Vec::new(), Vec::new());
    for (index, (&level, &value_level)) in names.levels.iter().zip(&values.levels).enumerate() {
        if names.repeats[index] == 0 {
            starts.push(headers.len());
        }
        if level > 0 {
            let name = name.next().ok_or_else(|| SegmentError::new("a header without a name"))?;
            headers.push((name, if value_level > 1 { value.next() } else { None }));
        }
    }
    starts.push(headers.len());
    Ok((headers, starts))
}

/// What all records of a batch share.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Common {
    epoch: i64,
    append_ns: i64,
    producer: Option<Producer>,
    base: u64,
}

/// Rows to batches: records that follow each other and share epoch, append time and producer share a batch.
struct Encoder {
    range: PartitionRange,
    out: Vec<u8>,
    builder: Builder,
    common: Option<Common>,
    expiry_ns: i64,
    batch: Vec<u8>,
}

impl Encoder {
    fn new(range: &PartitionRange) -> Self {
        let (out, batch) = (Vec::new(), Vec::new());
        Self { range: *range, out, builder: Builder::new(), common: None, expiry_ns: 0, batch }
    }

    fn size(&self) -> usize {
        self.out.len() + if self.builder.is_empty() { 0 } else { self.builder.encoded_len() }
    }

    fn push(&mut self, rows: &RowGroup, index: usize, offset: u64) -> Result<(), SegmentError> {
        let rest_ns = i64::from(rows.append_rest_ns[index]);
        let append_ns = rows.append_us[index].saturating_mul(1_000).saturating_add(rest_ns);
        let row =
            Common { epoch: rows.epochs[index], append_ns, producer: rows.producer(index), base: offset };
        if !self.goes_on(&row) {
            self.finish()?;
        }
        let ttl_s = rows.ttl_s[index].map(u32::try_from).transpose();
        let record = Record {
            timestamp_ms: rows.create_ms[index],
            key: rows.keys[index].as_ref().map(ByteArray::data),
            value: rows.values[index].as_ref().map(ByteArray::data),
            headers: &[],
            ttl_s: ttl_s.map_err(|error| SegmentError::new(format!("offset {offset}: ttl: {error}")))?,
            idempotency_key: rows.idempotency_keys[index].as_ref().map(ByteArray::data),
            content_type: rows.content_types[index].as_ref().map(ByteArray::data),
        };
        let headers = &rows.headers[rows.header_starts[index]..rows.header_starts[index + 1]];
        let headers = headers.iter().map(|(name, value)| (name.data(), value.as_ref().map(ByteArray::data)));
        if self.builder.push_with(&record, headers.clone()).is_err() {
            // Too large, or too far in time, for the batch in the making: it begins one.
            self.finish()?;
            let pushed = self.builder.push_with(&record, headers);
            pushed.map_err(|error| SegmentError::new(format!("offset {offset}: {error}")))?;
        }
        self.common.get_or_insert(row);
        if let Some(expiry_us) = rows.expiry_us[index] {
            let expiry_ns = expiry_us.saturating_mul(1_000).saturating_add(rest_ns);
            self.expiry_ns = if self.expiry_ns == 0 { expiry_ns } else { self.expiry_ns.min(expiry_ns) };
        }
        Ok(())
    }

    /// Whether a row belongs to the batch in the making.
    fn goes_on(&self, row: &Common) -> bool {
        let Some(common) = &self.common else { return true };
        let count = self.builder.count();
        let producer = common
            .producer
            .map(|producer| Producer { sequence: sequence_at(producer.sequence, count as i32), ..producer });
        let next = Common { base: common.base + u64::from(count), producer, ..*common };
        next == *row && (count as usize) < BATCH_RECORDS_MAX && self.builder.encoded_len() < BATCH_BYTES
    }

    fn finish(&mut self) -> Result<(), SegmentError> {
        let Some(common) = self.common.take() else { return Ok(()) };
        let epoch = u32::try_from(common.epoch)
            .map_err(|_| SegmentError::new(format!("offset {}: epoch {}", common.base, common.epoch)))?;
        self.batch.clear();
        let leader_epoch = i32::try_from(epoch).unwrap_or(i32::MAX);
        self.builder.finish_into(&mut self.batch, common.base as i64, leader_epoch, common.producer);
        let envelope = Envelope {
            kind: KIND_BATCH,
            slot: self.range.slot,
            epoch,
            partition: self.range.partition,
            sequence: 0,
            topic_id: self.range.topic_id,
            append_ns: common.append_ns,
            expiry_ns: self.expiry_ns,
            records_count: self.builder.count(),
        };
        envelope.validate(self.batch.len()).map_err(|error| SegmentError::new(error.to_string()))?;
        envelope.write_into(&self.batch, &mut self.out);
        self.builder.clear();
        self.expiry_ns = 0;
        Ok(())
    }
}
