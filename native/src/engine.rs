//! The engine: one node's log and HTTP edge, shared by all connections.
use crate::codec::released;
use crate::connection::Connection;
use crate::errors::to_py;
use crate::reader::{want_tuple, Page, Reader};
use crate::slice::{Slice, View};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use sprawl_core::disk::{self, PartitionEntries, PartitionEntry, SlotEntries};
use sprawl_core::edge::encode::Form;
use sprawl_core::edge::fetch::Fetch;
use sprawl_core::edge::lookup::Lookup;
use sprawl_core::edge::{self, Edge, Waiting};
use sprawl_core::http::response;
use sprawl_core::ids;
use sprawl_core::log::durable::{Level, Refuses};
use sprawl_core::log::partition::Moved;
use sprawl_core::log::topics::Config;
use sprawl_core::log::{ColdRange, Log, Overdue, Put, Setup, StoredBatch, TopicRecord};
use sprawl_core::problem::{Code, Problem};
use sprawl_core::segment::{Manifest, PartitionRange};
use sprawl_core::slots::SlotTable;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One pull that other readers at the same place share within a tick.
pub struct Shared {
    /// `None` where the pull passed over everything it looked at.
    pub bytes: Option<Py<PyBytes>>,
    pub after: edge::reader::Reader,
    pub pulled: edge::reader::Pulled,
}

pub struct Inner {
    pub edge: Edge,
    pub out: Vec<u8>,
    pub shared: HashMap<u128, Shared>,
}

/// Buffers above this are given back after use: one large answer must not stay for ever.
const KEPT_BYTES: usize = 1024 * 1024;

impl Inner {
    /// The answer bytes as an object, or `None`; the buffer is empty afterwards.
    pub fn take_out<'py>(&mut self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        if self.out.is_empty() {
            return None;
        }
        let bytes = PyBytes::new(py, &self.out);
        self.out.clear();
        if self.out.capacity() > KEPT_BYTES {
            self.out = Vec::new();
        }
        Some(bytes)
    }
}

/// (topic id, partition), low offset, end below memory, before, bytes, records, keeps the last, end in the cloud.
type PyOverdue = ((u64, u16), u64, u64, i64, u64, u64, bool, u64);
/// Index in its value, (topic id, partition, end), position in the window, length.
type PyNeeded = (usize, (u64, u16, u64), u32, u32);

/// Id, name, lifetimes: what a segment is built with.
type PyTopic = (u64, Option<String>, Vec<(i64, u64)>);
/// Key and value.
type PyState<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>);

#[pyclass(frozen, module = "sprawl._native")]
pub struct Engine {
    inner: Mutex<Inner>,
}

impl Engine {
    /// The state, also after a panic inside a call: its invariants are checked where they are used.
    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn form(name: &str) -> PyResult<Form> {
    match name {
        "json" => Ok(Form::Json),
        "ndjson" => Ok(Form::Ndjson),
        "sse" => Ok(Form::Sse),
        "binary" => Ok(Form::Binary),
        "ws-json" => Ok(Form::WsJson),
        "ws-binary" => Ok(Form::WsBinary),
        _ => Err(to_py(Problem::new(Code::InvalidParameter, format!("form {name} is not known")))),
    }
}

fn member<'py, T>(config: &Bound<'py, PyDict>, name: &str, current: T) -> PyResult<T>
where
    T: for<'a> FromPyObject<'a, 'py, Error = PyErr>,
{
    match config.get_item(name)? {
        Some(value) if !value.is_none() => value.extract(),
        _ => Ok(current),
    }
}

fn discard(config: &Config, has_disk: bool) -> &'static str {
    if config.discards_new(has_disk) {
        "new"
    } else {
        "old"
    }
}

fn durability(config: &Config) -> &'static str {
    config.level.map_or("default", Level::as_str)
}

fn level(name: &str, has_disk: bool) -> PyResult<Option<Level>> {
    sprawl_core::edge::level(name.as_bytes(), has_disk).map_err(|problem| to_py(problem.at("/durability")))
}

fn id_text(id: u64) -> String {
    ids::topic_id_text(id).iter().map(|b| char::from(*b)).collect()
}

fn text_or_bytes<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyAny> {
    match std::str::from_utf8(bytes) {
        Ok(text) => pyo3::types::PyString::new(py, text).into_any(),
        Err(_) => PyBytes::new(py, bytes).into_any(),
    }
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (*, memory_bytes_max, chunk_bytes, dedup_keys_max, topics_max, seed, node_id, auto_create=true, delete_grace_s=86400, disk_lsn=None))]
    #[allow(clippy::too_many_arguments)] // keyword-only settings
    fn new(
        memory_bytes_max: usize,
        chunk_bytes: usize,
        dedup_keys_max: usize,
        topics_max: usize,
        seed: u64,
        node_id: &str,
        auto_create: bool,
        delete_grace_s: u64,
        disk_lsn: Option<u64>,
    ) -> PyResult<Self> {
        let slots = SlotTable::single(node_id, 1)
            .map_err(|error| to_py(Problem::new(Code::InvalidParameter, error.to_string())))?;
        let setup = Setup {
            memory_bytes_max,
            chunk_bytes,
            dedup_keys_max,
            topics_max,
            seed,
            auto_create,
            delete_grace_s,
            disk_lsn,
        };
        let edge = Edge::new(Log::new(setup, Arc::new(slots)));
        Ok(Self { inner: Mutex::new(Inner { edge, out: Vec::new(), shared: HashMap::new() }) })
    }

    fn connection(slf: Py<Self>, number: u64, is_hot: bool) -> Connection {
        Connection::new(slf, number, is_hot)
    }

    #[pyo3(signature = (topic, query, form, last_event_id, now_ns))]
    fn reader(
        slf: Py<Self>,
        topic: &str,
        query: &[u8],
        form: &str,
        last_event_id: Option<&str>,
        now_ns: i64,
    ) -> PyResult<Reader> {
        let form = self::form(form)?;
        let query = std::str::from_utf8(query)
            .map_err(|_| to_py(Problem::new(Code::InvalidParameter, "the query is not UTF-8")))?;
        let made = Fetch::parse(query, last_event_id, now_ns).and_then(|fetch| {
            let (bytes_max, messages_max) = (fetch.bytes_max, fetch.messages_max());
            let reader = fetch.reader(&mut slf.get().lock().edge.log, topic, form)?;
            let connection = response::Connection::Implied;
            let wait_until_ns = now_ns;
            Ok(Waiting {
                reader,
                streams: true,
                is_chunked: false,
                connection,
                bytes_max,
                messages_max,
                wait_until_ns,
            })
        });
        Ok(Reader::new(slf, made.map_err(to_py)?))
    }

    fn is_dirty(&self) -> bool {
        self.lock().edge.log.is_dirty()
    }

    fn end_tick(&self, now_ns: i64) -> (Vec<u32>, Vec<u32>, bool) {
        let mut inner = self.lock();
        inner.shared.clear();
        let woken = inner.edge.log.end_tick(now_ns);
        let born = inner.edge.log.take_born();
        (woken, born, inner.edge.log.has_commit())
    }

    /// The levels that a publish may ask for here, weakest first.
    #[getter]
    fn levels(&self) -> Vec<&'static str> {
        let levels = if self.lock().edge.log.has_disk() {
            &[Level::Memory, Level::Disk][..]
        } else {
            &[Level::Memory]
        };
        levels.iter().map(|level| level.as_str()).collect()
    }

    fn mark(&self) -> u64 {
        self.lock().edge.log.mark()
    }

    fn take_commit(&self, bytes_max: u64) -> Option<(u64, Vec<Slice>, u64, u64)> {
        let taken = self.lock().edge.log.take_commit(bytes_max)?;
        let slices = taken.slices.into_iter().map(|inner| Slice { inner }).collect();
        Some((taken.first_lsn, slices, taken.end_lsn, taken.mark))
    }

    fn synced(&self, end_lsn: u64, mark: u64) -> Vec<u32> {
        self.lock().edge.log.synced(end_lsn, mark)
    }

    fn set_disk_full(&self, is_full: bool) {
        self.lock().edge.log.set_disk_full(is_full);
    }

    fn window(&self, bytes_min: u64) -> Option<(u64, Vec<Slice>, u64)> {
        let window = self.lock().edge.log.window(bytes_min)?;
        let slices = window.slices.into_iter().map(|inner| Slice { inner }).collect();
        Some((window.first_lsn, slices, window.end_lsn))
    }

    fn tail_lsn(&self) -> u64 {
        self.lock().edge.log.ring().memory_tail()
    }

    fn record_manifests(&self, slot: u16, records: Vec<(View, Option<View>)>, now_ns: i64) -> PyResult<u64> {
        let records: Vec<_> = records.iter().map(|(key, value)| (&**key, value.as_deref())).collect();
        self.lock().edge.log.record_manifests(slot, &records, now_ns).map_err(to_py)
    }

    fn topics_for_segment(&self, ids: Vec<u64>) -> Vec<PyTopic> {
        let inner = self.lock();
        let log = &inner.edge.log;
        let described = |id: u64| match log.topics().find_id(id) {
            Some(index) => {
                let name = log.topics().get(index).name_str().to_owned();
                (id, Some(name), log.topic_lifetimes(index))
            }
            None => (id, None, Vec::new()),
        };
        ids.into_iter().map(described).collect()
    }

    fn topic_states<'py>(&self, py: Python<'py>, ids: Vec<u64>) -> Vec<PyState<'py>> {
        let inner = self.lock();
        let states = ids.into_iter().filter_map(|id| inner.edge.log.topic_state(id));
        states.map(|(key, value)| (PyBytes::new(py, &key), PyBytes::new(py, &value))).collect()
    }

    fn restore_topics(&self, value: View) -> PyResult<()> {
        let entries = disk::snapshot_entries(&value).map_err(|damage| to_py(damage.into()))?;
        let mut inner = self.lock();
        for (key, state) in entries {
            let Some(state) = state.filter(|_| TopicRecord::has_key(key)) else { continue };
            let unknown =
                || Problem::new(Code::LogDamaged, "a topic's record is not of a version this node reads");
            let record = TopicRecord::decode(key, state).ok_or_else(|| to_py(unknown()))?;
            inner.edge.log.restore_topic(&record);
        }
        Ok(())
    }

    fn restore_batches(&self, first_lsn: u64, value: View) -> PyResult<()> {
        let entries = PartitionEntries::open(&value).map_err(|damage| to_py(damage.into()))?;
        let mut inner = self.lock();
        for at in 0..entries.len() {
            inner.edge.log.restore_batch(&stored_batch(first_lsn, &entries.get(at)));
        }
        Ok(())
    }

    fn set_cold(&self, is_on: bool) {
        self.lock().edge.log.set_cloud(is_on);
    }

    fn cold_value(&self, value: View, oldest_ns: i64) -> PyResult<()> {
        let entries = PartitionEntries::open(&value).map_err(|damage| to_py(damage.into()))?;
        // Positions say nothing here: the window goes.
        let batches: Vec<_> = (0..entries.len()).map(|at| stored_batch(0, &entries.get(at))).collect();
        self.lock().edge.log.move_to_cloud(&batches, oldest_ns).map_err(to_py)
    }

    fn restore_cold(&self, py: Python<'_>, piece: View, end_lsn: u64) -> PyResult<()> {
        let parsed = released(py, piece.len(), || Manifest::parse(&piece));
        let manifest = parsed.map_err(|error| to_py(error.into()))?;
        let mut inner = self.lock();
        for range in &manifest.partitions {
            inner.edge.log.restore_cold(&cold_range(range), end_lsn);
        }
        Ok(())
    }

    fn restore_sequences(&self, value: View) -> PyResult<()> {
        let entries = SlotEntries::open(&value).map_err(|damage| to_py(damage.into()))?;
        let mut inner = self.lock();
        for last in entries.last_of_each() {
            inner.edge.log.restore_sequence(last.slot, last.sequence);
        }
        Ok(())
    }

    fn finish_restore(&self, unclean: Vec<(u64, u64)>, damaged_lsns: Vec<u64>) -> Option<u64> {
        self.lock().edge.log.finish_restore(&unclean, &damaged_lsns)
    }

    fn restore_topic(&self, key: View, state: View) -> PyResult<()> {
        let unknown =
            || Problem::new(Code::LogDamaged, "a topic's record is not of a version this node reads");
        let record = TopicRecord::decode(&key, &state).ok_or_else(|| to_py(unknown()))?;
        self.lock().edge.log.restore_topic(&record);
        Ok(())
    }

    fn restore_low(&self, topic_id: u64, partition: u16, low: u64) {
        self.lock().edge.log.restore_low(topic_id, partition, low);
    }

    fn restore_sequence(&self, slot: u16, sequence: u64) {
        self.lock().edge.log.restore_sequence(slot, sequence);
    }

    fn overdue(&self, count_max: usize) -> Vec<PyOverdue> {
        let mut inner = self.lock();
        let log = &mut inner.edge.log;
        let found = log.overdue(count_max, log.now_ns());
        let shown = |o: Overdue| {
            let place = (o.topic_id, o.partition);
            (place, o.low, o.end, o.before_ns, o.bytes, o.records, o.keeps_last, o.cold_end)
        };
        found.into_iter().map(shown).collect()
    }

    fn retired(&self, place: (u64, u16), low: u64, records: u64, size: u64, oldest_ns: i64) {
        self.lock().edge.log.retired(place.0, place.1, low, records, size, oldest_ns);
    }

    fn retired_cold(&self, place: (u64, u16), low: u64, records: u64, size: u64, oldest_ns: i64) {
        self.lock().edge.log.retired_cold(place.0, place.1, low, records, size, oldest_ns);
    }

    fn is_cold(&self, topic_id: u64, partition: u16) -> bool {
        self.lock().edge.log.is_cold(topic_id, partition)
    }

    fn discard_value(&self, value: View, oldest_ns: i64) -> PyResult<()> {
        let entries = PartitionEntries::open(&value).map_err(|damage| to_py(damage.into()))?;
        let mut inner = self.lock();
        let log = &mut inner.edge.log;
        let (mut records, mut bytes) = (0, 0);
        for at in 0..entries.len() {
            let entry = entries.get(at);
            if log.is_needed(entry.topic_id, entry.partition, entry.end()) {
                let low = log.known_part(entry.topic_id, entry.partition).map_or(0, |h| log.part(h).low);
                records += entry.end() - entry.base.max(low);
                bytes += u64::from(entry.length);
            }
            let is_last = at + 1 == entries.len() || {
                let next = entries.get(at + 1);
                (next.topic_id, next.partition) != (entry.topic_id, entry.partition)
            };
            if is_last {
                log.discarded(entry.topic_id, entry.partition, entry.end(), records, bytes, oldest_ns);
                (records, bytes) = (0, 0);
            }
        }
        Ok(())
    }

    fn may_discard(&self, value: View) -> PyResult<bool> {
        let entries = PartitionEntries::open(&value).map_err(|damage| to_py(damage.into()))?;
        let inner = self.lock();
        let may =
            |entry: PartitionEntry| inner.edge.log.may_discard(entry.topic_id, entry.partition, entry.end());
        Ok((0..entries.len()).all(|at| may(entries.get(at))))
    }

    fn first_needed(&self, value: View, start: usize) -> PyResult<Option<PyNeeded>> {
        let entries = PartitionEntries::open(&value).map_err(|damage| to_py(damage.into()))?;
        let inner = self.lock();
        let log = &inner.edge.log;
        for at in start..entries.len() {
            let entry = entries.get(at);
            if log.is_needed(entry.topic_id, entry.partition, entry.end()) {
                let place = (entry.topic_id, entry.partition, entry.end());
                return Ok(Some((at, place, entry.lsn_rel, entry.length)));
            }
        }
        Ok(None)
    }

    fn is_needed(&self, topic_id: u64, partition: u16, end: u64) -> bool {
        self.lock().edge.log.is_needed(topic_id, partition, end)
    }

    fn is_known(&self, topic_id: u64) -> bool {
        self.lock().edge.log.topics().find_id(topic_id).is_some()
    }

    fn last_expiry(&self, bytes: View) -> PyResult<Option<i64>> {
        self.lock().edge.log.last_expiry(&bytes).map_err(to_py)
    }

    fn take_lows(&self, count_max: usize) -> Vec<(u64, u16, u64)> {
        self.lock().edge.log.take_lows(count_max)
    }

    fn take_forgotten(&self) -> Vec<u64> {
        self.lock().edge.log.take_forgotten()
    }

    fn set_refuses(&self, refuses: &str) {
        let refuses = match refuses {
            "all" => Refuses::All,
            "new" => Refuses::New,
            _ => Refuses::None,
        };
        self.lock().edge.log.set_refuses(refuses);
    }

    fn age_out(&self, before_ns: i64) {
        self.lock().edge.log.age_out(before_ns);
    }

    fn window_sealed(&self, end_lsn: u64) {
        self.lock().edge.log.window_sealed(end_lsn);
    }

    fn sweep(&self, now_ns: i64) {
        self.lock().edge.log.sweep(now_ns);
    }

    fn watch(&self, handle: u32, waits: bool) {
        self.lock().edge.log.watch(handle, waits);
    }

    #[setter]
    fn set_is_draining(&self, value: bool) {
        self.lock().edge.is_draining = value;
    }

    fn add_unsent(&self, bytes: isize) {
        let edge = &mut self.lock().edge;
        edge.unsent = edge.unsent.checked_add_signed(bytes).expect("no more is taken than was left lying");
    }

    fn publish_json<'py>(
        &self,
        py: Python<'py>,
        topic: &str,
        line: &[u8],
        now_ns: i64,
    ) -> (Bound<'py, PyBytes>, u64) {
        let mut inner = self.lock();
        let mut out = std::mem::take(&mut inner.out);
        inner.edge.publish_line(topic, line, &sprawl_core::log::Options::default(), None, now_ns, &mut out);
        inner.out = out;
        let mark = inner.edge.take_hold();
        (inner.take_out(py).expect("a line has a result"), mark)
    }

    fn topic_put(&self, name: &str, config: &Bound<'_, PyDict>) -> PyResult<&'static str> {
        let mut inner = self.lock();
        let log = &mut inner.edge.log;
        let old = log.topic(name.as_bytes()).map_or_else(Config::default, |t| log.topics().get(t).config());
        let retention = match config.get_item("retention")? {
            Some(value) if !value.is_none() => value.cast_into::<PyDict>()?,
            _ => PyDict::new(config.py()),
        };
        let has_disk = log.has_disk();
        let kept = discard(&old, has_disk);
        let asked: String = member(config, "discard", kept.to_owned())?;
        let (discard_new, discard_old) = match &*asked {
            same if same == kept => (old.discard_new, old.discard_old),
            "new" => (true, false),
            _ => (false, true),
        };
        let durability: String = member(config, "durability", durability(&old).to_owned())?;
        let new = Config {
            partitions: member(config, "partitions", old.partitions)?,
            replicas: member(config, "replicas", old.replicas)?,
            level: level(&durability, log.has_disk())?,
            ttl_s: member(config, "ttl_s", old.ttl_s)?,
            retention_age_s: member(&retention, "age_s", old.retention_age_s)?,
            retention_bytes: member(&retention, "bytes", old.retention_bytes)?,
            retention_count: member(&retention, "count", old.retention_count)?,
            discard_new,
            discard_old,
            dedup_window_s: member(config, "dedup_window_s", old.dedup_window_s)?,
            message_bytes_max: member(config, "max_message_bytes", old.message_bytes_max)?,
        };
        let now_ns = log.now_ns();
        match log.put_topic(name.as_bytes(), &new, now_ns).map_err(to_py)? {
            Put::Created => Ok("created"),
            Put::Updated => Ok("updated"),
            Put::Same => Ok("same"),
        }
    }

    fn topic_get<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Option<Bound<'py, PyDict>>> {
        let mut inner = self.lock();
        let log = &mut inner.edge.log;
        log.expire(log.now_ns());
        let Some(index) = log.topic(name.as_bytes()) else { return Ok(None) };
        let parts = log.topics().get(index).parts.as_slice().to_vec();
        let listed = PyList::empty(py);
        for handle in parts {
            log.settle(handle);
            let part = log.part(handle);
            let entry = PyDict::new(py);
            entry.set_item("partition", part.number)?;
            entry.set_item("slot", part.slot)?;
            entry.set_item("epoch", log.epoch(handle))?;
            entry.set_item("low_offset", part.low)?;
            entry.set_item("high_offset", part.end)?;
            entry.set_item("records", log.readable(handle))?;
            entry.set_item("bytes", part.bytes)?;
            let times = log.time_range(handle);
            entry.set_item("oldest_ns", times.map(|t| t.0))?;
            entry.set_item("newest_ns", times.map(|t| t.1))?;
            entry.set_item("tiers", tiers(py, log, &[handle])?)?;
            listed.append(entry)?;
        }
        let topic = log.topics().get(index);
        let config = topic.config();
        let retention = PyDict::new(py);
        retention.set_item("age_s", config.retention_age_s)?;
        retention.set_item("bytes", config.retention_bytes)?;
        retention.set_item("count", config.retention_count)?;
        let members = PyDict::new(py);
        members.set_item("partitions", config.partitions)?;
        members.set_item("replicas", config.replicas)?;
        members.set_item("retention", retention)?;
        members.set_item("ttl_s", config.ttl_s)?;
        members.set_item("durability", durability(&config))?;
        members.set_item("discard", discard(&config, log.has_disk()))?;
        members.set_item("dedup_window_s", config.dedup_window_s)?;
        members.set_item("compaction", false)?;
        members.set_item("max_message_bytes", config.message_bytes_max)?;
        let answer = PyDict::new(py);
        answer.set_item("name", topic.name_str())?;
        answer.set_item("topic_id", id_text(topic.id))?;
        answer.set_item("config", members)?;
        answer.set_item("partitions", listed)?;
        answer.set_item("created_ns", topic.created_ns)?;
        Ok(Some(answer))
    }

    fn topics_page<'py>(
        &self,
        py: Python<'py>,
        prefix: &str,
        after: u32,
        limit: usize,
    ) -> PyResult<(Bound<'py, PyList>, Option<u32>)> {
        // A page looks at so many entries at most: a rare prefix among a million topics must not hold the loop.
        const LOOKED_AT_MAX: u32 = 20_000;
        let mut inner = self.lock();
        let log = &mut inner.edge.log;
        log.expire(log.now_ns());
        let end = u32::try_from(log.topics().len()).expect("topics_max is below 2^32");
        let listed = PyList::empty(py);
        let mut at = after;
        while at < end {
            if listed.len() >= limit || at - after >= LOOKED_AT_MAX {
                return Ok((listed, Some(at)));
            }
            let topic = log.topics().get(at);
            at += 1;
            if topic.deleted_ns != 0 || !topic.name.starts_with(prefix.as_bytes()) {
                continue;
            }
            let parts = topic.parts.as_slice();
            let tiers = tiers(py, log, parts)?;
            let times: Vec<_> = parts.iter().filter_map(|p| log.time_range(*p)).collect();
            let entry = PyDict::new(py);
            entry.set_item("name", topic.name_str())?;
            entry.set_item("topic_id", id_text(topic.id))?;
            entry.set_item("partitions", parts.len())?;
            let records: u64 = parts.iter().map(|p| log.readable(*p)).sum();
            entry.set_item("records", records)?;
            entry.set_item("bytes", parts.iter().map(|p| log.part(*p).bytes).sum::<u64>())?;
            entry.set_item("oldest_ns", times.iter().map(|t| t.0).min())?;
            entry.set_item("newest_ns", times.iter().map(|t| t.1).max())?;
            entry.set_item("created_ns", topic.created_ns)?;
            entry.set_item("tiers", tiers)?;
            listed.append(entry)?;
        }
        Ok((listed, None))
    }

    fn topic_delete(&self, name: &str, now_ns: i64) -> bool {
        self.lock().edge.log.delete_topic(name.as_bytes(), now_ns)
    }

    fn topic_undelete(&self, name: &str) -> bool {
        self.lock().edge.log.undelete_topic(name.as_bytes())
    }

    #[pyo3(signature = (topic_id, partition, offset, page=None))]
    fn message<'py>(
        &self,
        py: Python<'py>,
        topic_id: &str,
        partition: u32,
        offset: u64,
        page: Option<&Page>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(id) = ids::parse_topic_id(topic_id.as_bytes()) else { return Ok(None) };
        let mut inner = self.lock();
        let log = &mut inner.edge.log;
        let Some(index) = log.topics().find_id(id).filter(|t| log.topics().get(*t).deleted_ns == 0) else {
            return Ok(None);
        };
        let Some(&handle) = log.topics().get(index).parts.as_slice().get(partition as usize) else {
            return Ok(None);
        };
        stored(py, &mut inner.edge, handle, offset, page)
    }

    fn message_by_key(&self, key: &str) -> Option<(String, u16, u64)> {
        let inner = self.lock();
        let log = &inner.edge.log;
        let hash = sprawl_core::log::dedup::key_hash(key.as_bytes());
        let known = log.keys().find_anywhere(hash, log.now_ns())?;
        let part = log.part(known.part);
        let topic = log.topics().get(part.topic);
        (topic.deleted_ns == 0).then(|| (id_text(topic.id), part.number, known.offset))
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let mut inner = self.lock();
        let now_ns = inner.edge.log.now_ns();
        inner.edge.log.expire(now_ns);
        let (log, stats) = (&inner.edge.log, inner.edge.stats);
        let counted = log.counters();
        let counters = PyDict::new(py);
        for (name, value) in [
            ("messages_received", counted.records),
            ("message_bytes", counted.value_bytes),
            ("batches", counted.batches),
            ("duplicates", counted.duplicates),
            ("evicted_messages", counted.evicted_records),
            ("retired_messages", counted.retired_records),
            ("bytes_in", stats.bytes_in),
            ("bytes_out", stats.bytes_out),
            ("publish_requests", stats.publish_requests),
            ("fetch_requests", stats.fetch_requests),
            ("cold_requests", stats.cold_requests),
            ("refused_requests", stats.refused_requests),
            ("malformed_requests", stats.malformed_requests),
            ("messages_delivered", stats.delivered_messages),
            ("route_cache_hits", log.routes().hits()),
            ("route_cache_misses", log.routes().misses()),
        ] {
            counters.set_item(name, value)?;
        }
        let gauges = PyDict::new(py);
        for (name, value) in [
            ("topics", log.topics().live() as u64),
            ("memory_bytes", log.ring().bytes_allocated() as u64),
            ("memory_bytes_max", log.ring().bytes_max() as u64),
            ("log_bytes", log.ring().head_lsn() - log.ring().memory_tail()),
            ("head_lsn", log.ring().head_lsn()),
            ("memory_tail", log.ring().memory_tail()),
            ("messages", log.records_held()),
            ("route_cache_size", log.routes().len() as u64),
            ("route_cache_capacity", log.routes().capacity() as u64),
            ("dedup_keys", log.keys().len() as u64),
            ("buffered_bytes", inner.edge.buffered() as u64),
            ("unsent_bytes", inner.edge.unsent as u64),
            ("moved_messages", log.moved_records()),
            ("cold_messages", log.cold_records()),
            ("unsynced_messages", log.unsynced_records()),
            ("unsynced_bytes", log.unsynced_bytes()),
        ] {
            gauges.set_item(name, value)?;
        }
        let answer = PyDict::new(py);
        answer.set_item("counters", counters)?;
        answer.set_item("gauges", gauges)?;
        Ok(answer)
    }
}

/// What partitions hold in each tier, every message in one: records, bytes, oldest and newest append time.
fn tiers<'py>(py: Python<'py>, log: &Log, handles: &[u32]) -> PyResult<Bound<'py, PyDict>> {
    let shown = |records: u64, bytes: u64, times: Vec<(i64, i64)>| -> PyResult<Bound<'py, PyDict>> {
        let held = PyDict::new(py);
        held.set_item("records", records)?;
        held.set_item("bytes", bytes)?;
        held.set_item("oldest_ns", times.iter().map(|t| t.0).min())?;
        held.set_item("newest_ns", times.iter().map(|t| t.1).max())?;
        Ok(held)
    };
    let parts = || handles.iter().map(|handle| log.part(*handle));
    let sum = |tier: &[Moved]| {
        (tier.iter().map(|t| t.records).sum::<u64>(), tier.iter().map(|t| t.bytes).sum::<u64>())
    };
    let times = |tier: &[Moved]| {
        tier.iter().filter(|t| t.records > 0).map(|t| (t.oldest_ns, t.newest_ns)).collect::<Vec<_>>()
    };
    let (disk, cloud): (Vec<_>, Vec<_>) = parts().map(|p| (p.moved, p.in_cloud())).unzip();
    let ((moved, moved_bytes), (cold, cold_bytes)) = (sum(&disk), sum(&cloud));
    let all: u64 = handles.iter().map(|handle| log.readable(*handle)).sum();
    let bytes: u64 = parts().map(|p| p.bytes).sum();
    let answer = PyDict::new(py);
    let in_memory = handles.iter().filter_map(|handle| log.memory_times(*handle)).collect();
    let left = all.saturating_sub(moved + cold);
    answer.set_item("memory", shown(left, bytes - moved_bytes - cold_bytes, in_memory)?)?;
    if log.has_disk() {
        answer.set_item("disk", shown(moved, moved_bytes, times(&disk))?)?;
    }
    if log.has_cloud() {
        answer.set_item("cloud", shown(cold, cold_bytes, times(&cloud))?)?;
    }
    Ok(answer)
}

/// A batch as the index of a window that begins at `first_lsn` has it.
fn stored_batch(first_lsn: u64, entry: &PartitionEntry) -> StoredBatch {
    StoredBatch {
        topic_id: entry.topic_id,
        partition: entry.partition,
        base: entry.base,
        records: entry.records,
        length: entry.length,
        append_ns: entry.append_ns,
        end_lsn: first_lsn + u64::from(entry.lsn_rel) + u64::from(entry.length),
    }
}

/// A range as the log counts it.
fn cold_range(range: &PartitionRange) -> ColdRange {
    ColdRange {
        topic_id: range.topic_id,
        partition: range.partition,
        first: range.first,
        end: range.last + 1,
        records: u64::from(range.count),
        bytes: range.log_bytes,
        oldest_ns: range.oldest_ns,
        newest_ns: range.newest_ns,
        last_expiry_ns: range.last_expiry_ns,
    }
}

/// A record as a dictionary, or as the tuple that a page is read for.
fn stored<'py>(
    py: Python<'py>,
    edge: &mut Edge,
    handle: u32,
    offset: u64,
    page: Option<&Page>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let now_ns = edge.log.now_ns();
    let page = page.map(|page| &*page.inner);
    let found = match edge.look_up(handle, offset, page, now_ns).map_err(to_py)? {
        Lookup::Found(found) => found,
        Lookup::OnDisk(want) => return Ok(Some(want_tuple(&want).into_pyobject(py)?.into_any())),
        Lookup::Unknown => return Ok(None),
    };
    let log = &edge.log;
    let answer = PyDict::new(py);
    answer.set_item("topic", log.topics().get(log.part(handle).topic).name_str())?;
    answer.set_item("payload", PyBytes::new(py, &found.value))?;
    answer.set_item("key", found.key.as_deref().map(|key| text_or_bytes(py, key)))?;
    let headers = PyList::empty(py);
    for (name, value) in &found.headers {
        headers.append((text_or_bytes(py, name), text_or_bytes(py, value)))?;
    }
    answer.set_item("headers", headers)?;
    answer.set_item("content_type", found.content_type.as_deref())?;
    answer.set_item("timestamp_ms", found.timestamp_ms)?;
    answer.set_item("ttl_s", found.ttl_s)?;
    answer.set_item("append_ns", found.append_ns)?;
    Ok(Some(answer.into_any()))
}
