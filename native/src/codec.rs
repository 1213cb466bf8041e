//! Bindings of the formats: whole batches at the border, a list in and bytes out, or the reverse.
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};
use sprawl_core::batch::{self, is_reserved, BatchError, Builder, Codec, Header, Record, Reserved};
use sprawl_core::cursor::{self, Entry};
use sprawl_core::envelope::{Envelope, ENVELOPE_LEN, KIND_BATCH};
use sprawl_core::ids::{self, MessageId, Position};
use sprawl_core::problem::{Code, Problem};

use crate::errors::to_py;

/// Bytes from which the interpreter is released while they are worked on.
const RELEASE_FROM: usize = 64 * 1024;

fn batch_error(error: BatchError) -> PyErr {
    to_py(error.into())
}

/// `work()`, without the interpreter when it is long.
pub fn released<T: Send>(py: Python<'_>, bytes: usize, work: impl FnOnce() -> T + Send) -> T {
    if bytes < RELEASE_FROM {
        return work();
    }
    py.detach(work)
}

/// The bytes of a member that may be `None`.
fn optional<'a, 'py>(member: Borrowed<'a, 'py, PyAny>) -> PyResult<Option<Borrowed<'a, 'py, PyBytes>>> {
    if member.is_none() {
        return Ok(None);
    }
    Ok(Some(member.cast::<PyBytes>()?))
}

fn push(builder: &mut Builder, item: &Bound<'_, PyAny>) -> PyResult<()> {
    let item = item.cast::<PyTuple>()?;
    if item.len() != 4 {
        return Err(PyTypeError::new_err(format!(
            "a record has 4 members (key, value, headers, timestamp), not {}",
            item.len()
        )));
    }
    let key = optional(item.get_borrowed_item(0)?)?;
    let value = optional(item.get_borrowed_item(1)?)?;
    let headers = item.get_borrowed_item(2)?;
    let mut record = Record {
        timestamp_ms: item.get_borrowed_item(3)?.extract()?,
        key: key.as_ref().map(|key| key.as_bytes()),
        value: value.as_ref().map(|value| value.as_bytes()),
        ..Record::default()
    };
    if headers.is_none() {
        return builder.push(&record).map(|_| ()).map_err(batch_error);
    }
    let headers: Vec<(PyBackedBytes, PyBackedBytes)> = headers.extract()?;
    let mut reserved = Reserved::default();
    for (name, value) in &headers {
        if is_reserved(name) {
            reserved.take(name[0], Some(value), builder.encoded_len()).map_err(batch_error)?;
        }
    }
    record.ttl_s = reserved.ttl_s;
    record.idempotency_key = reserved.idempotency_key;
    record.content_type = reserved.content_type.map(str::as_bytes);
    let own =
        headers.iter().filter(|(name, _)| !is_reserved(name)).map(|(name, value)| (&name[..], &value[..]));
    builder.push_with(&record, own).map(|_| ()).map_err(batch_error)
}

#[pyfunction]
#[pyo3(signature = (records, codec=0, producer=None))]
fn encode_batch<'py>(
    py: Python<'py>,
    records: &Bound<'py, PyAny>,
    codec: u8,
    producer: Option<(i64, i16, i32)>,
) -> PyResult<Bound<'py, PyBytes>> {
    let codec = Codec::from_number(codec).map_err(batch_error)?;
    let producer = producer.map(Into::into);
    let mut builder = Builder::new();
    if let Ok(records) = records.cast::<PyList>() {
        records.iter().try_for_each(|item| push(&mut builder, &item))?;
    } else {
        records.try_iter()?.try_for_each(|item| push(&mut builder, &item?))?;
    }
    if builder.is_empty() {
        return Err(to_py(Problem::new(Code::InvalidBatch, "batch of 0 records, there must be 1 at least")));
    }
    if codec == Codec::None {
        return PyBytes::new_with(py, builder.encoded_len(), |out| {
            released(py, out.len(), || builder.finish_in_place(out, 0, 0, producer));
            Ok(())
        });
    }
    let mut out = Vec::new();
    released(py, builder.encoded_len(), || builder.compress_into(codec, &mut out, 0, 0, producer))
        .map_err(batch_error)?;
    Ok(PyBytes::new(py, &out))
}

fn record_tuple<'py>(py: Python<'py>, record: &batch::RecordRef<'_>) -> PyResult<Bound<'py, PyTuple>> {
    let bytes = |value: &[u8]| PyBytes::new(py, value);
    let headers = PyList::empty(py);
    for (name, value) in record.headers {
        headers.append((bytes(name), bytes(value)))?;
    }
    let key = record.idempotency_key.map(|key| PyString::from_bytes(py, key)).transpose()?;
    (
        record.offset,
        record.timestamp_ms,
        record.key.map(bytes),
        record.value.map(bytes),
        headers,
        record.ttl_s,
        key,
        record.content_type,
    )
        .into_pyobject(py)
}

#[pyfunction]
fn decode_batches<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyList>> {
    let out = PyList::empty(py);
    let (mut at, mut scratch) = (0, Vec::new());
    while at < data.len() {
        let rest = &data[at..];
        let found =
            released(py, rest.len(), || checked_records(rest, at, &mut scratch)).map_err(batch_error)?;
        let length = found.header().length;
        for record in found {
            out.append(record_tuple(py, &record.map_err(|error| moved(error, at)).map_err(batch_error)?)?)?;
        }
        at += length;
    }
    Ok(out)
}

fn moved(mut error: BatchError, at: usize) -> BatchError {
    error.at += at;
    error
}

fn checked_records<'a>(
    bytes: &'a [u8],
    at: usize,
    scratch: &'a mut Vec<u8>,
) -> Result<batch::Records<'a>, BatchError> {
    let header = Header::parse(bytes).map_err(|error| moved(error, at))?;
    if header.is_some_and(|header| header.length <= bytes.len() && !header.has_valid_crc(bytes)) {
        return Err(BatchError {
            code: Code::BadChecksum,
            at: at + 17,
            reason: "CRC32C does not hold".into(),
        });
    }
    batch::records(bytes, scratch).map_err(|error| moved(error, at))
}

type PyVerified = (usize, u32, Option<u32>, bool);

/// `(length, records, smallest ttl in seconds, is compressed)` of each batch.
#[pyfunction]
fn verify_batches(py: Python<'_>, data: &[u8]) -> PyResult<Vec<PyVerified>> {
    released(py, data.len(), || {
        let (mut out, mut at, mut scratch) = (Vec::new(), 0, Vec::new());
        while at < data.len() {
            let verified = batch::verify_with(&data[at..], &mut scratch).map_err(|error| moved(error, at))?;
            let verified = verified.ok_or_else(|| BatchError {
                code: Code::InvalidBatch,
                at,
                reason: format!("batch is incomplete after {} bytes", data.len() - at),
            })?;
            out.push((verified.length, verified.count(), verified.ttl_s_min, verified.is_compressed));
            at += verified.length;
        }
        Ok(out)
    })
    .map_err(batch_error)
}

#[pyfunction]
#[pyo3(signature = (
    batch, *, slot, epoch, partition, sequence, topic_id, append_ns, expiry_ns=0, records_count, kind=KIND_BATCH
))]
#[allow(clippy::too_many_arguments)] // one keyword for each field of the format
fn encode_envelope<'py>(
    py: Python<'py>,
    batch: &[u8],
    slot: u16,
    epoch: u32,
    partition: u16,
    sequence: u64,
    topic_id: u64,
    append_ns: i64,
    expiry_ns: i64,
    records_count: u32,
    kind: u8,
) -> PyResult<Bound<'py, PyBytes>> {
    let envelope =
        Envelope { kind, slot, epoch, partition, sequence, topic_id, append_ns, expiry_ns, records_count };
    envelope.validate(batch.len()).map_err(|error| invalid_envelope(&error, 0))?;
    PyBytes::new_with(py, ENVELOPE_LEN + batch.len(), |out| {
        out[ENVELOPE_LEN..].copy_from_slice(batch);
        envelope.seal(out);
        Ok(())
    })
}

fn invalid_envelope(error: &sprawl_core::envelope::EnvelopeError, at: usize) -> PyErr {
    to_py(Problem::new(Code::InvalidBatch, format!("envelope at byte {}: {}", at + error.at, error.reason)))
}

type PyEnvelope<'py> = (u8, u16, u32, u16, u64, u64, i64, i64, u32, Bound<'py, PyBytes>);

/// The whole envelopes at the start of `data`, each with its batch, and the bytes that they take.
#[pyfunction]
fn decode_envelopes<'py>(py: Python<'py>, data: &[u8]) -> PyResult<(Vec<PyEnvelope<'py>>, usize)> {
    let (mut out, mut at) = (Vec::new(), 0);
    while let Some((found, length)) =
        Envelope::check(&data[at..]).map_err(|error| invalid_envelope(&error, at))?
    {
        let batch = PyBytes::new(py, &data[at + ENVELOPE_LEN..at + length]);
        out.push((
            found.kind,
            found.slot,
            found.epoch,
            found.partition,
            found.sequence,
            found.topic_id,
            found.append_ns,
            found.expiry_ns,
            found.records_count,
            batch,
        ));
        at += length;
    }
    Ok((out, at))
}

#[pyfunction]
fn slot_of(name: &str, partition: u32) -> u16 {
    ids::slot_of(name.as_bytes(), partition)
}

#[pyfunction]
fn partition_of_key(key: &[u8], partitions: u32) -> PyResult<u32> {
    if partitions == 0 {
        return Err(to_py(Problem::new(Code::InvalidParameter, "partitions 0 is not 1 at least")));
    }
    Ok(ids::partition_of_key(key, partitions))
}

#[pyfunction]
fn topic_id_text(topic_id: u64) -> String {
    ids::topic_id_text(topic_id).iter().map(|&byte| char::from(byte)).collect()
}

#[pyfunction]
fn topic_id_parse(text: &str) -> Option<u64> {
    ids::parse_topic_id(text.as_bytes())
}

#[pyfunction]
fn check_topic(name: &str) -> PyResult<()> {
    ids::valid_topic(name.as_bytes()).map_err(to_py)
}

#[pyfunction]
#[pyo3(signature = (topic_id, partition, number, is_delayed=false))]
fn message_id(topic_id: u64, partition: u16, number: u64, is_delayed: bool) -> String {
    let position = if is_delayed { Position::Delayed(number) } else { Position::Offset(number) };
    MessageId { topic_id, partition, position }.to_string()
}

#[pyfunction]
fn message_id_parse(text: &str) -> PyResult<(u64, u16, u64, bool)> {
    let id = MessageId::parse(text.as_bytes()).map_err(to_py)?;
    let (number, is_delayed) = match id.position {
        Position::Offset(offset) => (offset, false),
        Position::Delayed(number) => (number, true),
    };
    Ok((id.topic_id, id.partition, number, is_delayed))
}

#[pyfunction]
fn cursor_encode(entries: Vec<(u64, u16, u32, u64)>) -> PyResult<String> {
    let entries: Vec<Entry> = entries
        .into_iter()
        .map(|(topic_id, partition, epoch, next)| Entry { topic_id, partition, epoch, next })
        .collect();
    cursor::try_encode(&entries).map_err(to_py)
}

#[pyfunction]
fn cursor_decode(text: &str) -> PyResult<Vec<(u64, u16, u32, u64)>> {
    let entries = cursor::decode(text).map_err(to_py)?;
    Ok(entries.into_iter().map(|entry| (entry.topic_id, entry.partition, entry.epoch, entry.next)).collect())
}

/// Adds the functions of this file to `sprawl._native`.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(encode_batch, module)?)?;
    module.add_function(wrap_pyfunction!(decode_batches, module)?)?;
    module.add_function(wrap_pyfunction!(verify_batches, module)?)?;
    module.add_function(wrap_pyfunction!(encode_envelope, module)?)?;
    module.add_function(wrap_pyfunction!(decode_envelopes, module)?)?;
    module.add_function(wrap_pyfunction!(slot_of, module)?)?;
    module.add_function(wrap_pyfunction!(partition_of_key, module)?)?;
    module.add_function(wrap_pyfunction!(topic_id_text, module)?)?;
    module.add_function(wrap_pyfunction!(topic_id_parse, module)?)?;
    module.add_function(wrap_pyfunction!(check_topic, module)?)?;
    module.add_function(wrap_pyfunction!(message_id, module)?)?;
    module.add_function(wrap_pyfunction!(message_id_parse, module)?)?;
    module.add_function(wrap_pyfunction!(cursor_encode, module)?)?;
    module.add_function(wrap_pyfunction!(cursor_decode, module)?)
}
