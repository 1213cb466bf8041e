//! Bindings of the cold tier's format: a window in, files and manifests out; a range of a file in, envelopes out.
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use sprawl_core::segment::{self, Bounds, Cover, Manifest, PartitionRange, Seek, SegmentError, Topic};

use crate::codec::released;
use crate::errors::to_py;
use crate::slice::View;

fn refused(error: SegmentError) -> PyErr {
    to_py(error.into())
}

type PyCover = (u16, u32, u64, u64);

fn to_covers(covers: &[Cover]) -> Vec<PyCover> {
    covers.iter().map(|cover| (cover.slot, cover.epoch, cover.first, cover.last)).collect()
}

type PyRange = (u64, u16, u16, u64, u64, u32, i64, i64, u64, i64);

fn to_range(range: &PartitionRange) -> PyRange {
    let PartitionRange { topic_id, partition, slot, first, last, count, oldest_ns, newest_ns, .. } = *range;
    let (log_bytes, last_expiry_ns) = (range.log_bytes, range.last_expiry_ns);
    (topic_id, partition, slot, first, last, count, oldest_ns, newest_ns, log_bytes, last_expiry_ns)
}

type PyPieces<'py> = Vec<Bound<'py, PyBytes>>;
type PyTopic = (u64, Option<String>, Vec<(i64, u64)>);
type PySegments<'py> = (Vec<PyCover>, Vec<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)>);

#[pyfunction]
fn build_segments(py: Python<'_>, parts: Vec<View>, topics: Vec<PyTopic>) -> PyResult<PySegments<'_>> {
    let slices: Vec<&[u8]> = parts.iter().map(|part| &**part).collect();
    let total = slices.iter().map(|slice| slice.len()).sum();
    let topics: Vec<Topic<'_>> = topics
        .iter()
        .map(|(id, name, lifetimes)| Topic { id: *id, name: name.as_deref(), lifetimes })
        .collect();
    let built =
        released(py, total, || segment::build(&slices, &topics, &Bounds::default())).map_err(refused)?;
    let segments = built.segments.into_iter();
    let segments =
        segments.map(|one| (PyBytes::new(py, &one.manifest.encode()), PyBytes::new(py, &one.data)));
    Ok((to_covers(&built.covers), segments.collect()))
}

#[pyclass(frozen, module = "sprawl._native")]
pub struct SegmentManifest {
    inner: Arc<Manifest>,
}

#[pymethods]
impl SegmentManifest {
    #[new]
    fn new(py: Python<'_>, data: View) -> PyResult<Self> {
        let inner = released(py, data.len(), || Manifest::parse(&data)).map_err(refused)?;
        Ok(Self { inner: Arc::new(inner) })
    }

    #[getter]
    fn key(&self) -> &str {
        &self.inner.key
    }

    #[getter]
    fn size(&self) -> u64 {
        self.inner.size
    }

    #[getter]
    fn sha256<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.sha256)
    }

    #[getter]
    fn footer_at(&self) -> u64 {
        self.inner.footer_at
    }

    #[getter]
    fn records(&self) -> u64 {
        self.inner.records
    }

    #[getter]
    fn oldest_ns(&self) -> i64 {
        self.inner.oldest_ns
    }

    #[getter]
    fn newest_ns(&self) -> i64 {
        self.inner.newest_ns
    }

    #[getter]
    fn checksums(&self) -> Vec<(u64, u64, u64)> {
        let manifest = &self.inner;
        let footer = (manifest.footer_at, manifest.size - manifest.footer_at, manifest.footer_sum);
        let groups = manifest.groups.iter().map(|group| (group.at, group.length, group.sum));
        groups.chain([footer]).collect()
    }

    #[getter]
    fn part(&self) -> (u16, u16) {
        (self.inner.part, self.inner.parts)
    }

    #[getter]
    fn covers(&self) -> Vec<PyCover> {
        to_covers(&self.inner.covers)
    }

    #[getter]
    fn partitions(&self) -> Vec<PyRange> {
        self.inner.partitions.iter().map(to_range).collect()
    }

    fn partition(&self, topic_id: u64, partition: u16) -> Option<PyRange> {
        self.inner.partition(topic_id, partition).map(to_range)
    }

    fn slots<'py>(&self, py: Python<'py>, bytes_max: usize) -> PyResult<Vec<(u16, PyPieces<'py>)>> {
        let slots = py.detach(|| self.inner.slots(bytes_max)).map_err(refused)?;
        let to_py = |pieces: Vec<Vec<u8>>| pieces.iter().map(|piece| PyBytes::new(py, piece)).collect();
        Ok(slots.into_iter().map(|(slot, pieces)| (slot, to_py(pieces))).collect())
    }

    fn locate(
        &self,
        topic_id: u64,
        partition: u16,
        offset: u64,
        since_ns: i64,
        rows_max: u64,
        bytes_max: u64,
    ) -> Option<(u64, u64)> {
        let seek = Seek { topic_id, partition, offset, since_ns };
        self.inner.locate(&seek, rows_max, bytes_max).map(|found| (found.at, found.length))
    }

    #[allow(clippy::too_many_arguments, reason = "one crossing of the border")]
    fn page<'py>(
        &self,
        py: Python<'py>,
        footer: View,
        at: u64,
        data: View,
        topic_id: u64,
        partition: u16,
        offset: u64,
        since_ns: i64,
        bytes_max: usize,
    ) -> PyResult<Option<(Bound<'py, PyBytes>, u64)>> {
        let seek = Seek { topic_id, partition, offset, since_ns };
        let page = py.detach(|| segment::page(&self.inner, &footer, at, &data, &seek, bytes_max));
        Ok(page.map_err(refused)?.map(|page| (PyBytes::new(py, &page.envelopes), page.end)))
    }

    fn __repr__(&self) -> String {
        format!(
            "SegmentManifest({}, {} records, {} bytes)",
            self.inner.key, self.inner.records, self.inner.size
        )
    }
}

/// Adds the functions of this file to `sprawl._native`.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(build_segments, module)?)
}
