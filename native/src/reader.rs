//! A reader: a cursor over the log that gives ready-made bytes.
use crate::engine::{Engine, Shared};
use crate::slice::Slice;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use sprawl_core::edge::encode::Form;
use sprawl_core::edge::page::{self, Want};
use sprawl_core::edge::reader::Pulled;
use sprawl_core::edge::{Edge, Progress, Waiting};
use sprawl_core::http::response;
use sprawl_core::problem::{Code, Problem};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Batches from this size on leave the ring without a copy; below it one copy is cheaper than three buffers.
const LEASE_BYTES: usize = 32 * 1024;

/// Topic id, partition, offset, append time to begin at (0: the offset), end.
pub type WantTuple = (u64, u16, u64, i64, u64);

pub fn want_tuple(want: &Want) -> WantTuple {
    (want.topic_id, want.partition, want.offset, want.since_ns, want.end)
}

struct State {
    waiting: Waiting,
    pulled: Pulled,
}

#[pyclass(frozen, module = "sprawl._native")]
pub struct Reader {
    engine: Py<Engine>,
    inner: Mutex<State>,
}

fn pull_into(
    edge: &mut Edge,
    waiting: &mut Waiting,
    bytes_max: usize,
    messages_max: u64,
    now_ns: i64,
    out: &mut Vec<u8>,
) -> Pulled {
    if waiting.reader.form() == Form::Json {
        // One document a pull, for readers inside the node.
        let start = out.len();
        out.extend_from_slice(b"{\"messages\":[");
        let pulled = edge.pull(&mut waiting.reader, bytes_max, messages_max, now_ns, out);
        if pulled.messages == 0 {
            out.truncate(start);
        } else {
            out.extend_from_slice(b"],\"cursor\":\"");
            out.extend_from_slice(waiting.reader.cursor().as_bytes());
            out.extend_from_slice(b"\"}");
        }
        return pulled;
    }
    let is_framed = waiting.is_chunked;
    if !is_framed {
        return edge.pull(&mut waiting.reader, bytes_max, messages_max, now_ns, out);
    }
    let mut body = Vec::new();
    let pulled = edge.pull(&mut waiting.reader, bytes_max, messages_max, now_ns, &mut body);
    response::chunk(out, &body);
    if pulled.ended && !pulled.more {
        response::end_chunks(out);
    }
    pulled
}

impl Reader {
    pub fn new(engine: Py<Engine>, waiting: Waiting) -> Self {
        Self { engine, inner: Mutex::new(State { waiting, pulled: Pulled::default() }) }
    }

    /// A large batch as it lies in the ring, between the marks of its chunk.
    fn lease<'py>(&self, py: Python<'py>, now_ns: i64) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut inner = self.engine.get().lock();
        let State { waiting, pulled } = &mut *self.lock();
        if !waiting.is_chunked {
            return Ok(None);
        }
        let Some((slice, messages)) = waiting.reader.lease(&mut inner.edge.log, LEASE_BYTES, now_ns) else {
            return Ok(None);
        };
        *pulled = Pulled { messages, more: true, ended: false };
        inner.edge.stats.delivered_messages += messages;
        inner.edge.stats.bytes_out += slice.len() as u64;
        drop(inner);
        let head = PyBytes::new(py, format!("{:x}\r\n", slice.len()).as_bytes());
        let parts = (head, Bound::new(py, Slice { inner: slice })?, PyBytes::new(py, b"\r\n"));
        Ok(Some(parts.into_pyobject(py)?.into_any()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Reader {
    fn pull<'py>(
        &self,
        py: Python<'py>,
        bytes_max: usize,
        messages_max: u64,
        now_ns: i64,
    ) -> Option<Bound<'py, PyBytes>> {
        let mut inner = self.engine.get().lock();
        let inner = &mut *inner;
        let mut state = self.lock();
        let State { waiting, pulled } = &mut *state;
        let key = waiting.reader.share_key(&inner.edge.log, now_ns);
        let key = key.map(|key| key ^ u128::from(waiting.is_chunked));
        if let Some(shared) = key.and_then(|key| inner.shared.get(&key)) {
            let length = shared.bytes.as_ref().map_or(0, |bytes| bytes.as_bytes(py).len());
            if shared.pulled.messages <= messages_max && length <= bytes_max + 65_536 {
                waiting.reader.follow(&shared.after);
                *pulled = shared.pulled;
                inner.edge.stats.delivered_messages += pulled.messages;
                inner.edge.stats.bytes_out += length as u64;
                return shared.bytes.as_ref().map(|bytes| bytes.bind(py).clone());
            }
        }
        *pulled = pull_into(&mut inner.edge, waiting, bytes_max, messages_max, now_ns, &mut inner.out);
        inner.edge.stats.bytes_out += inner.out.len() as u64;
        let bytes = inner.take_out(py);
        if let Some(key) = key {
            // Where a filter found nothing, others with the same one need not look again.
            let shared = bytes.as_ref().map(|bytes| bytes.clone().unbind());
            let after = waiting.reader.clone();
            inner.shared.insert(key, Shared { bytes: shared, after, pulled: *pulled });
        }
        bytes
    }

    fn stream<'py>(
        &self,
        py: Python<'py>,
        bytes_max: usize,
        now_ns: i64,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        if let Some(parts) = self.lease(py, now_ns)? {
            return Ok(Some(parts));
        }
        Ok(self.pull(py, bytes_max, u64::MAX, now_ns).map(Bound::into_any))
    }

    fn answer<'py>(&self, py: Python<'py>, now_ns: i64, is_due: bool) -> Option<Bound<'py, PyBytes>> {
        let mut inner = self.engine.get().lock();
        let mut out = std::mem::take(&mut inner.out);
        let State { waiting, pulled } = &mut *self.lock();
        let progress = inner.edge.answer_fetch(waiting, now_ns, is_due, &mut out);
        pulled.more = progress == Progress::Looks;
        inner.edge.stats.bytes_out += out.len() as u64;
        inner.out = out;
        inner.take_out(py)
    }

    fn refuse<'py>(&self, py: Python<'py>, now_ns: i64) -> Option<Bound<'py, PyBytes>> {
        let mut inner = self.engine.get().lock();
        let mut out = std::mem::take(&mut inner.out);
        let problem = Problem::new(Code::Busy, "a colder tier cannot be read now");
        inner.edge.refuse_fetch(&self.lock().waiting, &problem, now_ns, &mut out);
        inner.edge.stats.bytes_out += out.len() as u64;
        inner.out = out;
        inner.take_out(py)
    }

    fn adopt(&self, topics: Vec<u32>) -> PyResult<bool> {
        let inner = self.engine.get().lock();
        let mut state = self.lock();
        let mut grew = false;
        for topic in topics {
            grew |= state.waiting.reader.adopt(&inner.edge.log, topic).map_err(crate::errors::to_py)?;
        }
        Ok(grew)
    }

    #[getter]
    fn handles(&self) -> Vec<u32> {
        self.lock().waiting.reader.places().iter().map(|p| p.part).collect()
    }

    #[getter]
    fn awaits_topics(&self) -> bool {
        self.lock().waiting.reader.awaits_topics()
    }

    #[getter]
    fn want(&self) -> Option<WantTuple> {
        let inner = self.engine.get().lock();
        let want = self.lock().waiting.reader.want(&inner.edge.log)?;
        Some(want_tuple(&want))
    }

    fn feed(&self, page: &Page) {
        let inner = self.engine.get().lock();
        self.lock().waiting.reader.feed(&inner.edge.log, Arc::clone(&page.inner));
    }

    #[getter]
    fn messages(&self) -> u64 {
        self.lock().pulled.messages
    }

    #[getter]
    fn more(&self) -> bool {
        self.lock().pulled.more
    }

    #[getter]
    fn ended(&self) -> bool {
        self.lock().pulled.ended
    }

    #[getter]
    fn cursor(&self) -> String {
        self.lock().waiting.reader.cursor()
    }

    /// What keeps a silent stream alive, or `None` where nothing may be said.
    #[getter]
    fn heartbeat<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        let state = self.lock();
        let text: &[u8] = match state.waiting.reader.form() {
            Form::Sse => b": heartbeat\n\n",
            Form::Ndjson => b"{\"heartbeat\":true}\n",
            _ => return None,
        };
        if !state.waiting.is_chunked {
            return Some(PyBytes::new(py, text));
        }
        let mut out = Vec::new();
        response::chunk(&mut out, text);
        Some(PyBytes::new(py, &out))
    }

    /// What ends a stream in the middle of a connection.
    #[getter]
    fn ending<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.lock().waiting.is_chunked.then(|| PyBytes::new(py, b"0\r\n\r\n"))
    }

    /// Whether the connection can be used again after the stream.
    #[getter]
    fn keep_alive(&self) -> bool {
        let state = self.lock();
        state.waiting.is_chunked && state.waiting.connection != response::Connection::Close
    }
}

/// Verified batches of one partition that were read from disk, for [`Reader::feed`].
#[pyclass(frozen, module = "sprawl._native")]
pub struct Page {
    pub inner: Arc<page::Page>,
    /// Whether it came from the cloud.
    #[pyo3(get)]
    is_cold: bool,
}

#[pymethods]
impl Page {
    #[new]
    #[pyo3(signature = (want, end, parts, gaps, *, is_cold = false))]
    fn new(
        py: Python<'_>,
        want: WantTuple,
        end: u64,
        parts: Vec<PyBackedBytes>,
        gaps: Vec<(u64, u64)>,
        is_cold: bool,
    ) -> PyResult<Self> {
        let (topic_id, partition, offset, since_ns, until) = want;
        let want = Want { topic_id, partition, offset, since_ns, end: until };
        let made = py.detach(|| {
            let slices: Vec<&[u8]> = parts.iter().map(|part| &**part).collect();
            let bytes = slices.concat();
            page::Page::new(&want, end, bytes, gaps)
        });
        let inner = made.map_err(PyValueError::new_err)?;
        Ok(Self { inner: Arc::new(inner), is_cold })
    }

    #[getter]
    fn end(&self) -> u64 {
        self.inner.end()
    }
}
