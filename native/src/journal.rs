//! The journal's file: a record written and synced in one call, without the interpreter.
use crate::slice::View;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use sprawl_core::disk;
use std::fs::{File, OpenOptions};
use std::io::Error;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

#[pyclass(frozen, module = "sprawl._native")]
pub struct JournalFile {
    file: File,
}

#[pymethods]
impl JournalFile {
    #[new]
    fn new(path: PathBuf) -> PyResult<Self> {
        Ok(Self { file: OpenOptions::new().read(true).write(true).open(path).map_err(os_error)? })
    }

    fn write(&self, py: Python<'_>, at: u64, data: View) -> PyResult<()> {
        let data: &[u8] = &data;
        py.detach(|| self.write_synced(at, data)).map_err(os_error)
    }

    fn append(&self, py: Python<'_>, at: u64, salt: u64, lsn: u64, parts: Vec<View>) -> PyResult<()> {
        let parts: Vec<&[u8]> = parts.iter().map(|part| &**part).collect();
        py.detach(|| self.write_synced(at, &disk::journal_record(salt, lsn, &parts))).map_err(os_error)
    }
}

/// The error with its number: PyO3's own conversion keeps the text alone.
fn os_error(error: Error) -> PyErr {
    match error.raw_os_error() {
        Some(number) => PyOSError::new_err((number, error.to_string())),
        None => error.into(),
    }
}

impl JournalFile {
    fn write_synced(&self, at: u64, data: &[u8]) -> Result<(), Error> {
        self.file.write_all_at(data, at)?;
        self.file.sync_data()
    }
}

#[pyfunction]
fn journal_begun(salt: u64, data: View, at: usize) -> Option<u64> {
    disk::journal_begun(salt, data.get(at..)?)
}

#[pyfunction]
fn journal_whole(py: Python<'_>, salt: u64, data: View, at: usize) -> Option<(u64, Bound<'_, PyBytes>)> {
    let (lsn, bytes) = disk::journal_whole(salt, data.get(at..)?)?;
    Some((lsn, PyBytes::new(py, bytes)))
}

/// Adds the functions of this file to `sprawl._native`.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(journal_begun, module)?)?;
    module.add_function(wrap_pyfunction!(journal_whole, module)?)
}
