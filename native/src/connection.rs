//! A connection's parser: bytes in, answer bytes or a step for the event loop out.
use crate::engine::Engine;
use crate::reader::Reader;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyTuple};
use sprawl_core::edge::{self, Step};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Steps as numbers, the same in `sprawl/_hot/protocol.pyx`.
pub const COLD: u8 = 1;
pub const UPGRADE: u8 = 2;
pub const WAIT: u8 = 3;
pub const STREAM: u8 = 4;
pub const CLOSE: u8 = 5;
pub const FULL: u8 = 6;
/// Not a step of the engine: answers to write while another request has begun, whose deadline runs.
pub const BEGUN: u8 = 7;
/// Not a step of the engine: answers wait for the disk, [`Connection::release`] gives them.
pub const HELD: u8 = 8;

#[pyclass(frozen, module = "sprawl._native")]
pub struct Connection {
    engine: Py<Engine>,
    inner: Mutex<edge::Connection>,
}

impl Connection {
    pub fn new(engine: Py<Engine>, id: u64, is_hot: bool) -> Self {
        Self { engine, inner: Mutex::new(edge::Connection::new(id, is_hot)) }
    }

    fn lock(&self) -> MutexGuard<'_, edge::Connection> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run<'py>(
        &self,
        py: Python<'py>,
        work: impl FnOnce(&mut edge::Edge, &mut edge::Connection, &mut Vec<u8>) -> Step,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut inner = self.engine.get().lock();
        let mut out = std::mem::take(&mut inner.out);
        let mut connection = self.lock();
        let step = work(&mut inner.edge, &mut connection, &mut out);
        let has_begun = connection.inside() != edge::Inside::Nothing;
        let holds = connection.holds();
        drop(connection);
        inner.out = out;
        let bytes = inner.take_out(py);
        drop(inner);
        let engine = || self.engine.clone_ref(py);
        let (kind, payload, until_ns) = match step {
            Step::More if holds && bytes.is_none() => return Ok(PyBool::new(py, true).to_owned().into_any()),
            Step::More if holds => (HELD, None, 0),
            Step::More if has_begun && bytes.is_some() => (BEGUN, None, 0),
            Step::More => {
                return Ok(bytes.map_or_else(|| py.None().into_bound(py), Bound::into_any));
            }
            Step::Cold(request) => (COLD, Some(Bound::new(py, Request { inner: *request })?.into_any()), 0),
            Step::Upgrade(request) => {
                (UPGRADE, Some(Bound::new(py, Request { inner: *request })?.into_any()), 0)
            }
            Step::Wait(waiting, until_ns) => {
                (WAIT, Some(Bound::new(py, Reader::new(engine(), *waiting))?.into_any()), until_ns)
            }
            Step::Stream(waiting) => {
                (STREAM, Some(Bound::new(py, Reader::new(engine(), *waiting))?.into_any()), 0)
            }
            Step::Full => (FULL, None, 0),
            Step::Close => (CLOSE, None, 0),
        };
        Ok(PyTuple::new(
            py,
            [
                bytes.map_or_else(|| py.None().into_bound(py), Bound::into_any),
                kind.into_pyobject(py)?.into_any(),
                payload.unwrap_or_else(|| py.None().into_bound(py)),
                until_ns.into_pyobject(py)?.into_any(),
            ],
        )?
        .into_any())
    }
}

#[pymethods]
impl Connection {
    fn receive<'py>(&self, py: Python<'py>, data: &[u8], now_ns: i64) -> PyResult<Bound<'py, PyAny>> {
        self.run(py, |edge, connection, out| edge.receive(connection, data, now_ns, out))
    }

    fn resume<'py>(&self, py: Python<'py>, now_ns: i64) -> PyResult<Bound<'py, PyAny>> {
        self.run(py, |edge, connection, out| edge.resume(connection, now_ns, out))
    }

    fn release<'py>(&self, py: Python<'py>, now_ns: i64) -> PyResult<Bound<'py, PyAny>> {
        self.run(py, |edge, connection, out| edge.release(connection, now_ns, out))
    }

    fn time_out<'py>(&self, py: Python<'py>, now_ns: i64) -> Option<Bound<'py, PyBytes>> {
        let mut inner = self.engine.get().lock();
        let mut out = std::mem::take(&mut inner.out);
        inner.edge.time_out(&mut self.lock(), now_ns, &mut out);
        inner.out = out;
        inner.take_out(py)
    }

    fn give_up<'py>(&self, py: Python<'py>, now_ns: i64) -> Option<Bound<'py, PyBytes>> {
        let mut inner = self.engine.get().lock();
        let mut out = std::mem::take(&mut inner.out);
        inner.edge.give_up(&mut self.lock(), now_ns, &mut out);
        inner.out = out;
        inner.take_out(py)
    }

    fn forget(&self) {
        self.engine.get().lock().edge.forget(&mut self.lock());
    }

    fn take_rest<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let rest = self.engine.get().lock().edge.take_rest(&mut self.lock());
        PyBytes::new(py, &rest)
    }

    #[getter]
    fn inside(&self) -> u8 {
        self.lock().inside() as u8
    }

    #[getter]
    fn held(&self) -> usize {
        self.lock().held()
    }
}

#[pyclass(frozen, module = "sprawl._native")]
pub struct Request {
    inner: edge::Request,
}

#[pymethods]
impl Request {
    #[getter]
    fn method(&self) -> &str {
        &self.inner.method
    }

    #[getter]
    fn path(&self) -> &str {
        &self.inner.path
    }

    #[getter]
    fn query<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.inner.query.as_bytes())
    }

    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> Vec<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        self.inner.headers.iter().map(|(n, v)| (PyBytes::new(py, n), PyBytes::new(py, v))).collect()
    }

    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.body)
    }

    #[getter]
    fn http_version(&self) -> &'static str {
        if self.inner.minor_version == 0 {
            "1.0"
        } else {
            "1.1"
        }
    }

    #[getter]
    fn keep_alive(&self) -> bool {
        self.inner.keep_alive
    }
}
