//! Rows of one row group, column by column.
use std::io::Write;

use bytes::Bytes;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};

use crate::batch::{Header, RecordRef};
use crate::envelope::Envelope;

/// Values of a column that may be null: a level for each row, a value for each that is not.
struct Nullable<T> {
    levels: Vec<i16>,
    values: Vec<T>,
}

impl<T> Default for Nullable<T> {
    fn default() -> Self {
        Self { levels: Vec::new(), values: Vec::new() }
    }
}

impl<T> Nullable<T> {
    fn push(&mut self, value: Option<T>) {
        self.levels.push(i16::from(value.is_some()));
        self.values.extend(value);
    }

    fn clear(&mut self) {
        self.levels.clear();
        self.values.clear();
    }
}

/// Bytes in [`Rows::blob`].
#[derive(Clone, Copy)]
struct Span {
    start: u32,
    length: u32,
}

/// What one batch says of all its records.
pub(super) struct Shared<'a> {
    /// Index of the topic in the list that [`Rows::write`] is given.
    pub(super) topic: u32,
    pub(super) envelope: &'a Envelope,
    pub(super) header: &'a Header,
    /// Lifetime of the topic's records that have none of their own, in seconds; 0 is none.
    pub(super) topic_ttl_s: u64,
}

/// Rows in the making; [`Rows::write`] empties it and keeps most of its memory.
#[derive(Default)]
pub(super) struct Rows {
    blob: Vec<u8>,
    topics: Vec<u32>,
    partitions: Vec<i32>,
    offsets: Vec<i64>,
    epochs: Vec<i64>,
    append_us: Vec<i64>,
    append_rest_ns: Vec<i32>,
    create_ms: Vec<i64>,
    expiry_us: Nullable<i64>,
    ttl_s: Nullable<i64>,
    keys: Nullable<Span>,
    values: Nullable<Span>,
    content_types: Nullable<Span>,
    idempotency_keys: Nullable<Span>,
    producer_ids: Nullable<i64>,
    producer_epochs: Nullable<i32>,
    producer_sequences: Nullable<i32>,
    /// 0 begins a row, 1 goes on with it.
    header_repeats: Vec<i16>,
    /// Levels of names (0: a row without headers) and of values (0: the same, 1: null).
    header_names: Nullable<Span>,
    header_values: Nullable<Span>,
}

impl Rows {
    /// Rows taken since the last write.
    pub(super) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Bytes of keys, values and texts taken since the last write.
    pub(super) fn bytes(&self) -> usize {
        self.blob.len()
    }

    fn span(&mut self, bytes: &[u8]) -> Span {
        let start = self.blob.len() as u32;
        self.blob.extend_from_slice(bytes);
        Span { start, length: bytes.len() as u32 }
    }

    fn spans(&mut self, bytes: Option<&[u8]>) -> Option<Span> {
        bytes.map(|bytes| self.span(bytes))
    }

    /// Takes the record at `index` of its batch.
    pub(super) fn push(&mut self, shared: &Shared<'_>, index: i32, record: &RecordRef<'_>) {
        let &Shared { topic, envelope, header, topic_ttl_s } = shared;
        self.topics.push(topic);
        self.partitions.push(i32::from(envelope.partition));
        self.offsets.push(record.offset);
        self.epochs.push(i64::from(envelope.epoch));
        self.append_us.push(envelope.append_ns.div_euclid(1_000));
        self.append_rest_ns.push(envelope.append_ns.rem_euclid(1_000) as i32);
        self.create_ms.push(record.timestamp_ms);
        let expiry_ns = crate::log::lifetimes::expiry_ns(record.ttl_s, topic_ttl_s, envelope.append_ns);
        self.expiry_us.push((expiry_ns != 0).then(|| expiry_ns.div_euclid(1_000)));
        self.ttl_s.push(record.ttl_s.map(i64::from));
        let key = self.spans(record.key);
        self.keys.push(key);
        let value = self.spans(record.value);
        self.values.push(value);
        let content_type = self.spans(record.content_type.map(str::as_bytes));
        self.content_types.push(content_type);
        let idempotency_key = self.spans(record.idempotency_key);
        self.idempotency_keys.push(idempotency_key);
        let is_numbered = header.producer_id >= 0;
        self.producer_ids.push(is_numbered.then_some(header.producer_id));
        self.producer_epochs.push(is_numbered.then_some(i32::from(header.producer_epoch)));
        self.producer_sequences.push(is_numbered.then_some(sequence_at(header.base_sequence, index)));
        self.push_headers(record);
    }

    fn push_headers(&mut self, record: &RecordRef<'_>) {
        let mut headers = record.headers;
        let mut repeat = 0;
        while let Some((name, value)) = headers.next_nullable() {
            self.header_repeats.push(repeat);
            repeat = 1;
            let name = self.span(name);
            self.header_names.push(Some(name));
            let value = self.spans(value);
            self.header_values.levels.push(1 + i16::from(value.is_some()));
            self.header_values.values.extend(value);
        }
        if repeat == 0 {
            self.header_repeats.push(0);
            self.header_names.push(None);
            self.header_values.levels.push(0);
        }
    }

    /// Writes all rows as one row group of `file` and forgets them; `topics` are name and id as text.
    pub(super) fn write<W: Write + Send>(
        &mut self,
        file: &mut SerializedFileWriter<W>,
        topics: &[(ByteArray, ByteArray)],
    ) -> Result<()> {
        let blob = Bytes::from(std::mem::take(&mut self.blob));
        let view = |spans: &[Span]| -> Vec<ByteArray> {
            let slice = |span: &Span| blob.slice(span.start as usize..(span.start + span.length) as usize);
            spans.iter().map(|span| ByteArray::from(slice(span))).collect()
        };
        let named = |pick: fn(&(ByteArray, ByteArray)) -> &ByteArray| -> Vec<ByteArray> {
            self.topics.iter().map(|&topic| pick(&topics[topic as usize]).clone()).collect()
        };
        let mut group = file.next_row_group()?;
        let out = &mut group;
        put::<ByteArrayType, W>(out, &named(|topic| &topic.0), None, None)?;
        put::<ByteArrayType, W>(out, &named(|topic| &topic.1), None, None)?;
        put::<Int32Type, W>(out, &self.partitions, None, None)?;
        put::<Int64Type, W>(out, &self.offsets, None, None)?;
        put::<Int64Type, W>(out, &self.epochs, None, None)?;
        put::<Int64Type, W>(out, &self.append_us, None, None)?;
        put::<Int32Type, W>(out, &self.append_rest_ns, None, None)?;
        put::<Int64Type, W>(out, &self.create_ms, None, None)?;
        nullable::<Int64Type, W>(out, &self.expiry_us)?;
        nullable::<Int64Type, W>(out, &self.ttl_s)?;
        for column in [&self.keys, &self.values, &self.content_types, &self.idempotency_keys] {
            put::<ByteArrayType, W>(out, &view(&column.values), Some(&column.levels), None)?;
        }
        nullable::<Int64Type, W>(out, &self.producer_ids)?;
        nullable::<Int32Type, W>(out, &self.producer_epochs)?;
        nullable::<Int32Type, W>(out, &self.producer_sequences)?;
        for column in [&self.header_names, &self.header_values] {
            let repeats = Some(&self.header_repeats[..]);
            put::<ByteArrayType, W>(out, &view(&column.values), Some(&column.levels), repeats)?;
        }
        group.close()?;
        self.clear(blob);
        Ok(())
    }

    fn clear(&mut self, blob: Bytes) {
        // Nothing else holds the bytes any more, so that their memory serves the next group.
        self.blob = blob.try_into_mut().map(Vec::from).unwrap_or_default();
        self.blob.clear();
        self.topics.clear();
        self.partitions.clear();
        for numbers in [&mut self.offsets, &mut self.epochs, &mut self.append_us, &mut self.create_ms] {
            numbers.clear();
        }
        self.append_rest_ns.clear();
        for column in [&mut self.expiry_us, &mut self.ttl_s, &mut self.producer_ids] {
            column.clear();
        }
        for column in [&mut self.producer_epochs, &mut self.producer_sequences] {
            column.clear();
        }
        for column in [
            &mut self.keys,
            &mut self.values,
            &mut self.content_types,
            &mut self.idempotency_keys,
            &mut self.header_names,
            &mut self.header_values,
        ] {
            column.clear();
        }
        self.header_repeats.clear();
    }
}

/// The sequence of the record at `index` of a batch: it wraps to 0 as Kafka's does.
pub(super) fn sequence_at(base: i32, index: i32) -> i32 {
    base.wrapping_add(index) & i32::MAX
}

fn put<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    levels: Option<&[i16]>,
    repeats: Option<&[i16]>,
) -> Result<()> {
    let column = group.next_column()?;
    let mut column = column.ok_or_else(|| ParquetError::General("the schema has no more columns".into()))?;
    column.typed::<T>().write_batch(values, levels, repeats)?;
    column.close()
}

fn nullable<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    column: &Nullable<T::T>,
) -> Result<()> {
    put::<T, W>(group, &column.values, Some(&column.levels), None)
}
