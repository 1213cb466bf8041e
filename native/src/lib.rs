//! `sprawl._native`: Python bindings of `sprawl-core`, one file per class, no logic.
#![allow(clippy::needless_pass_by_value)] // PyO3 hands extracted arguments over by value
#![deny(unsafe_code)]
use pyo3::prelude::*;

mod codec;
mod connection;
mod disk;
mod engine;
mod errors;
mod journal;
mod reader;
mod routing;
mod segment;
mod slice;

#[pymodule(gil_used = false)]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::connection::{Connection, Request};
    #[pymodule_export]
    use super::disk::LogScan;
    #[pymodule_export]
    use super::engine::Engine;
    #[pymodule_export]
    use super::journal::JournalFile;
    #[pymodule_export]
    use super::reader::{Page, Reader};
    #[pymodule_export]
    use super::segment::SegmentManifest;
    #[pymodule_export]
    use super::slice::Slice;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::codec::register(module)?;
        super::disk::register(module)?;
        super::journal::register(module)?;
        super::routing::register(module)?;
        super::segment::register(module)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
