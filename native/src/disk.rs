//! Bindings of the disk tier's formats: buffers in, views of one allocation out; long work without the interpreter.
use std::sync::Mutex;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use sprawl_core::disk::{self, Claim, Damage, Event, Header, Pair, PartitionEntries, Scan, SlotEntries};

use crate::codec::released;
use crate::errors::to_py;
use crate::slice::{Slice, View};

fn damaged(damage: Damage) -> PyErr {
    to_py(damage.into())
}

type PyPair<'py> = (Bound<'py, PyBytes>, Slice);

fn to_pairs(py: Python<'_>, pairs: Vec<Pair>) -> Vec<PyPair<'_>> {
    pairs.into_iter().map(|pair| (PyBytes::new(py, &pair.key), Slice { inner: pair.value })).collect()
}

/// The bytes of `parts` and how many they are.
fn slices(parts: &[View]) -> (Vec<&[u8]>, usize) {
    (parts.iter().map(|part| &**part).collect(), parts.iter().map(|part| part.len()).sum())
}

#[pyfunction]
fn cut_log(py: Python<'_>, lsn: u64, parts: Vec<View>) -> PyResult<Vec<PyPair<'_>>> {
    let (parts, total) = slices(&parts);
    let pairs = released(py, total, || disk::cut(lsn, &parts)).map_err(damaged)?;
    Ok(to_pairs(py, pairs))
}

fn header_dict<'py>(py: Python<'py>, header: &Header) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("first_lsn", header.first_lsn)?;
    dict.set_item("end_lsn", header.end_lsn)?;
    dict.set_item("batches", header.batches)?;
    dict.set_item("records", header.records)?;
    dict.set_item("oldest_ns", header.oldest_ns)?;
    dict.set_item("newest_ns", header.newest_ns)?;
    dict.set_item("bloom_bytes", header.bloom_bytes)?;
    let [partitions, slots, bloom, snapshot] = header.pieces;
    dict.set_item("pieces", (partitions, slots, bloom, snapshot))?;
    Ok(dict)
}

type PyWindow<'py> = (Bound<'py, PyDict>, Vec<PyPair<'py>>);

#[pyfunction]
#[pyo3(signature = (first_lsn, parts, verify, skip=Vec::new()))]
fn build_window(
    py: Python<'_>,
    first_lsn: u64,
    parts: Vec<View>,
    verify: bool,
    skip: Vec<(u64, u64)>,
) -> PyResult<PyWindow<'_>> {
    let (parts, total) = slices(&parts);
    let window = released(py, total, || disk::build(first_lsn, &parts, verify, &skip)).map_err(damaged)?;
    Ok((header_dict(py, &window.header)?, to_pairs(py, window.pairs)))
}

#[pyfunction]
fn window_header(py: Python<'_>, value: View) -> PyResult<Bound<'_, PyDict>> {
    header_dict(py, &Header::parse(&value).map_err(damaged)?)
}

#[pyfunction]
fn check_index_value(key: View, value: View) -> PyResult<()> {
    disk::check_value(&key, &value).map_err(damaged)
}

#[pyfunction]
fn check_log_value(key: View, value: View) -> PyResult<Option<u64>> {
    let piece = disk::Piece::parse(&key, &value).map_err(damaged)?;
    Ok(piece.first.map(|first| piece.lsn + u64::from(first)))
}

#[pyfunction]
fn bloom_place(topic_id: u64, partition: u16, bloom_bytes: u32) -> Option<(u16, u32)> {
    disk::bloom_place(topic_id, partition, bloom_bytes).map(|place| (place.number, place.byte))
}

#[pyfunction]
fn bloom_admits(value: View, topic_id: u64, partition: u16, bloom_bytes: u32) -> PyResult<bool> {
    disk::Bloom::open(&value)
        .and_then(|bloom| bloom.admits(topic_id, partition, bloom_bytes))
        .map_err(damaged)
}

type PyEntry = (u64, u32, u32, u32, i64);

fn to_entries((entries, is_more): (Vec<disk::PartitionEntry>, bool)) -> (Vec<PyEntry>, bool) {
    let entries = entries
        .into_iter()
        .map(|entry| (entry.base, entry.lsn_rel, entry.length, entry.records, entry.append_ns))
        .collect();
    (entries, is_more)
}

#[pyfunction]
fn find_entries(
    value: View,
    topic_id: u64,
    partition: u16,
    offset: u64,
    bytes_max: u64,
) -> PyResult<(Vec<PyEntry>, bool)> {
    let entries = PartitionEntries::open(&value).map_err(damaged)?;
    Ok(to_entries(entries.find(topic_id, partition, offset, bytes_max)))
}

#[pyfunction]
#[pyo3(signature = (value, topic_id, partition, append_ns, bytes_max=0))]
fn find_entries_since(
    value: View,
    topic_id: u64,
    partition: u16,
    append_ns: i64,
    bytes_max: u64,
) -> PyResult<(Vec<PyEntry>, bool)> {
    let entries = PartitionEntries::open(&value).map_err(damaged)?;
    Ok(to_entries(entries.find_since(topic_id, partition, append_ns, bytes_max)))
}

type PyPlaced = (u64, u16, u64, u32, u32, u32);

#[pyfunction]
fn all_entries(value: View) -> PyResult<Vec<PyPlaced>> {
    let entries = PartitionEntries::open(&value).map_err(damaged)?;
    let placed = |at: usize| {
        let entry = entries.get(at);
        (entry.topic_id, entry.partition, entry.base, entry.records, entry.lsn_rel, entry.length)
    };
    Ok((0..entries.len()).map(placed).collect())
}

type PyLast = (u64, u16, u16, u64, u32, i64);

#[pyfunction]
fn last_entries(value: View) -> PyResult<Vec<PyLast>> {
    let entries = PartitionEntries::open(&value).map_err(damaged)?.last_of_each();
    Ok(entries
        .into_iter()
        .map(|last| (last.topic_id, last.partition, last.slot, last.base, last.records, last.append_ns))
        .collect())
}

type PySequence = (u64, u32, u32);

#[pyfunction]
fn find_sequences(
    value: View,
    slot: u16,
    sequence: u64,
    count_max: usize,
) -> PyResult<(Vec<PySequence>, bool)> {
    let (entries, is_more) = SlotEntries::open(&value).map_err(damaged)?.find(slot, sequence, count_max);
    let entries = entries.into_iter().map(|entry| (entry.sequence, entry.lsn_rel, entry.epoch)).collect();
    Ok((entries, is_more))
}

#[pyfunction]
fn last_sequences(value: View) -> PyResult<Vec<(u16, u64, u32)>> {
    let entries = SlotEntries::open(&value).map_err(damaged)?.last_of_each();
    Ok(entries.into_iter().map(|last| (last.slot, last.sequence, last.epoch)).collect())
}

type PyState<'py> = (Bound<'py, PyBytes>, Option<Bound<'py, PyBytes>>);

#[pyfunction]
fn snapshot_entries(py: Python<'_>, value: View) -> PyResult<Vec<PyState<'_>>> {
    let states = disk::snapshot_entries(&value).map_err(damaged)?;
    Ok(states
        .into_iter()
        .map(|(key, state)| (PyBytes::new(py, key), state.map(|state| PyBytes::new(py, state))))
        .collect())
}

#[pyfunction]
fn snapshot_pack(states: Vec<(View, Option<View>)>) -> PyResult<Vec<Slice>> {
    let states = states.iter().map(|(key, state)| (&**key, state.as_deref()));
    let values = disk::snapshot_pack(states).map_err(damaged)?;
    Ok(values.into_iter().map(|inner| Slice { inner }).collect())
}

type PyClaim = (u64, u16, u64, u32);
type PyEvent = (&'static str, u64, u64, String, Option<PyClaim>);

fn to_event(event: Event) -> PyEvent {
    let claimed = |claim: Option<Claim>| claim.map(|c| (c.topic_id, c.partition, c.base, c.records));
    match event {
        Event::Whole { start, end } => ("whole", start, end, String::new(), None),
        Event::Damaged { start, end, reason, claim } => ("damaged", start, end, reason, claimed(claim)),
        Event::Hole { start, end } => ("hole", start, end, String::new(), None),
        Event::Value { start, end, reason } => ("value", start, end, reason, None),
        Event::Torn { start, end, reason, claim } => ("torn", start, end, reason, claimed(claim)),
    }
}

#[pyclass(frozen, module = "sprawl._native")]
pub struct LogScan {
    inner: Mutex<Scan>,
}

impl LogScan {
    fn with<T>(&self, work: impl FnOnce(&mut Scan) -> T) -> T {
        work(&mut self.inner.lock().expect("a scan does not panic"))
    }
}

#[pymethods]
impl LogScan {
    #[new]
    #[pyo3(signature = (first_lsn, verify_batches=true))]
    fn new(first_lsn: u64, verify_batches: bool) -> Self {
        Self { inner: Mutex::new(Scan::new(first_lsn, verify_batches)) }
    }

    fn feed(&self, py: Python<'_>, key: View, value: View) -> Vec<PyEvent> {
        let mut events = Vec::new();
        // Never waits for the lock with the interpreter held: another thread may hold it and want the interpreter.
        py.detach(|| self.with(|scan| scan.feed(&key, &value, &mut events, |_, _, _| {})));
        events.into_iter().map(to_event).collect()
    }

    fn finish(&self, py: Python<'_>) -> Vec<PyEvent> {
        let mut events = Vec::new();
        py.detach(|| self.with(|scan| scan.finish(&mut events, |_, _, _| {})));
        events.into_iter().map(to_event).collect()
    }

    #[getter]
    fn batches(&self, py: Python<'_>) -> u64 {
        py.detach(|| self.with(|scan| scan.batches()))
    }

    #[getter]
    fn records(&self, py: Python<'_>) -> u64 {
        py.detach(|| self.with(|scan| scan.records()))
    }
}

/// Adds the functions of this file to `sprawl._native`.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(cut_log, module)?)?;
    module.add_function(wrap_pyfunction!(build_window, module)?)?;
    module.add_function(wrap_pyfunction!(window_header, module)?)?;
    module.add_function(wrap_pyfunction!(check_index_value, module)?)?;
    module.add_function(wrap_pyfunction!(check_log_value, module)?)?;
    module.add_function(wrap_pyfunction!(bloom_place, module)?)?;
    module.add_function(wrap_pyfunction!(bloom_admits, module)?)?;
    module.add_function(wrap_pyfunction!(find_entries, module)?)?;
    module.add_function(wrap_pyfunction!(find_entries_since, module)?)?;
    module.add_function(wrap_pyfunction!(all_entries, module)?)?;
    module.add_function(wrap_pyfunction!(last_entries, module)?)?;
    module.add_function(wrap_pyfunction!(find_sequences, module)?)?;
    module.add_function(wrap_pyfunction!(last_sequences, module)?)?;
    module.add_function(wrap_pyfunction!(snapshot_entries, module)?)?;
    module.add_function(wrap_pyfunction!(snapshot_pack, module)?)
}
